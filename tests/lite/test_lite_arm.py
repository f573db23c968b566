"""albert-lite on 64-bit ARM, where a register holds 4 numbers (NEON): compiled for it, and run by qemu."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from albert.compute.quantized import save_ranges
from albert.data.examples import Example
from albert.engine import calibrate
from albert.predict.predictor import Predictor
from albert.storage.files import write_manifest
from albert.text.tokenizer import AlbertTokenizer
from lines import varied_lines
from lites import on_arm
from served import write_model

pytestmark = pytest.mark.ci  # the first one builds the programs
TEXTS = ["", "a great lamp", *[line for line in varied_lines(600) if line.isprintable()][-60:]]


@pytest.fixture(scope="module")
def model(tokenizer: AlbertTokenizer, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """With int8, and a manifest that vouches for it."""
    folder = write_model(tmp_path_factory.mktemp("arm") / "model", "classification", tokenizer)
    predictor = Predictor.load(folder, precision="fp32")
    features = predictor.encode([Example(text) for text in TEXTS])
    save_ranges(folder / "int8.safetensors", calibrate(predictor.model, features), {})
    write_manifest(folder)
    return folder


@pytest.fixture(scope="module")
def predictor(model: Path) -> Predictor:
    return Predictor.load(model, precision="fp32")


def answered(model: Path, precision: str, instructions: str) -> tuple[list[list[int]], np.ndarray]:
    """The pieces of each text, and its logits."""
    command = [*on_arm("lines"), str(model), precision, instructions]
    done = subprocess.run(command, input="\n".join(TEXTS) + "\n", capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    lines = [line.split() for line in done.stdout.split("\n")[:-1]]
    return [list(map(int, line)) for line in lines[::2]], np.array(lines[1::2], float)


def logits(predictor: Predictor) -> np.ndarray:
    return np.stack([output.logits[0] for output in predictor.outputs([Example(text) for text in TEXTS])])


@pytest.mark.parametrize("instructions", ["portable", "scalar"])
def test_pieces_and_logits_are_the_engine_s(model: Path, predictor: Predictor, instructions: str) -> None:
    pieces, found = answered(model, "fp32", instructions)
    for numbers, text, wanted in zip(pieces, TEXTS, predictor.tokenizer.pieces(TEXTS), strict=True):
        triples = [tuple(numbers[at : at + 3]) for at in range(3, len(numbers) - 3, 3)]  # without [CLS] and [SEP]
        assert triples == list(zip(wanted.ids.tolist(), *wanted.offsets.T.tolist(), strict=True)), ascii(text)
    assert np.abs(found - logits(predictor)).max() < 1e-4


def test_int8_stays_near(model: Path, predictor: Predictor) -> None:
    _, found = answered(model, "int8", "portable")
    wanted = logits(predictor)
    assert 0 < np.abs(found - wanted).max() < 0.1 * np.abs(wanted).max()


def test_damage_is_found(model: Path, tmp_path: Path) -> None:
    """Where the processor's own instructions for SHA-256 are not used."""
    for path in model.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    weights: Any = tmp_path / "model.safetensors"
    raw = bytearray(weights.read_bytes())
    raw[-5] ^= 1
    weights.write_bytes(raw)
    done = subprocess.run([*on_arm("predict"), tmp_path, "x"], capture_output=True, text=True, check=False)
    assert done.returncode == 66
    assert "model.safetensors does not have the SHA-256 of the manifest" in done.stderr
