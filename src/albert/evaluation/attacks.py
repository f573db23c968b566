"""Small changes that a reader does not see but that may mislead a model, and the score on changed texts.

Source: Boucher et al. 2021, "Bad Characters: Imperceptible NLP Attacks" (arXiv 2106.09898): invisible characters,
homoglyphs, reorderings by directional controls, deletions by backspaces. The budget is the number of changed places. A
reader does see leetspeak; it is for training.
"""

from __future__ import annotations

import random
import string
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from albert.data.examples import Example
from albert.errors import AlbertError, ErrorKind
from albert.tasks import Task
from albert.tasks.base import Output

# Chosen by eye, and more than hardening folds: hardening leaves ı and words of one letter alone.
_HOMOGLYPHS = {
    "a": "аαɑａ𝐚", "b": "Ьｂ𝐛", "c": "сϲｃ𝐜", "d": "ԁｄ𝐝", "e": "еҽｅ𝐞", "f": "ｆ𝐟", "g": "ɡց𝐠", "h": "һհｈ𝐡",
    "i": "іıι𝐢", "j": "јϳ𝐣", "k": "ｋ𝐤", "l": "ӏ𝐥", "m": "ｍ𝐦", "n": "ո𝐧", "o": "оοօｏ𝐨", "p": "рρｐ𝐩", "q": "ԛզ𝐪",
    "r": "ｒ𝐫", "s": "ѕｓ𝐬", "t": "ｔ𝐭", "u": "υս𝐮", "v": "ѵν𝐯", "w": "ԝա𝐰", "x": "хｘ𝐱", "y": "уγ𝐲", "z": "ｚ𝐳",
    "A": "АΑ", "B": "ВΒ", "C": "СϹ", "E": "ЕΕ", "H": "НΗ", "I": "ІΙ", "J": "ЈͿ", "K": "КΚ", "M": "МΜ", "N": "Ν",
    "O": "ОΟՕ", "P": "РΡ", "S": "ЅՏ", "T": "ТΤ", "X": "ХΧ", "Y": "ҮΥ", "Z": "Ζ",
}  # fmt: skip
_LEET = {"a": "4@", "b": "8", "e": "3", "g": "9", "i": "1!", "l": "1", "o": "0", "s": "5$", "t": "7", "z": "2"}
_INVISIBLE = "\u200b\u200c\u200d"
_SWAPPED = "\u202d\u2066\u202e\u2066{}\u2069\u2066{}\u2069\u2069\u202c\u2069\u202c"  # the second is shown first


@dataclass(frozen=True)
class Attack:
    """The places where a text can be changed (neighbours may exclude each other), and the text
    changed at one of them.
    """

    places: Callable[[str], list[int]]
    change: Callable[[str, int, random.Random], str]

    def __call__(self, text: str, budget: int, rng: random.Random) -> str:
        """The text changed at `budget` places, or at all its places if it has fewer."""
        free = self.places(text)
        rng.shuffle(free)
        chosen: set[int] = set()
        for place in free:
            if len(chosen) == budget:
                break
            if not {place - 1, place + 1} & chosen:
                chosen.add(place)
        for place in sorted(chosen, reverse=True):
            text = self.change(text, place, rng)
        return text


def _lettered(table: dict[str, str]) -> Attack:
    """Replaces a letter by one of its look-alikes."""
    return Attack(
        lambda text: [index for index, char in enumerate(text) if char in table],
        lambda text, at, rng: text[:at] + rng.choice(table[text[at]]) + text[at + 1 :],
    )


def _inside(text: str) -> list[int]:
    """Places between two letters or digits."""
    return [at for at in range(1, len(text)) if text[at - 1].isalnum() and text[at].isalnum()]


def _swap(text: str, at: int, rng: random.Random) -> str:
    return text[: at - 1] + _SWAPPED.format(text[at], text[at - 1]) + text[at + 1 :]


ATTACKS: dict[str, Attack] = {
    "homoglyph": _lettered(_HOMOGLYPHS),
    "invisible": Attack(_inside, lambda text, at, rng: text[:at] + rng.choice(_INVISIBLE) + text[at:]),
    "reorder": Attack(_inside, _swap),
    "delete": Attack(_inside, lambda text, at, rng: text[:at] + rng.choice(string.ascii_letters) + "\b" + text[at:]),
    "leetspeak": _lettered(_LEET),
}
INVISIBLE_TO_READERS = ("homoglyph", "invisible", "reorder", "delete")


def attack_named(name: str) -> Attack:
    """The attack of this name. Raises `AlbertError` (usage) when there is none."""
    if name not in ATTACKS:
        raise AlbertError(ErrorKind.USAGE, f"attack {name!r}", expected="one of " + ", ".join(ATTACKS))
    return ATTACKS[name]


def attacked(example: Example, attack: Attack, budget: int, rng: random.Random) -> Example:
    """The example with its text changed at `budget` places; of a pair, both texts."""
    pair = None if example.text_pair is None else attack(example.text_pair, budget, rng)
    return replace(example, text=attack(example.text, budget, rng), text_pair=pair)


def require_attackable(task: Task, what: str) -> None:
    """Raises `AlbertError` (usage) for a task whose gold values are places in the text, because an
    attack moves them.
    """
    if task.points:
        raise AlbertError(
            ErrorKind.USAGE, what, expected="a task that does not point into the text", got=f"task {task.name}"
        )


@dataclass(frozen=True)
class UnderAttack:
    """The deciding score under one attack, and the attacked examples."""

    attack: str
    budget: int
    score: float
    examples: list[Example]


def score_under_attack(
    clean: Sequence[Output],
    outputs: Callable[[Sequence[Example]], list[Output]],
    task: Task,
    labels: Sequence[str],
    *,
    attack: str,
    budget: int,
    thresholds: Sequence[float] = (),
    trials: int = 1,
    seed: int = 0,
) -> UnderAttack:
    """The score on attacked texts. Of a text and up to `trials` changed forms of it, the worst counts.

    `clean` are the model's outputs on the original texts; `outputs` computes others. A change is a pure function of
    (seed, attack, budget, trial, index). Raises the errors of `attack_named` and `require_attackable`, and
    `AlbertError` (usage) for no trials or no places.
    """
    change = attack_named(attack)
    if trials < 1 or budget < 1:
        raise AlbertError(
            ErrorKind.USAGE, "trials and budget of an attack", expected="at least 1", got=f"{trials} and {budget}"
        )
    require_attackable(task, f"attack {attack}")
    found = list(clean)
    errors = [verdict.error for verdict in task.review(found, labels, thresholds).verdicts]
    for trial in range(trials):
        # if answers are only right or wrong, a wrong one cannot get worse
        tried = [index for index, error in enumerate(errors) if error <= 0 or task.metric != "accuracy"]
        examples = [
            attacked(clean[index].example, change, budget, random.Random(f"{seed} {attack} {budget} {trial} {index}"))
            for index in tried
        ]
        candidates = dict(zip(tried, outputs(examples), strict=True))
        review = task.review([candidates.get(i, output) for i, output in enumerate(found)], labels, thresholds)
        for index, candidate in candidates.items():
            if review.verdicts[index].error > errors[index]:
                found[index], errors[index] = candidate, review.verdicts[index].error
    score = task.score(found, labels, thresholds)[task.metric]
    return UnderAttack(attack, budget, score, [output.example for output in found])
