"""Whether probabilities are right (calibration), and temperature scaling that corrects them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

Gold = Int[np.ndarray, " examples"]
_TEMPERATURES = (1e-2, 1e2)  # the range of the fit; perfectly separated dev logits would give 0


@dataclass(frozen=True)
class Bin:
    """Predictions of similar confidence: their mean confidence, the share that is right, and their number."""

    confidence: float
    accuracy: float
    count: int


def reliability(
    probabilities: Float[np.ndarray, "examples labels"], gold: Gold, *, bins: int = 15, adaptive: bool = False
) -> list[Bin]:
    """The reliability table of the best label's probability, by rising confidence. Empty bins are left out.

    Bins have equal width, or with `adaptive` equal numbers of examples (Nixon et al. 2019).
    """
    confidence = probabilities.max(axis=1)
    right = probabilities.argmax(axis=1) == gold
    order = np.argsort(confidence, kind="stable")
    if adaptive:
        groups = np.array_split(order, bins)
    else:
        upper_edges = np.arange(1, bins) / bins  # (low, high], as Guo et al. have them
        groups = np.split(order, np.searchsorted(confidence[order], upper_edges, side="right"))
    return [
        Bin(float(confidence[group].mean()), float(right[group].mean()), len(group)) for group in groups if len(group)
    ]


def calibration_error(
    probabilities: Float[np.ndarray, "examples labels"], gold: Gold, *, bins: int = 15, adaptive: bool = False
) -> float:
    """ECE: the mean distance of accuracy from confidence over the bins of `reliability`, weighted by their counts.

    Source: Guo et al. 2017, section 2.
    """
    table = reliability(probabilities, gold, bins=bins, adaptive=adaptive)
    return sum(row.count * abs(row.accuracy - row.confidence) for row in table) / len(gold)


def brier_score(probabilities: Float[np.ndarray, "examples labels"], gold: Gold) -> float:
    """The squared distance of the probabilities from the gold label, summed over labels: 0 is best, 2 is worst.

    Source: Brier 1950. For two labels this is twice scikit-learn's default.
    """
    hits = np.eye(probabilities.shape[1])[gold]
    return float(((probabilities - hits) ** 2).sum(axis=1).mean())


def negative_log_likelihood(
    logits: Float[np.ndarray, "examples labels"], gold: Gold, *, temperature: float = 1.0
) -> float:
    """The mean negative log-probability of the gold label, in nats."""
    from scipy.special import log_softmax

    return float(-log_softmax(logits / temperature, axis=1)[np.arange(len(gold)), gold].mean())


def fit_temperature(logits: Float[np.ndarray, "examples labels"], gold: Gold) -> float:
    """The temperature from 0.01 to 100 that makes the gold labels most likely. Fit it on dev, never on test.

    Predictions stay the same. A temperature above 1 means that the model was overconfident. Source: Guo et al. 2017,
    section 4.2.
    """
    from scipy.optimize import minimize_scalar

    # The likelihood is concave in 1 / T, hence has one maximum in log T, where a search is even-handed.
    found = minimize_scalar(
        lambda log_t: negative_log_likelihood(logits, gold, temperature=float(np.exp(log_t))),
        bounds=np.log(_TEMPERATURES),
        method="bounded",
    )
    return float(np.exp(found.x))
