"""The text of an error: one line, or a list with a line each, whatever a file or its name contains."""

from __future__ import annotations

import pickle

from hypothesis import given
from hypothesis import strategies as st

from albert.errors import AlbertError, ErrorKind


@given(what=st.text(), got=st.text(), lines=st.lists(st.text(), max_size=3))
def test_what_others_wrote_makes_no_line_of_its_own(what: str, got: str, lines: list[str]) -> None:
    text = str(AlbertError(ErrorKind.MODEL, what, expected="a name", got=got, hint="rename it", lines=lines))
    assert len(text.splitlines()) == 1 + len(lines) + bool(lines)
    assert text.replace("\n", "").isprintable()


def test_characters_of_a_hostile_name_are_shown_as_escapes() -> None:
    error = AlbertError(ErrorKind.DATA, "a\nb\x1b[2J\u202etxt\ud800.csv", expected="a file", got="nothing")
    assert str(error) == r"error[bad-data] a\nb\x1b[2J\u202etxt\ud800.csv: expected a file, got nothing"


def test_lines_stand_below_each_other() -> None:
    error = AlbertError(ErrorKind.DATA, "f: 2 bad lines", hint="mend them", lines=["f:1: ä", "f:2: b"])
    assert str(error).splitlines() == ["error[bad-data] f: 2 bad lines", "  f:1: ä", "  f:2: b", "hint: mend them"]
    assert str(pickle.loads(pickle.dumps(error))) == str(error)
