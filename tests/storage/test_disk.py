"""A disk that takes no more, whatever library meets it: one clear error and exit code 74, and the old content stays."""

from __future__ import annotations

import contextlib
import errno
import os
import resource
import shutil
import sqlite3
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import openvino
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet
import pytest
import torch
from matplotlib.figure import Figure
from safetensors import SafetensorError
from safetensors.torch import save_file

from albert.corpus.chunks import Seen
from albert.errors import AlbertError, ErrorKind
from albert.export.layouts import convert
from albert.storage.files import disk_errors, new_folder, write_file
from albert.text.tokenizer import AlbertTokenizer
from albert.training.state import LAST, Checkpoints, MetricsLog
from albert.training.track import tensorboard
from conftest import Albert, write_reviews
from served import write_model

pytestmark = pytest.mark.ci  # minutes altogether

NUMBERS = [
    errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO, errno.EMFILE, errno.ENFILE, errno.ENAMETOOLONG, errno.EFBIG,
    errno.EACCES,
]  # fmt: skip


@contextlib.contextmanager
def small_files(limit: int) -> Iterator[None]:
    """No file of this process may become larger."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@contextlib.contextmanager
def disk_error(said: str = "") -> Iterator[None]:
    with pytest.raises(AlbertError, match=said or None) as caught:
        yield
    assert caught.value.kind is ErrorKind.DISK
    assert "cannot write" in caught.value.what


@pytest.mark.parametrize("number", NUMBERS)
def test_every_library_s_error_is_a_disk_s(number: int) -> None:
    reason = os.strerror(number)
    for error in (
        OSError(number, reason, "file"),
        pa.ArrowException(f"[Errno {number}] Error writing bytes to file. Detail: {reason}"),
        SafetensorError(f"Error while serializing: I/O error: {reason} (os error {number})"),
        RuntimeError(f"[enforce fail at inline_container.cc:668] . unexpected pos 64 vs 0: {reason}"),
        Exception(f"{reason} (os error {number})"),
    ):
        with disk_error(reason), disk_errors("out"):
            raise error


def test_other_errors_stay_what_they_are() -> None:
    for error in (ValueError("x"), RuntimeError("out of memory"), SafetensorError("header too large"), KeyError("f")):
        with pytest.raises(type(error)), disk_errors("out"):
            raise error
    with pytest.raises(AlbertError) as caught, disk_errors("out"):
        raise AlbertError(ErrorKind.DATA, "No space left on device")
    assert caught.value.kind is ErrorKind.DATA


def _safetensors(path: Path) -> None:
    save_file({"a": torch.zeros(50_000)}, path)


def _parquet(path: Path) -> None:
    pyarrow.parquet.write_table(pa.table({"a": np.random.default_rng(0).random(50_000)}), path)


def _csv(path: Path) -> None:
    pyarrow.csv.write_csv(pa.table({"a": list(range(50_000))}), path)


def _numpy(path: Path) -> None:
    np.save(path, np.zeros(50_000))


def _picture(path: Path) -> None:
    figure = Figure(figsize=(20, 20))
    figure.subplots().imshow(np.random.default_rng(0).random((400, 400)))
    figure.savefig(path, format="png")


def _sqlite(path: Path) -> None:
    with contextlib.closing(sqlite3.connect(path)) as database:
        database.execute("CREATE TABLE t (v BLOB)")
        database.execute("INSERT INTO t VALUES (zeroblob(200000))")
        database.commit()


def _openvino(path: Path) -> None:
    given = openvino.opset13.parameter([1, 50_000], np.float32)
    total = openvino.opset13.add(given, openvino.opset13.constant(np.zeros((1, 50_000), np.float32)))
    openvino.save_model(openvino.Model([total], [given]), path.with_suffix(".xml"), compress_to_fp16=False)


def _ours(path: Path) -> None:
    write_file(path, bytes(200_000))


WRITERS = [_safetensors, _parquet, _csv, _numpy, _sqlite, _openvino, _ours]


@pytest.mark.parametrize("writer", WRITERS, ids=[writer.__name__ for writer in WRITERS])
def test_a_file_that_may_not_grow(tmp_path: Path, writer: object) -> None:
    assert callable(writer)
    with disk_error(), disk_errors("out"), small_files(65_536):
        writer(tmp_path / "out.npy")


@pytest.mark.parametrize("writer", [_csv, _picture])
def test_a_full_device(writer: object) -> None:
    assert callable(writer)
    with disk_error("No space left on device"), disk_errors("out"):
        writer(Path("/dev/full"))


def test_the_old_content_stays(tmp_path: Path) -> None:
    write_file(tmp_path / "file", b"old")
    with disk_error("File too large"), small_files(65_536):
        write_file(tmp_path / "file", bytes(200_000))
    with disk_error("File too large"), small_files(65_536), new_folder(tmp_path / "folder") as folder:
        _safetensors(folder / "model.safetensors")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
    assert (tmp_path / "file").read_bytes() == b"old"


def test_a_checkpoint_keeps_the_one_before(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path)
    model = torch.nn.Linear(200, 200)
    optimizer = torch.optim.AdamW(model.parameters())
    checkpoints.save(LAST, 1, model, optimizer, {"step": 1})
    for limit in (1000, 100_000, 200_000):
        model(torch.zeros(1, 200)).sum().backward()
        optimizer.step()
        with disk_error("File too large"), small_files(limit):
            checkpoints.save(LAST, 2, model, optimizer, {"step": 2})
    assert [path.name for path in tmp_path.iterdir()] == ["step-00000001"]
    assert checkpoints.newest(LAST) is not None


def test_a_model_on_a_full_disk(tmp_path: Path, tokenizer: AlbertTokenizer) -> None:
    model = write_model(tmp_path / "model", "classification", tokenizer)
    with disk_error("File too large"), small_files(200_000):
        convert(model, tmp_path / "converted")
    with disk_error("File too large"), small_files(200_000):
        tokenizer.save(tmp_path / "vocabulary")


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Callable[[int], Path]]:
    """Makes a disk of so many KiB."""
    place = tmp_path / "disk"
    place.mkdir()
    mounted = []

    def mount(size: int) -> Path:
        if mounted:
            subprocess.run(["umount", place], check=True)
        done = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}k", "tmpfs", place], capture_output=True)
        if done.returncode:
            pytest.skip("needs the right to mount a small disk")
        mounted.append(place)
        return place

    try:
        yield mount
    finally:
        if mounted:
            subprocess.run(["umount", place], check=True)


VERBS = {
    "predict MODEL DATA -o {}/out.jsonl": (4, 16, 20),
    "predict MODEL DATA -o {}/out.csv.gz": (0, 4),
    "evaluate MODEL DATA -o {}/scores.json": (0,),
    "evaluate MODEL DATA --report {}/report.html": (4,),
    "convert MODEL {}/new": (4, 1200, 2000),
    "tokenizer train TEXT -o {}/vocabulary --vocab-size 40": (4, 236),
    "train DATA -o {}/run --quiet --size tiny --set epochs=1 --set hidden_size=32 --set num_attention_heads=2 "
    "--set intermediate_size=64 --set precision=fp32 --set max_tokens=4096": (4, 20_000),
    "prepare TEXT -o {}/shards --workers 1 --quiet": (4, 900, 1800),
}


@pytest.mark.skipif(not shutil.which("mount"), reason="needs mount")
@pytest.mark.parametrize("line", VERBS)
def test_a_disk_that_fills_up(
    albert: Albert, tmp_path: Path, tokenizer: AlbertTokenizer, small_disk: Callable[[int], Path], line: str
) -> None:
    """At the first write, in the middle, at the last one; on a disk with room the same command does it."""
    data = write_reviews(tmp_path / "reviews.csv", rows=200)
    data.write_text(data.read_text().replace("positive", "good").replace("negative", "bad"))
    (tmp_path / "text.txt").write_text("A fine day. The quick brown fox jumps over the lazy dog at ten.\n" * 20)
    model = write_model(tmp_path / "model", "classification", tokenizer)
    words = {"MODEL": str(model), "DATA": str(data), "TEXT": str(tmp_path / "text.txt")}
    for size in VERBS[line]:
        disk = small_disk(max(size, 4))
        if not size:
            (disk / "other").write_bytes(bytes(4096))
        done = albert(*(words.get(word, word.format(disk)) for word in line.split()))
        assert done.returncode == 74, (size, done.stderr)
        assert "No space left on device" in done.stderr
        assert "Traceback" not in done.stderr
        assert done.stderr.count("error[") == 1
        assert not list(disk.rglob(".tmp-*"))
    if line.startswith("train"):  # which takes its time
        return
    disk = small_disk(20_000)
    done = albert(*(words.get(word, word.format(disk)) for word in line.split()))
    assert done.returncode == 0, done.stderr


def test_logs_on_a_full_disk(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    log = MetricsLog(tmp_path / "metrics.jsonl")
    log.mirror = tensorboard(tmp_path)
    with disk_error(), disk_errors(tmp_path), small_files(4096):
        for step in range(500):
            log.mirror({"step": step, "loss": 1.0})
    with disk_error(), disk_errors(tmp_path), small_files(4096):
        for step in range(500):
            log.write({"step": step, "loss": 1.0})
    assert capfd.readouterr().err == ""


def test_duplicates_on_a_full_disk(tmp_path: Path) -> None:
    with disk_error(), disk_errors(tmp_path), small_files(16_384), Seen(tmp_path) as seen:
        seen._database.execute("PRAGMA cache_size = 1")
        for number in range(5000):
            seen.add(str(number).encode())
    assert list(tmp_path.iterdir()) == []
