"""Pure functions that decide whether a row is published: form, labels, duplicates, split."""
