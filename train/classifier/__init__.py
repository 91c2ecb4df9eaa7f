"""Trains a classifier: one loop, its recipe, data, model, losses and thresholds."""
