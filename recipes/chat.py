"""Intents through `albert chat`: CLINC150's test part said to the assistant, beside the classifier alone.

    python recipes/chat.py TASKS --models runs/results            a few minutes

TASKS is the folder of the task sets, --models that of `results.py`, which has trained "CLINC150". The assistant has the
index of the invented shop (`examples/shop`). A text is right when the assistant takes its intent; greetings, thanks and
goodbyes are intents, too. A text that is out of scope counts as found when the assistant asks the documents.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import torch
from figures import of_label
from tasksets import SETS, jsonl_rows

import albert
from albert.documents.chat import Assistant, Kind, Reply
from albert.predict.predictor import Predictor

FALLBACK = "oos"
RULES = {Kind.GREETING: "greeting", Kind.THANKS: "thank_you", Kind.GOODBYE: "goodbye"}


def intent_of(reply: Reply) -> str:
    """The intent that a reply stands for."""
    return reply.intent or RULES.get(reply.kind, FALLBACK)


def row(name: str, gold: list[str], said: list[str], seconds: float) -> str:
    """Accuracy of what is in scope; recall and precision of what is not."""
    right = [own == truth for own, truth in zip(said, gold, strict=True)]
    inside = [hit for hit, truth in zip(right, gold, strict=True) if truth != FALLBACK]
    precision, recall, _ = of_label(FALLBACK, gold, said)
    rate = len(gold) / seconds
    return f"| {name} | {sum(inside) / len(inside):.3f} | {recall:.3f} | {precision:.3f} | {rate:.0f} |"


parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("tasks", type=Path)
parser.add_argument("--models", type=Path, default=Path("runs/results"))
parser.add_argument("--reader", help="model for question answering; without one, FAQs alone")
parser.add_argument("--out", type=Path, default=Path("runs/chat"))
arguments = parser.parse_args()

files = SETS["CLINC150"].files(arguments.tasks, arguments.models / "data")
rows = jsonl_rows(files.test)
texts, gold = [one["text"] for one in rows], [one["label"] for one in rows]
intents = Predictor.load(arguments.models / "CLINC150-model")
reader = Predictor.load(arguments.reader) if arguments.reader else None
print(f"{time.strftime('%Y-%m-%d')}, {torch.get_num_threads()} threads, torch {torch.__version__}")
print("| what | in scope: accuracy | out of scope: recall | precision | texts/s |\n" + "|---" * 5 + "|", flush=True)
began = time.monotonic()
alone = [found["label"] for found in intents(texts)]
print(row("classifier alone", gold, alone, time.monotonic() - began), flush=True)
arguments.out.mkdir(parents=True, exist_ok=True)
with albert.Index(arguments.out / "shop.db") as kb:
    kb.add(Path(__file__).parents[1] / "examples" / "shop")
    assistant = Assistant(kb, reader=reader, intents=intents)
    began = time.monotonic()
    said = [intent_of(assistant(text)) for text in texts]
    print(row("assistant", gold, said, time.monotonic() - began))
