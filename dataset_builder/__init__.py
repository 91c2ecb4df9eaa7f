"""Makes rows: from stories to a published corpus of emotional utterances. `python -m dataset_builder --help`."""
