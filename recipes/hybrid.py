"""A linear model beside a fine-tuned network, set by set: the hybrid, and the cascade with its throughput.

    python recipes/hybrid.py TASKS --models runs/results --only "RTE,MRPC"        minutes each
    python recipes/hybrid.py TASKS --models runs/results --only "AG News" --cascade
    python recipes/hybrid.py TASKS --only SST-2 --cascade --early-exit            half an hour

TASKS is the folder of the task sets, --models that of `recipes/results.py`, whose model of each set with this --seed is
read as it is. The linear model learns the training rows. What each counts is learned on dev and scored on test. Where
dev is the test part (GLUE), each fifth is scored by what was learned on the other four. "linear" is the new linear
model alone, and "baseline" that of `baselines.py`, as far as --models has it. --early-exit trains models of its own,
with a head behind every depth, and keeps them in --out.
"""

from __future__ import annotations

import argparse
import itertools
import json
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from baselines import examples_of, ranked
from tasksets import SETS, Files, TaskSet, model_name

from albert.data.examples import Example, read_examples
from albert.data.sources import Problems
from albert.data.tables import Table
from albert.engine import Engine
from albert.engine.early_exit import every_depth
from albert.engine.forward import MAX_TOKENS
from albert.finetuning.early_exit import least_depth, leaving, left_at
from albert.finetuning.finetune import finetune
from albert.finetuning.hybrid import FOLDS, folds, gold_of, least_sure, scale_of, weigh
from albert.linear import fit
from albert.predict.predictor import Predictor
from albert.predict.words import Words, certainty, hardened, hardener_of
from albert.tasks import Task
from albert.tasks.base import Output
from albert.tasks.stored import StoredCascade, StoredHybrid
from albert.training.progress import ConsoleProgress


def scores_of(
    wanted: TaskSet, task: Task, labels: tuple[str, ...], outputs: list[Output], dev: list[Output]
) -> float:  # fmt: skip
    """The set's score of these outputs, with the thresholds that are best on dev."""
    if wanted.metric == "map":
        from albert.tasks.metrics import softmax

        likely = [float(softmax(output.pooled)[labels.index("1")]) for output in outputs]
        return ranked(likely, [output.example for output in outputs], "1")["map"]
    return task.score(outputs, labels, task.tune(dev, labels))[wanted.metric]


def measured(name: str, wanted: TaskSet) -> dict[str, Any]:
    """Every figure of a set."""
    files = wanted.files(arguments.tasks, arguments.models / "data")
    predictor = Predictor.load(network(name, wanted, files), early_exit=False)
    task, labels = predictor.task, predictor.labels
    _, train, _ = examples_of(wanted, files)
    parts = {"dev": rows(predictor, files.dev), "test": rows(predictor, files.test)}
    begun = time.monotonic()
    kind = task.problem_type
    harden = hardener_of(predictor.tokenizer)
    model = fit(
        hardened(train, harden), gold_of(task, train, labels), outputs=len(labels), numbers=kind == "regression"
    )
    seconds = time.monotonic() - begun
    head: dict[str, list[Output]] = {}
    words: dict[str, np.ndarray] = {}
    for part, examples in parts.items():
        head[part] = head["dev"] if part == "test" and files.dev == files.test else list(predictor.outputs(examples))
        words[part] = model.logits(hardened(examples, harden))
    gold = gold_of(task, parts["dev"], labels)
    pooled = np.stack([output.pooled for output in head["dev"]])
    base = Words(model, kind, harden)

    def learned(own: np.ndarray) -> StoredHybrid | None:
        """What is learned on these rows of dev; None where words do not help the score there."""
        weighed = weigh(kind, pooled[own], words["dev"][own], gold[own])
        places = np.flatnonzero(own)
        alone = [head["dev"][place] for place in places]
        mixed = [replace(base, hybrid=weighed).beside(head["dev"][place], words["dev"][place]) for place in places]
        score, before = (scores_of(wanted, task, labels, found, found) for found in (mixed, alone))
        return None if score < before else weighed

    if files.dev == files.test:
        fold = folds(len(gold))
        parted = [learned(fold != n) for n in range(FOLDS)]
        chosen = {part: [parted[n] for n in fold] for part in parts}
    else:
        one = learned(np.ones(len(gold), bool))
        chosen = {part: [one] * len(examples) for part, examples in parts.items()}
    whole = weigh(kind, pooled, words["dev"], gold)
    alone, joined = {}, {}
    for part, examples in parts.items():
        alone[part] = [Output(example, [row]) for example, row in zip(examples, words[part], strict=True)]
        joined[part] = [replace(base, hybrid=own).beside(output, row)
                        for output, row, own in zip(head[part], words[part], chosen[part], strict=True)]  # fmt: skip
    found: dict[str, Any] = {
        **{name: scores_of(wanted, task, labels, outputs["test"], outputs["dev"])
           for name, outputs in (("albert", head), ("linear", alone), ("hybrid", joined))},
        "head": whole.head, "words": whole.words,
        "seconds": seconds, "bytes": len(model.to_bytes()),
    }  # fmt: skip
    if arguments.cascade:
        found["ways"] = cascaded(predictor, base, words, head, parts, files.dev == files.test)
    return found


def network(name: str, wanted: TaskSet, files: Files) -> Path:
    """The folder of the set's model, with --early-exit trained now if need be."""
    own = model_name(name, arguments.seed)
    if not arguments.early_exit:
        return Path(arguments.models / own)
    folder = Path(arguments.out / f"{own}-exits")
    config = wanted.training(files, folder, arguments.seed, {}, early_exit=True)
    finetune(config, resume=True, progress=ConsoleProgress(quiet=True))
    return folder


def cascaded(
    predictor: Predictor, base: Words, words: dict[str, np.ndarray], head: dict[str, list[Output]],
    parts: dict[str, list[Example]], same: bool,
) -> dict[str, Any]:  # fmt: skip
    """Accuracy and texts a second of every way: with words first, with early exit, with both, beside the network alone.

    Where dev is the test part (`same`), each fifth is answered with thresholds from the other four. Speed is that of
    thresholds from all of dev.
    """
    kind, precision = base.problem_type, predictor.engine.precision
    gold = {part: gold_of(predictor.task, parts[part], predictor.labels) for part in parts}
    fold = folds(len(gold["dev"]))
    every = np.ones(len(gold["dev"]), bool), np.ones(len(gold["test"]), bool)
    chosen = [(fold != n, fold == n) for n in range(FOLDS)] if same else [every]
    full = {part: np.asarray([output.pooled.argmax() for output in head[part]]) for part in parts}
    said = {part: words[part].argmax(1) for part in parts}
    lost = {  # for each text of dev, what it costs that words answer it alone
        "worse": (said["dev"] != gold["dev"]) & (full["dev"] == gold["dev"]),
        "net": (said["dev"] != gold["dev"]).astype(int) - (full["dev"] != gold["dev"]),
    }

    def words_first(rule: str, rows: np.ndarray) -> StoredCascade:
        scale = scale_of(kind, words["dev"][rows], gold["dev"][rows])
        sure = certainty(words["dev"][rows], scale, kind)
        return StoredCascade(least_sure(sure, lost[rule][rows], budget=arguments.budget), scale, 0.0)

    exits = {}
    if arguments.early_exit:
        exits["dev"] = depths_of(predictor, parts["dev"])
        exits["test"] = exits["dev"] if same else depths_of(predictor, parts["test"])

    def enough(rows: np.ndarray) -> float | None:
        by_depth, sure = exits["dev"]
        whole, own = full["dev"][rows] == gold["dev"][rows], np.flatnonzero(rows)

        def cost(logits: list[np.ndarray]) -> float:
            return float(np.mean(whole & (np.stack(logits).argmax(1) != gold["dev"][rows])))

        depths = [[one[row] for row in own] for one in by_depth]
        return least_depth(depths, sure[:, rows], cost, budget=arguments.budget)[0]

    found: dict[str, Any] = {}
    for first, early in itertools.product((None, *lost), (False, True)[: 1 + arguments.early_exit]):
        answers, taken = full["test"].copy(), np.zeros(len(full["test"]), bool)
        for others, own in chosen:
            threshold = enough(others) if early else None
            if threshold is not None:
                by_depth, sure = exits["test"]
                answers[own] = np.stack(left_at(by_depth, leaving(sure, threshold))).argmax(1)[own]
            if first:
                cascade = words_first(first, others)
                taken |= own & (certainty(words["test"], cascade.words, kind) >= cascade.threshold)
        answers[taken] = said["test"][taken]
        predictor.words = replace(base, cascade=words_first(first, every[0])) if first else None
        predictor.engine = Engine(predictor.model, precision, exit_threshold=enough(every[0]) if early else None)
        found[f"{first or 'network'}{', early exit' if early else ''}"] = {
            "share": float(taken.mean()), "accuracy": float(np.mean(answers == gold["test"])),
            "rate": rate(predictor, parts["test"]),
        }  # fmt: skip
    return found


def depths_of(predictor: Predictor, examples: list[Example]) -> tuple[list[list[np.ndarray]], np.ndarray]:
    """The logits of every depth, and how sure they are."""
    assert predictor.engine.packed is not None
    features, _ = predictor.features(examples)
    return every_depth(predictor.engine.packed, features, max_tokens=MAX_TOKENS)


def rate(predictor: Predictor, examples: list[Example]) -> float:
    """Texts a second, the best of three passes over at most 3,000: neighbours on the machine take turns."""
    part, best = examples[:3000], 0.0
    for _ in range(3):
        begun = time.monotonic()
        list(predictor.outputs(part))
        best = max(best, len(part) / (time.monotonic() - begun))
    return best


def rows(predictor: Predictor, path: Path) -> list[Example]:
    """A file's rows as the model reads them."""
    table = Table(path)
    columns = replace(predictor.columns_of(table), label=predictor.columns.label)
    return list(read_examples(table, columns, predictor.task.parse_gold, Problems(str(path))))


def line(name: str, found: dict[str, Any]) -> str:
    """The set's row of the table."""
    simple = arguments.models / f"{name}-linear.json"
    baseline = json.loads(simple.read_text())["scores"][SETS[name].metric] if simple.exists() else None
    best = max(found["albert"], found["linear"])
    return (
        f"| {name} | {SETS[name].metric} | {found['albert']:.3f} | {'–' if baseline is None else f'{baseline:.3f}'} | "
        f"{found['linear']:.3f} | {found['hybrid']:.3f} | {found['hybrid'] - best:+.3f} | {found['head']:.2f} | "
        f"{found['words']:.2f} | {found['bytes'] / 2**20:.1f} | {found['seconds']:.0f} |"
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("tasks", type=Path)
    parser.add_argument("--models", type=Path, default=Path("runs/results"))
    parser.add_argument("--only", required=True, help="names of sets, with commas between")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--cascade", action="store_true")
    parser.add_argument("--early-exit", action="store_true", help="models with a head behind every depth")
    parser.add_argument("--budget", type=float, default=0.003)
    parser.add_argument("--out", type=Path, default=Path("runs/hybrid"))
    arguments = parser.parse_args()
    print(f"{time.strftime('%Y-%m-%d')}, {torch.get_num_threads()} threads, torch {torch.__version__}")
    head = ["set", "score", "albert", "baseline", "linear", "hybrid", "over the better", "head", "words", "MiB",
            "seconds"]  # fmt: skip
    print("| " + " | ".join(head) + " |\n" + "|---" * len(head) + "|", flush=True)
    arguments.out.mkdir(parents=True, exist_ok=True)
    for each in arguments.only.split(","):
        result = measured(each, SETS[each])
        marks = ("-cascade" if arguments.cascade else "") + ("-exits" if arguments.early_exit else "")
        (arguments.out / f"{model_name(each, arguments.seed)}{marks}.json").write_text(json.dumps(result))
        print(line(each, result), flush=True)
        for way, figures in result.get("ways", {}).items():
            faster = figures["rate"] / result["ways"]["network"]["rate"]
            print(f"{way}: {figures['share']:.0%} by words, accuracy {figures['accuracy']:.3f}, "
                  f"{figures['rate']:.0f} texts/s, {faster:.1f} times", flush=True)  # fmt: skip
