"""The floors of this project: which room may import which. `python -m tools.architecture` draws docs/architecture.md.

A room is a package (`dataset_builder/pipeline`) or a module that stands alone (`dataset_builder/narratives.py`). Rooms
stand on floors. An import stays in its room or goes to a lower floor, and no modules import each other in a circle.
Imports inside functions count: they delay a dependency, they do not remove it.
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
BEGIN, END = "<!-- floors:begin -->", "<!-- floors:end -->"

# From the ground up. Rooms of one floor do not import each other. A name is a package or a module; a module of
# dataset_builder that no line names belongs to the ground.
GROUND = "dataset_builder"
FLOORS: tuple[tuple[str, ...], ...] = (
    (GROUND, "publish", "space", "tools"),
    (
        "dataset_builder/teachers", "dataset_builder/filters", "dataset_builder/narratives",
        "dataset_builder/label_maps", "dataset_builder/gold_set",
    ),
    ("dataset_builder/pipeline",),
    ("dataset_builder/descriptors", "dataset_builder/domains", "dataset_builder/import_released"),
    ("dataset_builder/teacher_eval", "dataset_builder/human_eval"),
    ("dataset_builder/analysis",),
    ("dataset_builder/commands",),
    ("dataset_builder/__main__", "dataset_builder/benchmarks", "train", "eval"),
    ("push", "demo", "reproduce", "tools/push_kills"),
)  # fmt: skip

# Programs that share less than their floor would allow: they exchange folders on disk, not objects in memory.
DOORS: dict[str, tuple[str, ...]] = {
    "publish": (),
    "space": (),  # runs on the Hub, where its files stand alone
    "tools": (),
    "train": (GROUND, "dataset_builder/label_maps"),
    "eval": (GROUND, "dataset_builder/label_maps", "dataset_builder/domains/goemotions"),
    "push": ("publish",),
    "demo": ("tools",),
}
# Libraries that only some rooms may import: torch loads slowly, and a server's engine is spoken to over HTTP.
LIBRARIES: dict[str, tuple[str, ...]] = {"torch": ("dataset_builder/teachers", "train", "eval"), "vllm": ()}
# A file with such a name hides a library from whoever runs Python in its folder.
TAKEN_NAMES = {
    "accelerate", "common", "datasets", "evaluate", "helpers", "logging", "random", "tokenizers", "transformers",
    "types", "utils",
}  # fmt: skip


@dataclass(frozen=True)
class House:
    """The modules of a source tree by dotted name, and what each imports: own modules and top names of libraries."""

    root: Path
    modules: dict[str, Path]
    imports: dict[str, set[str]]
    libraries: dict[str, set[str]]


def read(root: Path) -> House:
    """Read every import of the product below `root`; tests are not part of the house."""
    tops = {name.split("/")[0] for floor in FLOORS for name in floor}
    files = [*root.glob("*.py"), *(path for top in sorted(tops) for path in (root / top).rglob("*.py"))]
    modules = {_dotted(path.relative_to(root)): path for path in files}
    imports: dict[str, set[str]] = {}
    libraries: dict[str, set[str]] = {}
    for module, path in modules.items():
        named = set(_imported(ast.parse(path.read_text(encoding="utf-8"))))
        own = {name for name in named if name.split(".")[0] in {*tops, "tests"}}
        imports[module] = {_longest(name, modules) for name in own}
        libraries[module] = {name.split(".")[0] for name in named - own}
    return House(root, modules, imports, libraries)


def breaches(root: Path = ROOT) -> list[str]:
    """Every import that goes up or through a wall, every circle and every name that hides a library."""
    house = read(root)
    found = [
        f"{path.relative_to(root)}: has the name of a library"
        for path in house.modules.values()
        if path.stem in TAKEN_NAMES
    ]
    for module, names in sorted(house.imports.items()):
        found += [f"{module} may not import {name}" for name in sorted(names) if not _allowed(module, name)]
    for module, names in sorted(house.libraries.items()):
        found += [
            f"{module} may not import {name}"
            for name in sorted(names & set(LIBRARIES))
            if room(module) not in LIBRARIES[name]
        ]
    try:
        TopologicalSorter({m: names - {m} for m, names in house.imports.items()}).prepare()
    except CycleError as error:
        found.append("circle: " + " -> ".join(error.args[1]))
    return found


def room(module: str) -> str:
    """The room of a module (`dataset_builder.pipeline.build` → `dataset_builder/pipeline`)."""
    place = module.replace(".", "/")
    named = [name for floor in FLOORS for name in floor if place == name or place.startswith(f"{name}/")]
    return max(named, key=len, default=place)


def floor_of(name: str) -> int:
    """The floor of a room, 0 at the ground. A module outside the house stands above all floors."""
    return next((number for number, floor in enumerate(FLOORS) if name in floor), len(FLOORS))


def _allowed(module: str, name: str) -> bool:
    here, there = room(module), room(name)
    if here == there:
        return True
    if here in DOORS and not any(there == door or name.replace(".", "/") == door for door in DOORS[here]):
        return False
    return floor_of(there) < floor_of(here)


def _dotted(place: Path) -> str:
    return ".".join(place.with_suffix("").parts).removesuffix(".__init__")


def _imported(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def _longest(name: str, modules: dict[str, Path]) -> str:
    """The module of `package.module.function`; the name itself where no such module exists."""
    parts = name.split(".")
    found = (".".join(parts[:length]) for length in range(len(parts), 0, -1))
    return next((dotted for dotted in found if dotted in modules), name)


def drawing(root: Path = ROOT) -> str:
    """The floors as a Mermaid chart: a box for each room, an arrow for each import that no chain of others implies."""
    house = read(root)
    arrows: dict[str, set[str]] = {name: set() for floor in FLOORS for name in floor}
    for module, names in house.imports.items():
        arrows.setdefault(room(module), set()).update(room(name) for name in names)
    present = {room(module) for module in house.modules}
    arrows = {name: {other for other in others if other != name} for name, others in arrows.items() if name in present}
    lines = ["```mermaid", "flowchart TD"]
    for number, floor in reversed(list(enumerate(FLOORS))):
        rooms = [name for name in floor if name in present]
        if rooms:
            lines.append(f'  subgraph floor{number}["floor {number}"]')
            lines += [f'    {_box(name)}["{_title(name)}"]' for name in rooms]
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
    return "dataset_builder: ground" if name == GROUND else name


def page(text: str, root: Path = ROOT) -> str:
    """The page with the drawing of today's imports between its markers."""
    head, rest = text.split(BEGIN)
    return f"{head}{BEGIN}\n{drawing(root)}\n{END}{rest.split(END)[1]}"


def main() -> None:
    """Write the drawing into the page, or check that it is today's."""
    parser = argparse.ArgumentParser(prog="python -m tools.architecture", description="Draws the floors.")
    parser.add_argument("--check", action="store_true", help="write nothing; fail if the drawing is stale")
    args = parser.parse_args()
    path = ROOT / PAGE
    old = path.read_text(encoding="utf-8")
    new = page(old)
    if args.check and new != old:
        sys.exit(f"{PAGE}: the drawing is stale. Run `python -m tools.architecture`.")
    path.write_text(new, encoding="utf-8")


if __name__ == "__main__":
    main()
