"""Early exit against full depth and against PABEE, with a classifier that `albert train --early-exit` made.

    albert train SST-2/train.tsv -o exits --early-exit --set epochs=2 --set lr=2e-4
    python benchmarks/early_exit.py exits SST-2/dev.tsv

Prints the accuracy, mean depth and tokens/s of each arm, and the median ratio of full depth's time to its own, with the
same number of texts under way. Arms are interleaved, in the engine's precision.

PABEE (Zhou et al. 2020) takes one text at a time and leaves when `patience` consecutive heads agree. The table shows
its fastest patience whose accuracy is at most 0.003 below full depth's on these texts, or else the most patient one.
"of these texts": the threshold is chosen on one half of the texts for that budget and used on the other half, both
ways. The model's own threshold was chosen on its dev part.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import torch

from albert.compute.packed import Packed
from albert.data.batches import Features
from albert.data.examples import read_examples
from albert.data.sources import Problems
from albert.data.tables import Table
from albert.engine import Engine
from albert.engine.early_exit import Exits, every_depth
from albert.engine.forward import MAX_TOKENS
from albert.finetuning.early_exit import least_depth
from albert.predict.predictor import Predictor

UNDER_WAY = (1, 32, 128)  # texts
BUDGET = 0.003
REPEATS = 4  # copies of the texts, so that the last ones under way count little


@torch.inference_mode()
def pabee(engine: Engine, rows: Features, patience: int) -> Exits:
    """One text at a time; it leaves after `patience` agreements in a row."""
    packed, model = engine.packed, engine.model
    assert packed is not None
    assert model.exits is not None
    heads = [*model.exits, model.head]
    found = Exits([], np.zeros(len(rows), np.int64))
    for row in range(len(rows)):
        lengths = rows.lengths[[row]]
        starts = np.append(0, lengths)
        x = packed.embed(Packed(*rows.flat([row]), lengths), starts)
        before, agreed = -1, 0
        for depth, head in enumerate(heads, 1):
            x = packed.run(x, starts, depths=slice(depth - 1, depth))
            said = packed.read(x[:1] if model.reads_first else x, lengths, head)[0]
            agreed = agreed + 1 if said.argmax() == before else 0
            before = said.argmax()
            if agreed == patience or depth == len(heads):
                found.logits.append(said)
                found.depths[row] = depth
                break
    return found


def halves(whole: Predictor, rows: Features, gold: np.ndarray) -> Callable[[int], Exits]:
    """Early exit on two halves, each with the threshold of the other half."""
    assert whole.engine.packed is not None
    by_depth, sure = every_depth(whole.engine.packed, rows, max_tokens=MAX_TOKENS)
    parts = np.arange(len(rows)) % (len(rows) // REPEATS) % 2  # the copies of a text are in one half
    engines = []
    for part in (0, 1):
        other = np.flatnonzero(parts != part)
        right = np.stack([by_depth[-1][row] for row in other]).argmax(1) == gold[other]

        def cost(logits: list[np.ndarray], other: np.ndarray = other, right: np.ndarray = right) -> float:
            return float(np.mean(right & (np.stack(logits).argmax(1) != gold[other])))

        halved_depths = [[one[row] for row in other] for one in by_depth]
        threshold, _ = least_depth(halved_depths, sure[:, other], cost, budget=BUDGET)
        engines.append(Engine(whole.model, whole.engine.precision, exit_threshold=threshold))
    halved = [rows_of(rows, np.flatnonzero(parts == part)) for part in (0, 1)]

    def run(tokens: int) -> Exits:
        found = Exits([np.zeros(0)] * len(rows), np.zeros(len(rows), np.int64))
        for part, (engine, own) in enumerate(zip(engines, halved, strict=True)):
            said, places = engine.exits(own, max_tokens=tokens), np.flatnonzero(parts == part)
            found.depths[places] = said.depths
            for place, logits in zip(places, said.logits, strict=True):
                found.logits[place] = logits
        return found

    return run


def rows_of(rows: Features, indices: np.ndarray) -> Features:
    ids, types = rows.flat(indices)
    starts = np.append(0, np.cumsum(rows.lengths[indices]))
    return Features(ids.numpy(), types.numpy().astype(np.int8), starts, None)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path)
    parser.add_argument("data", type=Path)
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    own, whole = Predictor.load(arguments.model), Predictor.load(arguments.model, early_exit=False)
    table = Table(arguments.data)
    label = whole.columns.label
    columns = whole.columns_of(table)
    examples = list(read_examples(table, replace(columns, label=label),
                                  whole.task.parse_gold, Problems(str(arguments.data))))  # fmt: skip
    rows, _ = whole.task.features(whole.tokenizer, examples, whole.lengths)
    rows = rows_of(rows, np.tile(np.arange(len(rows)), REPEATS))
    gold = np.asarray([whole.labels.index(example.gold) for example in examples] * REPEATS)

    def accuracy(found: Exits) -> float:
        return float(np.mean(np.stack(found.logits).argmax(1) == gold))

    full = accuracy(whole.engine.exits(rows))
    depths = whole.model.config.num_hidden_layers
    by_patience = {patience: pabee(whole.engine, rows, patience) for patience in range(1, depths)}
    allowed = [patience for patience, found in by_patience.items() if accuracy(found) >= full - BUDGET]
    patience = min(allowed, default=depths - 1)
    crossed = halves(whole, rows, gold)
    mean = float(rows.lengths.mean())
    arms: dict[tuple[str, int], Callable[[], Exits]] = {
        (f"PABEE, patience {patience}", 1): lambda: pabee(whole.engine, rows, patience)
    }
    for texts in UNDER_WAY:
        tokens = int(texts * mean)
        arms["full depth", texts] = partial(whole.engine.exits, rows, max_tokens=tokens)
        arms["early exit, the model's threshold", texts] = partial(own.engine.exits, rows, max_tokens=tokens)
        arms["early exit, of these texts", texts] = partial(crossed, tokens)
    times: dict[tuple[str, int], list[float]] = {arm: [] for arm in arms}
    last: dict[tuple[str, int], Exits] = {}
    for _ in range(arguments.rounds):
        for arm, run in arms.items():
            start = time.perf_counter()
            last[arm] = run()
            times[arm].append(time.perf_counter() - start)
    cpu = torch.cpu.get_capabilities().get("cpu_name", "unknown CPU")
    print(f"{time.strftime('%Y-%m-%d')}, {cpu}, {torch.get_num_threads()} threads, torch {torch.__version__}; "
          f"{len(examples)} texts {REPEATS} times, {len(rows.ids):,} pieces, {whole.engine.precision}")  # fmt: skip
    print(
        "| arm | texts under way | accuracy | mean depth | tokens/s | against full depth |\n|---|---|---|---|---|---|"
    )
    for (name, texts), found in last.items():
        ratio = statistics.median(a / b for a, b in zip(times["full depth", texts], times[name, texts], strict=True))
        speed = len(rows.ids) / statistics.median(times[name, texts])
        print(f"| {name} | {texts} | {accuracy(found):.4f} | {found.depths.mean():.2f} | {speed:,.0f} | {ratio:.2f}x |")


main()
