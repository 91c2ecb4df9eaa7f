"""Judges: each scores texts, alone or in a situation, for emotion labels; an ensemble of them labels a corpus."""
