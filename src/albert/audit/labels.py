"""Faults of the labels: unknown, misspelt, rare and unbalanced labels, and numbers far from the others."""

from __future__ import annotations

import difflib
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Sequence

import numpy as np

from albert.audit.duplicates import Splits
from albert.audit.findings import KEPT, Finding, Place, Severity, excerpt, found, labels_of
from albert.data.examples import Example
from albert.text.hardening.hardener import without_floods

IMBALANCE = 5.0  # ratio of the most frequent label to another; above it, class weights are suggested
RARE = 10  # with fewer rows, a label is hardly learned
_OWN_LABELS = 20  # with this many rows, labels that never repeat are a mistake
_FAR = 10.0  # robust standard deviations


def label_findings(splits: Splits) -> list[Finding]:
    """All faults of label strings; nothing for numbers."""
    train = next(iter(splits.values()))
    counts = count_labels(train)
    if not counts:
        return []
    firsts = _first_rows(train)
    return [
        *_unrepeated(train, counts, firsts),
        *_unknown(splits, counts),
        *_spellings(splits),
        *_rare(counts, firsts),
        *_imbalance(train, counts, firsts),
    ]


def number_findings(examples: Sequence[Example]) -> list[Finding]:
    """Numbers that are far from all others; nothing for label strings."""
    numbered = [example for example in examples if isinstance(example.gold, float)]
    if not numbered:
        return []
    far = np.abs(robust_scores(np.asarray([example.gold for example in numbered]))) > _FAR
    middle = float(np.median([example.gold for example in numbered]))
    places = [
        Place.of(numbered[index], f"{numbered[index].gold:g} for {excerpt(numbered[index].text)}; median {middle:g}")
        for index in np.flatnonzero(far)
    ]
    return found("far-labels", Severity.WARNING, "labels far from all others", places)


def robust_scores(values: np.ndarray) -> np.ndarray:
    """The distance from the median in standard deviations, which the median deviation estimates. 0 if most values are
    equal.
    """
    away = values - np.median(values)
    scale = 1.4826 * np.median(np.abs(away))
    return away / scale if scale > 0 else np.zeros_like(away)


def count_labels(examples: Sequence[Example]) -> dict[str, int]:
    """The count of each label, the most frequent first."""
    counts = Counter(label for example in examples for label in labels_of(example.gold))
    return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))


def _first_rows(examples: Sequence[Example]) -> dict[str, Example]:
    firsts: dict[str, Example] = {}
    for example in examples:
        for label in labels_of(example.gold):
            firsts.setdefault(label, example)
    return firsts


def _unrepeated(train: Sequence[Example], counts: dict[str, int], firsts: dict[str, Example]) -> list[Finding]:
    if len(train) < _OWN_LABELS or len(counts) <= len(train) / 2:
        return []
    single = [Place.of(firsts[label], excerpt(label)) for label, count in counts.items() if count == 1]
    return found("unrepeated-labels", Severity.ERROR, "labels of a single row: is this the label column?", single)


def _unknown(splits: Splits, known: dict[str, int]) -> list[Finding]:
    strange = [
        (example, label)
        for examples in list(splits.values())[1:]
        for example in examples
        for label in dict.fromkeys(labels_of(example.gold))
        if label not in known
    ]
    places = [Place.of(example, _suggestion(label, known)) for example, label in strange[:KEPT]]
    message = "rows with a label that training lacks"
    return found("unknown-labels", Severity.ERROR, message, places, count=len(strange))


def _suggestion(label: str, known: dict[str, int]) -> str:
    near = difflib.get_close_matches(label, known, n=1)
    return repr(label) + (f", did you mean {near[0]!r}?" if near else "")


def _spellings(splits: Splits) -> list[Finding]:
    spellings: dict[str, dict[str, Example]] = defaultdict(dict)
    for examples in splits.values():
        for label, example in _first_rows(examples).items():
            spellings[_spelling_key(label)].setdefault(label, example)
    places = [
        Place.of(example, f"{label!r}, beside " + ", ".join(repr(other) for other in group if other != label))
        for group in spellings.values()
        if len(group) > 1
        for label, example in group.items()
    ]
    return found("label-spellings", Severity.WARNING, "labels that differ only by case or space", places)


def _spelling_key(label: str) -> str:
    """The part of a label that case, spaces and underscores do not change."""
    return "".join(unicodedata.normalize("NFKC", without_floods(label)).casefold().replace("_", " ").split())


def _rare(counts: dict[str, int], firsts: dict[str, Example]) -> list[Finding]:
    places = [
        Place.of(firsts[label], f"{label!r} occurs {_times(count)}") for label, count in counts.items() if count < RARE
    ]
    return found("rare-labels", Severity.WARNING, f"labels that occur fewer than {RARE} times", places)


def _imbalance(train: Sequence[Example], counts: dict[str, int], firsts: dict[str, Example]) -> list[Finding]:
    most, highest = next(iter(counts.items()))
    places = [
        Place.of(firsts[label], f"{label!r} occurs {_times(count)}, {most!r} {_times(highest)}")
        for label, count in counts.items()
        if highest > IMBALANCE * count
    ]
    weights = "; --set class_weights=balanced gives classes equal weight" if isinstance(train[0].gold, str) else ""
    message = f"labels more than {IMBALANCE:g} times rarer than the most frequent one{weights}"
    return found("imbalance", Severity.WARNING, message, places)


def _times(count: int) -> str:
    return "once" if count == 1 else f"{count:,} times"
