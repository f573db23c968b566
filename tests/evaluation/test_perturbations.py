"""Each perturbation by example, and what all of them promise."""

from __future__ import annotations

import random
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from albert.evaluation.perturbations import NAMES, NEUTRAL_SENTENCES, PERTURBATIONS, PLACES

EXAMPLES = [
    ("contractions", "It is not here, and I can't see it.", "It isn't here, and I cannot see it."),
    ("contractions", "Isn't it?", "Is not it?"),
    ("punctuation", "It rained.", "It rained"),
    ("punctuation", "It rained", "It rained."),
    ("casing", "It rained", "IT RAINED"),
    ("negation", "The soup was good and is cheap.", "The soup was not good and is cheap."),
    ("negation", "The soup is  not good.", "The soup is good."),
]


def perturbed(name: str, *texts: str, seed: int = 0) -> list[str]:
    return PERTURBATIONS[name](texts, random.Random(seed))


@pytest.mark.parametrize(("name", "before", "after"), EXAMPLES)
def test_fixed_changes(name: str, before: str, after: str) -> None:
    assert perturbed(name, before) == [after]


@pytest.mark.parametrize("name", ["typos", "contractions", "names", "places", "numbers", "negation"])
def test_nothing_to_change(name: str) -> None:
    assert perturbed(name, "Tea, 1 cup, now.", "") == ["Tea, 1 cup, now.", ""]


@given(st.text(alphabet="abc AB1é.", max_size=40), st.integers(0, 99))
def test_a_typo_exchanges_two_letters_inside_a_word(text: str, seed: int) -> None:
    after = perturbed("typos", text, seed=seed)[0]
    changed = [index for index, (old, new) in enumerate(zip(text, after, strict=True)) if old != new]
    assert Counter(after) == Counter(text)
    assert not changed or (len(changed) == 2 and changed[1] == changed[0] + 1 and text[changed[0] - 1].isalpha())


@pytest.mark.parametrize(
    ("name", "rows", "words"), [("names", NAMES, ("Alice", "Peter")), ("places", PLACES, ("Paris", "Japan"))]
)
@pytest.mark.parametrize("seed", range(5))
def test_swaps_are_the_same_in_all_texts(
    name: str, rows: tuple[tuple[str, ...], ...], words: tuple[str, str], seed: int
) -> None:
    first, second = words
    one, two = perturbed(name, f"{first} and {second}.", f"{second}s or {first}", seed=seed)
    new_first, new_second = one.rstrip(".").split(" and ")
    assert two == f"{second}s or {new_first}"  # whole words only
    assert new_first in next(row for row in rows if first in row)
    assert new_second in next(row for row in rows if second in row)
    assert not {new_first, new_second} & {first, second}


@given(st.lists(st.integers(2, 2000), min_size=1, max_size=4, unique=True), st.integers(0, 99))
def test_numbers_stay_apart_and_as_long(found: list[int], seed: int) -> None:
    after = perturbed("numbers", " ".join(map(str, found)), seed=seed)[0].split()
    assert [len(number) for number in after] == [len(str(number)) for number in found]
    assert len(set(after)) == len(found)
    assert not set(after) & set(map(str, found))


def test_the_same_neutral_sentence_follows_each_text() -> None:
    one, two = perturbed("neutral_sentence", "A.", "B.")
    assert one.removeprefix("A. ") == two.removeprefix("B. ") in NEUTRAL_SENTENCES


@given(st.sampled_from(sorted(PERTURBATIONS)), st.lists(st.text(max_size=30), max_size=3), st.integers(0, 9))
def test_any_texts_are_taken_and_the_seed_decides(name: str, texts: list[str], seed: int) -> None:
    assert len(perturbed(name, *texts, seed=seed)) == len(texts)
    assert perturbed(name, *texts, seed=seed) == perturbed(name, *texts, seed=seed)
