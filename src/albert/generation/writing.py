"""The rows that are being written: their pieces, their log-probabilities and the decoder's cache."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from albert.config import AlbertConfig
from albert.generation.rules import Rules


@runtime_checkable  # as types are checked under pytest
class Network(Protocol):
    """A network that writes: `AlbertForText2Text`, or a fast form of it with a memory and a past of its own."""

    config: AlbertConfig

    @property
    def device(self) -> torch.device:
        """Where it computes."""

    def read(self, input_ids: Tensor, *, attention_mask: Tensor, token_type_ids: Tensor) -> Any:
        """The memory of some texts: it has a number of `texts`, and gives that `of` some of them."""

    def write(self, target_ids: Tensor, memory: Any, past: Any = None) -> tuple[Tensor, Any]:
        """The hidden states of pieces behind the past, and the past with them, which gives that `of` some rows."""

    def logits(self, hidden: Tensor) -> Tensor:
        """A score for each piece of the vocabulary, in the place behind."""


@runtime_checkable
class Together(Network, Protocol):
    """A network that goes on with rows of several memories in one call, without a row's numbers becoming others."""

    def write_each(self, parts: Sequence[tuple[Tensor, Any, Any]]) -> list[tuple[Tensor, Any]]:
        """As `write` for one piece of each row."""


class Writing:
    """Rows in the making, for each text of the memory equally many, one behind the other.

    `written` [rows, seq] begins with the begin piece; `scores` [rows, seq - 1] are log-probabilities.
    """

    def __init__(self, model: Network, memory: Any, rules: Rules, rows: int) -> None:
        self.model = model
        self.memory = memory
        self.rules = rules
        self.past: Any = None
        self.device = model.device
        self.written = torch.tensor([[rules.alphabet.begin]] * rows, device=self.device)
        self.scores = np.zeros((rows, 0))
        self._next: Tensor | None = None  # until it is asked for

    @property
    def length(self) -> int:
        """How many pieces each row has."""
        return self.written.shape[1] - 1

    @property
    def next(self) -> Float[Tensor, "rows vocab"]:
        """The log-probability of each piece that may come next."""
        if self._next is None:
            read_on([self])
        assert self._next is not None
        return self._next

    @property
    def sound(self) -> bool:
        """Whether the network gave numbers, as far as it was asked. One that is none makes all of its row none."""
        return self._next is None or not bool(self._next[:, self.rules.alphabet.never[0]].isnan().any())

    def advance(self, rows: np.ndarray, pieces: np.ndarray, texts: np.ndarray | None = None) -> None:
        """Goes on with some rows, each by one piece; `texts` are those of the memory whose rows these are."""
        chosen = torch.from_numpy(rows).to(self.device)
        new = torch.from_numpy(pieces).to(self.device)
        score = self.next[chosen, new].double().cpu().numpy()
        self.scores = np.concatenate([self.scores[rows], score[:, None]], 1)
        moved = len(rows) != len(self.written) or not np.array_equal(rows, np.arange(len(rows)))
        if moved and self.past is not None:
            self.past = self.past.of(chosen)
        if texts is not None and len(texts) != self.memory.texts:
            self.memory = self.memory.of(torch.from_numpy(texts).to(self.device))
        self.written = torch.cat([self.written[chosen], new[:, None]], 1)
        self._next = None

    def pieces(self, row: int) -> tuple[int, ...]:
        """What a row says so far."""
        return tuple(self.written[row, 1:].tolist())

    def unread(self) -> tuple[Int[Tensor, "rows seq"], Any, Any] | None:
        """The last piece of each row (all of them where there is no cache), memory and past; None if they are read."""
        if self._next is not None:
            return None
        return self.written if self.past is None else self.written[:, -1:], self.memory, self.past

    def read(self, logits: Float[Tensor, "rows vocab"], past: Any) -> None:
        """Takes what the network says behind the last pieces."""
        self.past = past
        self._next = self.rules.log_probabilities(logits, self.written)


@torch.inference_mode()
def read_on(several: Sequence[Writing]) -> None:
    """Reads the last pieces of rows that one network writes: together, if it can."""
    waiting = [(one, unread) for one in several if (unread := one.unread()) is not None]
    if not waiting:
        return
    network, parts = waiting[0][0].model, [unread for _, unread in waiting]
    if isinstance(network, Together):
        found = network.write_each(parts)
        hidden = torch.cat([states[:, -1] for states, _ in found])
        logits = network.logits(hidden).split([len(states) for states, _ in found])
    else:
        found = [network.write(*part) for part in parts]
        logits = tuple(network.logits(states[:, -1]) for states, _ in found)
    for (one, _), scores, (_, past) in zip(waiting, logits, found, strict=True):
        one.read(scores, past)
