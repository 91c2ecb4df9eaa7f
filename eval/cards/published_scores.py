"""What others report of their models on the same test rows, as they report it; nothing of this was measured here."""

from typing import NamedTuple


class Reported(NamedTuple):
    """A headline that somebody else measured; `how` says by which threshold, so far as they do."""

    system: str
    parameters: str
    value: float
    how: str


REPORTED: dict[str, tuple[Reported, ...]] = {
    "goemotions": (
        Reported("RoBERTa-large, Emo Pillars (arXiv 2504.16856)", "355M", 0.55, "one threshold"),
        Reported("[SamLowe/roberta-base-go_emotions](https://hf.co/SamLowe/roberta-base-go_emotions)", "125M", 0.541,
                 "a threshold per label chosen on the test split"),
        Reported("BERT-base, the set's own paper (arXiv 2005.00547)", "110M", 0.46, "not stated"),
        Reported("[SamLowe/roberta-base-go_emotions](https://hf.co/SamLowe/roberta-base-go_emotions)", "125M", 0.450,
                 "0.5"),
        Reported("all-MiniLM-L6-v2, frozen, with heads (SamLowe)", "23M", 0.397,
                 "a threshold per label chosen on the test split"),
        Reported("GPT-4, zero-shot", "", 0.312, "its own choice; answers released with arXiv 2505.18040"),
    ),
}  # fmt: skip
