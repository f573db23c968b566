"""The starter model: the encoder that the package ships, from raw text to `src/albert/assets/starter`.

    python recipes/starter.py CORPUS prepare     about 5 minutes on 2 cores
    python recipes/starter.py CORPUS train       hours; stop it with Ctrl-C or kill it, repeat to go on
    python recipes/starter.py CORPUS finish      a last stage with lessons in comparing, in which the rate falls to 0
    python recipes/starter.py CORPUS ship        writes the weights (float16) and the card into the package

CORPUS is a folder of English text. The first stage keeps its learning rate, so it may run as long as one likes:
`finish` takes it wherever it stands. Expected of the shipped one: see its card, `src/albert/assets/starter/README.md`.
"""

from __future__ import annotations

import argparse
import json
import shutil
from pathlib import Path
from typing import Any

import torch

from albert.config import AlbertConfig
from albert.files import write_file
from albert.model import AlbertForTask, save_model
from albert.model.checkpoint import load_model
from albert.pretraining.instances import InstanceConfig
from albert.pretraining.job import PrepareConfig
from albert.pretraining.masking import word_starts
from albert.pretraining.prepare import prepare
from albert.pretraining.shards import open_corpus
from albert.pretraining.source import MaskingConfig, PretrainingSource
from albert.text.tokenizer import AlbertTokenizer
from albert.training.curves import draw_curves
from albert.training.pretrain import PretrainConfig, held_out_scores, pretrain
from albert.training.progress import ConsoleProgress
from albert.training.state import LAST, Checkpoints

ASSETS = Path(__file__).parents[1] / "src" / "albert" / "assets" / "starter"
NETWORK = {"num_hidden_layers": 6, "hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
COMMON = {
    "optimizer": "muon", "lr": 1e-3, "beta2": 0.98, "mask_rate": 0.2, "max_ngram": 1, "save_seconds": 300.0,
}  # fmt: skip
STEADY = {
    **NETWORK, **COMMON, "embeddings": "cooccurrence", "steps": 80_000, "batch_size": 32, "warmup": 0.00625,
    "decay": 0.0, "loops": [3], "grown_by": 0.05, "evals_per_epoch": 30,
}  # fmt: skip
# Lessons in comparing two segments, which pair tasks ask for (docs/log.md).
LAST_STAGE = {
    **COMMON, "steps": 13_560, "batch_size": 32, "warmup": 0.005, "decay": 0.18, "comparisons": 0.24,
    "evals_per_epoch": 60,
}  # fmt: skip


def run(shards: Path, out: Path, settings: dict[str, Any], *, init: Path | None = None) -> None:
    """Begins a run or goes on with it."""
    if not (out / "config.json").exists():
        start = None if init is None else str(init)
        config = PretrainConfig(shards=shards, out=out, size="mini", init=start, settings=settings)
        pretrain(config, resume=True, progress=ConsoleProgress())


def finish(shards: Path, work: Path) -> None:
    """Takes the first stage's weights as they stand, adds lessons in comparing, and lets the rate fall."""
    stand = work / "stand"
    if not (stand / "config.json").exists():
        newest = Checkpoints(work / "steady" / "checkpoints").newest(LAST)
        assert newest is not None, f"{work / 'steady'} has no checkpoint: run `train` first"
        config = AlbertConfig.named("mini", vocab_size=AlbertTokenizer.from_pretrained(shards).vocab_size, **NETWORK)
        model = AlbertForTask(config, "pretraining")
        Checkpoints.restore(newest, model, None)
        AlbertTokenizer.from_pretrained(shards).save(stand)
        shutil.copy(work / "steady" / "metrics.jsonl", stand)
        save_model(model, stand)
    run(shards, work / "last", LAST_STAGE, init=stand)


CARD = """---
language: en
license: apache-2.0
library_name: albert-nlp
pipeline_tag: fill-mask
---
# starter

A small English ALBERT encoder that comes with the package, pre-trained on masked pieces and sentence order on an
ordinary CPU. It is a starting point for fine-tuning, and what `albert train` starts from unless told otherwise.

| | |
|---|---|
| network | {layers} layers of one shared block, hidden size {hidden}, embeddings {embedding}, {heads} heads |
| parameters | {parameters:,} with all heads, stored in float16 |
| vocabulary | {vocabulary:,} pieces, lower case |
| corpus | {documents:,} documents, {corpus_tokens:,} pieces, exact duplicates removed |
| trained | {tokens:,} pieces: {steady:,} steps of 32 x 128, then {last:,} with lessons in comparing |
| machine | {machine} |

## Held-out documents ({held_out:.1%} of the corpus, never trained on)

| rows of | MLM loss | perplexity | MLM accuracy | SOP accuracy |
|---|---|---|---|---|
{final}

On the way (rows of 128):

| step | MLM loss | perplexity | MLM accuracy | SOP accuracy |
|---|---|---|---|---|
{rows}

15 % of the pieces are masked as n-grams of whole words, which is harder than masking single pieces (up to step 4,192
single words were masked here). In the last stage's first 2,600 steps repeated segments had no label, and no segment was
foreign; at its step 3,450 the rate had fallen to 0 and began anew. Chance for the order of two segments is 0.5.
`python recipes/starter.py CORPUS ship` prints these tables.

![learning curves](curves.png)

## Corpus and licences

English prose: Wikipedia articles (CC BY-SA 3.0), classic books (public domain), a technical podcast's transcripts
(CC BY-SA 4.0), Wikipedia paragraphs of SQuAD's training articles (CC BY-SA 4.0), speeches of US presidents (public
domain), health questions and answers (CC BY 4.0), US government web pages (CC0), technical proposals
(Apache-2.0/MIT), textbooks (CC BY 4.0). The text is not part of the package; the weights are Apache-2.0.

## Intended use

Fine-tuning on English texts for classification, regression, pairs and entities on a CPU: `albert train data.csv -o
out`. `albert.load("starter").fill_mask("A cup of [MASK].")` shows what it knows.

## Limits

It saw {tokens:,} pieces in training; ALBERT-base v1 saw some 260 billion and is three times as wide. Fine-tuned
published checkpoints (`--init`) score higher where their speed is acceptable. English only, lower case only. More
than half of the corpus are books of earlier centuries: old views, and stereotypes about people, are in it. It
states no facts: do not use filled masks as answers. It was trained on rows of 128 pieces: of
longer texts it understands little at once, so let it read them in windows (`--max-length 128 --stride 32`).
"""


def ship(shards: Path, work: Path) -> None:
    """Writes the package's folder and prints the card."""
    model = load_model(work / "last")
    config = model.config
    first, second = (records_of(work / stage / "metrics.jsonl") for stage in ("stand", "last"))
    steady, last = (sum("loss" in record for record in records) for records in (first, second))
    records = first + [{**record, "step": record["step"] + steady} for record in second]
    manifest = json.loads((shards / "manifest.json").read_text())
    evaluations = [(record["step"], record["dev"]) for record in records if "dev" in record]
    shown = evaluations[:: max(1, len(evaluations) // 12)]
    shown += evaluations[-1:] if evaluations[-1] not in shown else []
    card = CARD.format(
        layers=config.num_hidden_layers,
        hidden=config.hidden_size,
        embedding=config.embedding_size,
        heads=config.num_attention_heads,
        parameters=sum(p.numel() for p in model.parameters()),
        vocabulary=config.vocab_size,
        documents=manifest["totals"]["documents"],
        corpus_tokens=manifest["totals"]["tokens"],
        tokens=sum(record.get("tokens", 0) for record in records),
        steady=steady,
        last=last,
        machine=f"{torch.get_num_threads()} CPU cores, {torch.cpu.get_capabilities().get('cpu_name', 'unknown')}",
        held_out=InstanceConfig().held_out,
        final="\n".join(row(length, held_out(model, shards, length)) for length in (128, 512)),
        rows="\n".join(row(at, scores) for at, scores in shown),
    )
    save_model(model, ASSETS, dtype=torch.float16)
    AlbertTokenizer.from_pretrained(shards).save(ASSETS)
    write_file(ASSETS / "README.md", card)
    log = work / "metrics.jsonl"
    log.write_text("".join(json.dumps(record) + "\n" for record in records))
    draw_curves(log, ASSETS / "curves.png")
    print(card)


def records_of(log: Path) -> list[dict[str, Any]]:
    """The lines of a run's log."""
    return [json.loads(line) for line in log.read_text().splitlines()]


def row(name: int, scores: dict[str, float]) -> str:
    """A row of the card's tables."""
    return (
        f"| {name:,} | {scores['mlm_loss']:.3f} | {scores['perplexity']:.1f} | {scores['mlm_accuracy']:.3f} "
        f"| {scores['sop_accuracy']:.3f} |"
    )


def held_out(model: AlbertForTask, shards: Path, length: int) -> dict[str, float]:
    """Scores on rows of a length."""
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


parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("corpus", type=Path)
parser.add_argument("step", choices=["prepare", "train", "finish", "ship"])
parser.add_argument("--work", type=Path, default=Path("runs/starter"))
arguments = parser.parse_args()
shards = arguments.work / "shards"
match arguments.step:
    case "prepare":
        prepare(PrepareConfig((arguments.corpus,), shards, deduplicate=True))
    case "train":
        run(shards, arguments.work / "steady", STEADY)
    case "finish":
        finish(shards, arguments.work)
    case "ship":
        ship(shards, arguments.work)
