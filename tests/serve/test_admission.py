"""How many requests may be under way, by how long those before took."""

from __future__ import annotations

import pytest

from albert.serve.core.admission import Admission
from albert.serve.core.limits import Limits
from albert.serve.core.refusals import Refusal


def full(timeout: float = 1.0) -> Admission:
    """One that admits no more."""
    admission = Admission(Limits(timeout=timeout))
    for _ in range(int(admission.limit)):
        admission.check()
        admission.enter()
    with pytest.raises(Refusal, match="under way"):
        admission.check()
    return admission


def test_answers_in_time_let_more_in_and_late_ones_fewer() -> None:
    admission = full()
    before = admission.limit
    admission.leave(0.1)
    assert before < admission.limit < before + 1
    admission.enter()
    admission.leave(0.7)
    assert admission.limit < before


def test_what_the_queue_crowds_out_is_refused_at_once_from_then_on() -> None:
    admission = full()
    admission.limit += 10
    admission.check()
    admission.enter()
    admission.leave(0.001, crowded_out=True)
    with pytest.raises(Refusal, match="under way"):
        admission.check()
    admission.leave(0.1)
    admission.check()


def test_some_may_always_come() -> None:
    admission = Admission(Limits())
    admission.enter()
    admission.leave(0.001, crowded_out=True)
    admission.check()
    assert admission.limit == 4
