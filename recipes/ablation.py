"""The paper's ablations at a small scale: they show directions, not levels (ALBERT, Tables 3 to 8).

    python recipes/ablation.py SHARDS GLUE/STS-B        about 1 hour on a quiet core

Every arm is one change of the same network (H 192, 3 layers, all shared, E 128, no dropout, SOP) and sees the same
number of pieces. All arms are scored on the same held-out instances, with swapped segments, and by fine-tuning on a
pair task (STS-B dev, mean of Pearson and Spearman correlation; best of 3 epochs). A finished arm is kept in --out, so a
repeated call goes on.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

import torch

from albert.corpus.shards import open_corpus
from albert.data.reading import DataSource
from albert.finetuning.dataset import FinetuneConfig
from albert.finetuning.finetune import finetune
from albert.model.checkpoint import load_model
from albert.pretraining.instances import InstanceConfig
from albert.pretraining.pretrain import pretrain
from albert.pretraining.scores import held_out_scores
from albert.pretraining.settings import PretrainConfig
from albert.pretraining.source import MaskingConfig, PretrainingSource
from albert.text.tokenizer import AlbertTokenizer
from albert.text.words import word_starts
from albert.training.progress import ConsoleProgress

BASE = {
    "hidden_size": 192, "num_attention_heads": 3, "intermediate_size": 768, "num_hidden_layers": 3,
    "hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0,
    "batch_size": 32, "lr": 1e-3, "beta2": 0.98, "warmup": 0.1, "embeddings": "cooccurrence",
}  # fmt: skip
ARMS: dict[str, dict[str, Any]] = {
    "ALBERT: SOP, all shared, E 128, no dropout": {},
    "next sentences (NSP)": {"pairs": "nsp"},
    "no second segment": {"pairs": "none"},
    "attention shared": {"num_hidden_groups": 3, "sharing": "attention"},
    "feed-forward shared": {"num_hidden_groups": 3, "sharing": "ffn"},
    "nothing shared": {"num_hidden_groups": 3},
    "E 64": {"embedding_size": 64},
    "E 192 = H": {"embedding_size": 192},
    "dropout 0.1": {"hidden_dropout_prob": 0.1, "attention_probs_dropout_prob": 0.1},
}  # fmt: skip


def measure(name: str, folder: Path) -> dict[str, Any]:
    """Trains and scores one arm."""
    start = time.monotonic()
    settings = {**BASE, "steps": arguments.steps, **ARMS[name]}
    pretrain(
        PretrainConfig(shards=arguments.shards, out=folder, size="tiny", settings=settings),
        resume=True,
        progress=ConsoleProgress(),
    )
    seconds = time.monotonic() - start
    model = load_model(folder)
    tuned = finetune(
        FinetuneConfig(
            train=DataSource(
                str(arguments.pairs / "train.tsv"), text="sentence1", text_pair="sentence2", label="score"
            ),
            dev=str(arguments.pairs / "dev.tsv"),
            out=folder / "tuned",
            init=str(folder),
            settings={"lr": 5e-4, "epochs": 3.0, "batch_size": 32},
        ),
        overwrite=True,
        progress=ConsoleProgress(),
    )
    return {
        **held_out_scores(model, HELD_OUT, precision="fp32"),
        "pairs": tuned.scores[tuned.metric],
        "parameters": sum(p.numel() for p in model.albert.parameters()),
        "seconds": seconds,
    }


parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("shards", type=Path)
parser.add_argument("pairs", type=Path)
parser.add_argument("--out", type=Path, default=Path("runs/ablation"))
parser.add_argument("--steps", type=int, default=1000)
arguments = parser.parse_args()
HELD_OUT = PretrainingSource(
    open_corpus(arguments.shards),
    word_starts(AlbertTokenizer.from_pretrained(arguments.shards).vocabulary),
    InstanceConfig(),
    MaskingConfig(),
    batch_size=32,
    max_tokens=8192,
    seed=0,
).held_out(1024)

cpu = torch.cpu.get_capabilities().get("cpu_name", "unknown CPU")
print(
    f"{time.strftime('%Y-%m-%d')}, {cpu}, torch {torch.__version__}, {arguments.steps} steps of 32 x 128 pieces, seed 0"
)
print("| arm | encoder parameters | MLM loss | MLM accuracy | SOP accuracy | STS-B |\n|---|---|---|---|---|---|")
for number, name in enumerate(ARMS):
    kept = arguments.out / f"{number}.json"
    if not kept.exists():
        arguments.out.mkdir(parents=True, exist_ok=True)
        kept.write_text(json.dumps(measure(name, arguments.out / str(number))))
    r = json.loads(kept.read_text())
    print(
        f"| {name} | {r['parameters']:,} | {r['mlm_loss']:.3f} | {r['mlm_accuracy']:.3f} "
        f"| {r['sop_accuracy']:.3f} | {r['pairs']:.3f} |",
        flush=True,
    )
