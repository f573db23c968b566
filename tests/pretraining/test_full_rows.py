"""Full rows: what they hold, that they never lie, and that every draw is a pure function."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from albert.config import CLS_ID, MASK_ID, SEP_ID
from albert.errors import AlbertError
from albert.pretraining import draws
from albert.pretraining.full_rows import Draws, FullRows, Stream, full_rows, mask_rows
from albert.pretraining.instances import NO_PAIR, InstanceConfig, held_out_documents
from corpora import make_corpus, numbered

CPU = torch.device("cpu")
VOCAB = 30_000
ALL_START = np.ones(VOCAB, bool)


def stream_of(folder: Path, *, documents: int = 20) -> Stream:
    return Stream.of(make_corpus(folder, numbered(documents, 12, 9), shards=2), ALL_START, 0.0, CPU)


def rows_of(stream: Stream, count: int, length: int, *, step: int = 0, **config: float) -> FullRows:
    return full_rows(
        stream,
        stream.candidates(length - 2),
        Draws(0, step, count, CPU),
        length,
        InstanceConfig(**config),  # type: ignore[arg-type]
    )


@given(seed=st.integers(0, 2**32 - 1), step=st.integers(0, 2**31), slot=st.integers(0, 20))
@settings(max_examples=50)
def test_draws_are_those_of_numpy(seed: int, step: int, slot: int) -> None:
    ours = Draws(seed, step, 7, CPU)
    theirs = draws.bits(seed, step, slot, np.arange(7)[:, None], np.arange(5))
    assert np.array_equal(ours.bits(slot, 5).numpy().astype(np.uint64), theirs)
    assert np.array_equal(ours.uniform(slot).numpy(), draws.uniform(seed, step, slot, np.arange(7)))


def test_segments_are_consecutive_text_in_the_order_that_the_label_says(tmp_path: Path) -> None:
    rows = rows_of(stream_of(tmp_path), 400, 32, paired=0.7)
    assert set(rows.order.tolist()) == {0, 1, NO_PAIR}
    for ids, types, order in zip(rows.ids.tolist(), rows.types.tolist(), rows.order.tolist(), strict=True):
        assert ids[0] == CLS_ID
        assert ids[-1] == SEP_ID
        middle = ids.index(SEP_ID)
        first, second = ids[1:middle], ids[middle + 1 : -1]
        assert types == [0] * (middle + 1) + [1] * (31 - middle)
        assert (order == NO_PAIR) == (not second)
        for part in (first, second):  # every piece is of its own, one after the other
            assert part == list(range(part[0], part[0] + len(part))) if part else True
        if order == 0:
            assert second[0] > first[-1]
        elif order == 1:
            assert first[0] > second[-1]


def test_comparisons_repeat_or_are_foreign(tmp_path: Path) -> None:
    rows = rows_of(stream_of(tmp_path), 600, 32, paired=1.0, comparisons=1.0)
    repeated, paired = rows.first == rows.second, rows.order != NO_PAIR
    assert 0.3 < repeated.float().mean() < 0.7
    assert (rows.order[repeated] == 0).float().mean() > 0.95  # a drawn foreign one may be the same
    assert set(rows.order[paired & ~repeated].tolist()) == {1}


def test_order_does_not_show_in_where_segments_are_cut(tmp_path: Path) -> None:
    """Whether a segment begins at a sentence must not tell the order: both orders do so equally often."""
    stream = stream_of(tmp_path, documents=60)
    rows = rows_of(stream, 6000, 32, paired=1.0)
    at_sentence = torch.isin(rows.first, stream.sentences)
    shares = [at_sentence[rows.order == order].float().mean().item() for order in (0, 1)]
    assert shares[0] == pytest.approx(shares[1], abs=0.05)


def test_held_out_documents_are_never_read(tmp_path: Path) -> None:
    corpus = make_corpus(tmp_path, numbered(40, 6, 9), shards=2)
    left_out = [
        piece
        for number, shard in enumerate(corpus.shards)
        for document in np.flatnonzero(held_out_documents(shard, number, 0.3))
        for piece in shard.tokens[
            shard.sentences[shard.documents[document]] : shard.sentences[shard.documents[document + 1]]
        ]
    ]
    stream = Stream.of(corpus, ALL_START, 0.3, CPU)
    assert left_out
    assert not np.isin(stream.tokens.numpy(), left_out).any()
    assert len(stream.tokens) == 40 * 54 - len(left_out)
    rows = rows_of(stream, 50, 24)
    for ids in rows.ids.tolist():  # no row runs on into another document
        text = [piece for piece in ids if piece > 4]
        assert max(text) - min(text) < 54


def test_a_row_longer_than_every_document_is_refused(tmp_path: Path) -> None:
    with pytest.raises(AlbertError, match="full rows of 200 pieces"):
        stream_of(tmp_path).candidates(200)


def test_masks_hide_whole_words_by_eighty_ten_ten(tmp_path: Path) -> None:
    starts = np.arange(VOCAB) % 3 == 0
    corpus = make_corpus(tmp_path, numbered(20, 12, 9))
    stream = Stream.of(corpus, starts, 0.0, CPU)
    rows = rows_of(stream, 500, 64)
    masked, column, original = mask_rows(rows, stream, Draws(0, 0, 500, CPU), 13)
    assert torch.equal(rows.ids.gather(1, column), original)
    assert not rows.special.gather(1, column).any()
    now = masked.gather(1, column)
    assert (now == MASK_ID).float().mean() == pytest.approx(0.8, abs=0.02)
    assert (now == original).float().mean() == pytest.approx(0.1, abs=0.02)
    hidden = torch.zeros_like(rows.ids).scatter(1, column, 1).bool()
    assert (hidden.sum(1) == 13).all()
    word = (stream.begins[rows.ids] | rows.special).long().cumsum(1)
    for row in range(100):  # at most one word is hidden in part
        ordinary = ~rows.special[row]
        parts = [hidden[row][(word[row] == number) & ordinary] for number in word[row][hidden[row]].unique()]
        assert sum(not part.all() for part in parts) <= 1


def test_steps_differ_and_repeat(tmp_path: Path) -> None:
    stream = stream_of(tmp_path)
    one, again, other = (rows_of(stream, 50, 32, step=step) for step in (3, 3, 4))
    assert torch.equal(one.ids, again.ids)
    assert not torch.equal(one.ids, other.ids)
