from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from albert.report.marked import Piece, pieces_of, shortened
from albert.tasks.review import Mark


@st.composite
def marked(draw: st.DrawFn) -> tuple[str, list[Mark]]:
    text = draw(st.text(max_size=60))
    marks = []
    for said in (True, False):
        ends = sorted(draw(st.sets(st.integers(0, len(text)), max_size=6)))
        marks += [Mark(a, b, said, draw(st.sampled_from("XY"))) for a, b in zip(ends[::2], ends[1::2], strict=False)]
    return text, marks


@given(marked())
def test_every_character_is_there_once_and_marked_as_it_should_be(drawn: tuple[str, list[Mark]]) -> None:
    text, marks = drawn
    pieces = pieces_of(text, marks)
    assert "".join(piece.text for piece in pieces) == text
    kinds = [piece.kind for piece in pieces for _ in piece.text]
    for place, found in enumerate(kinds):
        gold, said = (
            {mark.label for mark in marks if mark.said == kind and mark.start <= place < mark.end}
            for kind in (False, True)
        )
        both = "right" if gold & said else "wrong"
        assert found == {(0, 0): "", (1, 0): "gold", (0, 1): "said"}.get((len(gold), len(said)), both)


def test_labels_stand_where_a_mark_ends_and_tell_who_said_them() -> None:
    marks = [Mark(0, 3, False, "PER"), Mark(0, 3, True, "PER"), Mark(4, 8, False, "LOC"), Mark(4, 6, True, "ORG")]
    assert pieces_of("Ann Rome!", marks) == [
        Piece("Ann", "right", "PER"),
        Piece(" "),
        Piece("Ro", "wrong", "predicted ORG"),
        Piece("me", "gold", "gold LOC"),
        Piece("!"),
    ]


def test_long_stretches_without_a_mark_are_cut_but_not_beside_one() -> None:
    text = "a" * 5000 + "ANSWER" + "b" * 5000
    shown = "".join(piece.text for piece in pieces_of(text, [Mark(5000, 5006, said=True)]))
    assert len(shown) < 400
    assert "a" * 150 + "ANSWER" + "b" * 150 in shown
    assert len(shortened(text, 700)) < 710
