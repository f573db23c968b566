"""The starter model: the encoder that the package ships, from raw text to `src/albert/assets/starter`.

    python recipes/starter.py CORPUS prepare     about 5 minutes on 2 cores
    python recipes/starter.py CORPUS train       hours; stop it with Ctrl-C or kill it, repeat to go on
    python recipes/starter.py CORPUS finish      lets the rate fall to 0: a sixth of what `train` took
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

from albert.files import write_file
from albert.model import save_model
from albert.model.checkpoint import load_model
from albert.pretraining.job import PrepareConfig
from albert.pretraining.prepare import prepare
from albert.text.tokenizer import AlbertTokenizer
from albert.training.curves import draw_curves
from albert.training.pretrain import PretrainConfig, pretrain
from albert.training.progress import ConsoleProgress
from albert.training.state import LAST, Checkpoints

ASSETS = Path(__file__).parents[1] / "src" / "albert" / "assets" / "starter"
NETWORK = {"num_hidden_layers": 6, "hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
COMMON = {
    **NETWORK, "optimizer": "muon", "beta2": 0.98, "max_ngram": 1, "evals_per_epoch": 30, "save_seconds": 300.0,
}  # fmt: skip
STEADY = {
    **COMMON, "embeddings": "cooccurrence", "steps": 80_000, "batch_size": 32, "lr": 1e-3, "warmup": 0.00625,
    "decay": 0.0, "mask_rate": 0.2, "loops": [3], "grown_by": 0.05,
}  # fmt: skip
FALL = 0.15  # the share of the first stage's steps over which its rate falls to 0


def run(shards: Path, out: Path, settings: dict[str, Any]) -> None:
    """Begins a run or goes on with it."""
    if not (out / "config.json").exists():
        config = PretrainConfig(shards=shards, out=out, size="mini", settings=settings)
        pretrain(config, resume=True, progress=ConsoleProgress())


def finish(shards: Path, work: Path) -> None:
    """Copies the first stage as it stands and lets its rate fall."""
    falling = work / "falling"
    if not falling.exists():
        shutil.copytree(work / "steady", work / ".tmp-falling")
        (work / ".tmp-falling").rename(falling)
    newest = Checkpoints(falling / "checkpoints").newest(LAST)
    assert newest is not None, f"{falling} has no checkpoint: run `train` first"
    state = Checkpoints.state(newest)
    schedule = json.loads(state["fingerprint"]["schedule"])
    steps = schedule["steps"] if schedule["decay"] else round(state["step"] / (1 - FALL))
    run(shards, falling, {**STEADY, "steps": steps, "decay": FALL})


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
| trained | {tokens:,} pieces in {steps:,} steps of 32 x 128, of them {fall:,} with a falling rate |
| machine | {machine} |

## Held-out documents ({held_out:.1%} of the corpus, never trained on)

| step | MLM loss | perplexity | MLM accuracy | SOP accuracy |
|---|---|---|---|---|
{rows}

15 % of the pieces are masked as n-grams of whole words, which is harder than masking single pieces (up to step 4,192
single words were masked here). Chance for the order of two segments is 0.5. `python recipes/starter.py CORPUS ship`
prints this table from the runs' logs.

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
states no facts: do not use filled masks as answers. Rows had up to 128 pieces: it computes up to 512, but fine-tune
it on long texts before you trust it there.
"""


def ship(shards: Path, work: Path) -> None:
    """Writes the package's folder and prints the card."""
    model = load_model(work / "falling")
    config = model.config
    records = [json.loads(line) for line in (work / "falling" / "metrics.jsonl").read_text().splitlines()]
    manifest = json.loads((shards / "manifest.json").read_text())
    evaluations = [(record["step"], record["dev"]) for record in records if "dev" in record]
    shown = evaluations[:: max(1, len(evaluations) // 12)]
    shown += evaluations[-1:] if evaluations[-1] not in shown else []
    steps = sum("loss" in record for record in records)
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
        steps=steps,
        fall=round(FALL * steps),
        machine=f"{torch.get_num_threads()} CPU cores, {torch.cpu.get_capabilities().get('cpu_name', 'unknown')}",
        held_out=0.005,
        rows="\n".join(
            f"| {at:,} | {s['mlm_loss']:.3f} | {s['perplexity']:.1f} | {s['mlm_accuracy']:.3f} "
            f"| {s['sop_accuracy']:.3f} |"
            for at, s in shown
        ),
    )
    save_model(model, ASSETS, dtype=torch.float16)
    AlbertTokenizer.from_pretrained(shards).save(ASSETS)
    write_file(ASSETS / "README.md", card)
    draw_curves(work / "falling" / "metrics.jsonl", ASSETS / "curves.png")
    print(card)


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
