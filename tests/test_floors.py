"""The rooms of the package and their floors: each imports only floors below it, siblings never."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[1] / "src" / "albert"
FLOORS = [
    {"errors", "version"},
    {"storage", "machine", "sizes"},
    {"config", "hub"},
    {"text", "model"},
    {"data", "compute", "generation"},  # writing needs the network and the vocabulary; tasks need its options
    {"tasks", "engine", "corpus", "linear"},
    {"training", "predict", "audit", "evaluation"},
    {"report", "export", "documents", "pretraining"},
    {"finetuning", "serve"},
    {"api", "cli", ""},  # "" is the package itself, whose names load on first use
]
# Rooms within rooms: the same rule holds among them.
INNER = {"serve": [{"core"}, {"http"}], "text": [{"hardening"}, {"tokenizer", "wordpiece", "open", "encodings"}]}
FLOOR = {room: number for number, rooms in enumerate(FLOORS) for room in rooms}
HALL = {
    "config",
    "errors",
    "hub",
    "sizes",
    "version",
}  # modules directly under `albert`, besides the entrances
ENTRANCES = {"__init__", "__main__", "api"}


def modules() -> dict[str, Path]:
    """The modules of the package by their dotted names."""
    paths = sorted(SOURCE.rglob("*.py"))
    return {".".join(path.relative_to(SOURCE).with_suffix("").parts).removesuffix("__init__").rstrip("."): path
            for path in paths}  # fmt: skip


def imports(path: Path, *, lazy: bool = True) -> Iterator[tuple[int, str]]:
    """(line, module without "albert.") for what a module imports of ours; `lazy`: within functions, too."""
    known = modules()

    def visit(node: ast.AST) -> Iterator[tuple[int, str]]:
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            return
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and not lazy:
            return
        if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] == "albert":
            base = node.module.partition(".")[2]
            for alias in node.names:
                inner = f"{base}.{alias.name}".lstrip(".")
                yield node.lineno, inner if inner in known else base
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name.partition(".")[2]) for alias in node.names
                        if alias.name.split(".")[0] == "albert")  # fmt: skip
        for child in ast.iter_child_nodes(node):
            yield from visit(child)

    yield from visit(ast.parse(path.read_text(encoding="utf-8")))


def room(module: str) -> str:
    """The first part of a module's name; the entrance of the command line belongs to `cli`."""
    return "cli" if module == "__main__" else module.split(".")[0]


def violations() -> list[str]:
    """Imports that do not point to a floor below, between rooms and between rooms within one."""
    wrong = []
    for module, path in modules().items():
        for line, other in imports(path):
            ours, theirs = room(module), room(other)
            allowed = ours == theirs or FLOOR[theirs] < FLOOR[ours]
            if ours == theirs in INNER:
                floors = {name: n for n, names in enumerate(INNER[ours]) for name in names}
                a, b = (floors.get(name.partition(".")[2].split(".")[0]) for name in (module, other))
                allowed = a is None or b is None or b <= a
            if not allowed:
                wrong.append(f"{path.relative_to(SOURCE)}:{line}: {module or 'albert'} imports {other or 'albert'}")
    return wrong


@cache
def depth(name: str) -> int:
    """How many imports lead from a room to the lowest one that it needs."""
    needed = {room(other) for module, path in modules().items() if room(module) == name for _, other in imports(path)}
    return max((1 + depth(other) for other in needed - {name}), default=0)


def test_imports_point_downwards() -> None:
    assert violations() == []


def test_every_room_has_a_floor() -> None:
    assert {room(module) for module in modules()} == set(FLOOR)


def test_few_modules_stand_in_the_hall() -> None:
    assert {path.stem for path in SOURCE.glob("*.py")} - ENTRANCES == HALL
    assert len(HALL) <= 6


def test_imports_are_at_most_nine_deep() -> None:
    assert max(map(depth, FLOOR)) <= 9


def test_modules_do_not_import_each_other_in_a_circle() -> None:
    known = {module: {other for _, other in imports(path, lazy=False)} - {module} for module, path in modules().items()}
    while leaves := {module for module, needed in known.items() if not needed & set(known)}:
        known = {module: needed for module, needed in known.items() if module not in leaves}
    assert known == {}


@pytest.mark.parametrize(
    ("place", "line", "told"),
    [
        ("model/network.py", "from albert.training.loop import Trainer", "model.network imports training.loop"),
        ("predict/files.py", "import albert.audit.texts", "predict.files imports audit.texts"),
        ("serve/core/queue.py", "from albert.serve.http import guard", "serve.core.queue imports serve.http"),
    ],
)
def test_a_wrong_import_is_noticed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str, line: str, told: str
) -> None:
    monkeypatch.setattr(f"{__name__}.SOURCE", tmp_path)
    (tmp_path / place).parent.mkdir(parents=True)
    (tmp_path / place).write_text(line + "\n")
    assert violations() == [f"{place}:1: {told}"]


def test_importing_albert_is_light() -> None:
    import subprocess
    import sys

    code = "import albert, sys; print([m for m in ('torch', 'transformers', 'sklearn') if m in sys.modules])"
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "[]"
