"""Pure functions that decide which rows are published: validate, resolve, deduplicate, split."""
