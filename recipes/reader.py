"""A reader for `albert ask` that knows when a passage has no answer: continues from a model trained on SQuAD 1.1.

    python recipes/reader.py TASKS --init READER --out runs/reader           writes the rows and trains
    python recipes/reader.py TASKS --init READER --out runs/reader --rows    the rows alone
    python recipes/reader.py TASKS --init READER --out runs/reader --ship    also writes the reader of the package

TASKS is the folder of the task sets, READER a model that `results.py TASKS --only "SQuAD 1.1"` trained. The rows are
passages as an index cuts them, under their article's title, as `albert ask` shows them to a reader. Half have their
question's answer. The others do not: most were found by BM25 for the question and lack the answer's text, every fifth
is the answer's own passage with a name or number of the question changed to one that the passage lacks. Questions are
those of SQuAD 1.1's training part without the 20 articles that `results.py` holds out. To these come questions that
people wrote for SQuAD 2.0, half of them without an answer (`written_questions` of tasksets.py).
"""

from __future__ import annotations

import argparse
import itertools
import random
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from tasksets import SETS, jsonl_rows, shared_words, write_rows, written_questions

import albert
from albert.documents.extracted import Extracted
from albert.documents.passages import passages, shown
from albert.model import save_model
from albert.predict.predictor import Predictor
from albert.storage.files import write_file
from albert.storage.replacing import new_files
from albert.tasks.squad_metrics import normalize_answer

QUESTIONS = 4_000  # an answer and a silence each
CHANGED = 0.2  # of the silences are questions with a name or number changed
_NAMED = re.compile(r"(?<=\w )(?:[A-Z][\w'-]+(?: [A-Z][\w'-]+)*|\d[\d,.]*\d|\d)")

ASSETS = Path(__file__).parents[1] / "src" / "albert" / "assets" / "reader"
CARD = """---
language: en
license: apache-2.0
library_name: albert-nlp
pipeline_tag: question-answering
---
# reader

Finds the answer to a question in a passage, or says that the passage has none. It comes with the package; `albert ask`
reads with it.

| | |
|---|---|
| network | the [starter](../starter/README.md)'s, with a head for start and end; {parameters:,} parameters in float16 |
| learned | SQuAD 1.1's training part without 20 articles, then {rows:,} passages, half without an answer: of that \
part, and of 12 articles of SQuAD 2.0's dev part |
| {dev:,} such passages of other articles | F1 {f1:.3f}, exact {exact:.3f}; silence for all has {silence:.3f} |

`python recipes/reader.py TASKS --init READER --ship` made it and this card. What it finds in whole folders
is measured in docs/documents.md.

## Corpus and licences

SQuAD: paragraphs of Wikipedia and questions about them (CC BY-SA 4.0). The text is not part of the package; the weights
are Apache-2.0.

## Limits

It reads English. An answer is a part of the passage; it does not add up, compare or reason. It may be sure and wrong,
above all where a passage tells of something similar.
"""

Row = dict[str, Any]


def rows_of(train: Path, out: Path, *, seed: int = 0) -> Iterator[Row]:
    """An answer and a silence for each of `QUESTIONS` questions."""
    rng = random.Random(seed)
    questions = jsonl_rows(train)
    texts = {row["context"]: row["title"].replace("_", " ") for row in questions}
    source = write_rows(out / "paragraphs.jsonl", ({"title": title, "text": text} for text, title in texts.items()))
    names = named_in(texts)
    with albert.Index(out / "paragraphs.db") as kb:
        kb.add(source)
        made = 0
        for row in rng.sample(questions, len(questions)):
            answer = answered(row)
            silence = changed(row, names, rng) if rng.random() < CHANGED else found(row, kb, rng)
            if answer is not None and silence is not None:
                yield answer
                yield silence
                made += 1
            if made == QUESTIONS:
                return


def written(rows: list[Row]) -> Iterator[Row]:
    """Questions that people wrote, with passages of their paragraphs."""
    for row in rows:
        if (made := answered(row) if row["answers"] else unanswered(row)) is not None:
            yield made


def unanswered(row: Row) -> Row:
    """The passage with most words of a question that has no answer."""
    title, context = row["title"].replace("_", " "), row["context"]
    parts = [context[part.start : part.end] for part in passages(Extracted(context, title=title))]
    text = max(parts, key=lambda part: shared_words(row["question"], part))
    return asked(row, shown(title, text)[0], [])


def answered(row: Row) -> Row | None:
    """The passage of a question that has its answer."""
    answer, title = row["answers"][0], row["title"].replace("_", " ")
    start, end = answer["answer_start"], answer["answer_start"] + len(answer["text"])
    for part in passages(Extracted(row["context"], title=title)):
        if part.start <= start and end <= part.end:
            text, before = shown(title, row["context"][part.start : part.end])
            place = start - part.start + before
            return asked(row, text, [{"text": answer["text"], "answer_start": place}])
    return None


def found(row: Row, kb: albert.Index, rng: random.Random) -> Row | None:
    """A passage that search finds for a question and that lacks its answer."""
    answers = [normalize_answer(answer["text"]) for answer in row["answers"]]
    hits = [hit for hit in kb.search(row["question"]) if not any(one in normalize_answer(hit.text) for one in answers)]
    return asked(row, shown(hit.heading, hit.text)[0], []) if hits and (hit := rng.choice(hits)) else None


def changed(row: Row, names: dict[str, list[str]], rng: random.Random) -> Row | None:
    """The answer's own passage, asked about another name or number of the article."""
    answer = answered(row)
    places = [m for m in _NAMED.finditer(row["question"]) if m[0] in row["context"]]
    if answer is None or not places:
        return None
    place = rng.choice(places)
    others = [one for one in names[row["title"].replace("_", " ")]
              if one[0].isdigit() == place[0][0].isdigit() and one not in row["context"]]  # fmt: skip
    if not others:
        return None
    question = row["question"][: place.start()] + rng.choice(others) + row["question"][place.end() :]
    return {**answer, "question": question, "answers": []}


def named_in(texts: dict[str, str]) -> dict[str, list[str]]:
    """The names and numbers of each article."""
    names: dict[str, set[str]] = {}
    for text, title in texts.items():
        names.setdefault(title, set()).update(_NAMED.findall(text))
    return {title: sorted(own) for title, own in names.items()}


def asked(row: Row, context: str, answers: list[Row]) -> Row:
    """A row of SQuAD's form."""
    return {"title": row["title"], "question": row["question"], "context": context, "answers": answers}


def ship(model: Path, train: Path, dev: Path) -> None:
    """Writes the package's folder and prints the card."""
    predictor = Predictor.load(model)
    evaluation = predictor.evaluate(dev)
    card = CARD.format(
        parameters=sum(p.numel() for p in predictor.model.parameters()),
        rows=len(jsonl_rows(train)), dev=len(jsonl_rows(dev)),
        f1=evaluation.scores["f1"], exact=evaluation.scores["exact"], silence=evaluation.baseline,
    )  # fmt: skip
    with new_files(ASSETS) as staged:
        save_model(predictor.model, staged, dtype=torch.float16)
        predictor.tokenizer.save(staged)
        write_file(staged / "README.md", card)
    print(card)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("tasks", type=Path)
    parser.add_argument("--init", required=True)
    parser.add_argument("--out", type=Path, default=Path("runs/reader"))
    parser.add_argument("--lr", type=float, default=1e-4)
    parser.add_argument("--rows", action="store_true", help="write the rows alone")
    parser.add_argument("--ship", action="store_true", help="write the package's reader")
    arguments = parser.parse_args()
    work = arguments.out / "data"
    files = SETS["SQuAD 1.1"].files(arguments.tasks, work)
    learned, held = map(written, written_questions(arguments.tasks))
    made, others = rows_of(files.train, work), itertools.islice(rows_of(files.dev, work / "dev"), 600)
    train = write_rows(work / "reader-train.jsonl", itertools.chain(made, learned))
    dev = write_rows(work / "reader-dev.jsonl", itertools.chain(others, held))
    if not arguments.rows:
        albert.train(
            train, dev=dev, out=arguments.out / "model", task="qa", init=arguments.init, max_length=256,
            settings={"epochs": 2.0, "batch_size": 32, "lr": arguments.lr, "patience": 0}, resume=True,
        )  # fmt: skip
    if arguments.ship:
        ship(arguments.out / "model", train, dev)


if __name__ == "__main__":
    main()
