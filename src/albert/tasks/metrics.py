"""Scores as GLUE and CoNLL define them. scikit-learn and SciPy compute GLUE's."""

from __future__ import annotations

import warnings
from collections.abc import Hashable, Sequence

import numpy as np


def softmax(logits: np.ndarray) -> np.ndarray:
    """Probabilities over the last axis."""
    exponentials: np.ndarray = np.exp(logits - logits.max(-1, keepdims=True))
    return np.asarray(exponentials / exponentials.sum(-1, keepdims=True))


def sigmoid(logits: np.ndarray) -> np.ndarray:
    """The sigmoid of each value."""
    return np.asarray(1 / (1 + np.exp(-np.clip(logits, -60, 60))))


def classification_scores(predicted: np.ndarray, gold: np.ndarray, *, labels: int) -> dict[str, float]:
    """Accuracy, macro F1, Matthews correlation; for two labels also F1 of the second one (MRPC, QQP).

    Shapes: [n] label ids each.
    """
    metrics = ["accuracy", "macro_f1", "mcc", *(["f1"] if labels == 2 else [])]
    return {metric: classification_score(metric, predicted, gold, labels=labels) for metric in metrics}


def classification_score(metric: str, predicted: np.ndarray, gold: np.ndarray, *, labels: int) -> float:
    """One of these scores. scikit-learn takes a millisecond for each."""
    from sklearn.metrics import accuracy_score, f1_score, matthews_corrcoef

    match metric:
        case "accuracy":
            return float(accuracy_score(gold, predicted))
        case "macro_f1":
            return float(f1_score(gold, predicted, labels=list(range(labels)), average="macro", zero_division=0))
        case "mcc":
            return float(matthews_corrcoef(gold, predicted)) if len({*gold, *predicted}) > 1 else 0.0
        case "f1":
            return float(f1_score(gold, predicted, zero_division=0))
    raise ValueError(metric)


def multilabel_scores(predicted: np.ndarray, gold: np.ndarray) -> dict[str, float]:
    """Micro and macro F1 over the labels, and the share of texts whose labels are all right. Shapes: [n, labels]."""
    from sklearn.metrics import f1_score

    return {
        "micro_f1": float(f1_score(gold, predicted, average="micro", zero_division=0)),
        "macro_f1": float(f1_score(gold, predicted, average="macro", zero_division=0)),
        "exact": float((predicted == gold).all(1).mean()),
    }


def best_threshold(scores: np.ndarray, gold: np.ndarray, *, otherwise: float = 0.5) -> float:
    """The threshold with the highest F1 for a yes at or above it. Every score is tried; of equal ones the higher one
    wins.

    Shapes: [n] each, `gold` true or false. If no gold value is true, F1 is 0 everywhere and the result is `otherwise`.
    """
    order = np.argsort(-scores, kind="stable")
    ranked, hits = scores[order], np.cumsum(gold[order] != 0)
    if not len(hits) or hits[-1] == 0:
        return otherwise
    last_of_ties = np.flatnonzero(np.append(ranked[1:] != ranked[:-1], True))
    f1 = 2 * hits[last_of_ties] / (last_of_ties + 1 + hits[-1])
    return float(ranked[last_of_ties[int(f1.argmax())]])


def regression_scores(predicted: np.ndarray, gold: np.ndarray) -> dict[str, float]:
    """Pearson and Spearman correlation, their mean, and the mean squared error. Shapes: [n] each.

    An undefined correlation (of a constant) counts as 0.
    """
    from scipy.stats import pearsonr, spearmanr

    if len(gold) < 2 or np.ptp(predicted) == 0 or np.ptp(gold) == 0:
        pearson = spearman = 0.0
    else:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # nearly constant input; the value is still right
            pearson = float(pearsonr(predicted, gold).statistic)
            spearman = float(spearmanr(predicted, gold).statistic)
    return {
        "pearson": pearson,
        "spearman": spearman,
        "correlation": (pearson + spearman) / 2,
        "mse": float(np.mean((predicted - gold) ** 2)),
    }


def ranks(table: np.ndarray, right: np.ndarray) -> np.ndarray:
    """The rank of the right candidate, from 1, [n]. Candidates with equal scores before it count as better.

    Shapes: scores [n, candidates], the right candidate [n].
    """
    return np.asarray((table >= np.take_along_axis(table, right[:, None], 1)).sum(1))


def ranking_scores(table: np.ndarray, right: np.ndarray) -> dict[str, float]:
    """Mean reciprocal rank, and how often the right candidate is first or among the first ten.

    Shapes: as in `ranks`.
    """
    places = ranks(table, right)
    return {
        "mrr": float((1 / places).mean()),
        "recall_at_1": float((places == 1).mean()),
        "recall_at_10": float((places <= 10).mean()),
    }


def entity_scores(predicted: Sequence[Sequence[Hashable]], gold: Sequence[Sequence[Hashable]]) -> dict[str, float]:
    """Precision, recall and F1 over the entities of all texts together. Each sequence item has one text's entities.

    An entity is right if its place and type are exactly right. Source: conlleval of CoNLL-2003.
    """
    right = sum(len(set(p) & set(g)) for p, g in zip(predicted, gold, strict=True))
    found, wanted = sum(map(len, predicted)), sum(map(len, gold))
    return {
        "f1": 2 * right / (found + wanted) if found + wanted else 0.0,
        "precision": right / found if found else 0.0,
        "recall": right / wanted if wanted else 0.0,
    }
