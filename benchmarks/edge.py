"""Ways to run a fine-tuned ALBERT beside each other: sizes, cold start, speed and memory, each in processes of its own.

    python benchmarks/edge.py [MODEL] [--web NODE_MODULES]      minutes

MODEL is a classifier with `int8.safetensors`, `onnx/model.onnx` and `onnx/model_quantized.onnx`. Without it, or if
there is none yet, a random one of the starter's shape is written. --web names the `node_modules` where
`npm install onnxruntime-web` was run. Build albert-lite first: `make lite`. Everything has one thread. Rounds go
through all ways in turn. Times are those of the processor, in which other work on the machine shows less. A way that
cannot run is a line that says why. A form of `albert export` that is a way of its own gets a line in `WAYS`.

This process imports nothing large: the memory of a process that starts another one counts as the other's at first.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import statistics
import subprocess
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
LIBRARY = ROOT / "build" / "lite" / "libalbert_lite.so"
RUNNER = Path(__file__).with_name("edge_runner.py")
MB = 1e6
HEAD = "| way | packages, MB | model, MB | cold start, s | peak, MB | one text, ms | 64 texts, a second | peak, MB |"


@dataclass
class Way:
    """A way to run the model: what its process is told, the packages that it needs, and the model's files."""

    name: str
    kind: str
    packages: tuple[str | Path, ...]
    files: tuple[str, ...]
    cold: list[float] = field(default_factory=list)
    times: dict[int, list[float]] = field(default_factory=dict)
    peaks: list[float] = field(default_factory=list)
    fault: str = ""

    def command(self, folder: Path, given: Path, web: Path | None) -> list[str]:
        """Starts it; it answers the numbers of texts that it reads, line by line, with the seconds."""
        if self.kind.startswith("web"):
            script = str(RUNNER.with_suffix(".mjs"))
            return ["node", script, str(web), str(folder / self.files[0]), str(given.with_suffix(".json"))]
        return [sys.executable, str(RUNNER), self.kind, str(folder), str(given)]


LITE, ONNX = ("numpy", LIBRARY, ROOT / "lite" / "python" / "albert_lite"), ("onnxruntime", "tokenizers", "numpy")
ENGINE = ("albert", "torch", "tokenizers", "numpy", "safetensors")
PEER = ("transformers", "torch", "tokenizers", "numpy", "safetensors")
FLOAT, VOCABULARY = "model.safetensors", "spiece.model"
WAYS = [
    *(Way(f"albert-lite, {precision}", f"lite {precision}", LITE, (FLOAT, VOCABULARY))
      for precision in ("fp32", "bf16", "int8")),
    *(Way(f"albert with torch, {precision}", f"engine {precision}", ENGINE, (FLOAT, VOCABULARY))
      for precision in ("fp32", "bf16", "int8")),
    Way("ONNX Runtime, fp32", "onnx onnx/model.onnx", ONNX, ("onnx/model.onnx", "tokenizer.json")),
    Way("ONNX Runtime, int8", "onnx onnx/model_quantized.onnx", ONNX, ("onnx/model_quantized.onnx", "tokenizer.json")),
    Way("transformers, fp32", "transformers", PEER, (FLOAT, VOCABULARY)),
    Way("onnxruntime-web under node, fp32, ids given", "web", (), ("onnx/model.onnx", "tokenizer.json")),
    Way("onnxruntime-web under node, int8, ids given", "web", (), ("onnx/model_quantized.onnx", "tokenizer.json")),
]  # fmt: skip


class Running:
    """A process of a way."""

    def __init__(self, command: list[str]) -> None:
        environment = {
            **os.environ,
            "OMP_NUM_THREADS": "1",
            "RAYON_NUM_THREADS": "1",
            "ALBERT_LITE_LIBRARY": str(LIBRARY),
        }
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                        text=True, env=environment)  # fmt: skip

    def ask(self, count: int) -> float:
        """The seconds that so many texts take. Raises `EOFError` with its last line where it has ended."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        assert self.process.stderr is not None
        try:
            self.process.stdin.write(f"{count}\n")
            self.process.stdin.flush()
        except BrokenPipeError:
            pass
        if not (line := self.process.stdout.readline()):
            raise EOFError((self.process.stderr.read().strip().splitlines() or ["it ended"])[-1])
        return float(line)

    def end(self) -> tuple[float, float]:
        """Lets it end; its seconds in all, and the most memory that it had, in MB."""
        assert self.process.stdin is not None
        self.process.stdin.close()
        _, _, usage = os.wait4(self.process.pid, 0)
        self.process.returncode = 0
        return usage.ru_utime + usage.ru_stime, usage.ru_maxrss * 1024 / MB


def start_cold(way: Way, command: list[str]) -> None:
    """A fresh process that answers ten texts."""
    running = Running(command)
    try:
        running.ask(10)
    except EOFError as error:
        way.fault = str(error)[:150]
    seconds, peak = running.end()
    way.cold.append(seconds)
    way.peaks.append(peak)


def measure(ways: list[Way], commands: dict[str, list[str]], starts: int, rounds: int) -> None:
    """Cold starts, then one text and 64 of processes that go on, always in turns."""
    for _ in range(starts):
        for way in ways:
            if not way.fault:
                start_cold(way, commands[way.name])
    running = {way.name: Running(commands[way.name]) for way in ways if not way.fault}
    for number in range(rounds + 1):
        for way in ways:
            for count in (1, 64) if way.name in running else ():
                seconds = running[way.name].ask(count)
                if number:  # the first time warms up
                    way.times.setdefault(count, []).append(seconds)
    for way in ways:
        if way.name in running:
            way.peaks[:] = [statistics.median(way.peaks), running[way.name].end()[1]]


def size_of(place: str | Path) -> float:
    """Of a file, a folder or an installed package, in MB."""
    if isinstance(place, str):
        spec = importlib.util.find_spec(place)
        place = Path(spec.origin).parent if spec is not None and spec.origin else Path("none")
    files = [place] if place.is_file() else place.rglob("*")
    return sum(file.stat().st_size for file in files if file.is_file() and "__pycache__" not in file.parts) / MB


def row_of(way: Way, folder: Path, web: Path | None) -> str:
    """A line of the table."""
    packages = (*way.packages, *((web / "onnxruntime-web",) if way.kind == "web" and web else ()))
    names = [*way.files, *(["int8.safetensors"] if way.kind in ("lite int8", "engine int8") else [])]
    sizes = sum(map(size_of, packages)), sum(size_of(folder / name) for name in names)
    one, many = (statistics.median(way.times[count]) for count in (1, 64))
    cold = f"{statistics.median(way.cold):.2f} | {way.peaks[0]:.0f}"
    warm = f"{one * 1000:.2f} | {64 / many:,.0f} | {way.peaks[1]:.0f}"
    return f"| {way.name} | {sizes[0]:,.1f} | {sizes[1]:.1f} | {cold} | {warm} |"


def missing(way: Way, folder: Path, web: Path | None) -> str:
    """Why a way cannot run; "" if it may."""
    if way.kind == "web" and web is None:
        return "no onnxruntime-web (--web)"
    if absent := [name for name in way.files if not (folder / name).exists()]:
        return f"no {absent[0]} in the model"
    absent = [str(name) for name in way.packages if isinstance(name, str) and importlib.util.find_spec(name) is None]
    return f"no {absent[0]} installed" if absent else ""


def main() -> None:
    """Prints the table, and below it what could not run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", nargs="?", type=Path)
    parser.add_argument("--web", type=Path, help="node_modules with onnxruntime-web")
    parser.add_argument("--starts", type=int, default=5)
    parser.add_argument("--rounds", type=int, default=15)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder, given = arguments.model or Path(temporary) / "model", Path(temporary) / "texts.txt"
        subprocess.run([sys.executable, str(RUNNER), "prepare", str(folder), str(given)], check=True)
        web: Any = arguments.web.resolve() if arguments.web else None
        for way in WAYS:
            way.fault = missing(way, folder, web)
        measure(WAYS, {way.name: way.command(folder, given, web) for way in WAYS}, arguments.starts, arguments.rounds)
        print(HEAD, "|---|---|---|---|---|---|---|---|", sep="\n")
        for way in WAYS:
            print(f"{way.name}: {way.fault}" if way.fault else row_of(way, folder, web))
        print(f"medians of {arguments.starts} starts and {arguments.rounds} rounds; load {os.getloadavg()[0]:.1f}")


main()
