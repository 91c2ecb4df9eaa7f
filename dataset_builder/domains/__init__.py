"""Domain sets in the form of a published corpus: one reader a set, one command for all."""
