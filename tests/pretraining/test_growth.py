"""Runs that begin with fewer loops, shorter rows or smaller batches."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_source import contents, source

from albert.errors import AlbertError, ErrorKind
from albert.pretraining.growth import GrowingSource, GrowthConfig
from albert.pretraining.source import PretrainingSource
from corpora import make_corpus, numbered


@given(
    values=st.lists(st.integers(8, 512), max_size=4),
    grown_by=st.floats(0, 1),
    total=st.integers(1, 500),
)
def test_every_part_has_an_equal_share_of_the_steps(values: list[int], grown_by: float, total: int) -> None:
    growth = GrowthConfig(lengths=tuple(values), grown_by=grown_by)
    lengths = [growth.size_at(step, total, 1024, 32)[0] for step in range(total)]
    end = round(grown_by * total) if values else 0
    expected = [
        value for number, value in enumerate(values) for step in range(end) if step * len(values) // end == number
    ]
    assert lengths == expected + [1024] * (total - end)
    shares = [expected.count(value) / values.count(value) for value in set(values)]
    assert not shares or max(shares) - min(shares) <= 1


def test_rows_and_batches_have_the_size_of_their_step(tmp_path: Path) -> None:
    corpus = make_corpus(tmp_path, numbered(40, 30, 6), shards=3)

    def make(length: int, batch_size: int, first: int, part: int) -> PretrainingSource:
        return source(corpus, max_length=length, batch_size=batch_size, first=first, seed=part)

    growing = GrowingSource(GrowthConfig(lengths=(16,), batches=(4, 8)), make, length=32, batch_size=16)
    growing.begin(12)
    shapes = []
    for step in range(12):
        batches = growing.micro_batches(step)
        shapes.append((max(b.input_ids.shape[1] for b in batches), sum(b.input_ids.shape[0] for b in batches)))
    assert shapes == [(16, 4)] * 3 + [(16, 8)] * 3 + [(32, 16)] * 6
    again = GrowingSource(growing.growth, make, length=32, batch_size=16)
    again.begin(12)
    assert contents(again.micro_batches(7)) == contents(growing.micro_batches(7))  # in any order of asking
    assert growing.steps_per_epoch == source(corpus).steps_per_epoch


def test_what_cannot_be_a_size_is_named() -> None:
    for settings in ({"loops": (0,)}, {"lengths": (4,)}, {"batches": ("many",)}):
        with pytest.raises(AlbertError, match=next(iter(settings))) as caught:
            GrowthConfig(**settings)
        assert caught.value.kind is ErrorKind.CONFIG
