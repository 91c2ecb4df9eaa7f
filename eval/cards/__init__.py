"""Writes the model cards from results."""
