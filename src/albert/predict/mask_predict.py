"""All masks of a text filled together, step by step: mask-predict (Ghazvininejad et al. 2019, section 3).

Each step chooses a piece for every open mask. Then the masks whose pieces are least sure are opened again, fewer after
each step, so that later pieces are chosen with most of the others in view.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from jaxtyping import Float

from albert.errors import AlbertError, ErrorKind
from albert.text.encodings import Encoding, Tokenizer

MOST_STEPS = 1000
Masked = tuple[list[int], list[tuple[int, int]]]  # ids, and the characters that each came from


class Filling:
    """A text in the making. Compute the states of its `row`, and give the scores at the open masks to `take`."""

    def __init__(self, text: str, found: Masked, tokenizer: Tokenizer, steps: int) -> None:
        """`found` are the pieces of the text. Raises `AlbertError` (usage) for fewer than one step."""
        if not 1 <= steps <= MOST_STEPS:
            raise AlbertError(ErrorKind.USAGE, "steps", expected=f"1 to {MOST_STEPS:,}", got=str(steps))
        self.text, self.tokenizer = text, tokenizer
        self.ids, self.offsets = np.asarray(found[0]), found[1]
        self.places = np.flatnonzero(self.ids == tokenizer.special.mask)
        self.scores = np.zeros(len(self.places))  # log-probabilities, as when each piece was chosen
        self.step, self.steps = 0, min(steps, len(self.places))

    @property
    def done(self) -> bool:
        """Whether every piece is chosen."""
        return self.step == self.steps

    @property
    def row(self) -> Encoding:
        """The pieces so far, with [MASK] where one is to be chosen."""
        count = len(self.ids)
        return Encoding(self.ids.tolist(), [0] * count, [1] * count, self.offsets, [], [])

    def take(self, scores: Float[np.ndarray, "masks vocab"]) -> None:
        """Chooses the likeliest piece at each open mask by its log-probabilities, then opens the least sure again."""
        mask = self.tokenizer.special.mask
        still = self.ids[self.places] == mask
        self.ids[self.places[still]] = scores.argmax(1)
        self.scores[still] = scores.max(1)
        self.step += 1
        again = len(self.places) * (self.steps - self.step) // self.steps
        self.ids[self.places[np.argsort(self.scores, kind="stable")[:again]]] = mask

    def result(self) -> dict[str, Any]:
        """`{sequence, score, tokens}`: the text, the mean probability of its new pieces (geometric), and these."""
        tokens = [
            {"token": token, "token_str": self.tokenizer.decode([token]), "score": score}
            for token, score in zip(self.ids[self.places].tolist(), np.exp(self.scores).tolist(), strict=True)
        ]
        return {"sequence": self._sequence(), "score": float(np.exp(self.scores.mean())), "tokens": tokens}

    def _sequence(self) -> str:
        """The text with the pieces in it. Masks with nothing but space between are one run, whose pieces join."""
        parts: list[tuple[str, list[int]]] = []
        at = 0
        for place in self.places.tolist():
            start, end = self.offsets[place]
            between = self.text[at:start]
            if not parts or between.strip():
                parts.append((between, [int(self.ids[place])]))
            else:
                parts[-1][1].append(int(self.ids[place]))
            at = end
        return "".join(between + self.tokenizer.decode(pieces) for between, pieces in parts) + self.text[at:]
