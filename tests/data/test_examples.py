from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from albert.data.examples import Columns, Example, guess_columns, hold_out
from albert.data.tables import Table
from albert.errors import AlbertError


def table(tmp_path: Path, content: str, name: str = "a.csv", **options: Any) -> Table:
    (tmp_path / name).write_text(content)
    return Table(tmp_path / name, **options)


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("text,label\nx,1\n", Columns("text", None, "label")),
        ("Review,Sentiment\nx,good\n", Columns("Review", None, "Sentiment")),
        ("label,id,body\n1,7,x\n", Columns("body", None, "label")),
        ("index,sentence1,sentence2,label\n0,x,y,1\n", Columns("sentence1", "sentence2", "label")),
        ("index,genre,sentence1,sentence2,score\n0,g,x,y,3.2\n", Columns("sentence1", "sentence2", "score")),
        ("question1,question2,is_duplicate\nx,y,0\n", Columns("question1", "question2", "is_duplicate")),
        ("text,topic,label\nx,t,1\n", Columns("text", None, "label")),  # "label" wins
        (
            "good,I like it a lot\nbad,not for me at all\ngood,yes and yes\nbad,no and no\n",
            Columns("2", None, "1"),  # no header: the repeating column, the long one
        ),
    ],
)
def test_columns_are_guessed(tmp_path: Path, content: str, expected: Columns) -> None:
    assert guess_columns(table(tmp_path, content)) == expected


def test_two_candidates_are_not_chosen_between(tmp_path: Path) -> None:
    with pytest.raises(AlbertError, match="which column is the label") as caught:
        guess_columns(table(tmp_path, "text,sentiment,topic\nx,good,a\n"))
    assert "candidates sentiment, topic" in str(caught.value)
    assert "--label" in str(caught.value)


def test_a_given_column_must_be_there(tmp_path: Path) -> None:
    with pytest.raises(AlbertError, match="did you mean 'sentiment'"):
        guess_columns(table(tmp_path, "text,sentiment,topic\nx,good,a\n", label="sentimnt"))


@given(st.lists(st.sampled_from("abc"), min_size=8, max_size=80), st.integers(0, 5))
def test_a_held_out_part_is_complete_stratified_and_seeded(labels: list[str], seed: int) -> None:
    examples = [Example(f"text {i}", gold=label) for i, label in enumerate(labels)]
    train, dev = hold_out(examples, seed=seed)
    assert sorted([*train, *dev], key=lambda e: e.text) == sorted(examples, key=lambda e: e.text)
    for label in set(labels):
        count, held = labels.count(label), sum(e.gold == label for e in dev)
        assert held == (min(max(round(count / 10), 1), count - 1))
    assert hold_out(examples, seed=seed) == (train, dev)


def test_equal_texts_stay_on_one_side() -> None:
    examples = [Example(f"text {i % 20}", gold="ab"[i % 2]) for i in range(200)]
    train, dev = hold_out(examples)
    assert dev
    assert not {e.text for e in train} & {e.text for e in dev}
