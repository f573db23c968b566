"""Scores of written texts beside one or several references, by sacrebleu and rouge-score; all from 0 to 1."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

import numpy as np

from albert.errors import require_extra
from albert.tasks.review import Score, mean_of

EXTRA = "text2text"  # of the package, which installs the libraries
References = Sequence[Sequence[str]]  # for each text


def exact_matches(said: Sequence[str], references: References) -> list[float]:
    """1 for each text that is one of its references, white space apart."""
    return [
        float(" ".join(text.split()) in {" ".join(one.split()) for one in wanted})
        for text, wanted in zip(said, references, strict=True)
    ]


def rouge_l(said: Sequence[str], references: References) -> list[float]:
    """ROUGE-L F1 of each text, with the best of its references."""
    scorer = _rouge()
    return [
        float(scorer.score_multi(list(wanted), text)["rougeL"].fmeasure)
        for text, wanted in zip(said, references, strict=True)
    ]


@cache
def _rouge() -> Any:
    return require_extra("rouge_score.rouge_scorer", EXTRA).RougeScorer(["rougeL"])


def _sacrebleu(metric: str) -> Any:
    """A fresh metric of sacrebleu: BLEU with its tokenizer 13a, cased, or chrF2."""
    metrics = require_extra("sacrebleu.metrics", EXTRA)
    return metrics.BLEU() if metric == "bleu" else metrics.CHRF()


def _streams(references: References) -> list[list[str | None]]:
    """sacrebleu's form: the first references of all texts, then the second ones, None where there is none."""
    most = max(map(len, references))
    return [[wanted[place] if place < len(wanted) else None for wanted in references] for place in range(most)]


def _corpus_score(metric: str) -> Callable[[Sequence[str], References], Score]:
    def scores(said: Sequence[str], references: References) -> Score:
        library = _sacrebleu(metric)
        rows = np.asarray(library._extract_corpus_statistics(list(said), _streams(references)))
        return lambda chosen: library._compute_score_from_stats(rows[chosen].sum(0).tolist()).score / 100

    return scores


# Each makes a score of a choice of the texts from all texts and their references.
METRICS: dict[str, Callable[[Sequence[str], References], Score]] = {
    "chrf": _corpus_score("chrf"),
    "bleu": _corpus_score("bleu"),
    "rouge_l": lambda said, references: mean_of(rouge_l(said, references)),
    "exact_match": lambda said, references: mean_of(exact_matches(said, references)),
}
_LIBRARIES = {"chrf": "sacrebleu", "bleu": "sacrebleu", "rouge_l": "rouge_score"}


def installed() -> list[str]:
    """The metrics whose libraries are there."""
    return [name for name in METRICS if importlib.util.find_spec(_LIBRARIES.get(name, "albert")) is not None]


def require_library(metric: str) -> None:
    """Raises `AlbertError` (bad-config) where the library of a metric is not installed."""
    if metric in _LIBRARIES:
        require_extra(_LIBRARIES[metric], EXTRA)


def signatures(said: Sequence[str], references: References) -> list[str]:
    """BLEU and chrF with their signatures, as sacrebleu prints them; none where it is not installed."""
    if "bleu" not in installed():
        return []
    told = []
    for name in ("bleu", "chrf"):
        library = _sacrebleu(name)
        score = library.corpus_score(list(said), _streams(references))
        told.append(f"{score.name} {score.score:.2f} ({library.get_signature()})")
    return told
