"""Watches a pre-training run for three faults: the loss leaps, the order is forgotten, [CLS] becomes constant."""

from __future__ import annotations

import math
from typing import Any

_WINDOW = 50  # the number of steps in a mean
_LEAP = 1.0  # the rise of the masked loss above its best mean
_CHANCE = math.log(2)  # the loss of guessing the order
_LEARNED, _FORGOTTEN = 0.05, 0.01  # distances below it: the order is learned, is forgotten
_ALIVE = 0.1  # the least spread of [CLS] to watch: an untrained network has almost none, a good one 0.4 to 0.6
_DEAD = 0.25  # the share of the largest spread so far


class Guard:
    """Checks means over 50 steps, and evaluations. A fault is a reason to go back and train more slowly.

    `seen` is its whole state, JSON values only, and belongs in the run's checkpoints.
    """

    def __init__(self) -> None:
        self.seen: dict[str, Any] = {}

    def after_step(self, losses: dict[str, float]) -> str | None:
        """Checks a step's losses by term. Returns the fault in words."""
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
        """Checks the scores on held-out text. Returns the fault in words."""
        spread, widest = scores["cls_spread"], self.seen.get("spread", 0.0)
        if widest > _ALIVE and spread < _DEAD * widest:
            return f"[CLS] became nearly the same for every text: its spread fell from {widest:.3f} to {spread:.3f}"
        self.seen["spread"] = max(widest, spread)
        return None
