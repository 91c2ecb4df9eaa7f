"""Decides which rows are published (validate, resolve, deduplicate, split) and measures what was made."""
