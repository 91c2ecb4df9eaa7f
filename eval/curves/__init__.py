"""Learning curves: what parts of a corpus teach a student."""
