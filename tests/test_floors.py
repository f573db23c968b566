"""Each floor imports only floors below it; siblings do not import each other except where said here."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[1] / "src" / "albert"
FLOORS = {
    "errors": 0, "config": 0, "files": 0, "hub": 0, "locks": 0, "memory": 0, "pipes": 0, "private": 0,
    "process": 0, "records": 0, "replacing": 0, "stored": 0,
    "text": 1, "model": 1,
    "data": 2,
    "tasks": 3, "pretraining": 3, "engine": 3,
    "audit": 4, "training": 4, "evaluation": 4, "predictor": 4, "pretrained": 4, "scoring": 4, "export": 4, "report": 4,
    "summary": 4, "convert": 4,
    "documents": 5,
    "serve": 6,
    "api": 7, "cli": 7, "__init__": 7, "__main__": 8,
}  # fmt: skip
# Who may import a sibling, and why.
SIBLINGS = {
    ("config", "errors"),  # the one error type is everybody's
    ("config", "files"),  # a stored file is read as its manifest says
    ("config", "stored"),
    ("files", "errors"),
    ("files", "stored"),
    ("files", "pipes"),  # what a user names as an output may be one
    ("files", "locks"),  # what is written under a temporary name
    ("hub", "errors"),
    ("hub", "files"),
    ("hub", "replacing"),  # a folder whose files are being replaced has them elsewhere
    ("locks", "errors"),
    ("pipes", "errors"),
    ("process", "errors"),
    ("records", "errors"),
    ("replacing", "errors"),
    ("replacing", "files"),
    ("stored", "errors"),
    ("scoring", "predictor"),  # a file of texts is predicted by a Predictor
    ("export", "predictor"),  # what is exported is scored before and after
    ("report", "audit"),  # a report tells what is wrong with the data
    ("report", "evaluation"),  # intervals and calibration
    ("predictor", "report"),  # an evaluation can be saved as one
    ("training", "report"),  # a run ends with one
    ("training", "evaluation"),  # temperature scaling
    ("cli", "__init__"),  # the version
}


def imports(path: Path) -> list[tuple[int, str]]:
    """(line, part of the package) for everything of ours that a module imports at run time."""
    found = []

    def visit(node: ast.AST) -> None:
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            return
        if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] == "albert":
            parts = node.module.split(".")
            names = [alias.name for alias in node.names] if len(parts) == 1 else [parts[1]]
            found.extend((node.lineno, name if name in FLOORS else "__init__") for name in names)
        for child in ast.iter_child_nodes(node):
            visit(child)

    visit(ast.parse(path.read_text(encoding="utf-8")))
    return found


def part_of(path: Path) -> str:
    relative = path.relative_to(SOURCE)
    return relative.parts[0].removesuffix(".py")


def violations(files: list[Path]) -> list[str]:
    wrong = []
    for path in files:
        part = part_of(path)
        for line, other in imports(path):
            allowed = FLOORS[other] < FLOORS[part] or other == part or (part, other) in SIBLINGS
            # the version lives at the root, which imports nothing eagerly
            if not allowed and other != "__init__":
                wrong.append(f"{path.relative_to(SOURCE)}:{line}: {part} imports {other}")
    return wrong


def test_imports_point_downwards() -> None:
    files = sorted(SOURCE.rglob("*.py"))
    assert len(files) > 20
    assert violations(files) == []


def test_every_part_has_a_floor() -> None:
    assert {part_of(path) for path in SOURCE.rglob("*.py")} <= set(FLOORS)


def test_an_upward_import_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(f"{__name__}.SOURCE", tmp_path)
    (tmp_path / "model").mkdir()
    bad = tmp_path / "model" / "network.py"
    bad.write_text("from albert.training.loop import Trainer\n")
    assert violations([bad]) == ["model/network.py:1: model imports training"]


def test_importing_albert_is_light() -> None:
    import subprocess
    import sys

    code = "import albert, sys; print([m for m in ('torch', 'transformers', 'sklearn') if m in sys.modules])"
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "[]"
