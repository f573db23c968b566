"""Search and answers over 100,000 passages: time and passages a second, beside bm25s, rank_bm25 and sqlite-vec.

    python benchmarks/documents_speed.py DATA                                  words alone
    python benchmarks/documents_speed.py DATA --vectors starter --reader reader
    python benchmarks/documents_speed.py DATA --vectors starter --passages 2000 --sentence-transformers MODEL

DATA is the folder with tasks/squad and corpus/wiki.jsonl.xz: SQuAD's paragraphs come first, then Wikipedia's articles
until there are as many passages as --passages. Questions are SQuAD's dev questions (--questions, drawn by --seed).
Peers that are not installed are named and left out (`pip install '.[documents-peers]'`).
"""

from __future__ import annotations

import argparse
import json
import lzma
import random
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

import albert
from albert.documents.extracted import Extracted
from albert.documents.passages import passages
from albert.documents.vectors import Matrix, best_rows
from albert.predict.predictor import Predictor
from documents import read_squad

TOP = 10


def write_source(data: Path, out: Path, count: int) -> Path:
    """A table with a document a row that holds so many passages."""
    path = out / f"{count}.jsonl"
    if path.exists():
        return path
    rows, made = [], 0
    squad, _ = read_squad(data / "tasks" / "squad")
    with lzma.open(data / "corpus" / "wiki.jsonl.xz", "rt", encoding="utf-8") as file:
        articles = ({"title": row["title"], "text": "\n\n".join(row["paras"])} for row in map(json.loads, file))
        for row in (*squad, *articles):
            if made >= count:
                break
            made += len(passages(Extracted(row["text"], title=row["title"])))
            rows.append(row)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def timed(name: str, work: Callable[[str], Any], questions: list[str]) -> None:
    """The median and the 95th percentile of a question's time, and the median of the time that processors spent on it.

    The latter hardly depends on what else the machine does.
    """
    for question in questions[:5]:
        work(question)
    seconds, spent = [], []
    for question in questions:
        start, begun = time.perf_counter(), time.process_time()
        work(question)
        seconds.append(time.perf_counter() - start)
        spent.append(time.process_time() - begun)
    p95 = statistics.quantiles(seconds, n=20)[-1]
    print(f"{name:34} p50 {statistics.median(seconds) * 1e3:.1f} ms, p95 {p95 * 1e3:.1f} ms; "
          f"processors {statistics.median(spent) * 1e3:.1f} ms", flush=True)  # fmt: skip


def peers(kb: albert.Index, questions: list[str]) -> None:
    """bm25s and rank_bm25 over the same passages."""
    texts = [f"{heading} {text}" for heading, text in kb.store.rows("SELECT heading, text FROM passages ORDER BY id")]
    try:
        import bm25s

        start = time.perf_counter()
        retriever = bm25s.BM25()
        retriever.index(bm25s.tokenize(texts, stopwords="en", show_progress=False), show_progress=False)
        print(f"bm25s, index                       {len(texts) / (time.perf_counter() - start):,.0f} passages/s")

        def ask(query: str) -> Any:
            tokens = bm25s.tokenize(query, stopwords="en", show_progress=False)
            return retriever.retrieve(tokens, k=TOP, show_progress=False)

        timed("bm25s, search", ask, questions)
    except ImportError:
        print("bm25s is not installed")
    try:
        import rank_bm25

        start = time.perf_counter()
        plain = rank_bm25.BM25Okapi([text.lower().split() for text in texts])
        print(f"rank_bm25, index                   {len(texts) / (time.perf_counter() - start):,.0f} passages/s")
        timed("rank_bm25, search", lambda q: np.argsort(-plain.get_scores(q.lower().split()))[:TOP], questions[:50])
    except ImportError:
        print("rank_bm25 is not installed")


def sentence_transformers(kb: albert.Index, folder: Path, questions: list[str]) -> None:
    """The usual loop over 1,000 passages: vectors by sentence-transformers, search by a product with all of them."""
    try:
        from sentence_transformers import SentenceTransformer
    except ImportError:
        print("sentence-transformers is not installed")
        return
    rows = kb.store.rows("SELECT heading, text FROM passages ORDER BY id LIMIT 1000")
    model, start, begun = SentenceTransformer(str(folder)), time.perf_counter(), time.process_time()
    table = model.encode([f"{heading} {text}" for heading, text in rows], normalize_embeddings=True)
    seconds, spent = time.perf_counter() - start, time.process_time() - begun
    rates = f"{len(table) / seconds:,.0f} passages/s, {len(table) / spent:,.0f} a processor"
    print(f"sentence-transformers, index       {rates}", flush=True)
    timed("sentence-transformers, search",
          lambda q: np.argsort(-(table @ model.encode(q, normalize_embeddings=True)))[:TOP], questions)  # fmt: skip


def nearest(count: int, size: int, questions: list[str]) -> None:
    """Our blocked products against sqlite-vec, over the same 8-bit numbers, which are drawn at random."""
    rng = np.random.default_rng(0)
    numbers = rng.integers(-127, 128, (count, size), np.int8)
    matrix = Matrix(np.arange(1, count + 1), np.full(count, 1 / 1500, np.float32), numbers)
    vectors = {question: rng.normal(size=size).astype(np.float32) for question in questions}
    timed("vectors by blocked products", lambda q: best_rows(matrix.cosines(vectors[q]), 100), questions)
    try:
        import apsw  # many a Python's own sqlite3 loads no extensions
        import sqlite_vec
    except ImportError:
        print("sqlite-vec and apsw are not installed")
        return
    connection = apsw.Connection(":memory:")
    connection.enable_load_extension(True)
    connection.load_extension(sqlite_vec.loadable_path())
    connection.execute(f"CREATE VIRTUAL TABLE v USING vec0(e int8[{size}] distance_metric=cosine)")
    connection.executemany(
        "INSERT INTO v (rowid, e) VALUES (?, vec_int8(?))",
        ((row, own.tobytes()) for row, own in enumerate(numbers, 1)),
    )
    query = "SELECT rowid FROM v WHERE e MATCH vec_int8(?) AND k = 100"
    asked = {q: np.rint(v / np.abs(v).max() * 127).astype(np.int8).tobytes() for q, v in vectors.items()}
    timed("vectors by sqlite-vec", lambda q: connection.execute(query, (asked[q],)).fetchall(), questions)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--vectors")
    parser.add_argument("--reader")
    parser.add_argument("--passages", type=int, default=100_000)
    parser.add_argument("--questions", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--peers", action="store_true", help="time the peers, too")
    parser.add_argument("--sentence-transformers", type=Path, help="time its loop with this model")
    parser.add_argument("--out", type=Path, default=Path("runs/documents"))
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    source = write_source(arguments.data, arguments.out, arguments.passages)
    _, asked = read_squad(arguments.data / "tasks" / "squad")
    questions = [one.text for one in random.Random(arguments.seed).sample(asked, arguments.questions)]
    cpu = torch.cpu.get_capabilities().get("cpu_name", "unknown CPU")
    print(f"{time.strftime('%Y-%m-%d')}, {cpu}, {torch.get_num_threads()} threads, torch {torch.__version__}")
    name = "words" if arguments.vectors is None else Path(arguments.vectors).name
    with albert.Index(arguments.out / f"{name}-{arguments.passages}.db", vectors=arguments.vectors) as kb:
        start, begun = time.perf_counter(), time.process_time()
        done = kb.add(source)
        seconds, spent, count = time.perf_counter() - start, time.process_time() - begun, kb.status().passages
        if done.added:
            print(
                f"{'index':34} {count:,} passages, {count / seconds:,.0f} passages/s, {count / spent:,.0f} a processor"
            )
        timed("search, words", lambda q: kb.search(q, top_k=TOP, vectors=False), questions)
        if arguments.vectors:
            timed("search, both", lambda q: kb.search(q, top_k=TOP), questions)
        if arguments.reader:
            reader = Predictor.load(arguments.reader)
            timed("ask", lambda q: kb.ask(q, reader=reader), questions)
        nearest(arguments.passages, 384, questions)
        if arguments.peers:
            peers(kb, questions)
        if arguments.sentence_transformers:
            sentence_transformers(kb, arguments.sentence_transformers, questions)


if __name__ == "__main__":
    main()
