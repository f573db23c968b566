"""The time of making rows for the network, and the fastest way of calling sentencepiece.

    python benchmarks/encoding.py        half a minute; on a quiet machine

Texts are the packaged customer messages joined to a mean of 47 pieces. Prints microseconds per text, the median of many
rounds: sentencepiece with a list (with one thread, and with its own choice) and with each text by itself; then the
tokenizer's rows with offsets into the text and without.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable
from functools import partial
from timeit import timeit

import sentencepiece
from texts import texts_of

from albert.text.tokenizer import AlbertTokenizer

ROUNDS = 50
COUNTS = (1, 8, 32, 500)

texts = texts_of(max(COUNTS))
tokenizer = AlbertTokenizer.english()
encode = partial(sentencepiece.SentencePieceProcessor(model_proto=tokenizer.model).encode, out_type=int)
WAYS: dict[str, Callable[[list[str]], object]] = {
    "sentencepiece, list, one thread": partial(encode, num_threads=1),
    "sentencepiece, list": encode,
    "sentencepiece, text by text": lambda some: list(map(encode, some)),
    "rows with offsets": tokenizer.encode_batch,
    "rows without": partial(tokenizer.encode_batch, offsets=False),
}


def microseconds(work: Callable[[list[str]], object], some: list[str]) -> float:
    """One text's share of the median time."""
    work(some)
    return statistics.median(timeit(partial(work, some), number=1) for _ in range(ROUNDS)) / len(some) * 1e6


print("| texts at once | " + " | ".join(map(str, COUNTS)) + " |\n" + "|---" * (len(COUNTS) + 1) + "|")
for name, work in WAYS.items():
    print(f"| {name} | " + " | ".join(f"{microseconds(work, texts[:count]):.1f}" for count in COUNTS) + " |")
