"""Describes given texts by weighted emotion words, on which paper B's bi-encoder is trained."""
