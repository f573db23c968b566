"""One-sentence summaries of SciTLDR's abstracts: ROUGE of ours beside LEAD and sumy's LexRank and TextRank.

    python benchmarks/summaries.py TASKS/scitldr --part test --writer MODEL

A summary is scored by the best F-measure over the abstract's reference summaries (rouge-score, stemmed). "oracle" is
the sentence that the references choose. `--writer` adds a model that writes (`albert train --task text2text`). Needs
`pip install '.[documents-peers]'`.
"""

from __future__ import annotations

import argparse
import json
import lzma
import re
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

import albert
from albert.documents.summaries import summary
from albert.documents.vectors import Encoder
from albert.predict.summary import sentences
from albert.predict.writer import Writer

NAMES = ("rouge1", "rouge2", "rougeL")


class Tokenizer:
    """Our sentences for sumy, which would fetch its own rules from the network."""

    def to_sentences(self, text: str) -> list[str]:
        return [part.text for part in sentences(text)]

    def to_words(self, text: str) -> list[str]:
        return re.findall(r"\w+", text.lower())


Way = Callable[[dict[str, Any]], str]  # from a row with "source" and "targets"


def of_sumy(name: str) -> Way:
    """A summariser of sumy."""
    from sumy.parsers.plaintext import PlaintextParser
    from sumy.summarizers.lex_rank import LexRankSummarizer
    from sumy.summarizers.text_rank import TextRankSummarizer

    make = {"LexRank": LexRankSummarizer, "TextRank": TextRankSummarizer}[name]()
    return lambda row: " ".join(map(str, make(PlaintextParser.from_string(row["source"], Tokenizer()).document, 1)))


def of_writer(folder: Path) -> Way:
    """A model that writes, with a beam of 4."""
    writer = albert.load(folder)
    assert isinstance(writer, Writer)
    writing = writer.writing(beam=4, no_repeat_ngram=3)
    return lambda row: str(writing(row["source"])[0]["text"])


def main() -> None:
    from rouge_score.rouge_scorer import RougeScorer

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("scitldr", type=Path)
    parser.add_argument("--part", default="test")
    parser.add_argument("--model", default="starter", help="whose vectors choose our sentences")
    parser.add_argument("--writer", type=Path, help="a model that writes")
    arguments = parser.parse_args()
    with lzma.open(arguments.scitldr / f"{arguments.part}.jsonl.xz", "rt", encoding="utf-8") as file:
        rows = [json.loads(line) for line in file]
    encoder, scorer = Encoder(arguments.model), RougeScorer(list(NAMES), use_stemmer=True)

    def best(text: str, targets: list[str]) -> list[float]:
        return [max(scorer.score(target, text)[name].fmeasure for target in targets) for name in NAMES]

    ways: dict[str, Way] = {
        "ours": lambda row: summary(row["source"], encoder, count=1)[0].text,
        **({"written": of_writer(arguments.writer)} if arguments.writer else {}),
        "LEAD": lambda row: sentences(row["source"])[0].text,
        **{name: of_sumy(name) for name in ("LexRank", "TextRank")},
        "oracle": lambda row: max(
            (part.text for part in sentences(row["source"])), key=lambda text: sum(best(text, row["targets"]))
        ),
    }
    cpu = torch.cpu.get_capabilities().get("cpu_name", "unknown CPU")
    print(f"{time.strftime('%Y-%m-%d')}, {cpu}, {torch.get_num_threads()} threads, {len(rows):,} abstracts")
    for way, summarise in ways.items():
        start = time.perf_counter()
        said = [summarise(row) for row in rows]
        seconds = time.perf_counter() - start
        scored = [best(text, row["targets"]) for text, row in zip(said, rows, strict=True)]
        means = [statistics.mean(column) for column in zip(*scored, strict=True)]
        scores = "  ".join(f"{name} {mean:.3f}" for name, mean in zip(NAMES, means, strict=True))
        print(f"{way:10} {scores}   {1e3 * seconds / len(rows):.1f} ms a text", flush=True)


if __name__ == "__main__":
    main()
