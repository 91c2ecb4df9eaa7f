"""Measures how fast, how large and how hungry models are: python -m eval.speed."""
