"""Calibration on data whose answers are known, against scikit-learn."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import softmax
from sklearn.metrics import brier_score_loss, log_loss

from albert.tasks.calibration import (
    Bin,
    brier_score,
    calibration_error,
    fit_temperature,
    negative_log_likelihood,
    reliability,
)


def calibrated(n: int = 20_000, labels: int = 3) -> tuple[np.ndarray, np.ndarray]:
    """Logits, and gold labels drawn with the very probabilities that the logits state."""
    rng = np.random.default_rng(0)
    logits = 2 * rng.normal(size=(n, labels))
    gold = (softmax(logits, axis=1).cumsum(1) < rng.random((n, 1))).sum(1)
    return logits, gold


@pytest.mark.parametrize("adaptive", [False, True])
def test_probabilities_that_hold_have_hardly_any_error(adaptive: bool) -> None:
    logits, gold = calibrated()
    assert calibration_error(softmax(logits, axis=1), gold, adaptive=adaptive) < 0.01
    assert calibration_error(softmax(3 * logits, axis=1), gold, adaptive=adaptive) > 0.1


@pytest.mark.parametrize("factor", [3.0, 1.0, 0.4])
def test_the_temperature_undoes_what_was_done_to_the_logits(factor: float) -> None:
    logits, gold = calibrated()
    temperature = fit_temperature(factor * logits, gold)
    assert temperature == pytest.approx(factor, rel=0.05)
    after = calibration_error(softmax(factor * logits / temperature, axis=1), gold)
    assert after < 0.01
    for other in (0.8 * temperature, 1.25 * temperature):
        best = negative_log_likelihood(factor * logits, gold, temperature=temperature)
        assert best < negative_log_likelihood(factor * logits, gold, temperature=other)


def test_the_temperature_of_a_perfect_model_is_finite() -> None:
    assert 0.01 <= fit_temperature(np.array([[5.0, 0.0], [0.0, 5.0]]), np.array([0, 1])) < 1


def test_the_table_by_hand() -> None:
    said = np.array([[0.9, 0.1], [0.95, 0.05], [0.4, 0.6], [0.3, 0.7]])
    gold = np.array([0, 1, 1, 1])
    table = reliability(said, gold, bins=5)
    assert table == [Bin(0.6, 1.0, 1), Bin(0.7, 1.0, 1), Bin(np.mean([0.9, 0.95]), 0.5, 2)]
    assert calibration_error(said, gold, bins=5) == pytest.approx((0.4 + 0.3 + 2 * 0.425) / 4)
    halves = reliability(said, gold, bins=2, adaptive=True)
    assert [(row.count, row.accuracy) for row in halves] == [(2, 1.0), (2, 0.5)]


def test_brier_score_and_likelihood_agree_with_scikit_learn() -> None:
    logits, gold = calibrated(500)
    said = softmax(logits, axis=1)
    assert brier_score(said, gold) == pytest.approx(brier_score_loss(gold, said, scale_by_half=False))
    assert negative_log_likelihood(logits, gold) == pytest.approx(log_loss(gold, said))
