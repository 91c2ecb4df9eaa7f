"""Commands that were replaced: the old name prints one line with the new name and exits.

A key is what followed `python -m`: a module, or `dataset_builder` with its sub-command. The file of a replaced module
only calls `end_with_new_name`.
"""

import sys
from typing import Final, NoReturn

NEW_NAMES: Final[dict[str, str]] = {
    "dataset_builder.benchmarks": "python -m dataset_builder.stress_tests",
    "tests.push_kills": "python -m tools.push_kills",
    "eval.export_speed": "python -m eval.speed exports",
    "eval.zero_shot_speed": "python -m eval.speed zero-shot",
    "eval.zero_shot_run": "python -m eval.run",
    "eval.zero_shot_ablations": "python -m eval.ablations",
}


def end_with_new_name(old: str) -> NoReturn:
    """Print the command that replaces the old one, and exit with code 2."""
    print(f"error: `python -m {old}` was replaced. Run `{NEW_NAMES[old]}`.", file=sys.stderr)
    sys.exit(2)
