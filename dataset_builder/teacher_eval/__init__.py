"""Measures teachers and the parts of the pipeline that depend on them."""
