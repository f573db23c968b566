"""Answers of MedQuAD found by their questions: MRR@10 of words, vectors and both, beside bm25s.

    python benchmarks/faq_retrieval.py TASKS
    python benchmarks/faq_retrieval.py TASKS --vectors RETRIEVER

TASKS is the folder of the task sets, RETRIEVER what `recipes/results.py TASKS --only MedQuAD` trained. All answers
are indexed without their questions; asked are the 1,000 questions that training did not see. bm25s comes with
`pip install '.[documents-peers]'`.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch

import albert

sys.path.insert(0, str(Path(__file__).parents[1] / "recipes"))
from tasksets import SETS, jsonl_rows

TOP = 10


def measure(name: str, questions: list[dict[str, str]], search: Callable[[str], list[str]]) -> None:
    """MRR@10 of a way of searching, which returns answers, best first."""
    ranks, seconds = [], []
    for row in questions:
        start = time.perf_counter()
        found = search(row["question"])[:TOP]
        seconds.append(time.perf_counter() - start)
        ranks.append(found.index(row["answer"]) + 1 if row["answer"] in found else 0)
    mrr, first = (statistics.mean(values) for values in ([1 / r if r else 0 for r in ranks], [r == 1 for r in ranks]))
    print(f"{name:10} MRR@10 {mrr:.3f}  first {first:.3f}   p50 {1e3 * statistics.median(seconds):.1f} ms", flush=True)


def of_index(kb: albert.Index, answers: list[str], *, words: bool, vectors: bool) -> Callable[[str], list[str]]:
    """A search whose passages stand for their answers, each answer once."""

    def search(query: str) -> list[str]:
        hits = kb.search(query, top_k=5 * TOP, words=words, vectors=vectors)
        return list(dict.fromkeys(answers[hit.line - 1] for hit in hits))

    return search


def peer(answers: list[str], questions: list[dict[str, str]]) -> None:
    """bm25s over whole answers."""
    try:
        import bm25s
    except ImportError:
        print("bm25s      not installed")
        return
    retriever = bm25s.BM25()
    retriever.index(bm25s.tokenize(answers, stopwords="en", show_progress=False), show_progress=False)

    def search(query: str) -> list[str]:
        tokens = bm25s.tokenize(query, stopwords="en", show_progress=False)
        return [answers[int(place)] for place in retriever.retrieve(tokens, k=TOP, show_progress=False)[0][0]]

    measure("bm25s", questions, search)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("tasks", type=Path)
    parser.add_argument("--vectors")
    parser.add_argument("--out", type=Path, default=Path("runs/documents"))
    arguments = parser.parse_args()
    questions = jsonl_rows(SETS["MedQuAD"].files(arguments.tasks, arguments.out / "data").test)
    rows = jsonl_rows(arguments.tasks / "medquad" / "qa.jsonl.xz")
    answers = list({row["answer"].strip(): None for row in rows})
    questions = [{**row, "answer": row["answer"].strip()} for row in questions]
    source = arguments.out / "medquad.jsonl"
    source.write_text("".join(json.dumps({"text": answer}) + "\n" for answer in answers), encoding="utf-8")
    cpu = torch.cpu.get_capabilities().get("cpu_name", "unknown CPU")
    print(f"{time.strftime('%Y-%m-%d')}, {cpu}, {torch.get_num_threads()} threads, {len(answers):,} answers")
    name = "words" if arguments.vectors is None else Path(arguments.vectors).name
    with albert.Index(arguments.out / f"medquad-{name}.db", vectors=arguments.vectors) as kb:
        kb.add(source)
        measure("words", questions, of_index(kb, answers, words=True, vectors=False))
        if arguments.vectors is not None:
            measure("vectors", questions, of_index(kb, answers, words=False, vectors=True))
            measure("both", questions, of_index(kb, answers, words=True, vectors=True))
    peer(answers, questions)


if __name__ == "__main__":
    main()
