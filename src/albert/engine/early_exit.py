"""Early exit at any batch size: texts leave at the depth where the model is certain, and others take their place.

Texts at different depths share the block of their depths: all of them if the network has one block, else those within a
group of layers. Texts that leave are cut out of the packed tokens, and new texts join at the end, at depth 0. The idea
is PABEE's (Zhou et al. 2020), which takes one text at a time.
"""

from __future__ import annotations

import itertools
from collections import deque
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from albert.compute.blocks import filled
from albert.compute.covers import unknown
from albert.compute.packed import Packed, PackedModel, bounds
from albert.data.batches import Features, inference_batches
from albert.errors import AlbertError, ErrorKind
from albert.model.heads import Head

EXITING_HEADS = ("sequence_classification", "token_classification")
_ROOM = 8  # of the token budget's parts, one must be free before texts are admitted


@dataclass(frozen=True)
class Exits:
    """Each row's logits in the order of the features, and the depth at which it left."""

    logits: list[np.ndarray]
    depths: np.ndarray


class EarlyExit:
    """A packed model with exits. Texts leave when the certainty of their logits reaches `threshold`.

    Raises `AlbertError` (bad-model) for a model without exits, or a network that it does not cover.
    """

    def __init__(self, packed: PackedModel, threshold: float) -> None:
        if packed.model.exits is None:
            raise AlbertError(
                ErrorKind.MODEL, "early exit", expected="a model trained with --early-exit", got="one without exits"
            )
        if missing := unknown(packed.model.config, packed.model.head_name):
            raise AlbertError(
                ErrorKind.MODEL, "early exit", expected="a network that it covers", got=", ".join(missing)
            )
        self.packed = packed
        self.heads: list[Head] = [*packed.model.exits, packed.model.head]
        self.threshold = threshold
        blocks = list(packed.uses)
        self.owners = np.asarray([blocks.index(block) for block, _ in packed.depths])  # the block of each depth

    @torch.inference_mode()
    def logits(self, features: Features, *, max_tokens: int) -> Exits:
        """All rows, the longest first, `max_tokens` of them under way at a time."""
        lengths = features.lengths
        waiting = deque(np.argsort(-lengths, kind="stable").tolist())
        found = Exits([np.zeros(0, np.float32)] * len(features), np.zeros(len(features), np.int64))
        rows = np.zeros(0, np.int64)  # under way, in the order of x
        before = np.full((len(features), max(self.packed.model.config.num_labels, 1)), np.inf, np.float32)
        x = torch.empty(0)
        while waiting or len(rows):
            admitted = _admit(waiting, lengths, max_tokens - int(lengths[rows].sum()), max_tokens)
            if admitted:
                new_lengths = lengths[admitted]
                new = self.packed.embed(Packed(*features.flat(admitted), new_lengths), bounds(new_lengths))
                own = lengths[rows].sum(), new_lengths.sum()
                x = self._filled(torch.cat([x[: own[0]], new[: own[1]]])) if len(rows) else new
                rows = np.append(rows, admitted)
            starts = bounds(lengths[rows])
            x = self._deeper(x, starts, found.depths[rows])
            found.depths[rows] += 1
            depths, leaves = found.depths[rows], np.zeros(len(rows), bool)
            for depth in sorted(set(depths.tolist())):
                places = np.flatnonzero(depths == depth)
                said, sure = self._judge(x, starts, places, depth, before[rows[places]])
                leaves[places] = (sure >= self.threshold) | (depth == len(self.heads))
                for place, logits in zip(places, said, strict=True):
                    found.logits[rows[place]] = logits
                if not self.packed.by_piece:
                    before[rows[places]] = said
            if leaves.any():
                x = self._filled(x[torch.from_numpy(np.flatnonzero(np.repeat(~leaves, np.diff(starts))))])
                rows = rows[~leaves]
        return found

    def _deeper(
        self, x: Float[Tensor, "rows hidden"], starts: np.ndarray, depths: np.ndarray
    ) -> Float[Tensor, "rows hidden"]:
        """Texts at these depths, one depth further. Neighbours with the same block go through it together."""
        changes = np.flatnonzero(np.diff(self.owners[depths])) + 1  # where the texts of another block begin
        if not len(changes):
            return self.packed.run(x, starts, depths=slice(int(depths[0]), int(depths[0]) + 1))
        parts = []
        for first, after in itertools.pairwise([0, *changes.tolist(), len(depths)]):
            own, depth = starts[first : after + 1], int(depths[first])
            part = self._filled(x[own[0] : own[-1]])
            found = self.packed.run(part, own - own[0], depths=slice(depth, depth + 1))
            parts.append(found[: own[-1] - own[0]])
        return self._filled(torch.cat(parts))

    def _filled(self, x: Float[Tensor, "tokens hidden"]) -> Float[Tensor, "rows hidden"]:
        return filled(x, self.packed.rows(len(x)))

    def _judge(
        self, x: Float[Tensor, "tokens hidden"], starts: np.ndarray, places: np.ndarray, depth: int, before: np.ndarray
    ) -> tuple[list[np.ndarray], np.ndarray]:
        """The logits of the texts at `places`, which are all at one depth, and their certainty."""
        lengths = np.diff(starts)[places]
        if self.packed.model.reads_first:
            read = starts[places]
        else:
            read = np.concatenate([np.arange(starts[place], starts[place + 1]) for place in places])
        values = self.packed.read(x[torch.from_numpy(read)], lengths, self.heads[depth - 1])
        sure = sureness(values, before, self.packed.model.config.problem_type)
        if not self.packed.by_piece:
            return list(values), sure
        own = bounds(lengths)
        return [values[start:after] for start, after in itertools.pairwise(own)], np.minimum.reduceat(sure, own[:-1])


def sureness(said: np.ndarray, before: np.ndarray, problem_type: str | None) -> np.ndarray:
    """The certainty of each row of logits: the probability of the answer; of several decisions the lowest one.

    For a number: minus the distance by which it moved since the depth `before`.
    """
    if problem_type == "regression":
        return np.asarray(-np.abs(said - before).max(1))
    if problem_type == "multi_label_classification":
        return np.asarray(1 / (1 + np.exp(-np.abs(said).min(1))))
    return np.asarray(1 / np.exp(said - said.max(1, keepdims=True)).sum(1))


def _admit(waiting: deque[int], lengths: np.ndarray, free: int, budget: int) -> list[int]:
    """The next rows that fit, once there is enough room; at least one if nothing is under way."""
    admitted: list[int] = []
    if free * _ROOM < budget:
        return admitted
    while waiting and (lengths[waiting[0]] <= free or (free == budget and not admitted)):
        admitted.append(waiting.popleft())
        free -= int(lengths[admitted[-1]])
    return admitted


@torch.inference_mode()
def every_depth(
    packed: PackedModel, features: Features, *, max_tokens: int
) -> tuple[list[list[np.ndarray]], Float[np.ndarray, "depths rows"]]:
    """For each depth, the logits of all rows at that depth's exit, and their certainty."""
    early = EarlyExit(packed, np.inf)
    lengths = features.lengths
    found = [[np.zeros(0, np.float32)] * len(features) for _ in early.heads]
    sure = np.zeros((len(early.heads), len(features)))
    for indices in inference_batches(lengths, max_tokens=max_tokens):
        own = lengths[indices]
        starts = bounds(own)
        x = packed.embed(Packed(*features.flat(indices), own), starts)
        before = np.full((len(indices), 1), np.inf, np.float32)
        for depth in range(len(packed.depths)):
            x = packed.run(x, starts, depths=slice(depth, depth + 1))
            said, sure[depth, indices] = early._judge(x, starts, np.arange(len(indices)), depth + 1, before)
            for index, logits in zip(indices, said, strict=True):
                found[depth][index] = logits
            if not packed.by_piece:
                before = np.stack(said)
    return found, sure
