"""The layers of this project: which component may import which.

A component is a package (`dataset_builder/pipeline`) or a module outside packages (`dataset_builder/narratives.py`). A
module imports from its own component or from a lower layer, and there are no import cycles. Imports inside functions
count: they delay a dependency, they do not remove it. `python -m tools.architecture` draws docs/architecture.md.
"""

import argparse
import ast
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PAGE = Path("docs/architecture.md")
BEGIN, END = "<!-- layers:begin -->", "<!-- layers:end -->"

# From the bottom up. Components of the same layer do not import each other. A name is a package or a module. A module
# of dataset_builder that is not listed belongs to the base.
BASE = "dataset_builder"
LAYERS: tuple[tuple[str, ...], ...] = (
    (BASE, "publish", "space", "tools"),
    (
        "dataset_builder/teachers", "dataset_builder/filters", "dataset_builder/narratives",
        "dataset_builder/label_maps", "dataset_builder/gold_set",
    ),
    ("dataset_builder/quotations",),
    ("dataset_builder/pipeline",),
    ("dataset_builder/descriptors", "dataset_builder/domains", "dataset_builder/import_released"),
    ("dataset_builder/judges",),
    ("dataset_builder/teacher_eval", "dataset_builder/human_eval"),
    ("dataset_builder/analysis",),
    ("dataset_builder/commands",),
    ("dataset_builder/__main__", "dataset_builder/stress_tests", "train", "eval"),
    ("push", "demo", "tools/push_kills"),
)  # fmt: skip

# What components with stricter rules than their layer may import: programs exchange folders on disk, not objects.
ALLOWED: dict[str, tuple[str, ...]] = {
    "publish": (),
    "space": (),  # runs on the Hub, where its files stand alone
    "tools": (),
    "train": (BASE, "dataset_builder/label_maps"),
    "eval": (BASE, "dataset_builder/label_maps", "dataset_builder/domains/goemotions"),
    "push": ("publish",),
    "demo": ("tools",),
}
# Libraries that only some components may import: torch is slow to load, and inference servers are called over HTTP.
LIBRARIES: dict[str, tuple[str, ...]] = {"torch": ("dataset_builder/teachers", "train", "eval"), "vllm": ()}
# A file with such a name shadows a library when Python runs in its folder.
TAKEN_NAMES = {
    "accelerate", "common", "datasets", "evaluate", "helpers", "logging", "random", "tokenizers", "transformers",
    "types", "utils",
}  # fmt: skip


@dataclass(frozen=True)
class SourceTree:
    """The modules of a source tree by dotted name, with the project modules and the libraries that each imports."""

    root: Path
    modules: dict[str, Path]
    imports: dict[str, set[str]]
    libraries: dict[str, set[str]]


def read(root: Path) -> SourceTree:
    """Read every import of the product code below `root`, without the tests."""
    tops = {name.split("/")[0] for layer in LAYERS for name in layer}
    files = [*root.glob("*.py"), *(path for top in sorted(tops) for path in (root / top).rglob("*.py"))]
    modules = {_dotted(path.relative_to(root)): path for path in files}
    imports: dict[str, set[str]] = {}
    libraries: dict[str, set[str]] = {}
    for module, path in modules.items():
        named = set(_imported(ast.parse(path.read_text(encoding="utf-8"))))
        own = {name for name in named if name.split(".")[0] in {*tops, "tests"}}
        imports[module] = {_longest(name, modules) for name in own}
        libraries[module] = {name.split(".")[0] for name in named - own}
    return SourceTree(root, modules, imports, libraries)


def breaches(root: Path = ROOT) -> list[str]:
    """List every forbidden import, every import cycle and every file name that shadows a library."""
    tree = read(root)
    found = [
        f"{path.relative_to(root)}: shadows a library" for path in tree.modules.values() if path.stem in TAKEN_NAMES
    ]
    for module, names in sorted(tree.imports.items()):
        found += [f"{module} may not import {name}" for name in sorted(names) if not _allowed(module, name)]
    for module, names in sorted(tree.libraries.items()):
        found += [
            f"{module} may not import {name}"
            for name in sorted(names & set(LIBRARIES))
            if component(module) not in LIBRARIES[name]
        ]
    try:
        TopologicalSorter({m: names - {m} for m, names in tree.imports.items()}).prepare()
    except CycleError as error:
        found.append("import cycle: " + " -> ".join(error.args[1]))
    return found


def component(module: str) -> str:
    """Return the component of a module (`dataset_builder.pipeline.build` → `dataset_builder/pipeline`)."""
    place = module.replace(".", "/")
    named = [name for layer in LAYERS for name in layer if place == name or place.startswith(f"{name}/")]
    return max(named, key=len, default=place)


def layer_of(name: str) -> int:
    """Return the layer of a component, 0 for the base. A module outside the project is above all layers."""
    return next((number for number, layer in enumerate(LAYERS) if name in layer), len(LAYERS))


def _allowed(module: str, name: str) -> bool:
    here, there = component(module), component(name)
    if here == there:
        return True
    if here in ALLOWED and not any(there == allowed or name.replace(".", "/") == allowed for allowed in ALLOWED[here]):
        return False
    return layer_of(there) < layer_of(here)


def _dotted(place: Path) -> str:
    return ".".join(place.with_suffix("").parts).removesuffix(".__init__")


def _imported(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def _longest(name: str, modules: dict[str, Path]) -> str:
    """Return the module of `package.module.function`, or the name itself if no such module exists."""
    parts = name.split(".")
    found = (".".join(parts[:length]) for length in range(len(parts), 0, -1))
    return next((dotted for dotted in found if dotted in modules), name)


def chart(root: Path = ROOT) -> str:
    """Draw the layers as a Mermaid chart: a box per component, an arrow per import unless other arrows imply it."""
    tree = read(root)
    arrows: dict[str, set[str]] = {name: set() for layer in LAYERS for name in layer}
    for module, names in tree.imports.items():
        arrows.setdefault(component(module), set()).update(component(name) for name in names)
    present = {component(module) for module in tree.modules}
    arrows = {name: {other for other in others if other != name} for name, others in arrows.items() if name in present}
    lines = ["```mermaid", "flowchart TD"]
    for number, layer in reversed(list(enumerate(LAYERS))):
        components = [name for name in layer if name in present]
        if components:
            lines.append(f'  subgraph layer{number}["layer {number}"]')
            lines += [f'    {_box(name)}["{_title(name)}"]' for name in components]
            lines.append("  end")
    for name in sorted(arrows):
        implied = set().union(*(_reached(other, arrows) for other in arrows[name]))
        lines += [f"  {_box(name)} --> {_box(other)}" for other in sorted(arrows[name] - implied)]
    return "\n".join([*lines, "```"])


def _reached(name: str, arrows: dict[str, set[str]]) -> set[str]:
    found: set[str] = set()
    waiting = list(arrows.get(name, ()))
    while waiting:
        other = waiting.pop()
        if other not in found:
            found.add(other)
            waiting += arrows.get(other, ())
    return found


def _box(name: str) -> str:
    return name.replace("/", "_").replace("__", "_")


def _title(name: str) -> str:
    return "dataset_builder: base" if name == BASE else name


def page(text: str, root: Path = ROOT) -> str:
    """Return the page with the current chart between its markers."""
    head, rest = text.split(BEGIN)
    return f"{head}{BEGIN}\n{chart(root)}\n{END}{rest.split(END)[1]}"


def main() -> None:
    """Write the chart into the page, or check that it is up to date."""
    parser = argparse.ArgumentParser(prog="python -m tools.architecture", description="Draw the layers of the code.")
    parser.add_argument("--check", action="store_true", help="write nothing; fail if the chart is out of date")
    args = parser.parse_args()
    path = ROOT / PAGE
    old = path.read_text(encoding="utf-8")
    new = page(old)
    if args.check and new != old:
        sys.exit(f"{PAGE}: the chart is out of date. Run `python -m tools.architecture`.")
    path.write_text(new, encoding="utf-8")


if __name__ == "__main__":
    main()
