"""Builds a corpus: stories go through the stages, their rows become typed Parquet."""
