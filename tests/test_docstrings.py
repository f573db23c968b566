"""Every public name of the package says what it is, in sentences that a reader can follow."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[1] / "src" / "albert"
LONGEST = 40  # words a sentence
Function = ast.FunctionDef | ast.AsyncFunctionDef
Documented = ast.Module | ast.ClassDef | Function


@dataclass(frozen=True)
class Class:
    """A class of the package: the names of its bases and its methods with a docstring."""

    bases: frozenset[str]
    documented: frozenset[str]


@cache
def trees() -> dict[str, ast.Module]:
    """The modules of the package by their paths."""
    return {
        str(path.relative_to(SOURCE)): ast.parse(path.read_text(encoding="utf-8"))
        for path in sorted(SOURCE.rglob("*.py"))
    }


def classes(modules: dict[str, ast.Module]) -> dict[str, Class]:
    """The classes of the package by their names."""
    return {
        node.name: Class(
            frozenset(ast.unparse(base).partition("[")[0].split(".")[-1] for base in node.bases),
            frozenset(item.name for item in node.body if isinstance(item, Function) and ast.get_docstring(item)),
        )
        for tree in modules.values()
        for node in ast.walk(tree)
        if isinstance(node, ast.ClassDef)
    }


def inherited(known: dict[str, Class], bases: frozenset[str], method: str) -> bool:
    """Does a class above document this method?"""
    above = [known[base] for base in bases if base in known]
    return any(method in base.documented or inherited(known, base.bases, method) for base in above)


def is_short_property(node: ast.stmt) -> bool:
    """A property of one line: its name and its expression say what it is."""
    return (
        isinstance(node, Function)
        and len(node.body) == 1
        and any("property" in ast.unparse(decorator) for decorator in node.decorator_list)
    )


def is_forward(node: ast.stmt) -> bool:
    """PyTorch's `forward` with shapes in its signature; its class says what it computes."""
    return isinstance(node, Function) and node.name == "forward" and node.returns is not None


def undocumented(modules: dict[str, ast.Module]) -> Iterator[str]:
    """The public names that have no docstring and are not excused."""
    known = classes(modules)

    def visit(node: ast.Module | ast.ClassDef, path: str, prefix: str) -> Iterator[str]:
        for item in node.body:
            if not isinstance(item, ast.ClassDef | Function) or item.name.startswith("_"):
                continue
            excused = is_short_property(item) or is_forward(item)
            if isinstance(node, ast.ClassDef) and isinstance(item, Function):
                excused |= inherited(known, known[node.name].bases, item.name)
            if ast.get_docstring(item) is None and not excused:
                yield f"{path}:{item.lineno}: {prefix}{item.name}"
            if isinstance(item, ast.ClassDef):
                yield from visit(item, path, f"{prefix}{item.name}.")

    for path, tree in modules.items():
        if ast.get_docstring(tree) is None:
            yield f"{path}: the module"
        yield from visit(tree, path, "")


def sentences(text: str) -> Iterator[str]:
    """The sentences of a docstring; code counts as one word, and list items and table rows stand by themselves."""
    text = re.sub(r"`[^`]*`", "CODE", text)
    for paragraph in re.split(r"\n\s*\n|\n\s*(?=[-*|] )|\n(?=\s{2,})", text):
        yield from re.split(r"(?<=[.!?:])\s+", " ".join(paragraph.split()))


def too_long(modules: dict[str, ast.Module]) -> Iterator[str]:
    """The sentences of docstrings, private ones too, with too many words."""
    for path, tree in modules.items():
        for node in ast.walk(tree):
            if isinstance(node, Documented) and (text := ast.get_docstring(node)):
                name = getattr(node, "name", "the module")
                yield from (
                    f"{path}: {name}: {sentence}" for sentence in sentences(text) if len(sentence.split()) > LONGEST
                )


def test_every_public_name_has_a_docstring() -> None:
    assert list(undocumented(trees())) == []


def test_sentences_are_short() -> None:
    assert list(too_long(trees())) == []


OWNER = '"""A."""\nclass C:\n    """C."""\n'
PARENT = '"""A."""\nclass B:\n    """B."""\n    def f(self):\n        """F."""\nclass C(B):\n    """C."""\n'


@pytest.mark.parametrize(
    ("code", "named"),
    [
        ("x = 1", ["a.py: the module"]),
        ('"""A."""\ndef f(): pass', ["a.py:2: f"]),
        ('"""A."""\ndef _f(): pass', []),
        ('"""A."""\nasync def f(): pass', ["a.py:2: f"]),
        ('"""A."""\nclass C:\n    def f(self): pass', ["a.py:2: C", "a.py:3: C.f"]),
        ('"""A."""\nclass _C:\n    def f(self): pass', []),
        (OWNER + "    @property\n    def f(self): return 1", []),
        (OWNER + "    @property\n    def f(self):\n        x = 1\n        return x", ["a.py:5: C.f"]),
        (PARENT + "    def f(self): pass", []),
        (PARENT + "    def g(self): pass", ["a.py:8: C.g"]),
    ],
)  # fmt: skip
def test_a_missing_docstring_is_noticed(code: str, named: list[str]) -> None:
    assert list(undocumented({"a.py": ast.parse(code)})) == named


def test_a_long_sentence_is_noticed() -> None:
    tree = ast.parse(f'"""One. {"word " * 41}."""\ndef _f():\n    """{"word " * 30}. {"word " * 30}."""')
    assert [line.split(": ")[1] for line in too_long({"a.py": tree})] == ["the module"]
