"""Doubtful labels, and words that give a label away, found by a logistic regression on words.

Every row is judged by a model that has not seen its text. Source of the rule for doubtful labels: Northcutt, Jiang,
Chuang 2021, Confident Learning, section 3.1.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np

from albert.audit.findings import Finding, Place, Severity, canonical, canonical_example, excerpt, found
from albert.audit.labels import count_labels, robust_scores
from albert.data.examples import Example

_WORD = r"\w+"
_FOLDS = 5
_LEAST_ROWS = 50
_LEAST_OF_A_LABEL = 10
_MOST_LABELS = 300
_GAIN = 0.4  # the least share of the majority's (or the mean's) errors that the model gets right
_DOUBTED = 0.02  # the share of rows to report, the most doubtful; beyond it, mostly the model is wrong
_LEAST_DOUBTED = 5
_FAR = 5.0  # robust standard deviations
_LABEL_WORD = 0.1  # share of a label's rows that contain its name
_GIVEAWAY = 0.8  # share of a label's rows that contain another word


def learned_findings(examples: Sequence[Example]) -> list[Finding]:
    """Doubtful labels and words that give a label away; nothing if there are too few rows to learn from."""
    if len(examples) < _LEAST_ROWS:
        return []
    if all(isinstance(example.gold, str) for example in examples):
        return _of_classes(examples)
    if all(isinstance(example.gold, float) for example in examples):
        return _of_numbers(examples)
    return []


def _of_classes(examples: Sequence[Example]) -> list[Finding]:
    counts = count_labels(examples)
    heard = [example for example in examples if counts[example.gold] >= _LEAST_OF_A_LABEL]
    labels = sorted({example.gold for example in heard})
    gold = np.searchsorted(labels, [example.gold for example in heard])
    if not 2 <= len(labels) <= _MOST_LABELS or (terms := _Terms.of(heard)) is None:
        return []
    return [*_giveaways(heard, terms, labels, gold), *_doubtful(heard, terms, labels, gold)]


class _Terms:
    """The words and pairs of words of many texts, weighted by TF-IDF."""

    def __init__(self, weights: Any, names: np.ndarray, folds: np.ndarray) -> None:
        self.weights = weights  # sparse [texts, terms]
        self.names = names  # [terms]
        self.folds = folds  # [texts]

    @classmethod
    def of(cls, examples: Sequence[Example]) -> _Terms | None:
        """The terms that occur in at least two texts; None without any. Equal texts are in one fold."""
        from sklearn.feature_extraction.text import TfidfVectorizer

        texts = [canonical_example(example) for example in examples]
        vectorizer = TfidfVectorizer(
            ngram_range=(1, 2), min_df=2, sublinear_tf=True, dtype=np.float32, token_pattern=_WORD, lowercase=False
        )
        try:
            weights = vectorizer.fit_transform(texts)
        except ValueError:  # no term occurs twice
            return None
        distinct, ids = np.unique(texts, return_inverse=True)
        if len(distinct) < 2:
            return None
        folds = np.random.default_rng(0).permutation(len(distinct)) % _FOLDS
        return cls(weights, vectorizer.get_feature_names_out(), folds[ids])

    def parts(self) -> list[tuple[np.ndarray, np.ndarray]]:
        """(training rows, judged rows) of each fold that has texts."""
        return [(np.flatnonzero(self.folds != fold), np.flatnonzero(self.folds == fold)) for fold in set(self.folds)]


# --- doubtful labels -------------------------------------------------------------------------------------


def _doubtful(examples: Sequence[Example], terms: _Terms, labels: Sequence[str], gold: np.ndarray) -> list[Finding]:
    """Rows whose own label is improbable, while another label is as probable as for that label's own rows."""
    probabilities = _probabilities(terms, gold, len(labels))
    majority = float(np.bincount(gold).max() / len(gold))
    right = float((probabilities.argmax(1) == gold).mean())
    if right < majority + _GAIN * (1 - majority):
        return []
    rows = np.arange(len(gold))
    own = probabilities[rows, gold]
    typical = np.bincount(gold, own) / np.bincount(gold)
    rivals = np.where(probabilities >= typical, probabilities, 0.0)
    rivals[rows, gold] = 0.0
    rival = rivals.argmax(1)
    doubt = rivals[rows, rival] - own
    suspects = np.flatnonzero(rivals.any(1))
    suspects = suspects[np.argsort(-doubt[suspects], kind="stable")][: max(int(_DOUBTED * len(gold)), _LEAST_DOUBTED)]
    places = [
        Place.of(
            examples[i],
            f"{labels[gold[i]]!r} ({own[i]:.0%}), perhaps {labels[rival[i]]!r} ({rivals[i, rival[i]]:.0%}): "
            f"{excerpt(examples[i].text)}",
        )
        for i in suspects.tolist()
    ]
    message = f"labels that a plain model ({right:.0%} right) doubts the most"
    return found("doubtful-labels", Severity.NOTE, message, places)


def _probabilities(terms: _Terms, gold: np.ndarray, labels: int) -> np.ndarray:
    """The probabilities of each row's labels by its words, learned from the other folds, [rows, labels]."""
    from sklearn.linear_model import LogisticRegression

    probabilities = np.zeros((len(gold), labels), np.float32)
    for known, judged in terms.parts():
        if len(set(gold[known])) < 2:  # all rows of the other labels have the same text, which is judged here
            probabilities[judged, gold[known[0]]] = 1.0
            continue
        model = LogisticRegression(C=5.0, tol=1e-3)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # full convergence is not needed here
            model.fit(terms.weights[known], gold[known])
        probabilities[np.ix_(judged, model.classes_)] = model.predict_proba(terms.weights[judged])
    return probabilities


def _of_numbers(examples: Sequence[Example]) -> list[Finding]:
    """Rows whose number is far from the number that their words predict, if words predict numbers at all."""
    from sklearn.linear_model import Ridge

    if (terms := _Terms.of(examples)) is None:
        return []
    gold = np.asarray([example.gold for example in examples])
    guesses = np.zeros(len(gold))
    for known, judged in terms.parts():
        model = Ridge(solver="sparse_cg").fit(terms.weights[known], gold[known])
        guesses[judged] = model.predict(terms.weights[judged])
    if ((gold - guesses) ** 2).sum() > (1 - _GAIN) * ((gold - gold.mean()) ** 2).sum():
        return []
    scores = np.abs(robust_scores(gold - guesses))
    order = np.argsort(-scores, kind="stable")[: int((scores > _FAR).sum())]
    places = [
        Place.of(examples[i], f"{gold[i]:g}, perhaps {guesses[i]:.2g}: {excerpt(examples[i].text)}") for i in order
    ]
    return found("doubtful-labels", Severity.NOTE, "labels far from what a plain model expects", places)


# --- words that give the label away ----------------------------------------------------------------------


def _giveaways(examples: Sequence[Example], terms: _Terms, labels: Sequence[str], gold: np.ndarray) -> list[Finding]:
    """Words that occur only with one label: its own name in some of its rows, any other word in most of them."""
    holds = (terms.weights > 0).astype(np.int32)
    totals = np.asarray(holds.sum(0)).ravel()
    named, telling = [], []
    for index, label in enumerate(labels):
        rows = np.flatnonzero(gold == index)
        counts = np.asarray(holds[rows].sum(0)).ravel()
        alone = np.flatnonzero((counts == totals) & (counts >= max(_LABEL_WORD * len(rows), 3)))
        for term in alone[np.argsort(-counts[alone], kind="stable")]:
            name, share = terms.names[term], counts[term] / len(rows)
            first = examples[rows[holds[rows, term].nonzero()[0][0]]]
            place = Place.of(first, f"{name!r} occurs in {share:.0%} of the rows of {label!r} and in no other rows")
            if name == _as_term(label):
                named.append(place)
            elif share >= _GIVEAWAY and " " not in name:
                telling.append(place)
    return [
        *found("label-in-text", Severity.NOTE, "labels whose name occurs only in their own rows", named),
        *found("telling-words", Severity.NOTE, "words that give a label away", telling),
    ]


def _as_term(label: str) -> str:
    """The label in the form of a term if it has one word or two: "Sci/Tech" is "sci tech"."""
    return " ".join(re.findall(_WORD, canonical(label).replace("_", " ")))
