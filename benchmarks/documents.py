"""Search and answers over all paragraphs of SQuAD 1.1: recall, F1, times, beside bm25s and TF-IDF.

    python benchmarks/documents.py SQUAD                                        words alone, 1,000 questions
    python benchmarks/documents.py SQUAD --vectors starter --reader READER      with vectors and answers
    python benchmarks/documents.py SQUAD --rerank MODEL --questions 200         a model of pairs over the first 20
    python benchmarks/documents.py SQUAD --reader READER --form 2.0             questions of dev-v2.0.json

SQUAD is the folder of train-v1.1.json and dev-v1.1.json. Questions are drawn from dev (--seed); with a reader they are
those of the articles that the package's reader and its starter did not see in training. A paragraph counts as found
when one of its passages is. Indexes are kept in --out, so a repeated call goes on. bm25s comes with `pip install
'.[documents-peers]'`.
"""

from __future__ import annotations

import argparse
import json
import random
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

import albert
from albert.documents import Hit
from albert.documents import answers as answering
from albert.predict.predictor import Predictor
from albert.tasks.squad_metrics import token_f1

sys.path.insert(0, str(Path(__file__).parents[1] / "recipes"))
from tasksets import read_before

DEPTHS = (1, 5, 20)
WEIGHTS = (0.0, 0.25, 0.5, 1.0)  # of BM25 beside the reader
COVERAGE = (0.1, 0.25, 0.5, 0.75, 1.0)


@dataclass(frozen=True)
class Question:
    """A question of dev, its paragraph and the gold answers."""

    text: str
    paragraph: str
    answers: list[str]


def read_squad(folder: Path, form: str = "1.1", *, unread: bool = False) -> tuple[list[dict[str, str]], list[Question]]:
    """All paragraphs of 1.1 with the titles of their articles, and the questions of dev, in the form of 1.1 or 2.0.

    With `unread`, without questions about articles that the starter read.
    """
    train, dev = (json.loads((folder / name).read_text())["data"] for name in ("train-v1.1.json", "dev-v1.1.json"))
    paragraphs = {
        paragraph["context"]: article["title"].replace("_", " ")
        for article in train + dev
        for paragraph in article["paragraphs"]
    }
    asked = dev if form == "1.1" else json.loads((folder / f"dev-v{form}.json").read_text())["data"]
    questions = [
        question
        for article in asked
        if not (unread and read_before(article["title"]))
        for paragraph in article["paragraphs"]
        for question in questions_of(paragraph)
    ]
    return [{"title": title, "text": text} for text, title in paragraphs.items()], questions


def questions_of(paragraph: dict[str, Any]) -> list[Question]:
    """The questions of a paragraph."""
    context = paragraph["context"]
    return [
        Question(one["question"], context, [answer["text"] for answer in one["answers"]]) for one in paragraph["qas"]
    ]


def measure(name: str, questions: list[Question], search: Callable[[str], list[str]]) -> None:
    """Recall and times of a way of searching, which returns texts that a paragraph holds, or paragraphs."""
    ranks, seconds = [], []
    for question in questions:
        start = time.perf_counter()
        found = search(question.text)
        seconds.append(time.perf_counter() - start)
        ranks.append(next((rank for rank, text in enumerate(found, 1) if text in question.paragraph), 10**6))
    recall = "  ".join(f"@{k} {sum(rank <= k for rank in ranks) / len(ranks):.3f}" for k in DEPTHS)
    p95 = statistics.quantiles(seconds, n=20)[-1]
    print(
        f"{name:12} recall {recall}   p50 {statistics.median(seconds) * 1e3:.1f} ms, p95 {p95 * 1e3:.1f} ms", flush=True
    )


def by_ranks(kb: albert.Index, query: str) -> list[str]:
    """Words and vectors by the sum of 1 / (60 + rank), as many do it (Cormack, Clarke and Buettcher 2009)."""
    scores: dict[str, float] = {}
    for words in (True, False):
        for rank, hit in enumerate(kb.search(query, top_k=100, words=words, vectors=not words), 1):
            scores[hit.text] = scores.get(hit.text, 0.0) + 1 / (60 + rank)
    return sorted(scores, key=lambda text: -scores[text])[: max(DEPTHS)]


def peers(paragraphs: list[dict[str, str]], questions: list[Question]) -> None:
    """bm25s with its English stop words, and scikit-learn's TF-IDF, over the paragraphs."""
    from sklearn.feature_extraction.text import TfidfVectorizer

    texts = [f"{row['title']} {row['text']}" for row in paragraphs]
    tfidf = TfidfVectorizer(sublinear_tf=True, stop_words="english")
    table = tfidf.fit_transform(texts)

    def alike(query: str) -> list[str]:
        scores = (table @ tfidf.transform([query]).T).toarray()[:, 0]
        return [paragraphs[place]["text"] for place in np.argsort(-scores, kind="stable")[: max(DEPTHS)]]

    measure("TF-IDF", questions, alike)
    try:
        import bm25s
    except ImportError:
        print("bm25s        not installed")
        return
    retriever = bm25s.BM25()
    retriever.index(bm25s.tokenize(texts, stopwords="en", show_progress=False), show_progress=False)

    def search(query: str) -> list[str]:
        tokens = bm25s.tokenize(query, stopwords="en", show_progress=False)
        places, _ = retriever.retrieve(tokens, k=max(DEPTHS), show_progress=False)
        return [paragraphs[int(place)]["text"] for place in places[0]]

    measure("bm25s", questions, search)


def answers(kb: albert.Index, reader: Predictor, questions: list[Question]) -> None:
    """F1 of answers by the weight of BM25, then their precision by how many are given, the surest first.

    Beside them stands F1 on the gold paragraphs, where the reader must answer.
    """
    answered = [one for one in questions if one.answers]
    gold = [{"question": one.text, "context": one.paragraph} for one in answered]
    alone = reader(gold, handle_impossible_answer=False)
    own = statistics.mean(token_f1(said["answer"], one.answers) for said, one in zip(alone, answered, strict=True))
    print(f"answers      F1 on the gold paragraph {own:.3f}")
    seconds, found = [], []
    for one in questions:
        start = time.perf_counter()
        hits = kb.search(one.text, top_k=answering.PASSAGES)
        found.append((hits, predicted(one.text, hits, reader)))
        seconds.append(time.perf_counter() - start)
    usual = answering.BM25_WEIGHT
    for weight in (*WEIGHTS, usual):
        answering.BM25_WEIGHT = weight
        said = [
            answering.read(one.text, hits, Replay(kept), threshold=0)  # type: ignore[arg-type]
            for one, (hits, kept) in zip(questions, found, strict=True)
        ]
        scores = np.array([right(answer.text, one) for answer, one in zip(said, questions, strict=True)])
        print(f"answers      F1 {scores.mean():.3f}, {scores.mean() / own:.2f} of it, BM25 weighs {weight}")
    print(f"answers      p50 {statistics.median(seconds) * 1e3:.0f} ms")
    sure = np.array([answer.score for answer in said])
    order = np.argsort(-sure, kind="stable")
    for share in COVERAGE:
        kept = order[: round(share * len(order))]
        precision, lowest = scores[kept].mean(), sure[kept].min()
        times = precision / scores.mean()
        print(f"silence      surest {share:.0%}: precision {precision:.3f}, {times:.2f} of all's, from {lowest:.2f}")
    spoke = sure >= answering.THRESHOLD
    print(f"silence      from {answering.THRESHOLD}: {spoke.mean():.0%} answered, precision {scores[spoke].mean():.3f}")


def right(text: str, question: Question) -> float:
    """F1 of an answer; any to a question without one is wrong."""
    return token_f1(text, question.answers) if question.answers else 0.0


def predicted(question: str, hits: list[Hit], reader: Predictor) -> list[object]:
    """What the reader says of each passage."""
    pairs = [{"question": one, "context": text} for one, text in answering.pairs(question, hits)]
    return reader(pairs, top_k=answering.KEPT, handle_impossible_answer=True) if pairs else []


class Replay:
    """A reader that says again what it said."""

    def __init__(self, kept: list[object]) -> None:
        self.kept = kept

    def __call__(self, pairs: list[object], **_: object) -> list[object]:
        return self.kept


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("squad", type=Path)
    parser.add_argument("--vectors")
    parser.add_argument("--reader")
    parser.add_argument("--rerank")
    parser.add_argument("--form", choices=("1.1", "2.0"), default="1.1")
    parser.add_argument("--questions", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path("runs/documents"))
    arguments = parser.parse_args()
    paragraphs, questions = read_squad(arguments.squad, arguments.form, unread=arguments.reader is not None)
    questions = random.Random(arguments.seed).sample(questions, arguments.questions)
    arguments.out.mkdir(parents=True, exist_ok=True)
    source = arguments.out / "paragraphs.jsonl"
    source.write_text("".join(json.dumps(row) + "\n" for row in paragraphs))
    cpu = torch.cpu.get_capabilities().get("cpu_name", "unknown CPU")
    print(f"{time.strftime('%Y-%m-%d')}, {cpu}, {torch.get_num_threads()} threads, {len(questions):,} questions")
    name = "words" if arguments.vectors is None else Path(arguments.vectors).name
    with albert.Index(arguments.out / f"{name}.db", vectors=arguments.vectors) as kb:
        start = time.perf_counter()
        done = kb.add(source)
        seconds, status = time.perf_counter() - start, kb.status()
        if done.added:
            print(f"index        {status.passages:,} passages, {status.passages / seconds:,.0f} per second")
        known = [one for one in questions if one.answers]
        ways: dict[str, dict[str, Any]] = {"words": {"vectors": False}}
        if arguments.vectors is not None:
            ways |= {"vectors": {"words": False}, "both": {}}
        if arguments.rerank is not None:
            ways["reranked"] = {"rerank": Predictor.load(arguments.rerank)}
        for label, way in ways.items():
            measure(label, known, lambda query: [hit.text for hit in kb.search(query, top_k=20, **way)])  # noqa: B023
        if arguments.vectors is not None:
            measure("by ranks", known, lambda query: by_ranks(kb, query))
        peers(paragraphs, known)
        if arguments.reader:
            answers(kb, Predictor.load(arguments.reader), questions)


if __name__ == "__main__":
    main()
