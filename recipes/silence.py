"""Fits when `albert ask` speaks: the constants `RIGHT` in albert/documents/answers.py.

    python recipes/silence.py TASKS KB --reader READER --questions 300

TASKS is the folder of the task sets, KB an index of all paragraphs of SQuAD 1.1 (`benchmarks/documents.py` makes one).
Questions are those of the 20 training articles that `results.py` holds out, so dev questions stay unseen. Where a
question has a name or a number, it is also asked with another one of its article, and then has no answer (`reader.py`).
An answer counts as right from an F1 of 0.5.
"""

from __future__ import annotations

import argparse
import itertools
import random
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from reader import Row, changed, named_in
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from tasksets import SETS, jsonl_rows

import albert
from albert.documents import answers
from albert.predict.predictor import Predictor
from albert.tasks.squad_metrics import token_f1


def known_of(kb: albert.Index, reader: Predictor, question: str) -> tuple[list[float], str] | None:
    """What is known of the likeliest answer: its weight, its odds against none, the lead of the best passage."""
    hits = kb.search(question, top_k=answers.PASSAGES)
    if not hits:
        return None
    pairs = [{"question": question, "context": text} for _, text in answers.pairs(question, hits)]
    said = reader(pairs, top_k=answers.KEPT, handle_impossible_answer=True)
    behind, lead = answers._behind(hits), answers._lead(hits)
    found = [one for hit, own, parts in zip(hits, behind, said, strict=True)
             for one in answers._candidates(hit, own, lead, parts)]  # fmt: skip
    best = max(found, key=lambda one: one.weight, default=None)
    return None if best is None else ([best.weight, best.odds, lead], best.text)


def asked(rows: list[Row]) -> Iterator[Row]:
    """The questions, and those that have no answer."""
    rng = random.Random(0)
    names = named_in({row["context"]: row["title"].replace("_", " ") for row in rows})
    for row in rows:
        yield row
        if (without := changed(row, names, rng)) is not None:
            yield without


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("tasks", type=Path)
    parser.add_argument("kb", type=Path)
    parser.add_argument("--reader", required=True)
    parser.add_argument("--questions", type=int, default=300)
    parser.add_argument("--out", type=Path, default=Path("runs/silence"))
    arguments = parser.parse_args()
    rows = jsonl_rows(SETS["SQuAD 1.1"].files(arguments.tasks, arguments.out).dev)
    reader = Predictor.load(arguments.reader)
    answers.RIGHT = (0.0, 0.0, 1.0, 0.0)  # so that a candidate tells its odds against none
    known, right = [], []
    with albert.Index(arguments.kb) as kb:
        for row in itertools.islice(asked(rows), arguments.questions):
            if (found := known_of(kb, reader, row["question"])) is not None:
                known.append(found[0])
                right.append(token_f1(found[1], [answer["text"] for answer in row["answers"]]) >= 0.5)
    model = LogisticRegression().fit(known, right)
    said = model.predict_proba(known)[:, 1]
    print("RIGHT =", tuple(round(float(value), 2) for value in (*model.intercept_, *model.coef_[0])))
    print(f"{len(right)} questions, {np.mean(right):.3f} right, area under the curve {roc_auc_score(right, said):.3f}")


if __name__ == "__main__":
    main()
