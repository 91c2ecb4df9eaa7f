"""A model's results for the Hub: `model-index`, as YAML between two comments in a card's front matter."""

import yaml
from huggingface_hub import EvalResult
from huggingface_hub.repocard_data import eval_results_to_model_index

from eval.benchmarks import TEST_SETS
from eval.cards.columns import COLUMNS, METRICS
from eval.cards.results import ModelResult, Results, of_models


def model_index(name: str, results: Results) -> str:
    """`model-index:` of a card as YAML text; empty if nothing is measured."""
    entries = [
        _entry(found, metric)
        for benchmark, found in of_models(results).items()
        if benchmark in TEST_SETS
        for metric in COLUMNS[TEST_SETS[benchmark].kind]
        if metric in found.metrics and METRICS[metric][1]
    ]
    if not entries:
        return ""
    index = eval_results_to_model_index(name, entries)
    text: str = yaml.safe_dump({"model-index": index}, sort_keys=False, allow_unicode=True, width=1000)
    return text.rstrip()


def _entry(found: ModelResult, metric: str) -> EvalResult:
    benchmark, (title, kind, arguments) = TEST_SETS[found.benchmark], METRICS[metric]
    hub = benchmark.hub
    return EvalResult(
        task_type="zero-shot-classification" if found.zero_shot else "text-classification",
        task_name="Emotion classification",
        dataset_type=hub.id if hub else benchmark.name,
        dataset_name=benchmark.title,
        dataset_config=hub.config if hub else None,
        dataset_split=hub.split if hub else "test",
        dataset_revision=(found.hub_dataset or {}).get("revision"),
        metric_type=kind,
        metric_name=title,
        metric_value=found.metrics[metric].value,
        metric_args=arguments or None,
    )
