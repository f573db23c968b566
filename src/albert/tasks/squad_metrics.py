"""SQuAD's scores for 1.1 and 2.0, as evaluate-v2.0.py counts them (Rajpurkar et al. 2018), as fractions.

A question without a gold answer is unanswerable, and the right prediction for it is "".
"""

from __future__ import annotations

import math
import re
import string
from collections import Counter
from collections.abc import Sequence

import numpy as np

_PUNCTUATION = str.maketrans("", "", string.punctuation)
_ARTICLES = re.compile(r"\b(a|an|the)\b")


def normalize_answer(text: str) -> str:
    """The part of an answer that counts: lower case, without ASCII punctuation and articles, with single spaces."""
    return " ".join(_ARTICLES.sub(" ", text.lower().translate(_PUNCTUATION)).split())


def exact_match(prediction: str, answers: Sequence[str]) -> float:
    """1 if the prediction is one of the gold answers after normalisation, else 0. Without gold
    answers: 1 for "" only.
    """
    return float(normalize_answer(prediction) in _normalized(answers))


def token_f1(prediction: str, answers: Sequence[str]) -> float:
    """The best F1 over the gold answers, from the words shared with the prediction, counted with repetition."""
    words = normalize_answer(prediction).split()
    return max(_overlap_f1(words, answer.split()) for answer in _normalized(answers))


def squad_scores(
    predictions: Sequence[str],
    gold: Sequence[Sequence[str]],
    *,
    null_scores: Sequence[float] | None = None,
    threshold: float = math.inf,
) -> dict[str, float]:
    """`exact`, `f1` and `total` over all questions, and as `HasAns_…` and `NoAns_…` if such questions exist.

    A prediction is a text, or "" for no answer. Gold is a list of answers per question, [] for an unanswerable one.
    `null_scores` are the probabilities of no answer: above `threshold` a prediction counts as "". `best_exact` and
    `best_f1` with their `…_thresh` are the scores at the best threshold, found as in the script.

    All scores are in 0..1 (the script gives percent); totals are counts. Raises `ValueError` for unequal lengths or no
    questions.
    """
    _require_equal_lengths(predictions, gold, null_scores)
    answerable = np.array([len(answers) > 0 for answers in gold])
    pairs = list(zip(predictions, gold, strict=True))
    raw = {
        "exact": np.array([exact_match(prediction, answers) for prediction, answers in pairs]),
        "f1": np.array([token_f1(prediction, answers) for prediction, answers in pairs]),
    }
    kept = raw
    if null_scores is not None:
        withdrawn = np.asarray(null_scores) > threshold
        kept = {name: np.where(withdrawn, ~answerable, values) for name, values in raw.items()}
    scores = _means(kept, np.ones_like(answerable), "")
    if answerable.any():
        scores |= _means(kept, answerable, "HasAns_")
    if not answerable.all():
        scores |= _means(kept, ~answerable, "NoAns_")
    if null_scores is not None:
        spoke = np.array([prediction != "" for prediction in predictions])
        for name, values in raw.items():
            gain = np.where(answerable, values, -1.0 * spoke)
            best, at = _best_threshold(gain, np.asarray(null_scores, float), unanswerable=int((~answerable).sum()))
            scores |= {f"best_{name}": best, f"best_{name}_thresh": at}
    return scores


def _best_threshold(gain: np.ndarray, null_scores: np.ndarray, *, unanswerable: int) -> tuple[float, float]:
    """(best mean score, its threshold) when questions are answered in the order of their null scores.

    Answering no question gets the unanswerable ones right, at threshold 0. Each answered question adds its `gain`. As
    in the script, equal null scores are passed one by one, so a threshold within a tie can promise too much.
    """
    order = np.argsort(null_scores, kind="stable")
    reached = np.cumsum(np.concatenate([[unanswerable], gain[order]]))
    best = int(reached.argmax())
    return float(reached[best] / len(gain)), float(null_scores[order[best - 1]]) if best else 0.0


def _means(scores: dict[str, np.ndarray], chosen: np.ndarray, prefix: str) -> dict[str, float]:
    means = {f"{prefix}{name}": float(values[chosen].mean()) for name, values in scores.items()}
    return {**means, f"{prefix}total": int(chosen.sum())}


def _normalized(answers: Sequence[str]) -> list[str]:
    """Normalised gold answers that are not empty; [""] if all are empty."""
    return [kept for answer in answers if (kept := normalize_answer(answer))] or [""]


def _overlap_f1(predicted: list[str], answer: list[str]) -> float:
    if not predicted or not answer:
        return float(predicted == answer)
    shared = (Counter(predicted) & Counter(answer)).total()
    if not shared:
        return 0.0
    # Computed exactly as in the script: a different rounding would move thresholds between ties.
    precision, recall = shared / len(predicted), shared / len(answer)
    return 2 * precision * recall / (precision + recall)


def _require_equal_lengths(
    predictions: Sequence[str], gold: Sequence[Sequence[str]], null_scores: Sequence[float] | None
) -> None:
    lengths = [len(predictions), len(gold), *([] if null_scores is None else [len(null_scores)])]
    if len(set(lengths)) > 1 or not lengths[0]:
        raise ValueError(f"expected as many predictions, gold answers and null scores, at least one; got {lengths}")
