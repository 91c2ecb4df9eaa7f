"""Converts external emotion datasets from their official files to the format of a built corpus: one reader per set.

To add a dataset:

1. Map its classes to labels in `dataset_builder/label_maps.py`, before any model is evaluated on it.
2. Write its reader here: a function that takes a folder and returns a `Source`, and a `DataSet` with the licence.
   `emocontext.py` is the shortest example. Read tables with `files.reading.named_columns`, and set the `place` of each
   `Example` (file and line), so that error messages can name it. `prepare` checks texts and ids.
3. Add it to `DATA_SETS` in `prepare.py`, and its file names to `files/known_files.py`.
4. Test it with small hand-written files in the same format (`tests/test_dataset_builder_domains.py`).
"""
