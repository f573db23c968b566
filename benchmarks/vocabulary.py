"""Vocabulary sizes compared: pieces per word, unknown pieces, file size, and the score of a small network.

    python benchmarks/vocabulary.py CORPUS --sst2 SST2_FOLDER --work WORK

Trains one vocabulary per size on 99.5 % of the corpus's documents (at most a million lines each) and measures on the
rest. With --sst2, fine-tunes a tiny network from scratch for one epoch on SST-2, with three seeds. On 2 cores it takes
about 4 minutes per size for training and 1.5 for SST-2. Vocabularies in WORK are kept and reused.
"""

from __future__ import annotations

import argparse
import json
import lzma
import platform
import random
import statistics
import time
from collections.abc import Iterator
from pathlib import Path

from albert.corpus.files import corpus_files
from albert.data.reading import DataSource
from albert.finetuning.dataset import FinetuneConfig
from albert.finetuning.finetune import finetune
from albert.text.tokenizer import AlbertTokenizer
from albert.text.vocabulary import train_vocabulary


def paragraphs(corpus: Path, *, held_out: bool) -> Iterator[str]:
    """The corpus's paragraphs, of one half of a division by document that is the same every time."""
    rng = random.Random(0)
    for path in corpus_files([corpus]):
        with lzma.open(path, "rt", encoding="utf-8") as file:
            for line in file:
                if (rng.random() < 0.005) == held_out:
                    yield from (text for text in json.loads(line)["paras"] if text.strip())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("corpus", type=Path)
    parser.add_argument("--sst2", type=Path)
    parser.add_argument("--work", type=Path, default=Path("runs/vocabulary"))
    parser.add_argument("--compare", type=Path, help="a spiece.model to measure beside ours")
    parser.add_argument("--sizes", type=int, nargs="+", default=[8000, 16_000, 30_000])
    arguments = parser.parse_args()
    held_out = list(paragraphs(arguments.corpus, held_out=True))
    words = sum(len(text.split()) for text in held_out)
    print(f"{time.strftime('%Y-%m-%d')}, {platform.machine()}, held out: {len(held_out):,} paragraphs, {words:,} words")
    print("| pieces | file kB | embedding MB (fp16) | pieces a word | unknown | SST-2 dev (3 seeds) |")
    print("|---|---|---|---|---|---|")
    for size in arguments.sizes:
        folder = arguments.work / f"v{size}"
        if not (folder / "spiece.model").is_file():
            model = train_vocabulary(paragraphs(arguments.corpus, held_out=False), vocab_size=size, max_lines=1_000_000)
            AlbertTokenizer(model).save(folder)
        accuracy = sst2(arguments.sst2, folder) if arguments.sst2 else "-"
        print(row(f"{size:,}", AlbertTokenizer.from_pretrained(folder), held_out, words, accuracy), flush=True)
    if arguments.compare:
        other = AlbertTokenizer(arguments.compare.read_bytes())
        print(row(arguments.compare.name, other, held_out, words, "-"))


def row(name: str, tokenizer: AlbertTokenizer, held_out: list[str], words: int, accuracy: str) -> str:
    """One line of the table."""
    pieces = tokenizer.pieces(held_out)
    count = sum(map(len, pieces))
    unknown = sum(int((part.ids == 1).sum()) for part in pieces)
    return (
        f"| {name} | {len(tokenizer.model) // 1000} | {tokenizer.vocab_size * 128 * 2 / 1e6:.1f} "
        f"| {count / words:.4f} | {unknown / count:.5f} | {accuracy} |"
    )


def sst2(data: Path, folder: Path) -> str:
    """The median and all dev accuracies after one epoch."""
    scores = []
    for seed in range(3):
        config = FinetuneConfig(
            train=DataSource(str(data / "train.tsv")),
            dev=str(data / "dev.tsv"),
            out=folder / f"sst2-{seed}",
            tokenizer=str(folder),
            settings={"epochs": 1.0, "seed": seed},
        )
        scores.append(finetune(config, overwrite=True).scores["accuracy"])
    return f"{statistics.median(scores):.4f} ({', '.join(f'{score:.4f}' for score in scores)})"


if __name__ == "__main__":
    main()
