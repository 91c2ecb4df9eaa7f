"""Builds a corpus of emotional utterances from stories. See `python -m dataset_builder --help`."""
