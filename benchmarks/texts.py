"""Texts of mixed lengths for benchmarks."""

from __future__ import annotations

import csv
import random
from importlib import resources

import numpy as np


def texts_of(count: int) -> list[str]:
    """The packaged customer messages strung together until each has its drawn length: a mean of 47 pieces."""
    with (resources.files("albert") / "assets" / "messages.csv").open(encoding="utf-8") as file:
        messages = [row["text"] for row in csv.DictReader(file)]
    rng, order = np.random.default_rng(0), random.Random(0)
    texts = []
    for wanted in np.clip(np.exp(rng.normal(np.log(38) - 0.18, 0.6, count)), 3, 95).astype(int):
        words: list[str] = []
        while len(words) < wanted:
            words += order.choice(messages).split()
        texts.append(" ".join(words[:wanted]))
    return texts
