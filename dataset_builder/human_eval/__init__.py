"""Do people see what the teacher says? Pages for annotators, and what their answers say (paper A, human evaluation).

    python -m dataset_builder people export CORPUS --config contextual --rows 200 --annotators 3 --out FOLDER
    python -m dataset_builder people score FOLDER/key.json answers-annotator-1.json answers-annotator-2.json …

`sample` draws the rows and lays out the options, `page` and `label_studio` are the two ways to ask, `answers` reads
what comes back, `agreement` and `score` measure it, `card` puts it beside the paper's figures.
"""
