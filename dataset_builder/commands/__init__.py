"""The commands of `python -m dataset_builder`. Their functions import what they need when they run."""
