"""Dates as people write them to ISO dates: a model that writes texts, from nothing, in a minute.

    python examples/dates_to_iso.py --out runs/dates

Writes pairs.csv, a cased vocabulary of its own, and the model, then shows what it makes of dates that it has not seen.
The same with commands:

    albert tokenizer train runs/dates/texts.txt -o runs/dates/vocabulary --vocab-size 60 --cased --keep-accents
    albert train runs/dates/pairs.csv --task text2text --metric exact_match --tokenizer runs/dates/vocabulary \\
        -o runs/dates/model
    echo "24 December 2024" | albert generate runs/dates/model
"""

from __future__ import annotations

import argparse
import csv
import random
from pathlib import Path

import albert
from albert.text.normalize import Normalizer
from albert.text.tokenizer import AlbertTokenizer
from albert.text.vocabulary import train_vocabulary

MONTHS = (
    "January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November",
    "December",
)  # fmt: skip
FORMS = ("{day} {name} {year}", "{name} {day}, {year}", "{day}/{month}/{year}")
NETWORK = {"hidden_size": 64, "embedding_size": 64, "intermediate_size": 128, "num_attention_heads": 4,
           "max_position_embeddings": 32, "num_hidden_layers": 2}  # fmt: skip
SETTINGS = {"lr": 3e-3, "epochs": 9.0, "label_smoothing": 0.0, "hidden_dropout_prob": 0.0, "patience": 0}


def dates(years: range) -> list[tuple[str, str]]:
    """Every day of the years up to the 28th of each month, in one of the forms, and in ISO's."""
    rng = random.Random(0)
    rows = [
        (rng.choice(FORMS).format(day=day, name=MONTHS[month - 1], month=month, year=year),
         f"{year}-{month:02}-{day:02}")
        for year in years for month in range(1, 13) for day in range(1, 29)
    ]  # fmt: skip
    rng.shuffle(rows)
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("runs/dates"))
    parser.add_argument("--years", type=int, default=10, help="from 2020 on")
    arguments = parser.parse_args()
    out: Path = arguments.out
    out.mkdir(parents=True, exist_ok=True)

    rows = dates(range(2020, 2020 + arguments.years))
    seen, unseen = rows[:-50], rows[-50:]
    with (out / "pairs.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([("source", "target"), *seen])
    texts = [text for row in seen for text in row]
    (out / "texts.txt").write_text("\n".join(texts) + "\n", encoding="utf-8")
    normalizer = Normalizer(lower=False, keep_accents=True)
    vocabulary = train_vocabulary(texts, vocab_size=60, normalizer=normalizer)
    (out / "vocabulary").mkdir(exist_ok=True)
    AlbertTokenizer(vocabulary, normalizer=normalizer).save(out / "vocabulary")

    model = albert.train(
        out / "pairs.csv", task="text2text", out=out / "model", tokenizer=out / "vocabulary", size="tiny",
        metric="exact_match", settings={**NETWORK, **SETTINGS}, overwrite=True,
    )  # fmt: skip
    answers = [answer["text"] for answer in model([source for source, _ in unseen])]
    for (source, _), answer in list(zip(unseen, answers, strict=True))[:5]:
        print(f"{source:20} {answer}")
    right = sum(answer == target for (_, target), answer in zip(unseen, answers, strict=True))
    print(f"{right} of {len(unseen)} dates that it has not seen are right")


if __name__ == "__main__":
    main()
