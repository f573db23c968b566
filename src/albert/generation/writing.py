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

    def write_each(self, parts: Sequence[tuple[Tensor, Any, Any]]) -> tuple[Tensor, list[Any]]:
        """Of some (pieces, memory, past): the hidden states of each row's last piece, and the pasts with the pieces.

        A past, None before the first pieces, gives that `of` some rows.
        """

    def logits(self, hidden: Tensor) -> Tensor:
        """A score for each piece of the vocabulary, in the place behind."""


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
        self._unread = True  # the last pieces, until somebody asks what may come next
        self._next: Tensor  # kept until then: memory that is given back and taken anew at once costs time

    @property
    def length(self) -> int:
        """How many pieces each row has."""
        return self.written.shape[1] - 1

    @property
    def next(self) -> Float[Tensor, "rows vocab"]:
        """The log-probability of each piece that may come next."""
        if self._unread:
            read_on([self])
        return self._next

    @property
    def sound(self) -> bool:
        """Whether the next scores are numbers, or not known yet. One that is no number makes its whole row such."""
        return self._unread or not bool(self._next[:, self.rules.alphabet.never[0]].isnan().any())

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
        self._unread = True

    def pieces(self, row: int) -> tuple[int, ...]:
        """What a row says so far."""
        return tuple(self.written[row, 1:].tolist())

    def unread(self) -> tuple[Int[Tensor, "rows seq"], Any, Any] | None:
        """The last piece of each row (all of them where there is no cache), memory and past; None if they are read."""
        if not self._unread:
            return None
        return self.written if self.past is None else self.written[:, -1:], self.memory, self.past

    def read(self, logits: Float[Tensor, "rows vocab"], past: Any) -> None:
        """Takes what the network says behind the last pieces."""
        self.past = past
        self._next = self.rules.log_probabilities(logits, self.written)
        self._unread = False


@torch.inference_mode()
def read_on(several: Sequence[Writing]) -> None:
    """Reads the last pieces of rows that one network writes, all together."""
    unread = [(one, part) for one in several if (part := one.unread()) is not None]
    if not unread:
        return
    network = unread[0][0].model
    hidden, pasts = network.write_each([part for _, part in unread])
    logits = network.logits(hidden).split([len(one.written) for one, _ in unread])
    for (one, _), scores, past in zip(unread, logits, pasts, strict=True):
        one.read(scores, past)
