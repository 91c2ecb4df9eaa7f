"""Describes given texts with weighted emotion words, the training data of paper B's bi-encoder."""
