"""Reads and writes the files that circulate: JSON lines, tables, shards, datasets of the Hub."""
