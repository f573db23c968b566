"""Inference of ours beside transformers, ONNX Runtime and OpenVINO: same weights, same texts, interleaved.

    pip install -e ".[peers]"
    python benchmarks/inference.py --short       about 5 minutes: mixed lengths, the base shape and the starter's
    python benchmarks/inference.py               all profiles and batch sizes, latency, plot

Texts are random pieces, lengths drawn by a seed: short messages (mean 12), mixed (log-normal, mean 47, at most 148),
passages (384). Batches come in order of arrival, or after sorting all texts by length. Padding the peers' batches and
exporting are not timed; packing ours is. Each round times every arm once; ratios are medians over rounds of ours and
a peer's times of the same round. The floor is that of the products alone, laid out, in as many rows as there are real
tokens.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import transformers
from peers import Batch, Run, of_onnxruntime, of_openvino, of_transformers

from albert.config import AlbertConfig
from albert.data.batches import Features
from albert.engine import Engine, calibrate
from albert.engine.precision import Precision, has_bf16
from albert.memory import keep_freed_memory
from albert.model import AlbertForTask, save_model
from albert.model.products import lay_out, product

SHAPES = {
    "base": {"size": "base"},
    "starter": {"size": "mini", "vocab_size": 16_000, "num_hidden_layers": 6},
}
PROFILES = {"short": 256, "mixed": 128, "passages": 16}  # texts


def lengths_of(profile: str, texts: int) -> np.ndarray:
    """Piece counts with [CLS] and [SEP], in order of arrival."""
    rng = np.random.default_rng(0)
    if profile == "passages":
        return np.full(texts, 384)
    mean, most = (12, 40) if profile == "short" else (47, 148)
    drawn = np.exp(rng.normal(np.log(mean) - 0.18, 0.6, texts))
    return np.clip(np.rint(drawn), 4, most).astype(int)


@dataclass(frozen=True)
class Work:
    """The batches of one profile, order and batch size: padded for the peers, flat for ours."""

    profile: str
    order: str
    batch: int
    padded: list[Batch]
    flat: list[Features]
    tokens: int

    @classmethod
    def of(cls, profile: str, order: str, batch: int, texts: int) -> Work:
        lengths = lengths_of(profile, texts)
        if order == "sorted":
            lengths = np.sort(lengths)[::-1]
        rng = np.random.default_rng(1)
        padded, flat = [], []
        for start in range(0, texts, batch):
            own = lengths[start : start + batch]
            mask = (np.arange(own.max()) < own[:, None]).astype(np.int64)
            ids = rng.integers(5, 16_000, mask.shape) * mask
            padded.append((ids, mask))
            tokens = ids[mask == 1].astype(np.int32)
            flat.append(Features(tokens, np.zeros(len(tokens), np.int8), np.append(0, np.cumsum(own)), None))
        return cls(profile, order, batch, padded, flat, int(lengths.sum()))


Arm = Callable[[Work], list[np.ndarray]]


def of_peer(run: Run) -> Arm:
    return lambda work: run(work.padded)


def of_ours(model: AlbertForTask, precision: Precision, *, int8: bool = False) -> Arm:
    """int8 is calibrated on other texts of the same lengths."""
    sample = Work.of("mixed", "arrival", 32, 32).flat[0]
    engine = Engine(model, precision, calibration=calibrate(model, sample) if int8 else None)
    return lambda work: [np.stack(engine.logits(features)) for features in work.flat]


def arms_of(model: AlbertForTask, folder: Path, *, short: bool) -> dict[str, Arm]:
    """Every arm that this machine and installation have."""
    sample = Work.of("mixed", "arrival", 8, 32).padded
    bf16 = has_bf16("cpu")
    arms = {"ours fp32": of_ours(model, "fp32")}
    if bf16:
        arms["ours bf16"] = of_ours(model, "bf16")
    arms["ours int8"] = of_ours(model, "auto", int8=True)
    peers: dict[str, Callable[[], Run]] = {
        "transformers fp32": lambda: of_transformers(folder, torch.float32),
        "transformers bf16": lambda: of_transformers(folder, torch.bfloat16),
        "ONNX Runtime fp32": lambda: of_onnxruntime(folder),
        "OpenVINO fp32": lambda: of_openvino(folder, "fp32", "THROUGHPUT", sample),
        "OpenVINO bf16": lambda: of_openvino(folder, "bf16", "THROUGHPUT", sample),
        "OpenVINO bf16, one stream": lambda: of_openvino(folder, "bf16", "LATENCY", sample),
    }
    if not short:
        peers |= {
            "transformers bf16, compiled": lambda: of_transformers(folder, torch.bfloat16, compiled=True),
            "ONNX Runtime int8": lambda: of_onnxruntime(folder, int8=True),
            "OpenVINO fp32, one stream": lambda: of_openvino(folder, "fp32", "LATENCY", sample),
            "OpenVINO int8": lambda: of_openvino(folder, "int8", "THROUGHPUT", sample),
            "OpenVINO int8, one stream": lambda: of_openvino(folder, "int8", "LATENCY", sample),
        }
    for name, make in peers.items():
        if "bf16" in name and not bf16:
            continue
        try:
            arms[name] = of_peer(make())
        except ImportError as error:
            print(f"{name}: left out, {error}")
    return arms


def timed(arm: Arm, work: Work) -> tuple[float, list[np.ndarray]]:
    start = time.perf_counter()
    logits = arm(work)
    return time.perf_counter() - start, logits


def floor(config: AlbertConfig, tokens: int, dtype: torch.dtype) -> float:
    """Seconds of the products alone over `tokens` rows, as large as one batch of ours."""
    rows = min(tokens, 1500)
    h, i = config.hidden_size, config.intermediate_size
    weights = [(lay_out(torch.randn(n, k).to(dtype)), torch.randn(n).to(dtype), k)
               for n, k in ((3 * h, h), (h, h), (i, h), (h, i))]  # fmt: skip
    inputs = [torch.randn(rows, k).to(dtype) for *_, k in weights]
    times = []
    with torch.inference_mode():
        for _ in range(7):
            start = time.perf_counter()
            for x, (weight, bias, _) in zip(inputs, weights, strict=True):
                product(x, weight, bias)
            times.append(time.perf_counter() - start)
    return statistics.median(times) * config.num_hidden_layers * tokens / rows


def compare(arms: dict[str, Arm], work: Work, rounds: int) -> dict[str, dict[str, float]]:
    """For each arm the median seconds, and the greatest distance of its logits from transformers' in fp32."""
    times: dict[str, list[float]] = {name: [] for name in arms}
    said: dict[str, np.ndarray] = {}
    for number in range(rounds + 1):
        for name, arm in arms.items():
            seconds, logits = timed(arm, work)
            said[name] = np.concatenate(logits)
            if number:  # the first round warms up
                times[name].append(seconds)
    wanted = said["transformers fp32"]
    return {
        name: {
            "seconds": statistics.median(found),
            "apart": float(np.abs(said[name] - wanted).max()),
            **{f"{ours} is faster": statistics.median(a / b for a, b in zip(found, times[ours], strict=True))
               for ours in arms if ours.startswith("ours")},
        }
        for name, found in times.items()
    }  # fmt: skip


def show(work: Work, found: dict[str, dict[str, float]], floors: dict[str, float]) -> None:
    print(f"\n{work.profile}, {work.order}, batches of {work.batch}: {work.tokens:,} tokens")
    ratios = [name for name in next(iter(found.values())) if name.endswith("faster")]
    print("| arm | tokens/s | logits apart | " + " | ".join(ratios) + " |\n" + "|---" * (3 + len(ratios)) + "|")
    for name, values in sorted(found.items(), key=lambda item: item[1]["seconds"]):
        cells = [f"{work.tokens / values['seconds']:,.0f}", f"{values['apart']:.1e}"]
        print(f"| {name} | " + " | ".join([*cells, *(f"{values[ratio]:.2f}x" for ratio in ratios)]) + " |")
    for precision, seconds in floors.items():
        print(f"| products alone, {precision} | {work.tokens / seconds:,.0f} |" + " |" * (1 + len(ratios)))


def latency(arms: dict[str, Arm], rounds: int) -> None:
    """One text of 16 pieces at a time."""
    work = Work.of("mixed", "arrival", 1, 1)
    times: dict[str, list[float]] = {name: [] for name in arms}
    for _ in range(rounds):
        for name, arm in arms.items():
            times[name].append(1000 * timed(arm, work)[0])
    print(f"\none text of {work.tokens} pieces\n| arm | p50 ms | p95 ms |\n|---|---|---|")
    for name, found in sorted(times.items(), key=lambda item: statistics.median(item[1])):
        print(f"| {name} | {statistics.median(found):.2f} | {np.quantile(found, 0.95):.2f} |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--short", action="store_true", help="mixed lengths in batches of 32, fewer arms and rounds")
    parser.add_argument("--shapes", default="base,starter")
    parser.add_argument("--rounds", type=int)
    parser.add_argument("--out", type=Path, help="JSON file for every figure")
    arguments = parser.parse_args()
    keep_freed_memory()  # for every arm: what the allocator gives back it asks for again
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    rounds = arguments.rounds or (3 if arguments.short else 7)
    print(
        f"{time.strftime('%Y-%m-%d')}, {torch.cpu.get_capabilities().get('cpu_name', 'unknown CPU')}, "
        f"{torch.get_num_threads()} threads, torch {torch.__version__}, transformers {transformers.__version__}"
    )
    works = [("mixed", 32)] if arguments.short else [(p, b) for p in PROFILES for b in (1, 8, 32, 128)]
    every: list[dict[str, object]] = []
    summary = []
    for shape in arguments.shapes.split(","):
        settings = dict(SHAPES[shape])
        config = AlbertConfig.named(str(settings.pop("size")), id2label=("a", "b"), **settings)
        print(f"\n## {shape}: H {config.hidden_size}, L {config.num_hidden_layers}")
        with tempfile.TemporaryDirectory() as folder:
            model = AlbertForTask(config, "sequence_classification", generator=torch.Generator().manual_seed(0)).eval()
            save_model(model, Path(folder))
            arms = arms_of(model, Path(folder), short=arguments.short)
            for profile, batch in works:
                for order in ("arrival",) if batch == 1 or profile == "passages" else ("arrival", "sorted"):
                    work = Work.of(profile, order, batch, PROFILES[profile])
                    found = compare(arms, work, rounds)
                    floors = {name: floor(config, work.tokens, dtype)
                              for name, dtype in (("fp32", torch.float32), ("bf16", torch.bfloat16))}  # fmt: skip
                    show(work, found, floors)
                    every.append({"shape": shape, "profile": profile, "order": order, "batch": batch,
                                  "tokens": work.tokens, "floors": floors, "arms": found})  # fmt: skip
                    best = "ours bf16" if "ours bf16" in arms else "ours fp32"
                    summary += [f"{best} / {name}, {shape}, {profile}, batches of {batch}, {order}: "
                                f"{values[f'{best} is faster']:.2f}x"
                                for name, values in found.items() if not name.startswith("ours")]  # fmt: skip
            latency(arms, 20 if arguments.short else 200)
    print("\n" + "\n".join(summary))
    if arguments.out is not None:
        arguments.out.write_text(json.dumps(every, indent=1))


main()
