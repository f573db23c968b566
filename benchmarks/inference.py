"""Our inference against transformers, ONNX Runtime and OpenVINO: same weights, same texts, interleaved.

    pip install -e ".[peers]"
    python benchmarks/inference.py --short       or `make bench`: mixed lengths in batches of 32, one text alone
    python benchmarks/inference.py --plot p.png  all profiles and batch sizes at both shapes, most of an hour

Texts are random pieces, with lengths drawn by a seed: short messages (mean 12), mixed (log-normal, mean 47, at most
148), passages (384). Batches come in order of arrival, or after sorting all texts by length. Padding the peers' batches
and exporting are not timed; our packing is. Each round times every arm once. Ratios are medians over rounds of a peer's
time divided by ours in the same round. OpenVINO runs with one stream and with one stream per core; the summary keeps
the better. The floor is the time of the products alone, laid out, for as many rows as there are real tokens.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers
from peers import Batch, Run, of_onnxruntime, of_openvino, of_transformers

from albert.compute.precision import Precision, has_bf16
from albert.compute.products import lay_out, product
from albert.config import AlbertConfig
from albert.data.batches import Features
from albert.engine import Engine, calibrate
from albert.machine.memory import keep_freed_memory
from albert.model import AlbertForTask, save_model

SHAPES: dict[str, dict[str, Any]] = {
    "base": {"size": "base"},
    "starter": {"size": "mini", "vocab_size": 16_000, "num_hidden_layers": 6},
}
PROFILES = {"short": 256, "mixed": 128, "passages": 16}  # texts
BATCHES = (1, 8, 32, 128)
ONE_STREAM = ", one stream"
REFERENCE = "transformers fp32"  # whose logits the others' are compared with


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
    def of(cls, profile: str, order: str, batch: int, texts: int, *, lengths: np.ndarray | None = None) -> Work:
        lengths = lengths_of(profile, texts) if lengths is None else lengths
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


def arms_of(model: AlbertForTask, folder: Path, *, short: bool, only: str | None) -> dict[str, Arm]:
    """Every arm that this machine and installation have. `only` keeps the peers whose names begin like that."""
    sample = Work.of("mixed", "arrival", 8, 32).padded
    bf16 = has_bf16("cpu")
    arms = {"ours fp32": of_ours(model, "fp32")}
    if bf16:
        arms["ours bf16"] = of_ours(model, "bf16")
    arms["ours int8"] = of_ours(model, "auto", int8=True)
    peers: dict[str, Callable[[], Run]] = {
        REFERENCE: lambda: of_transformers(folder, torch.float32),
        "transformers bf16": lambda: of_transformers(folder, torch.bfloat16),
        "ONNX Runtime int8": lambda: of_onnxruntime(folder, int8=True),
    }
    for precision in ("bf16", "int8") if short else ("fp32", "bf16", "int8"):
        for ending, hint in (("", "THROUGHPUT"), (ONE_STREAM, "LATENCY")):
            peers[f"OpenVINO {precision}{ending}"] = partial(of_openvino, folder, precision, hint, sample)
    if not short:
        peers["ONNX Runtime fp32"] = lambda: of_onnxruntime(folder)
        peers["transformers bf16, compiled"] = lambda: of_transformers(folder, torch.bfloat16, compiled=True)
    for name, make in peers.items():
        if "bf16" in name and not bf16:
            continue
        if only is not None and name != REFERENCE and not name.startswith(only):
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
    """For each arm the median seconds, and the largest distance of its logits from transformers' in fp32."""
    times: dict[str, list[float]] = {name: [] for name in arms}
    said: dict[str, np.ndarray] = {}
    first = replace(work, padded=work.padded[:1], flat=work.flat[:1])
    for number in range(rounds + 1):
        for name, arm in arms.items():
            # The first round warms up: by a batch where the same texts came in order of arrival before.
            seconds, logits = timed(arm, first if not number and work.order == "sorted" else work)
            said[name] = np.concatenate(logits)
            if number:
                times[name].append(seconds)
    wanted = said[REFERENCE]
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


def latency(arms: dict[str, Arm], pieces: int, rounds: int) -> dict[str, tuple[float, float]]:
    """(p50, p95) in ms of each arm for one text at a time.

    An arm's turn is several texts in a row. The first ones are not counted, because the threads of the previous arm
    still wait actively.
    """
    work = Work.of("mixed", "arrival", 1, 1, lengths=np.asarray([pieces]))
    times: dict[str, list[float]] = {name: [] for name in arms}
    for _ in range(rounds):
        for name, arm in arms.items():
            times[name] += [1000 * timed(arm, work)[0] for _ in range(16)][8:]
    found = {name: (statistics.median(own), float(np.quantile(own, 0.95))) for name, own in times.items()}
    print(f"\none text of {pieces} pieces\n| arm | p50 ms | p95 ms |\n|---|---|---|")
    for name, (p50, p95) in sorted(found.items(), key=lambda item: item[1]):
        print(f"| {name} | {p50:.2f} | {p95:.2f} |")
    return found


def summary(where: str, found: dict[str, dict[str, float]]) -> list[str]:
    """One line per peer and precision of ours, with the better of a peer's settings."""
    lines = []
    for ours in [name for name in found if name in ("ours bf16", "ours int8")]:
        ratios: dict[str, float] = {}
        for name, values in found.items():
            if name != ours:
                peer = name.removesuffix(ONE_STREAM)
                ratios[peer] = min(ratios.get(peer, np.inf), values[f"{ours} is faster"])
        lines += [f"{ours} / {peer}, {where}: {ratio:.2f}x" for peer, ratio in ratios.items()
                  if not peer.startswith("ours") or (ours, peer) == ("ours int8", "ours bf16")]  # fmt: skip
    return lines


def draw(every: list[dict[str, Any]], path: Path) -> None:
    """Tokens per second of each arm in batches of 32, with one panel per shape, profile and order."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    shown = [entry for entry in every if entry["batch"] == 32]
    figure, panels = pyplot.subplots(len(shown), 1, figsize=(8, 3.2 * len(shown)), squeeze=False)
    for entry, axes in zip(shown, panels[:, 0], strict=True):
        speeds = {name: entry["tokens"] / values["seconds"] for name, values in entry["arms"].items()}
        names = sorted(speeds, key=speeds.__getitem__)
        colours = ["tab:orange" if name.startswith("ours") else "tab:blue" for name in names]
        axes.barh(names, [speeds[name] for name in names], color=colours)
        axes.set(title=f"{entry['shape']}, {entry['profile']}, {entry['order']}", xlabel="tokens/s")
    figure.tight_layout()
    figure.savefig(path)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--short", action="store_true", help="mixed lengths in batches of 32, fewer arms and rounds")
    parser.add_argument("--shapes", default="base,starter")
    parser.add_argument("--profiles", default=",".join(PROFILES))
    parser.add_argument("--only", help='compare with this peer alone, e.g. "OpenVINO bf16"')
    parser.add_argument("--rounds", type=int)
    parser.add_argument("--out", type=Path, help="JSON file for every figure")
    parser.add_argument("--plot", type=Path, help="picture of the speeds")
    arguments = parser.parse_args()
    keep_freed_memory()  # for every arm: otherwise the allocator asks again for memory that it has returned
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    rounds = arguments.rounds or (2 if arguments.short else 3)
    print(
        f"{time.strftime('%Y-%m-%d')}, {torch.cpu.get_capabilities().get('cpu_name', 'unknown CPU')}, "
        f"{torch.get_num_threads()} threads, torch {torch.__version__}, transformers {transformers.__version__}"
    )
    works = [("mixed", 32)] if arguments.short else [(p, b) for p in arguments.profiles.split(",") for b in BATCHES]
    every: list[dict[str, Any]] = []
    lines = []
    for shape in arguments.shapes.split(","):
        settings = dict(SHAPES[shape])
        config = AlbertConfig.named(str(settings.pop("size")), id2label=("a", "b"), **settings)
        print(f"\n## {shape}: H {config.hidden_size}, L {config.num_hidden_layers}")
        with tempfile.TemporaryDirectory() as folder:
            model = AlbertForTask(config, "sequence_classification", generator=torch.Generator().manual_seed(0)).eval()
            save_model(model, Path(folder))
            arms = arms_of(model, Path(folder), short=arguments.short, only=arguments.only)
            for profile, batch in works:
                for order in ("arrival",) if batch == 1 or profile == "passages" else ("arrival", "sorted"):
                    work = Work.of(profile, order, batch, PROFILES[profile])
                    found = compare(arms, work, rounds)
                    floors = {name: floor(config, work.tokens, dtype)
                              for name, dtype in (("fp32", torch.float32), ("bf16", torch.bfloat16))}  # fmt: skip
                    show(work, found, floors)
                    every.append({"shape": shape, "profile": profile, "order": order, "batch": batch,
                                  "tokens": work.tokens, "floors": floors, "arms": found})  # fmt: skip
                    lines += summary(f"{shape}, {profile}, batches of {batch}, {order} order", found)
            for pieces in (16, 47):
                alone = latency(arms, pieces, 5 if arguments.short else 25)
                best = min((p50, name) for name, (p50, _) in alone.items() if name.startswith("OpenVINO"))
                lines += [f"{name} / {best[1]}, {shape}, p50 of one text of {pieces} pieces: {p50 / best[0]:.2f}x"
                          for name, (p50, _) in alone.items() if name.startswith("ours")]  # fmt: skip
    print("\n" + "\n".join(lines))
    if arguments.out is not None:
        arguments.out.write_text(json.dumps(every, indent=1))
    if arguments.plot is not None:
        draw(every, arguments.plot)


main()
