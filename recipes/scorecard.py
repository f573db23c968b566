"""A scorecard for a pre-trained model, to compare the checkpoints of a run: minutes on one core.

    python recipes/scorecard.py MODEL TASKS                    about 4 minutes of one core with the starter
    python recipes/scorecard.py MODEL TASKS --shards SHARDS    6 minutes: held-out masked loss and order, too
    python recipes/scorecard.py MODEL TASKS --only cls,sts-b,sst-2-frozen,blimp    without fine-tuning
    python recipes/scorecard.py --table                        what is there, computing nothing

MODEL is a model folder, a hub id or "starter"; a folder without a vocabulary gets that of --vocabulary. TASKS is the
folder of the task sets, SHARDS a corpus from `albert prepare` with the model's vocabulary. One JSON line a model is
appended to --out, and the table of all its lines is printed. The parts:

held-out       masked loss and accuracy, and order accuracy, on documents held out from SHARDS, rows of 128 and 512
cls            mean over the units of [CLS] of their standard deviation over 256 texts; near 0 it is the same for all
sts-b          STS-B dev correlation of the cosines of mean-pooled states, nothing trained
sst-2-frozen   SST-2 dev accuracy of a logistic regression on mean-pooled states, 10,000 training rows
sst-2          the same rows, fine-tuned for 2 epochs
cola           CoLA dev correlation (MCC), fine-tuned for 3 epochs
blimp          recipes/blimp.py with the first 10 pairs of each test
fill           what it puts in the place of a few masks

Fine-tuning is one seed at a rate of 2e-4, 32 rows a step; --set changes that for both, e.g. --set lr=1e-4. A difference
of a point on SST-2 or three on CoLA may be chance.
"""

from __future__ import annotations

import argparse
import json
import shutil
import tempfile
import time
from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import Any

import blimp
import numpy as np
import torch
from baselines import chosen_penalty
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from tasksets import tsv, write_rows

from albert.corpus.shards import open_corpus
from albert.data.batches import Features, inference_batches
from albert.data.reading import DataSource
from albert.engine import Engine
from albert.finetuning.dataset import FinetuneConfig
from albert.finetuning.finetune import finetune
from albert.hub import model_folder
from albert.model import AlbertForTask, load_model
from albert.predict.pretrained import PretrainedModel
from albert.pretraining.instances import InstanceConfig
from albert.pretraining.scores import held_out_scores
from albert.pretraining.source import MaskingConfig, PretrainingSource
from albert.tasks.metrics import regression_scores
from albert.text.tokenizer import AlbertTokenizer
from albert.text.words import word_starts
from albert.training.settings import parse_setting

SETTINGS = {"seed": 0, "lr": 2e-4, "batch_size": 32, "patience": 0}
TEXTS = 256  # over which [CLS] is to differ
ROWS = 10_000  # of SST-2
PAIRS = 10  # of each test of BLiMP
HELD_OUT = {128: 512, 512: 128}  # instances of each length
TO_FILL = (
    "He sat down on the [MASK].",
    "The capital of France is [MASK].",
    "She opened the [MASK] and read the first page.",
    "The food was cold and the waiter was rude: a [MASK] evening.",
    "Water freezes when it gets [MASK].",
)


class Card:
    """A model, the data, and the parts of the card as methods that return scores."""

    def __init__(self, folder: Path, arguments: argparse.Namespace) -> None:
        self.folder, self.tasks, self.arguments = folder, arguments.tasks, arguments
        self.tokenizer = AlbertTokenizer.from_pretrained(folder)

    @cached_property
    def model(self) -> AlbertForTask:
        """The model with its own head."""
        return load_model(self.folder)

    @cached_property
    def engine(self) -> Engine:
        return Engine(self.model)

    @property
    def fills(self) -> bool:
        """Whether it has a head for masks."""
        return self.model.head_name in ("masked_lm", "pretraining")

    def states(self, texts: list[str]) -> list[np.ndarray]:
        """The last hidden states of each text, [pieces, hidden]."""
        features = Features.build(self.tokenizer.encode_batch(texts, max_length=128, offsets=False))
        found = [np.zeros(0, np.float32)] * len(texts)
        for indices in inference_batches(features.lengths, max_tokens=8192):
            ids, types = (part.numpy() for part in features.flat(indices))
            bounds = np.append(0, np.cumsum(features.lengths[indices]))
            own = self.engine.states(Features(ids, types.astype(np.int8), bounds, None))
            for index, states in zip(indices, own, strict=True):
                found[index] = states
        return found

    def means(self, texts: list[str]) -> np.ndarray:
        """The mean state of each text, [texts, hidden]."""
        return np.stack([states.mean(0) for states in self.states(texts)])

    @cached_property
    def sst2(self) -> tuple[list[dict[str, str]], list[dict[str, str]]]:
        """(the training rows in use, drawn by seed 0, dev)."""
        train, dev = (tsv(self.tasks / "glue" / "SST-2" / f"{part}.tsv") for part in ("train", "dev"))
        order = np.random.default_rng(0).permutation(len(train))[: self.arguments.rows]
        return [train[place] for place in order], dev

    # --- parts -------------------------------------------------------------------------------------------

    def held_out(self) -> dict[str, Any]:
        """Scores on documents that pre-training did not see, masked as in the paper for any run."""
        if self.arguments.shards is None or self.model.head_name != "pretraining":
            return {}
        scores: dict[str, float] = {}
        for length, count in HELD_OUT.items():
            source = PretrainingSource(
                open_corpus(self.arguments.shards),
                word_starts(self.tokenizer.vocabulary),
                InstanceConfig(max_length=length),
                MaskingConfig(),
                batch_size=8,
                max_tokens=4096,
                seed=0,
            )
            found = held_out_scores(self.model, source.held_out(count))
            scores |= {f"{name} {length}": found[name] for name in ("mlm_loss", "mlm_accuracy", "sop_accuracy")}
        return scores

    def cls(self) -> dict[str, Any]:
        """The spread of [CLS] over SST-2's dev sentences."""
        first = np.stack([states[0] for states in self.states([row["sentence"] for row in self.sst2[1][:TEXTS]])])
        return {"cls_spread": float(first.std(0).mean())}

    def sts_b(self) -> dict[str, Any]:
        """The mean of Pearson's and Spearman's correlation."""
        rows = tsv(self.tasks / "glue" / "STS-B" / "dev.tsv")
        u, v = (self.means([row[name] for row in rows]) for name in ("sentence1", "sentence2"))
        cosines = (u * v).sum(1) / np.linalg.norm(u, axis=1) / np.linalg.norm(v, axis=1)
        gold = np.array([float(row["score"]) for row in rows])
        return {"sts_b": regression_scores(cosines, gold)["correlation"]}

    def sst2_frozen(self) -> dict[str, Any]:
        """Units are scaled to one spread first; the penalty is chosen on a tenth of the training rows."""
        (x, gold), (y, wanted) = (
            (self.means([row["sentence"] for row in rows]), np.array([row["label"] for row in rows]))
            for rows in self.sst2
        )

        def fit(c: float, x: np.ndarray, gold: np.ndarray) -> Any:
            return make_pipeline(StandardScaler(), LogisticRegression(C=c, max_iter=300)).fit(x, gold)

        c = chosen_penalty(x, gold, fit, accuracy_score, penalties=(0.001, 0.01, 0.1, 1.0))
        return {"sst_2_frozen": float(fit(c, x, gold).score(y, wanted))}

    def sst2_tuned(self) -> dict[str, Any]:
        with tempfile.TemporaryDirectory() as work:
            train, dev = (
                write_rows(Path(work) / f"{part}.jsonl", rows)
                for part, rows in zip(("train", "dev"), self.sst2, strict=True)
            )
            return {"sst_2": self._tuned(DataSource(str(train)), dev, epochs=2.0)["accuracy"]}

    def cola(self) -> dict[str, Any]:
        train, dev = (self.tasks / "glue" / "CoLA" / f"{part}.tsv" for part in ("train", "dev"))
        return {"cola": self._tuned(DataSource(str(train), text="4", label="2"), dev, epochs=3.0, metric="mcc")["mcc"]}

    def _tuned(self, source: DataSource, dev: Path, *, epochs: float, metric: str | None = None) -> dict[str, float]:
        """The scores on dev of the best checkpoint, as everywhere in the recipes."""
        settings = {**SETTINGS, "epochs": epochs, **dict(map(parse_setting, self.arguments.set))}
        with tempfile.TemporaryDirectory() as work:
            config = FinetuneConfig(
                train=source, dev=str(dev), out=Path(work) / "model", init=str(self.folder), settings=settings,
                metric=metric,
            )  # fmt: skip
            return finetune(config).scores

    def blimp(self) -> dict[str, Any]:
        if not self.fills:
            return {}
        tests = blimp.read(self.tasks / "blimp" / "blimp.jsonl.xz", self.arguments.pairs)
        found = blimp.accuracies(PretrainedModel(self.model, self.tokenizer), tests)
        return {f"blimp_{name}": accuracy for name, accuracy in blimp.means(tests, found).items()}

    def fill(self) -> dict[str, Any]:
        if not self.fills:
            return {}
        model = PretrainedModel(self.model, self.tokenizer)
        return {"fill": {text: [one["token_str"] for one in model.fill_mask(text)] for text in TO_FILL}}


PARTS: dict[str, Callable[[Card], dict[str, Any]]] = {
    "cls": Card.cls, "sts-b": Card.sts_b, "fill": Card.fill, "held-out": Card.held_out,
    "sst-2-frozen": Card.sst2_frozen, "blimp": Card.blimp, "cola": Card.cola, "sst-2": Card.sst2_tuned,
}  # fmt: skip
COLUMNS = {
    "mlm_loss 128": "loss 128", "mlm_loss 512": "loss 512", "mlm_accuracy 128": "masked", "sop_accuracy 128": "order",
    "cls_spread": "[CLS]", "sts_b": "STS-B", "sst_2_frozen": "SST-2 frozen", "sst_2": "SST-2", "cola": "CoLA",
    "blimp_all": "BLiMP",
}  # fmt: skip


def complete(name: str, vocabulary: str, work: Path) -> Path:
    """The model's folder. A folder without a vocabulary is copied and gets that of another model."""
    folder = model_folder(name)
    if (folder / "spiece.model").exists() or (folder / "tokenizer.json").exists():
        return folder
    for part in ("config.json", "model.safetensors"):
        shutil.copy(folder / part, work)
    AlbertTokenizer.from_pretrained(vocabulary).save(work)
    return work


def measure(arguments: argparse.Namespace) -> dict[str, Any]:
    """The card: the scores of every part, and the seconds of a core that each part took."""
    with tempfile.TemporaryDirectory() as work:
        card = Card(complete(arguments.model, arguments.vocabulary, Path(work)), arguments)
        scores: dict[str, Any] = {}
        seconds = {}
        for part in arguments.only.split(",") if arguments.only else PARTS:
            if part in arguments.without.split(","):
                continue
            began = time.process_time()  # a core's time: the machine may be shared
            found = PARTS[part](card)
            seconds[part] = round(time.process_time() - began, 1)
            scores |= found
            said = {name: round(value, 4) if isinstance(value, float) else value for name, value in found.items()}
            print(f"{part} ({seconds[part]:.0f} s): {json.dumps(said, ensure_ascii=False)}", flush=True)
    return {
        "model": arguments.name or arguments.model,
        "date": time.strftime("%Y-%m-%d %H:%M"),
        "machine": f"{torch.cpu.get_capabilities().get('cpu_name', 'unknown CPU')}, {torch.get_num_threads()} threads, "
        f"torch {torch.__version__}",
        "settings": {"rows": arguments.rows, "pairs": arguments.pairs, "set": arguments.set},
        "seconds": seconds,
        "scores": scores,
    }


def table(cards: list[dict[str, Any]]) -> str:
    """One line per model."""
    lines = ["| model | " + " | ".join(COLUMNS.values()) + " | core minutes |", "|---" * (len(COLUMNS) + 2) + "|"]
    for card in cards:
        cells = [f"{card['scores'][name]:.3f}" if name in card["scores"] else "–" for name in COLUMNS]
        lines.append(f"| {card['model']} | " + " | ".join(cells) + f" | {sum(card['seconds'].values()) / 60:.1f} |")
    return "\n".join(lines)


def main(arguments: argparse.Namespace) -> None:
    """Measures, unless only the table is wanted, and prints."""
    if not arguments.table:
        card = measure(arguments)
        arguments.out.parent.mkdir(parents=True, exist_ok=True)
        with arguments.out.open("a", encoding="utf-8") as file:
            file.write(json.dumps(card, ensure_ascii=False) + "\n")
    print(table([json.loads(line) for line in arguments.out.read_text(encoding="utf-8").splitlines()]))


parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("model", nargs="?")
parser.add_argument("tasks", type=Path, nargs="?")
parser.add_argument("--shards", type=Path)
parser.add_argument("--name", help="what to call the model in the table")
parser.add_argument("--only", help="parts, with commas between: " + ", ".join(PARTS))
parser.add_argument("--without", default="", help="parts to leave out")
parser.add_argument("--rows", type=int, default=ROWS, help="training rows of SST-2")
parser.add_argument("--pairs", type=int, default=PAIRS, help="of each test of BLiMP")
parser.add_argument("--set", action="append", default=[], help="a setting of fine-tuning, e.g. lr=1e-4; repeatable")
parser.add_argument("--vocabulary", default="starter", help="for a folder without one")
parser.add_argument("--table", action="store_true", help="compute nothing")
parser.add_argument("--out", type=Path, default=Path("runs/scorecard.jsonl"))
if __name__ == "__main__":
    options = parser.parse_args()
    if not options.table and options.tasks is None:
        parser.error("MODEL and TASKS are needed, unless with --table")
    main(options)
