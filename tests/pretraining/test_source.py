"""Batches of steps: the same whatever the ranks, the resumption and the order of asking."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from albert.corpus.shards import Corpus
from albert.errors import AlbertError, ErrorKind
from albert.pretraining.instances import InstanceConfig
from albert.pretraining.objective import PretrainingBatch
from albert.pretraining.source import MaskingConfig, PretrainingSource
from corpora import make_corpus, numbered

STARTS = np.ones(65_536, bool)


@pytest.fixture
def corpus(tmp_path: Path) -> Corpus:
    return make_corpus(tmp_path, numbered(40, 30, 6), shards=3)


def source(corpus: Corpus, **values: Any) -> PretrainingSource:
    options = {"batch_size": 16, "max_tokens": 128, "seed": 0, **values}
    instances = InstanceConfig(max_length=options.pop("max_length", 32), held_out=0.1)
    return PretrainingSource(corpus, STARTS, instances, options.pop("masking", MaskingConfig()), **options)


def contents(batches: list[PretrainingBatch]) -> list[list[list[Any]]]:
    return [[value.tolist() for value in vars(batch).values()] for batch in batches]


@pytest.mark.parametrize("ranks", [2, 4])
def test_ranks_share_the_same_global_batches(corpus: Corpus, ranks: int) -> None:
    alone = source(corpus)
    together = [source(corpus, rank=rank, ranks=ranks) for rank in range(ranks)]
    for step in (0, 1, alone.steps_per_epoch + 2):
        dealt: list[Any] = [None] * alone.parts
        for rank, part in enumerate(together):
            dealt[rank::ranks] = contents(part.micro_batches(step))
        assert dealt == contents(alone.micro_batches(step))


def test_steps_can_be_asked_for_in_any_order(corpus: Corpus) -> None:
    forward = source(corpus)
    steps = [contents(forward.micro_batches(step)) for step in range(2 * forward.steps_per_epoch)]
    backward = source(corpus)
    for step in reversed(range(len(steps))):
        assert contents(backward.micro_batches(step)) == steps[step]


def test_an_epoch_shows_every_instance_at_most_once_and_epochs_differ(corpus: Corpus) -> None:
    batches = source(corpus)
    rows = [
        tuple(row)
        for step in range(batches.steps_per_epoch)
        for batch in batches.build(step)
        for row in _restored(batch).tolist()
    ]
    assert len(set(rows)) == len(rows) == 16 * batches.steps_per_epoch
    other = {tuple(row) for batch in batches.build(batches.steps_per_epoch) for row in _restored(batch).tolist()}
    assert len(other - set(rows)) > 8


def _restored(batch: PretrainingBatch) -> torch.Tensor:
    """The pieces before masking, padded to one length."""
    ids = batch.input_ids.clone()
    ids.view(-1)[batch.masked_positions] = batch.masked_ids
    return torch.nn.functional.pad(ids, (0, 32 - ids.shape[1]))


def test_an_illegal_number_of_ranks_names_the_legal_ones(corpus: Corpus) -> None:
    with pytest.raises(AlbertError, match="1, 2, 4") as caught:
        source(corpus, ranks=3)
    assert caught.value.kind is ErrorKind.CONFIG


def test_the_mask_rate_falls_over_the_run(corpus: Corpus) -> None:
    batches = source(corpus, masking=MaskingConfig(mask_rate=0.3, mask_rate_end=0.1))
    batches.total = 20
    shares = []
    for step in (0, 10, 20, 30):
        built = batches.build(step)
        masked = sum(len(batch.masked_ids) for batch in built)
        shares.append(masked / sum(int(batch.attention_mask.sum()) for batch in built))
    assert shares == pytest.approx([0.3, 0.2, 0.1, 0.1], abs=0.02)


def test_held_out_instances_are_fixed_and_never_trained_on(corpus: Corpus) -> None:
    first, second = (source(corpus, seed=seed).held_out(24) for seed in (0, 5))
    assert contents(first) == contents(second)
    pieces = {int(piece) for batch in first for piece in _restored(batch).unique() if piece >= 5}
    trained = source(corpus)
    seen = {int(p) for s in range(trained.steps_per_epoch) for b in trained.build(s) for p in _restored(b).unique()}
    assert pieces
    assert not pieces & seen


def test_held_out_instances_are_dealt_to_ranks(corpus: Corpus) -> None:
    alone = contents(source(corpus).held_out(24))
    dealt: list[Any] = [None] * len(alone)
    for rank in range(2):
        dealt[rank::2] = contents(source(corpus, rank=rank, ranks=2).held_out(24))
    assert dealt == alone


def test_no_held_out_document_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(AlbertError, match="held_out") as caught:
        source(make_corpus(tmp_path, numbered(1, 200, 6))).held_out(8)
    assert caught.value.kind is ErrorKind.DATA
