"""SQuAD's scores against a second implementation, question by question and threshold by threshold."""

from __future__ import annotations

import itertools
import string

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from albert.tasks.squad_metrics import exact_match, normalize_answer, squad_scores, token_f1

Question = tuple[str, list[str], float]  # prediction, gold answers, null score

words = st.sampled_from(["the", "A", "an", "cat", "Cat.", "sat", "U.S.", "théâtre", "an-other", "—", "1,000", "."])
texts = st.one_of(st.lists(words, max_size=4).map(" ".join), st.text(max_size=12))
questions = st.lists(
    st.tuples(texts, st.lists(texts, max_size=3), st.floats(0, 1, allow_subnormal=False)), min_size=1, max_size=12
)


def kept_words(text: str) -> list[str]:
    """Normalised words without regular expressions: letter by letter, articles where a word begins and ends."""
    plain = "".join(c for c in text.lower() if c not in string.punctuation)
    runs = ["".join(run) for _, run in itertools.groupby(plain, lambda c: c.isalnum())]  # "_" is punctuation
    return "".join(" " if run in ("a", "an", "the") else run for run in runs).split()


def right_and_f1(prediction: str, answers: list[str]) -> tuple[float, float]:
    said = kept_words(prediction)
    best = (0.0, 0.0)
    for answer in [kept for a in answers if (kept := kept_words(a))] or [[]]:
        left = list(answer)
        shared = 0
        for word in said:
            if word in left:
                left.remove(word)
                shared += 1
        f1 = 2 * shared / (len(said) + len(answer)) if said and answer else float(said == answer)
        best = max(best[0], float(said == answer)), max(best[1], f1)
    return best


def scores_at(rows: list[Question], threshold: float) -> dict[str, float]:
    """Means with the predictions above the threshold withdrawn: the official figure, group by group."""
    pairs = []
    for prediction, answers, null in rows:
        withdrawn = float(not answers)
        pairs.append((withdrawn, withdrawn) if null > threshold else right_and_f1(prediction, answers))
    groups = {"": [True] * len(rows), "HasAns_": [bool(a) for _, a, _ in rows], "NoAns_": [not a for _, a, _ in rows]}
    scores: dict[str, float] = {}
    for prefix, chosen in groups.items():
        picked = [pair for pair, there in zip(pairs, chosen, strict=True) if there]
        if picked:
            exact, f1 = np.mean(picked, axis=0)
            scores |= {f"{prefix}exact": exact, f"{prefix}f1": f1, f"{prefix}total": len(picked)}
    return scores


def columns(rows: list[Question]) -> tuple[list[str], list[list[str]], list[float]]:
    return [row[0] for row in rows], [row[1] for row in rows], [row[2] for row in rows]


@given(texts)
def test_normalisation(text: str) -> None:
    assert normalize_answer(text).split() == kept_words(text)


@given(questions, st.floats(0, 1))
def test_all_scores(rows: list[Question], threshold: float) -> None:
    predictions, gold, null_scores = columns(rows)
    assert squad_scores(predictions, gold) == pytest.approx(scores_at(rows, 2))
    found = squad_scores(predictions, gold, null_scores=null_scores, threshold=threshold)
    best = {name: value for name, value in found.items() if name.startswith("best_")}
    assert {name: value for name, value in found.items() if name not in best} == pytest.approx(
        scores_at(rows, threshold)
    )
    assert set(best) == {"best_exact", "best_exact_thresh", "best_f1", "best_f1_thresh"}


@given(questions)
def test_the_best_threshold_is_that_of_brute_force(rows: list[Question]) -> None:
    """Where null scores differ and are above 0, and every prediction to an unanswerable question has words."""
    rows = [
        (p if answers else f"cat {p}", answers, (index + 1 + null) / 100)
        for index, (p, answers, null) in enumerate(rows)
    ]
    predictions, gold, null_scores = columns(rows)
    found = squad_scores(predictions, gold, null_scores=[null / 2 for null in null_scores])
    for name in ("exact", "f1"):
        tried = [scores_at(rows, threshold)[name] for threshold in (0.0, *sorted(null_scores))]
        assert found[f"best_{name}"] == pytest.approx(max(tried))
        at = 2 * found[f"best_{name}_thresh"]
        assert scores_at(rows, at)[name] == pytest.approx(max(tried))


def test_by_hand() -> None:
    assert normalize_answer(" The  U.S. Army, an army!") == "us army army"
    assert exact_match("the Cat.", ["dog", "a cat"]) == 1
    assert exact_match("the", []) == 1  # nothing is left of it
    assert exact_match("cat", []) == token_f1("cat", []) == 0
    assert token_f1("black cat sat", ["a black black cat", "dog"]) == pytest.approx(2 / 3)
    scores = squad_scores(
        ["cat", "big dog", "", "mouse"], [["the cat"], ["dog"], [], []], null_scores=[0.1, 0.2, 0.9, 0.8]
    )
    assert scores == pytest.approx({
        "exact": 0.5, "f1": (1 + 2 / 3 + 1) / 4, "total": 4,
        "HasAns_exact": 0.5, "HasAns_f1": 5 / 6, "HasAns_total": 2,
        "NoAns_exact": 0.5, "NoAns_f1": 0.5, "NoAns_total": 2,
        "best_exact": 0.75, "best_exact_thresh": 0.1, "best_f1": (3 + 2 / 3) / 4, "best_f1_thresh": 0.2,
    })  # fmt: skip


def test_groups_that_are_not_there_have_no_scores() -> None:
    assert set(squad_scores(["a"], [["b"]])) == {
        "exact", "f1", "total", "HasAns_exact", "HasAns_f1", "HasAns_total",
    }  # fmt: skip
    assert squad_scores([""], [[]])["NoAns_exact"] == 1


@pytest.mark.parametrize(("predictions", "gold"), [([], []), (["a"], []), (["a"], [["a"], ["b"]])])
def test_lengths_are_checked(predictions: list[str], gold: list[list[str]]) -> None:
    with pytest.raises(ValueError, match="as many predictions"):
        squad_scores(predictions, gold)
