"""When a run is called back: a leap of the loss, a forgotten order, a dead [CLS]; and not for noise."""

from __future__ import annotations

import json
import math

import pytest

from albert.pretraining.guard import Guard


def feed(guard: Guard, mlm: float, sop: float, *, windows: int = 1) -> str | None:
    found = None
    for step in range(50 * windows):
        found = found or guard.after_step({"mlm": mlm + 0.1 * (-1) ** step, "sop": sop})
    return found


def test_a_run_that_learns_is_left_alone() -> None:
    guard = Guard()
    assert all(feed(guard, mlm, 0.7 - 0.02 * at) is None for at, mlm in enumerate((9.0, 6.0, 6.5, 5.0, 4.0)))
    assert all(guard.after_evaluation({"cls_spread": spread}) is None for spread in (0.3, 0.2, 0.15))


@pytest.mark.parametrize(
    ("before", "after", "what"),
    [
        ((4.0, 0.6), (5.2, 0.6), "masked loss rose from 4.00 to 5.20"),
        ((4.0, 0.6), (4.0, math.log(2)), "order of sentences was forgotten"),
    ],
)
def test_trouble_is_told(before: tuple[float, float], after: tuple[float, float], what: str) -> None:
    guard = Guard()
    assert feed(guard, *before) is None
    again = Guard()
    again.seen = json.loads(json.dumps(guard.seen))  # as a checkpoint keeps it
    for one in (guard, again):
        found = feed(one, *after)
        assert found is not None
        assert what in found


def test_a_dead_cls_is_told() -> None:
    guard = Guard()
    assert guard.after_evaluation({"cls_spread": 0.4}) is None
    assert "[CLS]" in (guard.after_evaluation({"cls_spread": 0.05}) or "")


def test_an_untrained_cls_is_not_called_dead() -> None:
    guard = Guard()
    assert all(guard.after_evaluation({"cls_spread": spread}) is None for spread in (0.0004, 0.00005, 0.002))
