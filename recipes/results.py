"""The results table: every task set of `tasksets.py`, learned from the starter, with simpler methods for comparison.

    python recipes/results.py TASKS --only CoLA,RTE          minutes each; SQuAD, IMDB and SST-2 longer
    python recipes/results.py TASKS --scratch --only CoLA    the same network without pre-training, too

TASKS is the folder of the task sets. Each run trains on the training part, chooses its checkpoint on dev and is scored
on test (on dev if the test labels are not public). "majority" is the baseline of `albert evaluate`: the most frequent
label, for entities the tags of the training part's words, for similarity shared words. "linear" is `baselines.py`.
"minilm" are the scores that `minilm.py` left in --out. A finished run is kept in --out as JSON and an interrupted one
resumes, so a repeated call goes on. --table prints the finished ones.
"""

from __future__ import annotations

import argparse
import json
import shutil
import time
from pathlib import Path
from typing import Any

import torch
from baselines import BASELINES, examples_of, ranked
from figures import of_label, spread
from tasksets import SETS, Files, TaskSet, model_name

from albert.config import AlbertConfig
from albert.data.examples import Example, guess_columns, read_examples
from albert.data.sources import Problems
from albert.data.tables import Table
from albert.finetuning.finetune import finetune
from albert.hub import model_folder
from albert.predict.predictor import Predictor
from albert.tasks import DecodeOptions
from albert.training.progress import ConsoleProgress


def run(name: str, files: Files, side: str, seed: int) -> dict[str, Any]:
    """One fine-tuning with its score."""
    wanted, began = SETS[name], time.monotonic()
    start = str(arguments.out / model_name(wanted.start, seed)) if wanted.start else "starter"
    network = AlbertConfig.load(model_folder("starter"))
    shape = {
        "hidden_size": network.hidden_size, "num_hidden_layers": network.num_hidden_layers,
        "num_attention_heads": network.num_attention_heads, "intermediate_size": network.intermediate_size,
    }  # fmt: skip
    folder = arguments.out / (model_name(name, seed) if side == "starter" else f"{name}-{side}-{seed}")
    if side == "starter":
        config = wanted.training(files, folder, seed, {}, init=start)
    else:
        config = wanted.training(files, folder, seed, {"lr": wanted.scratch_lr, **shape}, size="mini")
    finetune(config, resume=True, progress=ConsoleProgress(quiet=arguments.quiet))
    steps = map(json.loads, (folder / "metrics.jsonl").read_text(encoding="utf-8").splitlines())
    seconds = max(time.monotonic() - began, sum(step.get("seconds", 0) for step in steps))  # a resumed run's, too
    predictor = Predictor.load(folder)
    evaluation = predictor.evaluate(files.test)
    scores = evaluation.scores
    if wanted.label:
        test = examples(predictor, files.test)
        said = [found[0]["label"] for found in predictor.predict(test)]
        precision, recall, f1 = of_label(wanted.label, [example.gold for example in test], said)
        scores |= {f"{wanted.label} precision": precision, f"{wanted.label} recall": recall, f"{wanted.label} f1": f1}
    if wanted.metric == "map":
        test = examples(predictor, files.test)
        likely = [next(p["score"] for p in found if p["label"] == "1")
                  for found in predictor.predict(test, DecodeOptions(top_k=None))]  # fmt: skip
        scores = ranked(likely, test, "1")
    majority = evaluation.baseline if evaluation.metric == wanted.metric else None
    if side == "scratch":
        shutil.rmtree(folder)
    return {"scores": scores, "majority": majority, "seconds": seconds}


def examples(predictor: Predictor, path: Path) -> list[Example]:
    """A file's rows as the model reads them."""
    own = predictor.columns
    table = Table(path, text=own.text, text_pair=own.text_pair, label=own.label)
    columns = guess_columns(table)
    return list(read_examples(table, columns, predictor.task.parse_gold, Problems(str(path))))


def linear(name: str, files: Files) -> dict[str, Any]:
    """The linear baseline on the same rows."""
    wanted, start = SETS[name], time.monotonic()
    task, train, test = examples_of(wanted, files)
    scores = BASELINES["ranking" if wanted.metric == "map" else task.name](train, test)
    return {"scores": scores, "seconds": time.monotonic() - start}


def kept(name: str, make: Any) -> dict[str, Any] | None:
    """A result from --out. A missing one is made now."""
    path = arguments.out / f"{name}.json"
    if not path.exists():
        if arguments.table:
            return None
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(make()))
    result: dict[str, Any] = json.loads(path.read_text())
    return result


def row(name: str, wanted: TaskSet) -> str | None:
    """The set's row of the table."""
    files = wanted.files(arguments.tasks, arguments.out / "data")
    cells = []
    for side in ("starter", "scratch") if arguments.scratch else ("starter",):
        results = [
            found
            for seed in range(min(wanted.seeds, arguments.seeds))
            if (found := kept(f"{name}-{side}-{seed}", lambda seed=seed, side=side: run(name, files, side, seed)))
        ]
        if side == "starter" and not results:
            return None
        cells.append(spread([result["scores"][wanted.metric] for result in results]) if results else "–")
        if side == "starter":
            first = results[0]
    simple = kept(f"{name}-linear", lambda: linear(name, files))
    vectors = arguments.out / f"{name.split(' after ')[0]}-minilm.json"  # whatever our model starts from
    ready = json.loads(vectors.read_text())["scores"] if vectors.exists() else None
    beside = [f"{key} {value:.3f}" for key, value in first["scores"].items() if wanted.label and wanted.label in key]
    return " | ".join(
        [f"| {name}", wanted.metric, *cells, f"{simple['scores'][wanted.metric]:.3f}" if simple else "–",
         f"{ready[wanted.metric]:.3f}" if ready else "–",
         "–" if first["majority"] is None else f"{first['majority']:.3f}", f"{first['seconds'] / 60:.1f}",
         wanted.published, "; ".join(filter(None, [wanted.note, ", ".join(beside)])) + " |"]
    )  # fmt: skip


parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("tasks", type=Path)
parser.add_argument("--only", help="names of sets, with commas between")
parser.add_argument("--scratch", action="store_true")
parser.add_argument("--seeds", type=int, default=3, help="at most so many")
parser.add_argument("--table", action="store_true", help="compute nothing")
parser.add_argument("--quiet", action="store_true")
parser.add_argument("--out", type=Path, default=Path("runs/results"))
arguments = parser.parse_args()

cpu = torch.cpu.get_capabilities().get("cpu_name", "unknown CPU")
print(f"{time.strftime('%Y-%m-%d')}, {cpu}, {torch.get_num_threads()} threads, torch {torch.__version__}")
head = ["set", "score", "starter", *(["scratch"] if arguments.scratch else []), "linear", "minilm",
        "majority", "minutes", "albert-base-v2", "note"]  # fmt: skip
print("| " + " | ".join(head) + " |\n" + "|---" * len(head) + "|")
for name in arguments.only.split(",") if arguments.only else SETS:
    line = row(name, SETS[name])
    if line:
        print(line, flush=True)
