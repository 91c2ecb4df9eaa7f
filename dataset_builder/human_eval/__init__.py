"""Human evaluation: do people see the emotions that the teacher sees? (paper A)

    python -m dataset_builder people export CORPUS --config contextual --rows 200 --annotators 3 --out FOLDER
    python -m dataset_builder people score FOLDER/key.json answers-annotator-1.json answers-annotator-2.json …

`sample` draws the rows and the options, `page` writes one HTML page for each annotator, `score` reads the answers that
the pages save and computes agreement and accuracy.
"""
