"""How the texts of a fine-tuning are read: hardened, with or without marks of capitals, some of them attacked."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any, Literal

import numpy as np

from albert.data.examples import Example
from albert.errors import AlbertError, ErrorKind, require_ranges
from albert.evaluation.attacks import ATTACKS, attacked
from albert.tasks import Task
from albert.text.encodings import Tokenizer
from albert.text.hardening.hardener import Hardening

_BUDGET = 5  # the most perturbations of a training text


@dataclass(frozen=True, kw_only=True)
class TextConfig:
    """How texts are read: `hardening`, with `whole_words` as in `Hardening`, `case_marks` and `attack_rate`.

    `case_marks` ("on", "off") is that of `Tokenizer`; "auto" marks capitals for entities if the vocabulary loses them.
    `attack_rate` is the share of training texts that are attacked, each with up to five perturbations of one kind,
    leetspeak included. Raises `AlbertError` (bad-config) for a rate outside 0..1, or other `case_marks`.
    """

    hardening: bool = True
    whole_words: bool = False
    case_marks: Literal["auto", "on", "off"] = "auto"
    attack_rate: float = 0.0

    def __post_init__(self) -> None:
        require_ranges(self, ("attack_rate", 0.0, 1.0))
        if self.case_marks not in ("auto", "on", "off"):
            raise AlbertError(ErrorKind.CONFIG, "case_marks", expected="auto, on or off", got=repr(self.case_marks))

    def chosen(self) -> dict[str, Any]:
        """The values that differ from the defaults, by name."""
        return {f.name: getattr(self, f.name) for f in fields(self) if getattr(self, f.name) != f.default}

    def tokenizer(self, tokenizer: Tokenizer, task: Task) -> Tokenizer:
        """The tokenizer with the chosen hardening and marks."""
        tokenizer = tokenizer.with_hardening(Hardening(whole_words=self.whole_words) if self.hardening else None)
        helpful = task.case_matters and _loses_case(tokenizer)
        return tokenizer.with_case_marks(helpful if self.case_marks == "auto" else self.case_marks == "on")

    def augmented(self, examples: Sequence[Example], task: Task, *, seed: int) -> list[Example]:
        """The training examples, some of them attacked. This is a pure function of the seed and an example's index.

        Raises `AlbertError` (bad-config) for a task whose gold values are places in the text.
        """
        if not self.attack_rate:
            return list(examples)
        if task.points:
            raise AlbertError(
                ErrorKind.CONFIG, "attack_rate", expected="a task that does not point into the text", got=task.name
            )
        return [self._maybe_attacked(example, random.Random(f"{seed} {i}")) for i, example in enumerate(examples)]

    def _maybe_attacked(self, example: Example, rng: random.Random) -> Example:
        if rng.random() >= self.attack_rate:
            return example
        return attacked(example, rng.choice(list(ATTACKS.values())), rng.randint(1, _BUDGET), rng)


def _loses_case(tokenizer: Tokenizer) -> bool:
    capital, small = tokenizer.ids(["Ada", "ada"])
    return np.array_equal(capital, small)
