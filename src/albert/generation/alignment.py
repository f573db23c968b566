"""Which parts of the source a text was written from, by the decoder's attention.

The weights are those with which a piece is chosen, as means over all depths and heads.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from albert.model.decoder import AlbertForText2Text

_LEAST = 0.05  # of the attention to a text: parts with less are left out, apart from the first


@torch.inference_mode()
def alignment(
    model: AlbertForText2Text,
    input_ids: Int[Tensor, "1 source"],
    token_type_ids: Int[Tensor, "1 source"],
    offsets: Int[np.ndarray, "source 2"],
    written: Sequence[int],
) -> list[tuple[tuple[int, int, float], ...]]:
    """For each piece but the first of `written`, which begins a text: (start, end, share), the largest share first.

    `offsets` are the places of the source's pieces; those without characters get no share.
    """
    target = torch.tensor([list(written[:-1])], device=input_ids.device)
    memory = model.read(input_ids, token_type_ids=token_type_ids)
    weights = model.align(target, memory)[0].double().cpu().numpy()
    standing = np.flatnonzero(offsets[:, 1] > offsets[:, 0])
    return [_sources(row[standing], offsets[standing]) for row in weights]


def _sources(
    weights: Float[np.ndarray, " pieces"], offsets: Int[np.ndarray, "pieces 2"]
) -> tuple[tuple[int, int, float], ...]:
    shares = weights / weights.sum()
    order = np.argsort(-shares, kind="stable")
    kept = [place for rank, place in enumerate(order.tolist()) if not rank or shares[place] >= _LEAST]
    return tuple((int(offsets[place, 0]), int(offsets[place, 1]), float(shares[place])) for place in kept)
