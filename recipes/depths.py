"""What depth buys: scores and speed of one set of weights at several numbers of layers.

    python recipes/depths.py TASKS                     about 40 minutes of one core with the starter
    python recipes/depths.py TASKS --only speed        a minute
    python recipes/depths.py TASKS --table             what is there, computing nothing

TASKS is the folder of the task sets. Speed is texts per second of SST-2's dev part through the engine, the median of
rounds in which the depths take turns. The scores are those of `scorecard.py`: STS-B and SST-2 on states that nothing
was trained for, then SST-2 (10,000 rows) and CoLA after fine-tuning at that depth, seed 0. A finished score is kept in
--out, so a repeated call goes on.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from pathlib import Path

import scorecard
import torch

from albert.engine import Engine
from albert.hub import model_folder

PARTS = {"sts-b": "sts_b", "sst-2-frozen": "sst_2_frozen", "sst-2": "sst_2", "cola": "cola"}
COLUMNS = {"speed": "texts/s", "sts_b": "STS-B", "sst_2_frozen": "SST-2 frozen", "sst_2": "SST-2", "cola": "CoLA"}


def card_at(depth: int) -> scorecard.Card:
    """The parts of the scorecard with the model at this depth, and fine-tuning as deep."""
    options = scorecard.parser.parse_args(
        [arguments.model, str(arguments.tasks), "--set", f"num_hidden_layers={depth}"]
    )
    options.set += arguments.set
    card = scorecard.Card(model_folder(arguments.model), options)
    card.model.albert.encoder.num_layers = depth
    card.engine = Engine(card.model)
    return card


def speeds(cards: dict[int, scorecard.Card]) -> dict[int, float]:
    """The texts per second of each depth."""
    texts = [row["sentence"] for row in next(iter(cards.values())).sst2[1]]
    seconds: dict[int, list[float]] = {depth: [] for depth in cards}
    for _ in range(arguments.rounds + 1):  # the first one warms up
        for depth, card in cards.items():
            began = time.perf_counter()
            card.states(texts)
            seconds[depth].append(time.perf_counter() - began)
    return {depth: len(texts) / statistics.median(found[1:]) for depth, found in seconds.items()}


parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("tasks", type=Path)
parser.add_argument("--model", default="starter")
parser.add_argument("--depths", default="3,6,12")
parser.add_argument("--only", default=",".join(("speed", *PARTS)))
parser.add_argument("--rounds", type=int, default=9)
parser.add_argument("--set", action="append", default=[], help="a setting of fine-tuning, e.g. lr=1e-4; repeatable")
parser.add_argument("--table", action="store_true", help="compute nothing")
parser.add_argument("--out", type=Path, default=Path("runs/depths.json"))
arguments = parser.parse_args()

scores: dict[str, dict[str, float]] = json.loads(arguments.out.read_text()) if arguments.out.exists() else {}
depths = [int(depth) for depth in arguments.depths.split(",")]
wanted = [] if arguments.table else arguments.only.split(",")
cards = {depth: card_at(depth) for depth in depths} if wanted else {}
arguments.out.parent.mkdir(parents=True, exist_ok=True)
if "speed" in wanted:
    for depth, speed in speeds(cards).items():
        scores.setdefault(str(depth), {})["speed"] = speed
for depth, card in cards.items():
    own = scores.setdefault(str(depth), {})
    for part, name in PARTS.items():
        if part in wanted and name not in own:
            own |= scorecard.PARTS[part](card)
            arguments.out.write_text(json.dumps(scores))
if cards:
    arguments.out.write_text(json.dumps(scores))
cpu = torch.cpu.get_capabilities().get("cpu_name", "unknown CPU")
print(f"{time.strftime('%Y-%m-%d')}, {cpu}, {torch.get_num_threads()} threads, torch {torch.__version__}")
print("| layers | " + " | ".join(COLUMNS.values()) + " |\n" + "|---" * (len(COLUMNS) + 1) + "|")
for depth in depths:
    own = scores.get(str(depth), {})
    cells = [f"{own[name]:,.0f}" if name == "speed" and name in own else f"{own[name]:.3f}" if name in own else "–"
             for name in COLUMNS]  # fmt: skip
    print(f"| {depth} | " + " | ".join(cells) + " |")
