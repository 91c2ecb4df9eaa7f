"""Evaluates published models, loaded as a user would load them. See `python -m eval.run --help`."""
