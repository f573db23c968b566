"""Search and answers over all paragraphs of SQuAD 1.1: recall, F1, times, beside bm25s where it is installed.

    python benchmarks/documents.py SQUAD                                        words alone, 1,000 questions
    python benchmarks/documents.py SQUAD --vectors starter --reader READER      with vectors and answers

SQUAD is the folder of train-v1.1.json and dev-v1.1.json. Questions are drawn from dev (--seed). A paragraph counts as
found when one of its passages is. Indexes are kept in --out, so a repeated call goes on.
"""

from __future__ import annotations

import argparse
import json
import random
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch

import albert
from albert.documents import Hit
from albert.documents import answers as answering
from albert.predict.predictor import Predictor
from albert.tasks.squad_metrics import token_f1

DEPTHS = (1, 5, 20)
POWERS = (0.0, 0.5, 1.0, 1.5, 2.0, 4.0)


@dataclass(frozen=True)
class Question:
    """A question of dev, its paragraph and the gold answers."""

    text: str
    paragraph: str
    answers: list[str]


def read_squad(folder: Path) -> tuple[list[dict[str, str]], list[Question]]:
    """All paragraphs with the titles of their articles, and the questions of dev."""
    paragraphs: dict[str, str] = {}
    questions = []
    for name in ("train-v1.1.json", "dev-v1.1.json"):
        for article in json.loads((folder / name).read_text())["data"]:
            for paragraph in article["paragraphs"]:
                paragraphs[paragraph["context"]] = article["title"].replace("_", " ")
                if name.startswith("dev"):
                    questions += [
                        Question(one["question"], paragraph["context"], [answer["text"] for answer in one["answers"]])
                        for one in paragraph["qas"]
                    ]
    return [{"title": title, "text": text} for text, title in paragraphs.items()], questions


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


def peer(paragraphs: list[dict[str, str]], questions: list[Question]) -> None:
    """bm25s over the paragraphs, with its English stop words."""
    try:
        import bm25s
    except ImportError:
        print("bm25s        not installed")
        return
    texts = [f"{row['title']} {row['text']}" for row in paragraphs]
    retriever = bm25s.BM25()
    retriever.index(bm25s.tokenize(texts, stopwords="en", show_progress=False), show_progress=False)

    def search(query: str) -> list[str]:
        tokens = bm25s.tokenize(query, stopwords="en", show_progress=False)
        places, _ = retriever.retrieve(tokens, k=max(DEPTHS), show_progress=False)
        return [paragraphs[int(place)]["text"] for place in places[0]]

    measure("bm25s", questions, search)


def answers(kb: albert.Index, reader: Predictor, questions: list[Question]) -> None:
    """F1 of answers by the power that the rank of a passage counts with, beside F1 on the gold paragraph."""
    alone = reader([{"question": one.text, "context": one.paragraph} for one in questions])
    own = [token_f1(said["answer"], one.answers) for said, one in zip(alone, questions, strict=True)]
    print(f"answers      F1 on the gold paragraph {statistics.mean(own):.3f}")
    seconds, found = [], []
    for one in questions:
        start = time.perf_counter()
        hits = kb.search(one.text, top_k=answering.PASSAGES)
        found.append((hits, predicted(one.text, hits, reader)))
        seconds.append(time.perf_counter() - start)
    for power in POWERS:
        answering.RANK_POWER = power
        said = [
            answering.read(one.text, hits, Replay(kept), threshold=0)
            for one, (hits, kept) in zip(questions, found, strict=True)
        ]  # type: ignore[arg-type]
        scores = [token_f1(answer.text, one.answers) for answer, one in zip(said, questions, strict=True)]
        share = statistics.mean(scores) / statistics.mean(own)
        print(f"answers      F1 {statistics.mean(scores):.3f}, {share:.2f} of it, rank to the power of {power}")
    print(f"answers      p50 {statistics.median(seconds) * 1e3:.0f} ms")


def predicted(question: str, hits: list[Hit], reader: Predictor) -> list[object]:
    """What the reader says of each passage."""
    pairs = [{"question": question, "context": hit.text} for hit in hits]
    return reader(pairs, top_k=6, handle_impossible_answer=True) if pairs else []


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
    parser.add_argument("--questions", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path("runs/documents"))
    arguments = parser.parse_args()
    paragraphs, questions = read_squad(arguments.squad)
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
        for label, ways in {"words": {"vectors": False}, "vectors": {"words": False}, "both": {}}.items():
            if label == "words" or arguments.vectors is not None:
                measure(label, questions, lambda query: [hit.text for hit in kb.search(query, top_k=20, **ways)])  # noqa: B023
        peer(paragraphs, questions)
        if arguments.reader:
            answers(kb, Predictor.load(arguments.reader), questions)


if __name__ == "__main__":
    main()
