"""Analyses a finished corpus: validation, duplicates, metrics, report."""
