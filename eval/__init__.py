"""Makes numbers: measures published models as a user would load them. `python -m eval.run --help`."""
