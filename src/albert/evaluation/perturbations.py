"""Small changes to English texts that most predictions should survive (Ribeiro et al. 2020, section 3).

A perturbation takes the texts of one input and a random generator, and returns the changed texts. It changes all texts
in the same way: a name is replaced by the same name in each. Texts without anything to change are returned unchanged.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Sequence

Perturbation = Callable[[Sequence[str], random.Random], list[str]]

# Words are swapped within a row: a woman's name for a woman's, a city for a city.
NAMES = (
    ("Alice", "Amina", "Clara", "Dalia", "Elena", "Fatima", "Grace", "Hannah", "Ingrid", "Julia", "Keiko", "Laura",
     "Maria", "Nadia", "Olga", "Priya", "Rosa", "Sarah", "Tanya", "Yasmin"),
    ("Adam", "Ahmed", "Boris", "Carlos", "Daniel", "Dmitri", "Erik", "George", "Hiro", "Ivan", "James", "Kofi",
     "Lukas", "Marco", "Nikhil", "Omar", "Peter", "Rafael", "Thomas", "Victor"),
)  # fmt: skip
PLACES = (
    ("Athens", "Berlin", "Boston", "Cairo", "Chicago", "Delhi", "Dublin", "Helsinki", "Lagos", "Lima", "Lisbon",
     "London", "Madrid", "Nairobi", "Oslo", "Paris", "Prague", "Rome", "Seoul", "Sydney", "Tokyo", "Toronto", "Vienna"),
    ("Argentina", "Australia", "Brazil", "Canada", "Chile", "Egypt", "France", "Germany", "Greece", "India", "Italy",
     "Japan", "Kenya", "Mexico", "Nigeria", "Norway", "Peru", "Poland", "Portugal", "Spain", "Sweden", "Turkey"),
)  # fmt: skip
NEUTRAL_SENTENCES = (
    "I am writing this on a Tuesday.",
    "This was some time last year.",
    "We live about an hour away.",
    "I heard about it from a colleague.",
    "It was in the afternoon.",
)
_CONTRACTIONS = {
    "is not": "isn't", "are not": "aren't", "was not": "wasn't", "were not": "weren't", "do not": "don't",
    "does not": "doesn't", "did not": "didn't", "has not": "hasn't", "have not": "haven't", "had not": "hadn't",
    "cannot": "can't", "could not": "couldn't", "will not": "won't", "would not": "wouldn't",
    "should not": "shouldn't",
}  # fmt: skip
_DRAWS = 50  # attempts to draw a number that is not in the text
_EXPANSIONS = {short: long for long, short in _CONTRACTIONS.items()}
_AUXILIARY = re.compile(
    r"\b(is|are|was|were|am|can|could|will|would|should|must|may|might)\b(\s+not\b)?", re.IGNORECASE
)


def typos(texts: Sequence[str], rng: random.Random) -> list[str]:
    """Swaps two neighbouring letters within one word of each text."""
    return [_typo(text, rng) for text in texts]


def contractions(texts: Sequence[str], rng: random.Random) -> list[str]:
    """Writes "is not" as "isn't" and the like, and the reverse."""
    return [_replaced(text, {**_CONTRACTIONS, **_EXPANSIONS}) for text in texts]


def punctuation(texts: Sequence[str], rng: random.Random) -> list[str]:
    """Removes the stop at the end of each text, or adds one."""
    return [text.rstrip(".!? ") if text.endswith((".", "!", "?")) else f"{text}." for text in texts]


def casing(texts: Sequence[str], rng: random.Random) -> list[str]:
    """Writes each text in capitals."""
    return [text.upper() for text in texts]


def neutral_sentence(texts: Sequence[str], rng: random.Random) -> list[str]:
    """Adds a sentence without an opinion to each text."""
    sentence = rng.choice(NEUTRAL_SENTENCES)
    return [f"{text} {sentence}" for text in texts]


def names(texts: Sequence[str], rng: random.Random) -> list[str]:
    """Gives people other first names, of the same gender."""
    return _swapped(texts, NAMES, rng)


def places(texts: Sequence[str], rng: random.Random) -> list[str]:
    """Replaces cities and countries by others."""
    return _swapped(texts, PLACES, rng)


def numbers(texts: Sequence[str], rng: random.Random) -> list[str]:
    """Replaces whole numbers by others with as many digits. 1 stays, because grammar depends on it."""
    found = sorted({number for text in texts for number in re.findall(r"\b[1-9]\d*\b", text)} - {"1"})
    others: dict[str, str] = {}
    for number in found:
        lowest = max(10 ** (len(number) - 1), 2)
        drawn = (str(rng.randrange(lowest, 10 ** len(number))) for _ in range(_DRAWS))
        others[number] = next((new for new in drawn if new not in (*found, *others.values())), number)
    return [_replaced(text, others) for text in texts]


def negation(texts: Sequence[str], rng: random.Random) -> list[str]:
    """Adds "not" after the first auxiliary verb of each text, or removes it there. This reverses the meaning."""
    return [_AUXILIARY.sub(lambda m: m[1] if m[2] else f"{m[1]} not", text, count=1) for text in texts]


PERTURBATIONS: dict[str, Perturbation] = {
    perturb.__name__: perturb
    for perturb in (typos, contractions, punctuation, casing, neutral_sentence, names, places, numbers, negation)
}


def _typo(text: str, rng: random.Random) -> str:
    places = [
        index
        for word in re.finditer(r"[^\W\d_]{4,}", text)
        for index in range(word.start() + 1, word.end() - 1)  # people seldom swap the first letter
        if text[index] != text[index + 1]
    ]
    if not places:
        return text
    index = rng.choice(places)
    return text[:index] + text[index + 1] + text[index] + text[index + 2 :]


def _swapped(texts: Sequence[str], rows: Sequence[Sequence[str]], rng: random.Random) -> list[str]:
    """Replaces every word of a row by one that does not occur, in the same way in all texts."""
    there = set(re.findall(r"\w+", " ".join(texts)))
    others: dict[str, str] = {}
    for row in rows:
        found = [word for word in row if word in there]
        unused = [word for word in row if word not in there]
        others.update(zip(found, rng.sample(unused, min(len(found), len(unused))), strict=False))
    return [_replaced(text, others, ignore_case=False) for text in texts]


def _replaced(text: str, others: dict[str, str], *, ignore_case: bool = True) -> str:
    """Replaces whole words and phrases in one pass. A capital at the beginning is kept."""
    if not others:
        return text
    by_key = {key.lower() if ignore_case else key: other for key, other in others.items()}
    longest_first = sorted(others, key=len, reverse=True)
    pattern = rf"\b(?:{'|'.join(map(re.escape, longest_first))})\b"

    def other(match: re.Match[str]) -> str:
        found = match[0]
        new = by_key[found.lower() if ignore_case else found]
        return new[0].upper() + new[1:] if found[0].isupper() else new

    return re.sub(pattern, other, text, flags=re.IGNORECASE if ignore_case else 0)
