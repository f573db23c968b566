"""The rows that are being written: their pieces, their log-probabilities and the decoder's cache."""

from __future__ import annotations

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
        self._next = self._read_on()

    @property
    def length(self) -> int:
        """How many pieces each row has."""
        return self.written.shape[1] - 1

    @property
    def next(self) -> Float[Tensor, "rows vocab"]:
        """The log-probability of each piece that may come next."""
        return self._next

    def advance(self, rows: np.ndarray, pieces: np.ndarray, texts: np.ndarray | None = None) -> None:
        """Goes on with some rows, each by one piece; `texts` are those of the memory whose rows these are."""
        chosen = torch.from_numpy(rows).to(self.device)
        new = torch.from_numpy(pieces).to(self.device)
        score = self._next[chosen, new].double().cpu().numpy()
        self.scores = np.concatenate([self.scores[rows], score[:, None]], 1)
        moved = len(rows) != len(self.written) or not np.array_equal(rows, np.arange(len(rows)))
        if moved and self.past is not None:
            self.past = self.past.of(chosen)
        if texts is not None and len(texts) != self.memory.texts:
            self.memory = self.memory.of(torch.from_numpy(texts).to(self.device))
        self.written = torch.cat([self.written[chosen], new[:, None]], 1)
        self._next = self._read_on()

    def pieces(self, row: int) -> tuple[int, ...]:
        """What a row says so far."""
        return tuple(self.written[row, 1:].tolist())

    def _read_on(self) -> Float[Tensor, "rows vocab"]:
        """Reads the last piece of each row, or where there is no cache yet all of them."""
        unread: Int[Tensor, "rows seq"] = self.written if self.past is None else self.written[:, -1:]
        hidden, self.past = self.model.write(unread, self.memory, self.past)
        return self.rules.log_probabilities(self.model.logits(hidden[:, -1]), self.written)
