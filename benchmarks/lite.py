"""albert-lite beside the engine: whole predictions on one thread, interleaved, and what a cold start takes.

    python benchmarks/lite.py [MODEL]        a minute

MODEL is a classifier; without it a random one of the starter's shape is written. Build albert-lite first: `make lite`.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

os.environ["OMP_NUM_THREADS"] = "1"  # read when torch is imported
ROOT = Path(__file__).parents[1]
os.environ.setdefault("ALBERT_LITE_LIBRARY", str(ROOT / "build" / "lite" / "libalbert_lite.so"))
sys.path.insert(0, str(ROOT / "lite" / "python"))

import albert_lite  # noqa: E402
import numpy as np  # noqa: E402
import torch  # noqa: E402

from albert.compute.precision import has_bf16  # noqa: E402
from albert.config import AlbertConfig  # noqa: E402
from albert.model import AlbertForTask, save_model  # noqa: E402
from albert.predict.predictor import Predictor  # noqa: E402
from albert.text.tokenizer import AlbertTokenizer  # noqa: E402

SHAPES: dict[str, dict[str, Any]] = {
    "starter": {"hidden_size": 384, "num_hidden_layers": 6, "num_hidden_groups": 3, "intermediate_size": 1536,
                "num_attention_heads": 12, "hidden_act": "gelu"},
    "base": {"hidden_size": 768, "num_hidden_layers": 12, "intermediate_size": 3072, "num_attention_heads": 12},
}  # fmt: skip


def write_model(folder: Path, shape: str) -> Path:
    """A random classifier."""
    tokenizer = AlbertTokenizer.english()
    config = AlbertConfig(vocab_size=tokenizer.vocab_size, embedding_size=128, id2label=("bad", "good"),
                          extra={"task": "classification", "max_length": 128}, **SHAPES[shape])  # fmt: skip
    folder.mkdir(parents=True)
    save_model(AlbertForTask(config, "sequence_classification", generator=torch.Generator().manual_seed(0)), folder)
    tokenizer.save(folder)
    return folder


def texts(count: int) -> list[str]:
    """Texts whose lengths are log-normal, as messages have them."""
    rng = np.random.default_rng(0)
    words = (ROOT / "src" / "albert" / "assets" / "messages.csv").read_text(encoding="utf-8").split()
    lengths = np.clip(rng.lognormal(3.3, 0.6, count), 2, 110).astype(int)
    return [" ".join(rng.choice(words, length)) for length in lengths]


def seconds(call: Callable[[], object]) -> float:
    """What a call takes."""
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def compare(folder: Path, precision: str, rounds: int) -> None:
    """Prints the ratio of the speeds, the median of pairs, for 64 texts and for one."""
    theirs = Predictor.load(folder, precision=precision, early_exit=False)  # type: ignore[arg-type]
    ours = albert_lite.load(folder, precision=precision)
    for count in (64, 1):
        given = texts(64)[:count] if count > 1 else texts(64)[5:6]
        expected, found = theirs(given), ours(given)
        apart = max(abs(a["score"] - b["score"]) for a, b in zip(expected, found, strict=True))
        pairs = [(seconds(partial(theirs, given)), seconds(partial(ours, given))) for _ in range(rounds)]
        ratio = statistics.median(a / b for a, b in pairs)
        engine, lite = (min(times) * 1000 for times in zip(*pairs, strict=True))
        print(f"{precision}, {count} texts: {ratio:.2f} of the engine's speed (best {engine:.2f} and {lite:.2f} ms), "
              f"{ours.about['instructions']}, scores within {apart:.1e}")  # fmt: skip


def read(line: str) -> str | tuple[str, str]:
    """A text or, with a tab, a pair."""
    if "\t" not in line:
        return line
    first, second = line.split("\t")
    return first, second


def agree(folder: Path, precisions: list[str], given: list[str | tuple[str, str]]) -> None:
    """Prints how many answers differ and how far scores are apart: from the engine, and the engine from float32."""
    exact: list[Any] = []
    for precision in precisions:
        theirs = Predictor.load(folder, precision=precision, early_exit=False)(given)  # type: ignore[arg-type]
        ours = albert_lite.load(folder, precision=precision)(given)
        exact = exact or theirs
        print(f"{precision}, {len(given)} texts: {difference(ours, theirs)}; the engine itself beside float32: "
              f"{difference(theirs, exact)}")  # fmt: skip


def difference(mine: list[Any], others: list[Any]) -> str:
    """Of predictions for the same texts: answers without their scores, and the scores of equal answers."""
    both = [(divided(a), divided(b)) for a, b in zip(mine, others, strict=True)]
    equal = [(a[1], b[1]) for a, b in both if a[0] == b[0]]
    apart = max((abs(x - y) for a, b in equal for x, y in zip(a, b, strict=True)), default=0.0)
    return f"{len(both) - len(equal)} answers differ, scores within {apart:.1e}"


def divided(answer: dict[str, Any] | list[dict[str, Any]]) -> tuple[list[dict[str, Any]], list[float]]:
    """What a text's answer says, such as a label or entities, and its scores."""
    parts = answer if isinstance(answer, list) else [answer]
    return [{key: value for key, value in part.items() if key != "score"} for part in parts], [
        part["score"] for part in parts
    ]


def main() -> None:
    """Prints everything."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", nargs="?", type=Path)
    parser.add_argument("--shape", choices=list(SHAPES), default="starter")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--texts", type=Path, help="a text or, with a tab, a pair a line: only compares answers")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as temporary:
        folder = arguments.model or write_model(Path(temporary) / "model", arguments.shape)
        whole = (folder / "int8.safetensors").exists()
        precisions = ["fp32", *["bf16"] * has_bf16("cpu"), *["int8"] * whole]
        if arguments.texts:
            lines = arguments.texts.read_text(encoding="utf-8").split("\n")
            agree(folder, precisions, [read(line) for line in lines if line])
            return
        ten = "\n".join(texts(10)).encode()
        cold = str(Path(__file__).with_name("lite_cold.py"))
        subprocess.run([sys.executable, cold, str(folder)], input=ten, check=True)
        for precision in precisions:
            compare(folder, precision, arguments.rounds)


if __name__ == "__main__":
    main()
