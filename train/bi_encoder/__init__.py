"""Trains a bi-encoder by contrastive distillation: one loop, its recipe, data, model and losses."""
