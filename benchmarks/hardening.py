"""The time that hardening adds to encoding a text without anything hostile in it.

    python benchmarks/hardening.py        a few seconds

Prints microseconds per text (the minimum of many rounds, one thread): hardening alone, ids without and with it.
"""

from __future__ import annotations

from collections.abc import Callable
from timeit import timeit

from albert.text.hardening.hardener import Hardener, Hardening
from albert.text.tokenizer import AlbertTokenizer

TEXTS = {
    "English, ASCII": "This is a rather ordinary sentence about the weather, the sea and three boats.",
    "German, typographic": "Ein ganz gewöhnlicher Satz über das Wetter – „die See“ und drei Boote, naïv.",
    "Russian": "Это самое обычное предложение о погоде, о море и о трёх старых лодках у берега.",
    "Russian, Latin words": "Это самое обычное предложение о погоде, и USB-кабель, и две SMSки от банка.",
}
ROUNDS, COPIES = 60, 100  # short rounds: the minimum of many is that of an undisturbed processor


def microseconds(work: Callable[[], object]) -> float:
    """One text's share of the minimum time for COPIES of it."""
    return min(timeit(work, number=1) for _ in range(ROUNDS)) / COPIES * 1e6


plain = AlbertTokenizer.english()
hardened = plain.with_hardening(Hardening())
harden = Hardener(spell=plain.spelling)
print("| text | layer | ids without | ids with |\n|---|---|---|---|")
for name, text in TEXTS.items():
    texts = [text] * COPIES
    row = (
        microseconds(lambda texts=texts: [harden.text(one) for one in texts]),  # type: ignore[misc]
        microseconds(lambda texts=texts: plain.ids(texts)),  # type: ignore[misc]
        microseconds(lambda texts=texts: hardened.ids(texts)),  # type: ignore[misc]
    )
    print(f"| {name} | " + " | ".join(f"{value:.1f}" for value in row) + " |")
