"""Texts that are given, described by weighted emotion words: what paper B's bi-encoder learns from."""
