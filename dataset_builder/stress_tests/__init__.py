"""Measures the builder itself: full size, kills, faults of a server, checks of a whole corpus."""
