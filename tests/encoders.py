"""An encoder of transformers as ours reads it, with its pooler and without."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from albert.model import AlbertModel
from conftest import random_ids


def assert_encoder_loads(kind: Any, config: Any, folder: Path, *, tolerance: float) -> None:
    """`kind` is transformers' class of a bare encoder; each of the two is saved below `folder`, loaded and compared."""
    for pooler in (True, False):
        oracle = kind(config, add_pooling_layer=pooler).eval()
        oracle.save_pretrained(folder / str(pooler))
        model = AlbertModel.from_pretrained(folder / str(pooler))
        inputs = random_ids((2, 9))
        with torch.no_grad():
            mine, other = model(**inputs), oracle(**inputs)
        assert (mine.last_hidden_state - other.last_hidden_state).abs().max() < tolerance
        assert (mine.pooler_output is not None) == pooler
        if pooler:
            assert (mine.pooler_output - other.pooler_output).abs().max() < tolerance
