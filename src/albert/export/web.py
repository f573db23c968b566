"""`albert export --to web`: a folder of static files, in which a browser runs the model. See docs/edge.md."""

from __future__ import annotations

import shutil
import zlib
from bisect import bisect_left
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save
from torch import Tensor

from albert.compute.covers import unknown
from albert.compute.quantized import save_ranges
from albert.data.batches import Features
from albert.data.reading import DataSource
from albert.engine import Engine, calibrate
from albert.errors import AlbertError, ErrorKind, require_share
from albert.export.gate import Export, passed, sample
from albert.export.rounding import input_products, rounded
from albert.export.writing import require_new, write_settings
from albert.model.folder import ModelFolder
from albert.model.names import transformers_names
from albert.predict.predictor import Predictor
from albert.storage.files import INT8, as_json, disk_errors, new_folder, require_folder
from albert.storage.locks import output_lock
from albert.tasks.stored import StoredTask
from albert.text.tokenizer import AlbertTokenizer
from albert.version import __version__

_OWN = Path(__file__).with_name("page")
_SHARED = Path(__file__).parents[1] / "assets" / "page"  # the server's page, of which these files ask no server:
_SCRIPTS = ("batch.js", "card.js", "csv.js", "dom.js", "page.css", "panel.js", "tabs.js", "tasks.js", "writing.js")
ENGINE = "albert_lite.wasm.gz"

# Those of page/answers.js.
_ENDPOINTS = ("predict", "entities", "answer", "similarity", "classify", "rerank", "fill-mask", "tokenize")
_AT_ONCE, _BYTES = 16, 2_000_000  # rows of a request, so that an answer to what is typed never waits long
_CARD = 200_000  # characters of a model card
# Steps to a matrix's standard deviation: the most with which the file has so few bytes that all has 5 MB.
_STEPS, _ROOM = [32 * 0.97**power for power in range(72)], 4_380_000
_COARSER = 1.5  # steps of word embeddings, beside those of the blocks, which are used at several depths
_SMALL = 10_000  # numbers of a matrix that stays as it is


def export_web(
    model: str | Path,
    dev: str | Path | DataSource,
    *,
    out: str | Path,
    budget: float = 0.005,
    force: bool = False,
) -> Export:
    """Writes the page, the engine and the model into the new folder `out`, for any static web server.

    Weights are whole numbers with a scale a row, and are computed in int8. Raises `AlbertError`: usage for a folder
    with files, bad-config where the package has no engine, bad-data, disk. It is bad-model for a model that
    albert-lite does not know, and where the score falls by more than `budget` unless `force` is given.
    """
    require_share("--budget", budget)
    folder, source, place = ModelFolder.open(model), DataSource.of(dev), Path(out)
    require_folder(place)
    _require_known(folder)
    _require_engine()
    with disk_errors(place), output_lock(place):
        require_new(place)
        predictor = Predictor.load(folder, precision="fp32", early_exit=False).fitted(source)
        _require_pieces(predictor, folder)
        before = predictor.evaluate(source)
        texts = sample(predictor, before)
        weights = _round_weights(predictor, texts)
        calibration = calibrate(predictor.model, texts)
        predictor.engine = Engine(predictor.model, calibration=calibration)
        after = predictor.evaluate(source)
        done = passed(
            f"web of {folder.path}", place, before, after, budget=budget, force=force, instead="the model as it is"
        )
        with new_folder(place) as staged:
            _write_page(staged)
            site = staged / "model"
            site.mkdir()
            save_ranges(site / INT8, calibration, {})
            (site / "model.safetensors").write_bytes(weights)
            _write_model(site, folder, predictor)
    return done


# --- what is refused -----------------------------------------------------------------------------------


def _require_known(folder: ModelFolder) -> None:
    """Raises `AlbertError` (bad-model) for what albert-lite refuses, by its name."""
    stored = StoredTask.of(folder.config.extra, str(folder.path / "config.json"))
    others = {
        "a decoder, which writes texts": folder.writes,
        "a linear model on words (--hybrid, --cascade)": stored.hybrid is not None or stored.cascade is not None,
        "a model of sentence-transformers": (folder.path / "modules.json").exists(),
        "the layout of BERT": folder.config.model_type != "albert",
    }
    got = [name for name, there in others.items() if there] or unknown(folder.config, folder.head)
    if got:
        raise AlbertError(
            ErrorKind.MODEL, f"{folder.path}: --to web", expected="a network that albert-lite knows (docs/edge.md)",
            got=got[0],
        )  # fmt: skip


def _require_pieces(predictor: Predictor, folder: ModelFolder) -> None:
    tokenizer = predictor.tokenizer
    if not isinstance(tokenizer, AlbertTokenizer) or tokenizer.added:
        raise AlbertError(
            ErrorKind.MODEL, f"{folder.path}: --to web", expected="a SentencePiece vocabulary without added tokens",
            got="another",
        )  # fmt: skip


def _require_engine() -> None:
    if not (_OWN / ENGINE).is_file():
        raise AlbertError(
            ErrorKind.CONFIG, "--to web", expected=f"the engine for browsers, {_OWN / ENGINE}", got="none",
            hint="build it: make web",
        )  # fmt: skip


# --- weights -------------------------------------------------------------------------------------------


def _round_weights(predictor: Predictor, texts: Features) -> bytes:
    """The weights as albert-lite reads them, in the finest steps that leave room; the model then has the same ones."""
    model = predictor.model
    names = transformers_names(model.config, model.head_name)
    state = {name: tensor for name, tensor in model.state_dict().items() if name in names}

    def stored_in(steps: float) -> dict[str, Tensor]:
        return {part: of for name, tensor in state.items() for part, of in _stored(names[name], tensor, steps).items()}

    fits = bisect_left(
        _STEPS, True, hi=len(_STEPS) - 1, key=lambda steps: len(_packed(save(stored_in(steps)))) <= _ROOM
    )
    stored = stored_in(_STEPS[fits])
    for layer, product in input_products(model, texts).items():
        name = f"{layer}.weight"
        if (scales := stored.get(f"{names.get(name)}.scales")) is not None:
            stored[names[name]] = rounded(state[name], scales.float(), product).to(torch.int8)
    read = {name: _read(names[name], stored) for name in state}
    model.load_state_dict(read, strict=False)  # tied tensors have several names
    return save(stored)


def _stored(name: str, tensor: Tensor, steps: float) -> dict[str, Tensor]:
    """A large matrix as whole numbers and a scale a row, anything else in float16.

    One step for all rows makes the smallest error for the length of Huffman's code. The embeddings of rare pieces,
    which a vocabulary has at its end, bear a coarser one.
    """
    if tensor.ndim != 2 or tensor.numel() < _SMALL:
        return {name: tensor.half()}
    scales = (tensor.std() / steps).expand(len(tensor))
    if name.endswith("word_embeddings.weight"):
        rarity = (torch.arange(len(tensor)) + 100.0) ** 0.25
        scales = scales * rarity * _COARSER / rarity.log().mean().exp()
    scales = torch.maximum(scales, tensor.abs().amax(1) / 127).clamp_min(1e-6).half()
    whole = (tensor / scales.float()[:, None]).round().clamp(-127, 127)
    return {name: whole.to(torch.int8), f"{name}.scales": scales}


def _read(name: str, stored: dict[str, Tensor]) -> Tensor:
    """What albert-lite makes of it."""
    tensor = stored[name].float()
    return tensor * stored[f"{name}.scales"].float()[:, None] if f"{name}.scales" in stored else tensor


def _packed(raw: bytes) -> bytes:
    """In gzip, which browsers unpack. A search for repetitions makes whole numbers longer than Huffman's code alone."""
    made = []
    for strategy in (zlib.Z_DEFAULT_STRATEGY, zlib.Z_HUFFMAN_ONLY):
        packer = zlib.compressobj(9, zlib.DEFLATED, 31, 9, strategy)
        made.append(packer.compress(raw) + packer.flush())
    return min(made, key=len)


# --- files ---------------------------------------------------------------------------------------------


def _write_page(site: Path) -> None:
    page = site / "page"
    page.mkdir()
    for source in (*(_SHARED / name for name in _SCRIPTS), *_OWN.iterdir()):
        shutil.copyfile(source, (site if source.suffix == ".html" else page) / source.name)


def _write_model(site: Path, folder: ModelFolder, predictor: Predictor) -> None:
    """The rest of a model's files, packed, and what the page asks first."""
    write_settings(site, folder, predictor)
    (site / "tokenizer.json").unlink()  # the same vocabulary in another form
    names = []
    for path in sorted(site.iterdir()):
        (site / f"{path.name}.gz").write_bytes(_packed(path.read_bytes()))
        names.append(f"{path.name}.gz")
        path.unlink()
    (site / "about.json").write_bytes(as_json(_about(folder, predictor) | {"files": names, "precision": "int8"}))


def _about(folder: ModelFolder, predictor: Predictor) -> dict[str, Any]:
    """As the server tells its page (serve/http/about.py)."""
    abilities = predictor.abilities
    card = folder.path / "README.md"
    model = {
        "name": folder.path.resolve().name,
        "task": predictor.task.name,
        "endpoints": [f"/{name}" for name in _ENDPOINTS if name in abilities],
        "labels": list(predictor.labels),
        "pairs": predictor.columns.text_pair is not None,
        "chooses": predictor.model.head_name == "multiple_choice",
        "numeric": "rerank" in abilities and "embed" not in abilities,
        "limits": predictor.limits,
        "max_length": predictor.max_length,
        "card": card.read_text(encoding="utf-8", errors="replace")[:_CARD] if card.is_file() else "",
    }
    return {"version": __version__, "max_inputs": _AT_ONCE, "max_body": _BYTES, "index": None, "models": [model]}
