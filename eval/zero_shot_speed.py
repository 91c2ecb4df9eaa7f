"""python -m eval.zero_shot_speed --model FOLDER --data GOEMOTIONS_FOLDER

Texts a second for the 28 labels: a bi-encoder, which embeds the labels once and each text once, beside a zero-shot NLI
classifier of roberta-base's size, which reads each text 28 times. Random weights are as fast as trained ones, and the
pipeline is the stock one (`zero-shot-classification`). Both read texts of GoEmotions' test split with the same
tokenizer, in turns, so that the machine's moods meet both; the ratio is that of a turn's speeds. Tokenising is timed.
Writes <out>/system/zero-shot-speed.json.
"""

import argparse
import statistics
import time
from collections.abc import Callable, Sequence
from typing import Any

import torch
from tqdm import tqdm
from transformers import pipeline

from dataset_builder.inputs import run_command
from dataset_builder.provenance import RESULTS, results_folder, write_result
from dataset_builder.taxonomy import LABELS
from eval.benchmarks import find
from eval.encoder import BATCH, Encoder, embed_labels, embed_texts, load_encoder
from eval.stand_ins import HYPOTHESIS, ROBERTA_BASE, StandIn, build
from eval.timing import about, add_threads, at_least_one, processor_seconds, ratio, share_of_others, warn_of_company

NAME = "zero-shot-speed"

Classify = Callable[[Sequence[str]], Any]


def bi_encoder(encoder: Encoder) -> Classify:
    """Cosines of texts with the 28 labels, whose embeddings are made here, once."""
    labels = embed_labels(encoder, LABELS)

    def classify(texts: Sequence[str]) -> Any:
        return embed_texts(encoder, texts) @ labels.T

    return classify


def nli(tokenizer: Any, sizes: dict[str, int]) -> Classify:
    """A zero-shot pipeline with random weights of these sizes; every label is a text's or is not."""
    model = build(StandIn("roberta", sizes, nli=True, vocabulary=0), tokenizer)
    classify = pipeline("zero-shot-classification", model=model, tokenizer=tokenizer)

    def scores(texts: Sequence[str]) -> Any:
        return classify(
            list(texts),
            candidate_labels=list(LABELS),
            hypothesis_template=HYPOTHESIS,
            multi_label=True,
            batch_size=BATCH,
        )

    return scores


def turns(ours: Classify, theirs: Classify, texts: Sequence[str], few: int, rounds: int) -> dict[str, dict[str, float]]:
    """Texts a second of both (median of the turns) and their ratio, with its range over the turns.

    Args:
        few: the slower one is given so many of the texts, other ones in every turn.
    """
    speeds: dict[str, list[float]] = {"bi_encoder": [], "nli": []}
    for turn in tqdm(range(rounds), desc=NAME, unit="turn"):
        some = [texts[(turn * few + row) % len(texts)] for row in range(few)]
        order = [("bi_encoder", ours, texts), ("nli", theirs, some)]
        for name, classify, given in order if turn % 2 == 0 else order[::-1]:
            classify(given[:2])  # caches and threads are its own again before the clock starts
            started = time.perf_counter()
            classify(given)
            speeds[name].append(len(given) / (time.perf_counter() - started))
    return {
        "ratio": ratio(speeds["bi_encoder"], speeds["nli"], digits=1),
        **{f"{name}_texts_per_second": {"value": round(statistics.median(of), 3)} for name, of in speeds.items()},
    }


def main() -> None:
    """Parse the command line, measure, write."""
    parser = argparse.ArgumentParser(prog="python -m eval.zero_shot_speed", description="Times zero-shot models.")
    parser.add_argument("--model", required=True, help="a bi-encoder: a folder or Hub id")
    parser.add_argument("--data", help="GoEmotions' own files; default: from the Hub")
    parser.add_argument("--texts", type=int, default=512, help="for the bi-encoder, in every turn")
    parser.add_argument("--nli-texts", type=int, default=8, help="for the NLI classifier, in every turn")
    parser.add_argument("--rounds", type=int, default=5, help="turns of each")
    parser.add_argument("--out", type=results_folder, default=RESULTS, help=f"default: {RESULTS}")
    add_threads(parser)
    args = parser.parse_args()
    at_least_one(args, "texts", "nli_texts", "rounds", "threads")
    torch.set_num_threads(args.threads)
    encoder = load_encoder(args.model)
    encoder.model.to("cpu")
    rows = find("goemotions").load(args.data, "contextless")
    texts = rows.texts[: args.texts]
    before = processor_seconds()
    metrics = turns(bi_encoder(encoder), nli(encoder.model.tokenizer, ROBERTA_BASE), texts, args.nli_texts, args.rounds)
    others = share_of_others(before, processor_seconds())
    content = {
        "name": NAME,
        "model": encoder.name,
        "metrics": metrics,
        "support": len(texts),
        "nli_texts": args.nli_texts,
        "nli_sizes": ROBERTA_BASE,
        "hypothesis": HYPOTHESIS,
        "labels": len(LABELS),
        "rounds": args.rounds,
        "batch_size": BATCH,
        "threads": torch.get_num_threads(),
        "cpu_share_of_others": others,
        "threshold_source": "none: nothing is decided",
        "seeds": [],
        "model_revision": encoder.revision,
        "data_revision": rows.revision,
        **about("sentence-transformers"),
    }
    print(write_result(content, args.out, "system", NAME))
    warn_of_company(others)
    for name, found in metrics.items():
        print(f"{name:<32}{found['value']:g}")


if __name__ == "__main__":
    run_command(main)
