"""What albert-lite refuses, each in one clear line: damaged files, and models that it does not know."""

from __future__ import annotations

import json
import random
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.numpy

from albert.errors import AlbertError
from albert.predict.predictor import Predictor
from albert.text.tokenizer import AlbertTokenizer
from mutants import mutated_bytes, mutated_json
from served import write_model

pytestmark = pytest.mark.ci  # the first one builds the library
FILES = ("config.json", "tokenizer_config.json", "manifest.json", "spiece.model", "model.safetensors")
Refused = Callable[..., str]


@pytest.fixture(scope="module")
def whole(tokenizer: AlbertTokenizer, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_model(tmp_path_factory.mktemp("whole") / "model", "classification", tokenizer)


@pytest.fixture
def folder(whole: Path, tmp_path: Path) -> Path:
    """A copy that a test may damage."""
    return Path(shutil.copytree(whole, tmp_path / "model"))


@pytest.fixture
def refused(lite: Any) -> Refused:
    """The one line with which a folder is refused."""

    def call(folder: Path, code: str = "bad-model", **options: Any) -> str:
        with pytest.raises(lite.LiteError) as caught:
            lite.load(folder, **options)
        told = str(caught.value)
        assert (caught.value.code, "\n" in told, told.startswith(f"error[{code}] ")) == (code, False, True), told
        return told

    return call


def edit(folder: Path, **changes: Any) -> None:
    """Changes keys of config.json; those of "albert" and its "extra" by their dotted names."""
    path = folder / "config.json"
    raw = json.loads(path.read_text(encoding="utf-8"))
    for name, value in changes.items():
        *above, key = name.split("__")
        place = raw
        for part in above:
            place = place[part]
        place[key] = value
    path.write_text(json.dumps(raw), encoding="utf-8")
    (folder / "manifest.json").unlink(missing_ok=True)


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"model_type": "albert-text2text"}, "a decoder, which writes texts"),
        ({"model_type": "albert-windowed"}, "attention in windows"),
        ({"model_type": "bert"}, "a BERT with WordPiece"),
        ({"albert__attention_window": 16}, "attention in windows"),
        ({"albert__extra__hybrid": {"head": 1.0, "words": 1.0}}, "a linear model on words"),
        ({"albert__extra__cascade": {"threshold": 0.9}}, "a linear model on words"),
        ({"architectures": ["AlbertForStrongest"]}, "has no head to predict with"),
        ({"albert__extra__task": "qa"}, "task: expected one for the head"),
        ({"albert__extra__thresholds": [0.5]}, "thresholds: expected none, or 3, got 1"),
        ({"albert__extra__max_length": 4000}, "max_length: expected 3 to its 128 positions, got 4,000"),
        ({"hidden_size": 64}, "of its tensors are not those of its config.json"),
        ({"vocab_size": 20000}, "of its tensors are not those of its config.json"),
    ],
)
def test_models_that_are_not_built_are_refused_by_name(
    folder: Path, refused: Refused, changes: dict[str, Any], told: str
) -> None:
    edit(folder, **changes)
    assert told in refused(folder)


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"hidden_size": "many"}, "hidden_size: expected a whole number from 1 to 16,384"),
        ({"num_hidden_layers": 10**12}, "num_hidden_layers: expected a whole number"),
        ({"hidden_act": "silu"}, "hidden_act: expected one of gelu, gelu_new, relu"),
        ({"num_attention_heads": 5}, "hidden_size: expected a multiple of 5 heads"),
        ({"id2label": {"0": "a", "2": "b", "1": ""}}, "id2label"),
        ({"id2label": {"0": "a", "1": "a", "2": "b"}}, "id2label: expected distinct labels"),
    ],
)
def test_settings_out_of_range(folder: Path, refused: Refused, changes: dict[str, Any], told: str) -> None:
    edit(folder, **changes)
    assert told in refused(folder, "bad-config")


@pytest.mark.parametrize("manifest", [True, False])
@pytest.mark.parametrize("name", FILES)
def test_every_file_may_be_cut_anywhere(lite: Any, folder: Path, refused: Refused, name: str, manifest: bool) -> None:
    raw = (folder / name).read_bytes()
    if not manifest:
        (folder / "manifest.json").unlink()
    for size in sorted({0, 1, 7, 8, 9, 100, len(raw) // 2, len(raw.rstrip()) - 1}):
        (folder / name).write_bytes(raw[:size])
        told = refused(folder, "bad-config" if name == "config.json" and not manifest else "bad-model")
        assert manifest == ("manifest" in told) or name == "manifest.json"
    (folder / name).write_bytes(raw)
    assert lite.load(folder)("fine")


def same_refusal(lite: Any, folder: Path, **options: Any) -> str:
    """The line with which a folder is refused, by albert and albert-lite alike."""
    with pytest.raises(AlbertError) as theirs:
        Predictor.load(folder, **options)
    with pytest.raises(lite.LiteError) as ours:
        lite.load(folder, **options)
    assert str(ours.value) == str(theirs.value)
    assert (ours.value.code, ours.value.exit_code) == ("bad-model", 66)
    return str(ours.value)


@pytest.mark.parametrize("name", sorted({*FILES, "tokenizer.json"} - {"manifest.json"}))
def test_a_flipped_bit_is_found(lite: Any, folder: Path, name: str) -> None:
    raw = (folder / name).read_bytes()
    for bit in random.Random(0).sample(range(8 * len(raw)), 20):
        changed = bytearray(raw)
        changed[bit // 8] ^= 1 << bit % 8
        (folder / name).write_bytes(changed)
        assert f"got {name} does not have the SHA-256 of the manifest" in same_refusal(lite, folder)


def test_a_mixture_of_two_models_is_found(lite: Any, folder: Path) -> None:
    (folder / "special_tokens_map.json").write_text("{}")
    assert "special_tokens_map.json is not in manifest.json" in same_refusal(lite, folder)
    (folder / "special_tokens_map.json").unlink()
    (folder / "spiece.model").write_bytes(b"x" * 1234)
    assert "spiece.model has 1,234 bytes, the manifest says" in same_refusal(lite, folder)
    (folder / "spiece.model").unlink()
    assert "spiece.model is missing" in same_refusal(lite, folder)


def test_int8_that_the_manifest_does_not_list_is_not_used(lite: Any, folder: Path) -> None:
    shutil.copy(folder / "model.safetensors", folder / "int8.safetensors")
    assert lite.load(folder).about["precision"] != "int8"
    assert "int8.safetensors is not in manifest.json" in same_refusal(lite, folder, precision="int8")


@pytest.mark.parametrize("listed", ["../model/config.json", "/etc/passwd", "a/../../b"])
def test_a_manifest_lists_files_of_its_folder(lite: Any, folder: Path, refused: Refused, listed: str) -> None:
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["files"][listed] = {"size": 0, "sha256": "0" * 64}
    (folder / "manifest.json").write_text(json.dumps(manifest))
    assert f"expected files of its folder, got {listed}" in refused(folder)


@pytest.mark.parametrize("name", ["config.json", "spiece.model", "model.safetensors"])
def test_files_that_are_missing(folder: Path, refused: Refused, name: str) -> None:
    (folder / name).unlink()
    assert name in refused(folder)


def test_a_folder_that_is_none(refused: Refused, tmp_path: Path) -> None:
    assert "expected a model folder with a config.json, got no such file" in refused(tmp_path / "none")


def test_sentence_transformers_are_refused_by_name(folder: Path, refused: Refused) -> None:
    (folder / "modules.json").write_text("[]", encoding="utf-8")
    assert "got a model of sentence-transformers" in refused(folder)


def test_added_tokens_are_refused_by_name(folder: Path, refused: Refused) -> None:
    (folder / "added_tokens.json").write_text('{"[E1]": 16000}', encoding="utf-8")
    (folder / "manifest.json").unlink()
    assert 'the added token "[E1]"' in refused(folder)


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"precision": "fp8"}, "precision: expected auto, fp32, bf16 or int8"),
        ({"instructions": "avx9000"}, "instructions: expected one of"),
    ],
)
def test_options_that_are_none(folder: Path, refused: Refused, options: dict[str, Any], told: str) -> None:
    assert told in refused(folder, "usage", **options)


def test_weights_in_int8_need_a_scale_for_each_row(folder: Path, refused: Refused) -> None:
    name = "albert.pooler.weight"
    stored = safetensors.numpy.load_file(folder / "model.safetensors")
    stored[name] = np.ones_like(stored[name], dtype=np.int8)
    (folder / "manifest.json").unlink()
    for scales in (None, np.ones(len(stored[name]) + 1, np.float32)):
        added = {} if scales is None else {f"{name}.scales": scales}
        safetensors.numpy.save_file(stored | added, folder / "model.safetensors")
        assert "a scale for each of its rows" in refused(folder)


def test_int8_needs_its_file(folder: Path, refused: Refused) -> None:
    assert "expected int8.safetensors in it" in refused(folder, precision="int8")


def test_mutants_are_opened_or_refused(lite: Any, folder: Path) -> None:
    """In this process, without a manifest, which would refuse all; the fuzz driver does it under sanitizers."""
    (folder / "manifest.json").unlink()
    rng = random.Random(20261129)
    whole = {name: (folder / name).read_bytes() for name in FILES if name != "manifest.json"}
    opened, codes = 0, set()
    for _ in range(300):
        name = rng.choice(list(whole))
        mutate = mutated_json if name.endswith(".json") else mutated_bytes
        (folder / name).write_bytes(mutate(whole[name], rng))
        try:
            lite.load(folder)("a text")
            opened += 1
        except lite.LiteError as error:
            codes.add(error.code)
        (folder / name).write_bytes(whole[name])
    assert 0 < opened < 300
    assert codes <= {"bad-model", "bad-config"}
