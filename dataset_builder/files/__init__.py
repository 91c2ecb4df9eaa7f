"""Reads and writes the files that circulate: JSON lines, tables, shards, data sets of the Hub."""
