"""Measures of the builder itself: size, overhead, prefix reuse, kills, faults."""
