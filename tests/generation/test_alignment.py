"""Attention as alignments: the weights with which pieces are chosen, and the places that they stand for."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from albert.config import DecoderConfig
from albert.generation.alignment import alignment
from albert.model.decoder import AlbertForText2Text
from albert.model.network import Attention
from conftest import small_config

SOURCE = [2, 11, 12, 13, 14, 3]
WRITTEN = [2, 21, 22, 23, 24]


@pytest.fixture
def model() -> AlbertForText2Text:
    config = small_config(decoder=DecoderConfig(decoder_layers=3), initializer_range=0.4, num_hidden_layers=2)
    return AlbertForText2Text(config, generator=torch.Generator().manual_seed(0)).eval()


def weights(model: AlbertForText2Text, written: list[int], *, padding: int = 0) -> Tensor:
    ids = torch.tensor([SOURCE + [0] * padding])
    mask = torch.tensor([[1] * len(SOURCE) + [0] * padding])
    with torch.inference_mode():
        return model.align(torch.tensor([written]), model.read(ids, attention_mask=mask))[0]


def test_weights_are_those_that_writing_reads_with(model: AlbertForText2Text, monkeypatch: pytest.MonkeyPatch) -> None:
    """Read again with a row of the identity matrix for each piece in place of its values."""
    read, seen, each = Attention.read, list[Tensor](), torch.eye(len(SOURCE), 8)

    def watched(self: Attention, query: Tensor, keys: Tensor, values: Tensor, mask: Any) -> Tensor:
        if keys.shape[2] == len(SOURCE):
            seen.append(read(self, query, keys, each.expand(*keys.shape[:2], -1, -1), mask))
        return read(self, query, keys, values, mask)

    wanted = weights(model, WRITTEN)
    with torch.inference_mode():
        memory = model.read(torch.tensor([SOURCE]))
        monkeypatch.setattr(Attention, "read", watched)
        model.write(torch.tensor([WRITTEN]), memory)
    assert len(seen) == 3
    assert torch.allclose(wanted, torch.stack(seen).mean((0, 2))[0, :, : len(SOURCE)], atol=1e-5)


def test_padding_gets_nothing_and_changes_nothing(model: AlbertForText2Text) -> None:
    padded = weights(model, WRITTEN, padding=3)
    assert torch.all(padded[:, len(SOURCE) :] == 0)
    assert torch.allclose(padded[:, : len(SOURCE)], weights(model, WRITTEN), atol=1e-5)


def test_later_pieces_change_nothing(model: AlbertForText2Text) -> None:
    assert torch.allclose(weights(model, WRITTEN)[:3], weights(model, WRITTEN[:3]), atol=1e-5)


def test_parts_stand_in_the_text_the_most_important_first(model: AlbertForText2Text) -> None:
    offsets = np.asarray([(0, 0), (0, 3), (3, 3), (4, 6), (6, 9), (0, 0)], np.int32)
    ids, types = torch.tensor([SOURCE]), torch.zeros(1, len(SOURCE), dtype=torch.long)
    found = alignment(model, ids, types, offsets, WRITTEN)
    assert len(found) == len(WRITTEN) - 1
    for sources, row in zip(found, weights(model, WRITTEN[:-1]).tolist(), strict=True):
        shares = {(0, 3): row[1], (4, 6): row[3], (6, 9): row[4]}
        whole = sum(shares.values())
        wanted = sorted(((share / whole, place) for place, share in shares.items()), reverse=True)
        wanted = [pair for rank, pair in enumerate(wanted) if rank == 0 or pair[0] >= 0.05]
        assert [(start, end) for start, end, _ in sources] == [place for _, place in wanted]
        assert [share for *_, share in sources] == pytest.approx([share for share, _ in wanted], abs=1e-5)
