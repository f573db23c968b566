"""Intervals and tests against what theory says of means and of equal systems."""

from __future__ import annotations

import math

import numpy as np
import pytest
from sklearn.metrics import f1_score

from albert.tasks.bootstrap import bootstrap, paired_bootstrap
from albert.tasks.review import mean_of


def answers(n: int, right: float, *, seed: int = 0) -> np.ndarray:
    return (np.random.default_rng(seed).random(n) < right).astype(float)


def test_the_interval_of_a_mean_is_that_of_the_normal_distribution() -> None:
    right = answers(2000, 0.8)
    interval = bootstrap(mean_of(right), len(right), resamples=4000)
    error = 1.96 * math.sqrt(right.mean() * (1 - right.mean()) / len(right))
    assert interval.score == right.mean()
    assert interval.low == pytest.approx(right.mean() - error, abs=2e-3)
    assert interval.high == pytest.approx(right.mean() + error, abs=2e-3)


def test_the_interval_holds_the_true_value_as_often_as_it_says() -> None:
    intervals = [bootstrap(mean_of(answers(200, 0.7, seed=s)), 200, resamples=300, level=0.9) for s in range(300)]
    assert sum(one.low <= 0.7 <= one.high for one in intervals) / 300 == pytest.approx(0.9, abs=0.04)


def test_any_score_has_an_interval() -> None:
    gold, predicted = answers(300, 0.5).astype(int), answers(300, 0.5, seed=1).astype(int)
    interval = bootstrap(lambda indices: float(f1_score(gold[indices], predicted[indices])), 300, resamples=200)
    assert interval.score == f1_score(gold, predicted)
    assert interval.low < interval.score < interval.high


def test_draws_depend_on_the_seed() -> None:
    right = answers(40, 0.5)
    whole = bootstrap(mean_of(right), 40, resamples=101, seed=3)
    assert bootstrap(mean_of(right), 40, resamples=101, seed=3) == whole
    assert bootstrap(mean_of(right), 40, resamples=101, seed=4) != whole


def test_a_better_system_is_told_from_an_equal_one() -> None:
    weak, strong = answers(1000, 0.7), answers(1000, 0.8, seed=1)
    found = paired_bootstrap(mean_of(strong), mean_of(weak), 1000)
    assert found.p_value == pytest.approx(1 / 1001)
    assert 0 < found.difference.low < found.difference.score < found.difference.high
    assert paired_bootstrap(mean_of(weak), mean_of(weak), 1000).p_value == 1


def test_equally_good_systems_seem_different_as_seldom_as_the_p_value_says() -> None:
    p_values = [
        paired_bootstrap(
            mean_of(answers(200, 0.7, seed=2 * s)), mean_of(answers(200, 0.7, seed=2 * s + 1)), 200, resamples=200
        ).p_value
        for s in range(300)
    ]
    assert np.mean(np.array(p_values) <= 0.1) == pytest.approx(0.1, abs=0.04)
    assert np.mean(np.array(p_values) <= 0.5) == pytest.approx(0.5, abs=0.07)
