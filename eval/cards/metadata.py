"""What the Hub reads of a model's results: `model-index`, as YAML between two comments of a card's front matter."""

from typing import Any

import yaml
from huggingface_hub import EvalResult
from huggingface_hub.repocard_data import eval_results_to_model_index

from eval.benchmarks import BENCHMARKS, Benchmark

# Our metrics by the Hub's names, with the arguments that tell them apart.
METRICS: dict[str, tuple[str, str, dict[str, Any]]] = {
    "macro_f1": ("f1", "macro-F1", {"average": "macro"}),
    "micro_f1": ("f1", "micro-F1", {"average": "micro"}),
    "macro_f1_at_05": ("f1", "macro-F1 at 0.5", {"average": "macro", "threshold": 0.5}),
    "accuracy": ("accuracy", "accuracy", {}),
    "weighted_f1": ("f1", "weighted F1", {"average": "weighted"}),
    "micro_f1_emotions": ("f1", "micro-F1 of the emotions", {"average": "micro"}),
    "jaccard": ("jaccard", "mean Jaccard index", {}),
    "pearson_valence": ("pearsonr", "Pearson's r of valence", {}),
}
SHOWN = {
    "several": ("macro_f1", "micro_f1", "macro_f1_at_05"),
    "single": ("accuracy", "macro_f1", "weighted_f1", "micro_f1_emotions"),
    "affect": ("pearson_valence",),
}


def model_index(name: str, results: dict[str, dict[str, Any]]) -> str:
    """`model-index:` of a card as YAML text; empty where nothing is measured."""
    entries = [
        _entry(BENCHMARKS[benchmark], found, metric)
        for benchmark, found in results.items()
        if benchmark in BENCHMARKS
        for metric in SHOWN[BENCHMARKS[benchmark].kind]
        if metric in found["metrics"]
    ]
    if not entries:
        return ""
    index = eval_results_to_model_index(name, entries)
    text: str = yaml.safe_dump({"model-index": index}, sort_keys=False, allow_unicode=True, width=1000)
    return text.rstrip()


def _entry(benchmark: Benchmark, found: dict[str, Any], metric: str) -> EvalResult:
    kind, title, arguments = METRICS[metric]
    zero_shot = found.get("protocol", "").startswith("zero-shot")
    hub = benchmark.hub
    return EvalResult(
        task_type="zero-shot-classification" if zero_shot else "text-classification",
        task_name="Emotion classification",
        dataset_type=hub.id if hub else benchmark.name,
        dataset_name=benchmark.title,
        dataset_config=hub.config if hub else None,
        dataset_split=hub.split if hub else "test",
        dataset_revision=found.get("hub_dataset", {}).get("revision"),
        metric_type=kind,
        metric_name=title,
        metric_value=found["metrics"][metric]["value"],
        metric_args=arguments or None,
    )
