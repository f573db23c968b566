"""COVID-QA (Möller et al. 2020): questions about papers of up to 67,000 characters, each way to read a paper.

    python recipes/covid_qa.py TASKS --questions 200              half an hour of one core, or more

TASKS is the folder of the task sets. The reader, by default the package's own, has not seen the papers: nothing is
trained. "beginning" reads a paper's first 384 pieces, "windows" all of it piece by piece, "index" the five passages
that an index of the papers finds in it by words ("index, vectors": by words and vectors), "whole" all of it at once by
attention windows, with the reader made longer by `albert lengthen`. "sentence" answers with the sentence most like the
question (TF-IDF), without a network. All must answer. Exact match and F1 are SQuAD's.
"""

from __future__ import annotations

import argparse
import json
import lzma
import random
import shutil
import statistics
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from sklearn.feature_extraction.text import TfidfVectorizer

import albert
from albert.export.lengthen import lengthen
from albert.predict.predictor import Predictor
from albert.predict.summary import sentences
from albert.tasks.squad_metrics import exact_match, token_f1

LENGTH = 384  # pieces of a window
POSITIONS = 16384  # more than the longest paper has pieces
Way = Callable[[str, str, str], str]  # from a question, its paper's name and text


def questions(path: Path) -> Iterator[dict[str, Any]]:
    """A row a question: its words, the answers, and the paper's name and text."""
    with lzma.open(path, "rt", encoding="utf-8") as file:
        for paper in json.load(file)["data"]:
            for paragraph in paper["paragraphs"]:
                for one in paragraph["qas"]:
                    yield {"question": one["question"], "answers": [answer["text"] for answer in one["answers"]],
                           "paper": f"{paragraph['document_id']}.txt", "text": paragraph["context"]}  # fmt: skip


def of_reader(reader: Predictor) -> Way:
    """Reads a text in windows; the likeliest part of any window is the answer."""

    def read(question: str, _: str, text: str) -> str:
        return str(reader([{"question": question, "context": text}], handle_impossible_answer=False)[0]["answer"])

    return read


def of_index(kb: albert.Index, reader: Predictor) -> Way:
    """Reads the passages of the paper that the index finds."""
    return lambda question, paper, _: kb.ask(question, reader=reader, path=f"papers/{paper}", threshold=0.0).text


def nearest_sentence(question: str, paper: str, text: str) -> str:
    """The sentence that has most of the question's rarer words."""
    parts = [part.text for part in sentences(text)]
    vectors = TfidfVectorizer(sublinear_tf=True).fit_transform([*parts, question])
    return parts[int((vectors[:-1] @ vectors[-1].T).toarray().argmax())]


parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("tasks", type=Path)
parser.add_argument("--reader", default="reader")
parser.add_argument("--questions", type=int, default=1380, help="drawn by seed 0")
parser.add_argument("--ways", default="sentence;beginning;index;index, vectors;windows;whole")
parser.add_argument("--out", type=Path, default=Path("runs/covid-qa"))
arguments = parser.parse_args()

rows = list(questions(arguments.tasks / "covid_qa" / "covid_qa.json.xz"))
papers = arguments.out / "papers"
papers.mkdir(parents=True, exist_ok=True)
for row in rows:
    (papers / row["paper"]).write_text(row["text"], encoding="utf-8")
rows = random.Random(0).sample(rows, min(arguments.questions, len(rows)))


def loaded(model: str | Path) -> Predictor:
    """A reader."""
    found = albert.load(model)
    assert isinstance(found, Predictor)
    return found


reader = loaded(arguments.reader)


def way_named(name: str) -> Way:
    """Makes what a way needs."""
    if name == "sentence":
        return nearest_sentence
    if name == "beginning":
        read, tokenizer = of_reader(reader), reader.tokenizer
        return lambda question, paper, text: read(
            question, paper, text[: tokenizer.pieces([text])[0].offsets[:LENGTH][-1][1]]
        )
    if name == "windows":
        return of_reader(reader)
    if name == "whole":
        folder = arguments.out / "long-reader"
        shutil.rmtree(folder, ignore_errors=True)
        lengthen(arguments.reader, folder, to=POSITIONS)
        return of_reader(loaded(folder))
    kb = albert.Index(arguments.out / f"{name}.db", vectors="starter" if "vectors" in name else None)
    kb.add(papers)
    return of_index(kb, reader)


print(
    f"{time.strftime('%Y-%m-%d')}, {torch.get_num_threads()} threads, torch {torch.__version__}, {len(rows)} questions"
)
print("| way | exact match | F1 | seconds a question |\n" + "|---" * 4 + "|", flush=True)
for name in arguments.ways.split(";"):
    answer, start = way_named(name), time.process_time()
    said = [answer(row["question"], row["paper"], row["text"]) for row in rows]
    seconds = (time.process_time() - start) / len(rows)
    exact, f1 = (
        statistics.mean(score(text, row["answers"]) for text, row in zip(said, rows, strict=True))
        for score in (exact_match, token_f1)
    )
    print(f"| {name} | {exact:.3f} | {f1:.3f} | {seconds:.2f} |", flush=True)
