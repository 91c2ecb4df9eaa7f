"""Looks at a finished corpus: validation, duplicates, measures, report."""
