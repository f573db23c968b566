"""`albert train` and `pretrain`, killed with SIGKILL and resumed, end with the bits of an uninterrupted run."""

from __future__ import annotations

import hashlib
import json
import multiprocessing
import random
import signal
from multiprocessing.context import ForkServerProcess
from pathlib import Path

import pytest

import kill_at
from conftest import write_reviews
from corpora import counting_corpus
from rewriting import write_pairs

FORKS = multiprocessing.get_context("forkserver")  # of a process that has imported what takes seconds
FORKS.set_forkserver_preload(
    ["albert.cli", "albert.training", "albert.report.page", "sklearn.metrics", "torch._dynamo"]
)
SETTINGS = {
    "train": ["epochs=3", "batch_size=16", "average=0.3"],
    "text2text": ["epochs=3", "batch_size=16", "average=0.3", "num_hidden_layers=1", "sampling_alpha=0.3"],
    "pretrain": [
        "steps=12",
        "batch_size=8",
        "max_tokens=128",
        "max_length=32",
        "held_out=0.1",
        "evals_per_epoch=3",
        "optimizer=muon",
        "loops=[1]",
    ],
}
NETWORK = ["save_seconds=0", "hidden_dropout_prob=0.1", "hidden_size=32", "num_attention_heads=2",
           "intermediate_size=64", "precision=fp32"]  # fmt: skip


class Run:
    """The same command in a folder of its own, as often as it takes."""

    def __init__(self, verb: str, folder: Path, data: Path) -> None:
        self.verb = verb
        self.folder = folder
        self.output = folder.with_name(f"{folder.name}.txt")
        settings = [word for setting in SETTINGS[verb] + NETWORK for word in ("--set", setting)]
        words = ["train", "--task", verb, "--metric", "exact_match"] if verb == "text2text" else [verb]
        self.arguments = [*words, str(data), "-o", str(folder), "--size", "tiny", "--resume", "--quiet", *settings]

    def _start(self, boundary: int) -> ForkServerProcess:
        process = FORKS.Process(target=kill_at.redirected, args=(self.output, boundary, self.arguments))
        process.start()
        return process

    def to_boundary(self, number: int) -> int:
        """Kills at a write boundary, with 0 at none; the exit code, negative for a signal."""
        process = self._start(number)
        process.join()
        assert process.exitcode is not None
        assert process.exitcode in (0, -signal.SIGKILL), self.output.read_text()
        return process.exitcode

    def for_seconds(self, seconds: float) -> None:
        """Kills after a time, where it has not finished before."""
        process = self._start(0)
        process.join(seconds)
        process.kill()
        process.join()

    def result(self) -> tuple[str, list[object]]:
        """SHA-256 of the final weights, and the loss log without its clock readings."""
        weights = hashlib.sha256((self.folder / "model.safetensors").read_bytes()).hexdigest()
        records = [json.loads(line) for line in (self.folder / "metrics.jsonl").read_text().splitlines()]
        return weights, [{k: v for k, v in record.items() if k != "seconds"} for record in records]


@pytest.fixture(scope="module", params=["train", "pretrain", "text2text"])
def whole(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> tuple[Path, Run, int]:
    """The uninterrupted run, and how many write boundaries it passes."""
    folder = tmp_path_factory.mktemp("kill")
    if request.param == "train":
        data = write_reviews(folder / "reviews.csv", rows=60)
    elif request.param == "text2text":
        data = write_pairs(folder / "pairs.csv", rows=60)
    else:
        data = counting_corpus(folder / "shards")
    run = Run(request.param, folder / "whole", data)
    assert run.to_boundary(0) == 0
    return data, run, int(run.output.read_text().split()[-1])


def assert_kills_change_nothing(whole: tuple[Path, Run, int], folder: Path, boundaries: list[int], times: int) -> None:
    data, uninterrupted, _ = whole
    run = Run(uninterrupted.verb, folder, data)
    for number in boundaries:
        run.to_boundary(number)
    rng = random.Random(0)
    for _ in range(times):
        run.for_seconds(rng.uniform(0.0, 3.0))
    assert run.to_boundary(0) == 0
    assert run.result() == uninterrupted.result()
    assert not list(folder.rglob(".tmp-*"))


@pytest.mark.ci
def test_killed_at_some_write_boundaries_and_times(whole: tuple[Path, Run, int], tmp_path: Path) -> None:
    total = whole[2]
    assert total > 60
    assert_kills_change_nothing(whole, tmp_path / "run", [18, total - 1], times=1)


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_killed_at_every_write_boundary(whole: tuple[Path, Run, int], tmp_path: Path) -> None:
    """One fresh run for each boundary of the whole run, so that each is a first kill too."""
    for number in range(1, whole[2] + 1):
        assert_kills_change_nothing(whole, tmp_path / str(number), [number], times=0)


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_killed_two_hundred_times(whole: tuple[Path, Run, int], tmp_path: Path) -> None:
    rng = random.Random(1)
    for part in range(20):
        boundaries = [rng.randrange(1, 40) for _ in range(5)]
        assert_kills_change_nothing(whole, tmp_path / str(part), boundaries, times=5)
