"""Scores as GLUE and CoNLL define them; scikit-learn and SciPy compute GLUE's."""

from __future__ import annotations

import warnings
from collections.abc import Hashable, Sequence

import numpy as np


def softmax(logits: np.ndarray) -> np.ndarray:
    """Probabilities over the last axis."""
    exponentials: np.ndarray = np.exp(logits - logits.max(-1, keepdims=True))
    return np.asarray(exponentials / exponentials.sum(-1, keepdims=True))


def classification_scores(predicted: np.ndarray, gold: np.ndarray, *, labels: int) -> dict[str, float]:
    """Accuracy, macro F1, Matthews correlation; for two labels also F1 of the second one (MRPC, QQP).

    Shapes: [n] label ids each.
    """
    from sklearn.metrics import accuracy_score, f1_score, matthews_corrcoef

    scores = {
        "accuracy": float(accuracy_score(gold, predicted)),
        "macro_f1": float(f1_score(gold, predicted, labels=list(range(labels)), average="macro", zero_division=0)),
        "mcc": float(matthews_corrcoef(gold, predicted)) if len({*gold, *predicted}) > 1 else 0.0,
    }
    if labels == 2:
        scores["f1"] = float(f1_score(gold, predicted, zero_division=0))
    return scores


def regression_scores(predicted: np.ndarray, gold: np.ndarray) -> dict[str, float]:
    """Pearson and Spearman correlation, their mean, and the mean squared error. Shapes: [n] each.

    A correlation that is not defined (a constant) counts as 0.
    """
    from scipy.stats import pearsonr, spearmanr

    if len(gold) < 2 or np.ptp(predicted) == 0 or np.ptp(gold) == 0:
        pearson = spearman = 0.0
    else:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # nearly constant input: the value is still right
            pearson = float(pearsonr(predicted, gold).statistic)
            spearman = float(spearmanr(predicted, gold).statistic)
    return {
        "pearson": pearson,
        "spearman": spearman,
        "correlation": (pearson + spearman) / 2,
        "mse": float(np.mean((predicted - gold) ** 2)),
    }


def entity_scores(predicted: Sequence[Sequence[Hashable]], gold: Sequence[Sequence[Hashable]]) -> dict[str, float]:
    """Precision, recall and F1 over the entities of all texts together, a text's entities in each sequence.

    An entity is right when place and type are, exactly. Source: conlleval of CoNLL-2003.
    """
    right = sum(len(set(p) & set(g)) for p, g in zip(predicted, gold, strict=True))
    found, wanted = sum(map(len, predicted)), sum(map(len, gold))
    return {
        "f1": 2 * right / (found + wanted) if found + wanted else 0.0,
        "precision": right / found if found else 0.0,
        "recall": right / wanted if wanted else 0.0,
    }
