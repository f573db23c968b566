"""Fits the linear model on training rows: support vectors for labels, least squares for numbers.

A label is a yes or no of its own. How strongly weights are held down is chosen on a tenth of the rows, by seed 0.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np

from albert.data.examples import Example
from albert.linear.model import LinearModel, design
from albert.linear.terms import Terms

_STRENGTHS = (0.1, 0.3, 1.0)  # scikit-learn's C of support vectors, the stronger penalty first
_ALPHAS = (10.0, 3.0, 1.0)  # of ridge regression, likewise
_TRIED = 5_000  # rows on which strengths are compared
_TOLERANCE = 1e-2  # a tenth of what LIBLINEAR has by itself; scikit-learn's 1e-4 takes ten times as long
_LEAST = 50  # rows below which nothing is compared
_MOST_WEIGHTS = 1 << 24  # in all: 32 MiB in the folder


def fit(examples: Sequence[Example], gold: np.ndarray, *, outputs: int, numbers: bool = False) -> LinearModel:
    """The model of these rows; `gold` is a label's id a row, or [rows, labels] of zeros and ones, or a number a row."""
    pairs = any(example.text_pair is not None for example in examples)
    texts = [text for example in examples for text in ((example.text, example.text_pair or "") if pairs else
                                                       (example.text,))]  # fmt: skip
    terms = Terms.of(texts, most=_MOST_WEIGHTS // (2 * outputs * (4 if pairs else 1)))
    rows = design(terms, examples, pairs=pairs)
    strength = _chosen(rows, gold, numbers=numbers)
    weights, bias = _fitted(rows, gold, strength, outputs=outputs, numbers=numbers)
    return LinearModel(terms, weights.astype(np.float16).astype(np.float32), bias.astype(np.float32))


def _chosen(rows: Any, gold: np.ndarray, *, numbers: bool) -> float:
    """The strength that does best on a tenth of the rows, the stronger penalty of equals."""
    strengths = _ALPHAS if numbers else _STRENGTHS
    if rows.shape[0] < _LEAST:
        return strengths[-1]
    order = np.random.default_rng(0).permutation(rows.shape[0])[:_TRIED]
    held, rest = order[: len(order) // 10], order[len(order) // 10 :]
    outputs = 1 if numbers else _width(gold)

    def merit(strength: float) -> float:
        weights, bias = _fitted(rows[rest], gold[rest], strength, outputs=outputs, numbers=numbers)
        said = rows[held] @ weights + bias
        if numbers:
            return -float(np.mean((said[:, 0] - gold[held]) ** 2))
        right = (said > 0) == (gold[held] > 0) if gold.ndim > 1 else said.argmax(1) == gold[held]
        return float(np.mean(right))

    return max(strengths, key=merit)


def _width(gold: np.ndarray) -> int:
    return gold.shape[1] if gold.ndim > 1 else int(gold.max()) + 1


def _fitted(
    rows: Any, gold: np.ndarray, strength: float, *, outputs: int, numbers: bool
) -> tuple[np.ndarray, np.ndarray]:
    """(weights [columns, outputs], bias [outputs])."""
    if numbers:
        return _least_squares(rows, gold, strength)
    hot = gold if gold.ndim > 1 else np.eye(outputs)[gold]
    if outputs == 2 and gold.ndim == 1:  # one decision, whose sign is the other label's
        weights, bias = _decision(rows, hot[:, 1] > 0, strength)
        return np.stack([-weights, weights], 1) / 2, np.asarray([-bias, bias]) / 2
    found = [_decision(rows, column > 0, strength) for column in hot.T]
    return np.stack([weights for weights, _ in found], 1), np.asarray([bias for _, bias in found])


def _decision(rows: Any, yes: np.ndarray, strength: float) -> tuple[np.ndarray, float]:
    """The weights and the bias of a yes or no; of rows that all say the same the bias alone."""
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.svm import LinearSVC

    if yes.all() or not yes.any():
        return np.zeros(rows.shape[1]), 1.0 if yes.all() else -1.0
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # the weights are held down: nearly there is good enough
        model = LinearSVC(C=strength, tol=_TOLERANCE, random_state=0).fit(rows, yes)
    return model.coef_[0], float(model.intercept_[0])


def _least_squares(rows: Any, gold: np.ndarray, alpha: float) -> tuple[np.ndarray, np.ndarray]:
    from sklearn.linear_model import Ridge

    model = Ridge(alpha=alpha, solver="sparse_cg", random_state=0).fit(rows, gold)
    return model.coef_[:, None], np.asarray([model.intercept_])
