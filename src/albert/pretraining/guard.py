"""What a pre-training run watches itself for: a loss that leaps, an order that is forgotten, a [CLS] that goes dead."""

from __future__ import annotations

import math
from typing import Any

_WINDOW = 50  # steps a mean is taken over
_LEAP = 1.0  # of the masked loss above its best mean
_CHANCE = math.log(2)  # the order's loss of one who guesses
_LEARNED, _FORGOTTEN = 0.05, 0.01  # below that
_ALIVE = 0.1  # a spread of [CLS] that is worth watching: an untrained network has hardly any, a good one 0.4 to 0.6
_DEAD = 0.25  # of the widest spread that there was


class Guard:
    """Looks at means over 50 steps and at evaluations; what it says is a reason to go back and be slower.

    `seen` is all it remembers, JSON values only, and belongs in the run's checkpoints.
    """

    def __init__(self) -> None:
        self.seen: dict[str, Any] = {}

    def after_step(self, losses: dict[str, float]) -> str | None:
        """A step's losses by term. Returns what went wrong, in words."""
        sums = self.seen.setdefault("sums", {})
        for name in ("mlm", "sop"):
            sums[name] = sums.get(name, 0.0) + losses.get(name, 0.0)
        self.seen["steps"] = self.seen.get("steps", 0) + 1
        if self.seen["steps"] < _WINDOW:
            return None
        mlm, sop = (sums[name] / _WINDOW for name in ("mlm", "sop"))
        self.seen.update(sums={}, steps=0)
        best, order = self.seen.get("mlm", math.inf), self.seen.get("sop", math.inf)
        if mlm > best + _LEAP:
            return f"the masked loss rose from {best:.2f} to {mlm:.2f}"
        if order < _CHANCE - _LEARNED and sop > _CHANCE - _FORGOTTEN:
            return f"the order of sentences was forgotten: its loss rose from {order:.3f} to {sop:.3f}"
        self.seen["mlm"] = min(best, mlm)
        if "sop" in losses:
            self.seen["sop"] = min(order, sop)
        return None

    def after_evaluation(self, scores: dict[str, float]) -> str | None:
        """Scores on held-out text. Returns what went wrong, in words."""
        spread, widest = scores["cls_spread"], self.seen.get("spread", 0.0)
        if widest > _ALIVE and spread < _DEAD * widest:
            return f"[CLS] became nearly the same for every text: its spread fell from {widest:.3f} to {spread:.3f}"
        self.seen["spread"] = max(widest, spread)
        return None
