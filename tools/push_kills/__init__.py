"""Measures a push that is killed at many moments."""
