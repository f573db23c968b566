"""The Unicode tables against Python's, over all code points."""

from __future__ import annotations

import subprocess
import unicodedata
from pathlib import Path

import pytest

from albert.text.hardening import lookalikes

pytestmark = pytest.mark.ci  # the first one builds the library
FLAGS = ("space", "alpha", "word", "digit", "combining", "cased", "ignorable", "mark", "accent", "flood")


def characters(field: str) -> str:
    return "".join(chr(int(code, 16)) for code in field.split(".") if code)


@pytest.fixture(scope="module")
def rows(lite_build: Path) -> list[tuple[str, int, str, str, str]]:
    """(character, properties, NFKD without marks, NFKD, lower case) of every code point."""
    out = subprocess.run([lite_build / "characters"], capture_output=True, text=True, check=True).stdout
    version, *lines = out.splitlines()
    if version != unicodedata.unidata_version:
        pytest.skip(f"the tables have Unicode {version}, this Python {unicodedata.unidata_version}: make them anew")
    fields = (line.split(" ") for line in lines)
    return [(chr(int(f[0])), int(f[1]), *map(characters, f[2:])) for f in fields]  # type: ignore[misc]


def test_every_code_point_is_there(rows: list[tuple[str, int, str, str, str]]) -> None:
    assert len(rows) == 0x110000 - 0x800 - 1


def test_normal_forms_and_lower_case_are_python_s(rows: list[tuple[str, int, str, str, str]]) -> None:
    for char, _, folded, form, lower in rows:
        wanted = unicodedata.normalize("NFKD", char)
        unmarked = "".join(part for part in wanted if not unicodedata.combining(part))
        assert (folded, form, lower) == (unmarked, wanted, char.lower()), hex(ord(char))


def test_flags_are_python_s(rows: list[tuple[str, int, str, str, str]]) -> None:
    for char, properties, *_ in rows:
        flags = {name: bool(properties >> bit & 1) for bit, name in enumerate(FLAGS)}
        found = {name: flags[name] for name in ("space", "alpha", "word", "digit", "combining", "mark")}
        assert found == {
            "space": char.isspace(),
            "alpha": char.isalpha(),
            "word": char.isalnum() or char == "_",
            "digit": char.isdigit(),
            "combining": unicodedata.combining(char) > 0,
            "mark": "\x80" <= char <= "\uffff" and unicodedata.category(char) in ("Mn", "Mc", "Me", "Cf"),
        }, hex(ord(char))


def test_scripts_divide_letters_as_the_package_does(rows: list[tuple[str, int, str, str, str]]) -> None:
    numbers: dict[str, int] = {}
    for char, properties, *_ in rows:
        assert numbers.setdefault(lookalikes.script_of(char), properties >> 15) == properties >> 15, hex(ord(char))
    assert len(set(numbers.values())) == len(numbers)
