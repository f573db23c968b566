"""The time and memory of `albert prepare`. The memory must not grow with the corpus.

    python benchmarks/preparation.py CORPUS --work WORK        (CORPUS: a folder of .jsonl.xz with "paras")

Prepares about 10 MB, 100 MB and all of the corpus, without duplicates. For each it prints the documents, MB of text per
second (with the start of the processes) and the peak resident memory of the main process and of the largest worker,
from /proc. Then it prints the speed of ids alone against pieces with offsets. The parts are documents drawn evenly from
all files. It takes a few minutes on 2 cores.
"""

from __future__ import annotations

import argparse
import json
import lzma
import platform
import shutil
import subprocess
import sys
import time
from itertools import islice
from pathlib import Path

from albert.corpus.chunks import sentences as split
from albert.corpus.files import corpus_files
from albert.corpus.reading import corpus_lines
from albert.data.sources import raw_lines
from albert.text.tokenizer import AlbertTokenizer


def draw(corpus: Path, megabytes: int, out: Path) -> Path:
    """About this many MB of the corpus, as one file of every k-th line."""
    total = sum(len(line) for path in corpus_files([corpus]) for line in raw_lines(str(path)))
    step = max(round(total / megabytes / 1e6), 1)
    with lzma.open(out, "wb", preset=1) as file:
        for path in corpus_files([corpus]):
            for number, line in enumerate(raw_lines(str(path))):
                if number % step == step // 2:
                    file.write(line)
    return out


def measure(corpus: Path, out: Path, *options: str) -> tuple[dict[str, float], float, float, float]:
    """The statistics that the command prints, its seconds, and peak MB of the main process and of a worker."""
    command = [sys.executable, "-m", "albert", "prepare", str(corpus), "-o", str(out), "--json", "--quiet"]
    start = time.monotonic()
    process = subprocess.Popen([*command, "--deduplicate", *options], stdout=subprocess.PIPE)
    main = worker = 0.0
    while process.poll() is None:
        main = max(main, peak(process.pid))
        worker = max([worker, *map(peak, children(process.pid))])
        time.sleep(0.05)
    assert process.returncode == 0
    assert process.stdout is not None
    return json.loads(process.stdout.read()), time.monotonic() - start, main, worker


def peak(pid: int) -> float:
    """The most resident memory that a process had so far, in MB; 0 when it is gone."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
        return next((int(line.split()[1]) / 1e3 for line in lines if line.startswith("VmHWM")), 0.0)
    except OSError:
        return 0.0


def children(pid: int) -> list[int]:
    try:
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:
        return []


def encoding(corpus: Path, *, sentences: int = 20_000) -> str:
    """MB per second of ids alone and of pieces with offsets, over the first sentences, in this process."""
    tokenizer = AlbertTokenizer.english()
    texts = [text for line in islice(corpus_lines([corpus]), sentences) for text in split(line, "en")][:sentences]
    size = sum(map(len, texts)) / 1e6
    speeds = []
    for encode in (tokenizer.ids, tokenizer.pieces):
        start = time.perf_counter()
        encode(texts)
        speeds.append(size / (time.perf_counter() - start))
    return f"ids alone {speeds[0]:.1f} MB/s, with offsets {speeds[1]:.1f} MB/s, over {size:.1f} MB"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("corpus", type=Path)
    parser.add_argument("--work", type=Path, default=Path("runs/preparation"))
    parser.add_argument("--sizes", type=int, nargs="+", default=[10, 100, 0], help="MB; 0 is all")
    parser.add_argument("--workers", default="2")
    arguments = parser.parse_args()
    arguments.work.mkdir(parents=True, exist_ok=True)
    print(f"{time.strftime('%Y-%m-%d')}, {platform.machine()}, {arguments.workers} workers")
    print("| text MB | documents | tokens | seconds | MB/s | peak MB, main | peak MB, a worker |")
    print("|---|---|---|---|---|---|---|")
    for size in arguments.sizes:
        part = draw(arguments.corpus, size, arguments.work / f"{size}.jsonl.xz") if size else arguments.corpus
        out = arguments.work / f"shards-{size or 'all'}"
        shutil.rmtree(out, ignore_errors=True)
        found, seconds, main_peak, worker_peak = measure(part, out, "--workers", arguments.workers)
        megabytes = found["text MB"]
        print(
            f"| {megabytes:,.1f} | {found['documents']:,} | {found['tokens']:,} | {seconds:.1f} "
            f"| {megabytes / seconds:.1f} | {main_peak:.0f} | {worker_peak:.0f} |",
            flush=True,
        )
    print(encoding(arguments.corpus))


if __name__ == "__main__":
    main()
