from __future__ import annotations

import json
import random
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from albert.errors import AlbertError, ErrorKind
from albert.model import AlbertForTask, AlbertModel, load_model, save_model
from albert.model.checkpoint import start_from
from albert.model.names import transformers_names
from albert.storage.files import MANIFEST, write_manifest
from conftest import random_ids, small_config


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "model"
    config = small_config(num_hidden_groups=2)
    save_model(AlbertForTask(config, "sequence_classification", generator=torch.Generator().manual_seed(0)), path)
    return path


def assert_refused(folder: Path, kind: ErrorKind, *parts: str) -> str:
    with pytest.raises(AlbertError) as caught:
        load_model(folder)
    assert caught.value.kind is kind, caught.value
    for part in parts:
        assert part in str(caught.value)
    return str(caught.value)


def edit_tensors(folder: Path, change: object) -> None:
    tensors = load_file(folder / "model.safetensors")
    change(tensors)  # type: ignore[operator]
    save_file(tensors, folder / "model.safetensors")


def test_name_table_is_reversible() -> None:
    for overrides in ({}, {"num_hidden_groups": 4, "inner_group_num": 2}):
        names = transformers_names(small_config(**overrides), "pretraining")
        assert len(set(names.values())) == len(names)


@pytest.mark.parametrize("sharing", ["all", "attention", "ffn", "none"])
def test_saved_and_loaded_is_the_same_model(tmp_path: Path, sharing: str) -> None:
    config = small_config(sharing=sharing, num_hidden_groups=4 if sharing != "all" else 1, extra={"task": "t"})
    model = AlbertForTask(config, "sequence_classification", generator=torch.Generator().manual_seed(0)).eval()
    save_model(model, tmp_path)
    again = load_model(tmp_path)
    assert again.config == config
    assert sum(p.numel() for p in again.parameters()) == sum(p.numel() for p in model.parameters())
    assert torch.equal(model(**random_ids((2, 7))), again(**random_ids((2, 7))))


def test_half_precision_files_load_as_float32(tmp_path: Path) -> None:
    model = AlbertForTask(small_config(), "span", generator=torch.Generator().manual_seed(0)).eval()
    save_model(model, tmp_path, dtype=torch.bfloat16)
    again = load_model(tmp_path)
    assert {p.dtype for p in again.parameters()} == {torch.float32}
    assert torch.allclose(model(**random_ids((2, 7))), again(**random_ids((2, 7))), atol=0.02)


def test_missing_unexpected_and_misshapen_tensors_are_listed(folder: Path) -> None:
    def change(tensors: dict[str, torch.Tensor]) -> None:
        del tensors["albert.pooler.bias"]
        tensors["albert.extra.weight"] = torch.zeros(3)
        tensors["classifier.weight"] = torch.zeros(5, 32)

    edit_tensors(folder, change)
    assert_refused(
        folder, ErrorKind.MODEL,
        "- albert.pooler.bias: missing, expected [32]",
        "+ albert.extra.weight: unexpected, [3]",
        "! classifier.weight: expected [3, 32], got [5, 32]",
    )  # fmt: skip


def test_a_wrong_dtype_is_named(folder: Path) -> None:
    edit_tensors(folder, lambda tensors: tensors.update({"classifier.bias": torch.zeros(3, dtype=torch.int64)}))
    assert_refused(folder, ErrorKind.MODEL, "! classifier.bias", "got I64")


def test_tied_copies_that_other_writers_store_are_accepted(tmp_path: Path) -> None:
    model = AlbertForTask(small_config(), "pretraining", generator=torch.Generator().manual_seed(0))
    save_model(model, tmp_path)

    def change(tensors: dict[str, torch.Tensor]) -> None:
        tensors["predictions.decoder.weight"] = tensors["albert.embeddings.word_embeddings.weight"].clone()
        tensors["predictions.decoder.bias"] = tensors["predictions.bias"].clone()
        tensors["albert.embeddings.position_ids"] = torch.arange(40)[None]

    edit_tensors(tmp_path, change)
    load_model(tmp_path)


def test_parts_said_to_be_shared_must_be_equal(tmp_path: Path) -> None:
    config = small_config(sharing="attention", num_hidden_groups=4)
    save_model(AlbertForTask(config, "span", generator=torch.Generator().manual_seed(0)), tmp_path)
    name = "albert.encoder.albert_layer_groups.2.albert_layers.0.attention.key.weight"
    edit_tensors(tmp_path, lambda tensors: tensors[name].add_(1))
    assert_refused(tmp_path, ErrorKind.MODEL, name, "shared")


@pytest.mark.parametrize("name", ["pytorch_model.bin", "model.pt", "weights.ckpt"])
def test_a_pickle_is_refused_with_a_way_out(folder: Path, name: str) -> None:
    (folder / "model.safetensors").rename(folder / name)
    assert_refused(folder, ErrorKind.UNSAFE, name, "hint: convert it", "safetensors")


def test_no_weights_at_all(folder: Path) -> None:
    (folder / "model.safetensors").unlink()
    assert_refused(folder, ErrorKind.MODEL, "no weights")


def test_every_truncation_is_refused(folder: Path) -> None:
    path = folder / "model.safetensors"
    whole = path.read_bytes()
    rng = random.Random(0)
    for size in [0, 1, 7, 8, 9, 100, len(whole) - 1, *(rng.randrange(len(whole)) for _ in range(40))]:
        path.write_bytes(whole[:size])
        assert_refused(folder, ErrorKind.MODEL)


def test_bit_flips_are_found_by_the_manifest(folder: Path) -> None:
    write_manifest(folder)
    load_model(folder)
    path = folder / "model.safetensors"
    whole = bytearray(path.read_bytes())
    rng = random.Random(0)
    for _ in range(100):
        flipped = bytearray(whole)
        flipped[rng.randrange(len(whole))] ^= 1 << rng.randrange(8)
        path.write_bytes(flipped)
        assert_refused(folder, ErrorKind.MODEL, MANIFEST)


def test_a_mutated_header_is_one_clear_error(folder: Path) -> None:
    """Without a manifest, whatever a header says, the answer is an error or a model: nothing else."""
    path = folder / "model.safetensors"
    whole = path.read_bytes()
    length = 8 + int.from_bytes(whole[:8], "little")
    rng = random.Random(1)
    refused = 0
    for _ in range(300):
        header = bytearray(whole[:length])
        header[rng.randrange(length)] = rng.randrange(256)
        path.write_bytes(bytes(header) + whole[length:])
        try:
            load_model(folder)
        except AlbertError as error:
            assert error.kind is ErrorKind.MODEL  # noqa: PT017
            refused += 1
    assert refused > 250


@pytest.mark.parametrize("value", ["[]", '{"weight_map": {"x": "../../etc/passwd"}}', '{"weight_map": 3}', "{"])
def test_a_bad_shard_index_is_one_clear_error(folder: Path, value: str) -> None:
    (folder / "model.safetensors").unlink()
    (folder / "model.safetensors.index.json").write_text(value)
    assert_refused(folder, ErrorKind.MODEL, "index.json")


@pytest.mark.parametrize("name", ["no-such-folder", "../up", "a/b/c", "https://example.org/x", "/nowhere"])
def test_a_name_that_is_no_folder_and_no_hub_id_never_reaches_the_network(name: str) -> None:
    with pytest.raises(AlbertError, match="owner/name"):
        AlbertModel.from_pretrained(name)


def test_a_hub_id_is_read_from_the_local_cache(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import huggingface_hub.constants as constants

    cache = tmp_path / "hub"
    snapshot = cache / "models--someone--some-albert" / "snapshots" / ("0" * 40)
    snapshot.parent.mkdir(parents=True)
    folder.rename(snapshot)
    refs = cache / "models--someone--some-albert" / "refs"
    refs.mkdir()
    (refs / "main").write_text("0" * 40)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(cache))
    monkeypatch.setattr("huggingface_hub._snapshot_download.constants.HF_HUB_CACHE", str(cache))
    assert load_model("someone/some-albert").config.hidden_size == 32
    with pytest.raises(AlbertError, match="could not be fetched") as caught:
        load_model("someone/absent")
    assert caught.value.kind is ErrorKind.MODEL


# --- starting from a checkpoint --------------------------------------------------------------------------


def test_a_new_head_is_drawn_and_said(folder: Path) -> None:
    config = small_config(num_hidden_groups=2, id2label=("x", "y"))
    model, fresh = start_from(folder, config, "sequence_classification", torch.Generator().manual_seed(1))
    stored = load_model(folder)
    assert fresh == ["head.linear"]
    assert model.head.linear.weight.shape == (2, 32)
    assert torch.equal(model.albert.pooler.linear.weight, stored.albert.pooler.linear.weight)


def test_the_same_labels_keep_the_head(folder: Path) -> None:
    config = small_config(num_hidden_groups=2)
    model, fresh = start_from(folder, config, "sequence_classification", torch.Generator().manual_seed(1))
    assert fresh == []
    assert torch.equal(model.head.linear.weight, load_model(folder).head.linear.weight)


@pytest.mark.parametrize("head", ["span", "multiple_choice", "embedding"])
def test_a_head_without_labels_is_kept_by_its_kind(tmp_path: Path, head: str) -> None:
    config = small_config(num_hidden_groups=2)
    stored = AlbertForTask(config, head)
    save_model(stored, tmp_path)
    model, fresh = start_from(tmp_path, config.with_(id2label=("start", "end")), head, torch.Generator())
    assert fresh == []
    assert all(
        torch.equal(model.state_dict()[name], value) for name, value in stored.head.state_dict(prefix="head.").items()
    )


def test_the_loop_count_may_change_when_layers_are_shared(folder: Path) -> None:
    config = small_config(num_hidden_groups=2, num_hidden_layers=8)
    model, _ = start_from(folder, config, "span", torch.Generator().manual_seed(1))
    assert model.albert.encoder.num_layers == 8


def test_a_different_shape_is_refused(folder: Path) -> None:
    config = small_config(num_hidden_groups=2, hidden_size=64)
    with pytest.raises(AlbertError, match="expected"):
        start_from(folder, config, "span", torch.Generator())


def test_saving_leaves_the_old_file_when_it_fails(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = (folder / "model.safetensors").read_bytes()

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(AlbertError, match="cannot write") as caught:
        save_model(AlbertForTask(small_config(), "span", generator=torch.Generator()), folder)
    assert caught.value.kind is ErrorKind.DISK
    assert (folder / "model.safetensors").read_bytes() == before
    assert not list(folder.glob(".tmp*"))
    assert json.loads((folder / "config.json").read_text())["num_hidden_groups"] == 2
