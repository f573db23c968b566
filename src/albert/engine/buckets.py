"""The forward pass for inference on a GPU: padded batches in few shapes, the small ones replayed as CUDA graphs.

A batch is filled up to a bucket, a power of two of texts by a multiple of 16 pieces, so that shapes come again. Small
buckets take less time to compute than to launch kernel by kernel; each is captured once and replayed.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from jaxtyping import Int
from torch import Tensor, nn

from albert.compute import windowed
from albert.compute.precision import autocast
from albert.data.batches import Features
from albert.model import AlbertForTask

_STEP = 16  # pieces
_GRAPHED = 4096  # tokens of a bucket, up to which it is replayed
_WARM_UP = 3  # passes before a capture, which CUDA asks for


@dataclass(frozen=True)
class Bucket:
    """The shape of a batch."""

    texts: int
    length: int

    @classmethod
    def of(cls, lengths: np.ndarray, *, most: int) -> Bucket:
        """The smallest bucket that holds rows of these lengths; `most` pieces are what the model reads."""
        length = -(-int(lengths.max()) // _STEP) * _STEP
        return cls(1 << (len(lengths) - 1).bit_length(), min(length, most))

    def fill(self, features: Features, indices: np.ndarray) -> Int[Tensor, "3 texts length"]:
        """Ids, token types and mask of the rows; those beyond them are one padding piece, which reads itself."""
        batch = features.batch(indices)
        filled = torch.zeros(3, self.texts, self.length, dtype=torch.int64)
        rows, seq = batch.input_ids.shape
        for part, values in zip(filled, (batch.input_ids, batch.token_type_ids, batch.attention_mask), strict=True):
            part[:rows, :seq] = values
        filled[2, rows:, 0] = 1
        return filled


class BucketedModel:
    """A copy of a model on its device, with the weights of products in `precision`."""

    def __init__(self, model: AlbertForTask, precision: Literal["fp32", "bf16"]) -> None:
        self.model = copy.deepcopy(model).eval().requires_grad_(False)
        self.precision = precision
        self.device = next(model.parameters()).device
        if precision == "bf16":
            for part in self.model.modules():
                if isinstance(part, nn.Linear):
                    part.to(torch.bfloat16)
        self.graphs: dict[Bucket, _Graph] = {}

    @torch.inference_mode()
    def logits(self, features: Features, batches: list[np.ndarray]) -> list[list[np.ndarray]]:
        """Each batch's rows, float32: [labels], or [pieces, labels]; fetched when all batches are under way."""
        lengths, most = features.lengths, self.model.config.max_position_embeddings
        said = []
        for indices in batches:
            bucket = Bucket.of(lengths[indices], most=most)
            said.append(self._run(bucket, bucket.fill(features, indices)))
        rows = []
        for logits, indices in zip(said, batches, strict=True):
            own = logits[: len(indices)].cpu().numpy()
            rows.append(
                [row if row.ndim == 1 else row[:length] for row, length in zip(own, lengths[indices], strict=True)]
            )
        return rows

    @torch.inference_mode()
    def states(self, features: Features) -> list[np.ndarray]:
        """Each row's last hidden states, float32 [pieces, hidden], computed together."""
        batch = features.batch(np.arange(len(features)))
        with autocast(self.precision, self.device):
            hidden = windowed.encode(
                self.model.albert,
                batch.input_ids.to(self.device),
                attention_mask=batch.attention_mask.to(self.device),
                token_type_ids=batch.token_type_ids.to(self.device),
            ).last_hidden_state
        pairs = zip(hidden.float().cpu().numpy(), features.lengths, strict=True)
        return [row[:length] for row, length in pairs]

    def _run(self, bucket: Bucket, filled: Tensor) -> Tensor:
        if self.device.type != "cuda" or bucket.texts * bucket.length > _GRAPHED:
            return self._forward(filled.to(self.device, non_blocking=True))
        if bucket not in self.graphs:
            self.graphs[bucket] = _Graph(self._forward, filled.to(self.device))
        return self.graphs[bucket](filled)

    def _forward(self, filled: Tensor) -> Tensor:
        ids, types, mask = filled
        with autocast(self.precision, self.device):
            logits = windowed.task_logits(self.model, ids, attention_mask=mask, token_type_ids=types)
        return logits.float()


class _Graph:
    """One bucket's forward pass, captured on the GPU."""

    def __init__(self, forward: Callable[[Tensor], Tensor], filled: Tensor) -> None:
        self.input = filled
        aside = torch.cuda.Stream()
        aside.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(aside):
            for _ in range(_WARM_UP):
                forward(self.input)
        torch.cuda.current_stream().wait_stream(aside)
        self.graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(self.graph):
            self.output = forward(self.input)

    def __call__(self, filled: Tensor) -> Tensor:
        self.input.copy_(filled)
        self.graph.replay()
        return self.output.clone()
