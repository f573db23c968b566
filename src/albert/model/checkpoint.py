"""Model folders in Hugging Face's layout, read strictly and written crash-safely.

Everything is checked (ranges, names, shapes, dtypes) before a weight is allocated.
"""

from __future__ import annotations

import contextlib
import logging
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from albert.config import AlbertConfig
from albert.errors import AlbertError, ErrorKind
from albert.model.decoder import ARCHITECTURE, AlbertForText2Text
from albert.model.folder import NEXT_SENTENCE, ModelFolder
from albert.model.heads import HEADS, AlbertForTask
from albert.model.names import FAMILIES, Family, text2text_names, transformers_names
from albert.model.network import AlbertModel, initialize
from albert.storage.files import (
    MANIFEST,
    damaged,
    manifest_entries,
    read_vouched,
    verify_manifest,
    write_file,
    write_json,
)
from albert.storage.stored import parse, typed

WEIGHTS = "model.safetensors"
EXITS = "exits.safetensors"
_INDEX = "model.safetensors.index.json"
_told = logging.getLogger("albert")
_DTYPES = {"F32", "F16", "BF16"}
_NEXT_SENTENCE_LABELS = ("next", "random")


@dataclass(frozen=True)
class _Stored:
    """A tensor's place in the folder, without its values."""

    file: Path
    key: str
    shape: tuple[int, ...]
    dtype: str


@dataclass(frozen=True)
class _ShardIndex:
    weight_map: dict[str, str]


def load_encoder(name: str | Path | ModelFolder) -> AlbertModel:
    """Loads the encoder of a folder or hub id, with any head. The model has a pooler only if the folder stores one.

    Raises `AlbertError`: bad-model (with a diff of the tensors), bad-config, unsafe (a pickle).
    """
    folder = ModelFolder.open(name)
    with folder.unchanged():
        return _load_encoder(folder)


def _load_encoder(folder: ModelFolder) -> AlbertModel:
    require_vouched(folder)
    config = folder.config.with_(decoder=None)
    stored = _stored_tensors(folder.path, config)
    pooler = f"{FAMILIES[config.model_type].pooler}.weight" in stored
    with torch.device("meta"):
        model = AlbertModel(config, pooler=pooler)
        holder = nn.ModuleDict({"albert": model})
    wanted = transformers_names(config, None)
    if not pooler:
        wanted = {ours: theirs for ours, theirs in wanted.items() if not ours.startswith("albert.pooler")}
    _check(holder, wanted, stored, folder.path, family=FAMILIES[config.model_type], ignore_heads=True)
    _fill(holder, wanted, stored)
    return model.eval()


def load_model(name: str | Path | ModelFolder) -> AlbertForTask:
    """Loads the encoder and the head that `config.json` names under "architectures".

    Raises `AlbertError`: bad-model (with a diff of the tensors), bad-config, unsafe (a pickle).
    """
    folder = ModelFolder.open(name)
    with folder.unchanged():
        return _load_model(folder)


def _load_model(folder: ModelFolder) -> AlbertForTask:
    require_vouched(folder)
    config, head = folder.config, folder.head
    next_sentence = folder.architecture == NEXT_SENTENCE
    if folder.pretrained and folder.stored.get("tie_word_embeddings") is False:
        raise AlbertError(ErrorKind.CONFIG, f"{folder.path}: tie_word_embeddings", expected="True", got="False")
    stored = _stored_tensors(folder.path, config)
    if next_sentence:
        stored = {name.replace("cls.seq_relationship", "classifier"): tensor for name, tensor in stored.items()}
    if next_sentence and config.id2label in ((), _default_labels(2)):
        config = config.with_(id2label=_NEXT_SENTENCE_LABELS)
    elif HEADS[head].labelled and not config.id2label:
        config = config.with_(id2label=_default_labels(_rows(stored.get("classifier.weight"))))
    exits = (folder.path / EXITS).is_file()
    with torch.device("meta"):
        model = AlbertForTask(config, head, exits=exits)
    wanted = transformers_names(config, head)
    if exits:
        wanted |= {name: name for name in model.state_dict() if name.startswith("exits.")}
        stored |= _tensors_of(folder.path / EXITS)
    _check(model, wanted, stored, folder.path, family=FAMILIES[config.model_type])
    _fill(model, wanted, stored)
    return model.eval()


def load_text2text(name: str | Path | ModelFolder) -> AlbertForText2Text:
    """Loads a network with a decoder. Raises `AlbertError`: bad-model (with a diff of the tensors), bad-config."""
    folder = ModelFolder.open(name)
    with folder.unchanged():
        require_vouched(folder)
        with torch.device("meta"):
            model = AlbertForText2Text(folder.config)
        stored, wanted = _stored_tensors(folder.path, folder.config), text2text_names(folder.config)
        _check(model, wanted, stored, folder.path, family=FAMILIES[folder.config.model_type])
        _fill(model, wanted, stored)
    return model.eval()


def start_text2text(
    name: str | Path | ModelFolder, config: AlbertConfig, generator: torch.Generator
) -> tuple[AlbertForText2Text, list[str]]:
    """A network with a decoder around the encoder of a checkpoint.

    Of the head that names pieces, and of the decoder of such a network, what is stored is kept; else the decoder's
    self-attention and feed-forward network begin as the encoder's, and the rest is drawn anew. Returns the model and
    what was drawn anew, in words.
    """
    folder = ModelFolder.open(name)
    require_vouched(folder)
    stored = _stored_tensors(folder.path, config)
    encoder = transformers_names(config, "masked_lm")
    wanted = text2text_names(config)
    same = folder.config.decoder == config.decoder
    kept = {ours: theirs for ours, theirs in wanted.items()
            if ours.startswith("albert.") or (theirs in stored and (same or ours in encoder))}  # fmt: skip
    with torch.device("meta"):
        model = AlbertForText2Text(config)
    _check(model, kept, stored, folder.path, family=FAMILIES[config.model_type], ignore_heads=True)
    _allocate(model)
    initialize(model, config, generator)
    _fill(model, kept, stored)
    if not same:
        model.start_as_encoder()
    return model, sorted({part for ours in set(wanted) - set(kept) if (part := model.drawn_part(ours))})


def start_from(
    name: str | Path | ModelFolder, config: AlbertConfig, head: str, generator: torch.Generator, *, exits: bool = False
) -> tuple[AlbertForTask, list[str]]:
    """A model for fine-tuning: the encoder of a checkpoint with a head for `config`'s labels.

    `config` may differ from the checkpoint's in fields without tensors (dropout, loop count of shared layers). The
    stored head is kept if it is of this kind and has the same labels, if it has labels; otherwise a new one is drawn.
    Returns the model and the names of the new parts, in words.
    """
    folder, config = ModelFolder.open(name), config.with_(decoder=None)
    require_vouched(folder)
    stored = _stored_tensors(folder.path, config)
    wanted = transformers_names(config, head)
    family = FAMILIES[config.model_type]
    own_kind = not HEADS[head].labelled and folder.architecture == family.architecture(head)
    same_labels = own_kind or folder.config.id2label == config.id2label
    fresh = {
        ours: theirs
        for ours, theirs in wanted.items()
        if (family.is_head_name(theirs) and not (same_labels and theirs in stored))
        or (ours.startswith("albert.pooler") and theirs not in stored)
    }
    with torch.device("meta"):
        model = AlbertForTask(config, head, exits=exits)
    kept = {ours: theirs for ours, theirs in wanted.items() if ours not in fresh}
    _check(model, kept, stored, folder.path, family=family, ignore_heads=True)
    _allocate(model)
    initialize(model, config, generator)
    _fill(model, kept, stored)
    return model, sorted({ours.rsplit(".", 1)[0] for ours in fresh})


def save_model(
    model: AlbertForTask | AlbertForText2Text | AlbertModel, folder: Path, *, dtype: torch.dtype = torch.float32
) -> None:
    """Writes `config.json` and `model.safetensors`; transformers loads both.

    The layout is that of `config.model_type`. Shared parts are written once per group, as in transformers. In ALBERT's
    layout, a network without an embedding mapping gets an identity, because transformers always has one.
    """
    config = model.config
    family = FAMILIES[config.model_type]
    head: str | None = None
    names: dict[str, str] | None = None
    if isinstance(model, AlbertForTask):
        state, head, labelled = model.state_dict(), model.head_name, model.head.labelled
    elif isinstance(model, AlbertForText2Text):
        names, labelled = text2text_names(config), False
        state = {name: tensor for name, tensor in model.state_dict().items() if name in names}  # shared parts once
    else:
        state, labelled = {f"albert.{name}": tensor for name, tensor in model.state_dict().items()}, False
    exits = {name: tensor.detach().to("cpu", dtype) for name, tensor in state.items() if name.startswith("exits.")}
    names = names or transformers_names(config, head)
    tensors = {names[ours]: tensor.detach().to("cpu", dtype) for ours, tensor in state.items() if ours not in exits}
    if family.mapping and not config.embedding_projection:
        tensors[f"{family.mapping}.weight"] = torch.eye(config.hidden_size, dtype=dtype)
        tensors[f"{family.mapping}.bias"] = torch.zeros(config.hidden_size, dtype=dtype)
    # Tied parts are one storage under several names; safetensors wants each name's own copy.
    tensors = {name: tensor.clone(memory_format=torch.contiguous_format) for name, tensor in tensors.items()}
    (folder / EXITS).unlink(missing_ok=True)
    if exits:  # apart, since transformers knows no such weights
        write_file(folder / EXITS, save(exits, metadata={"format": "pt"}))
    write_file(folder / WEIGHTS, save(tensors, metadata={"format": "pt"}))
    architecture = ARCHITECTURE if config.decoder is not None else family.architecture(head)
    write_json(folder / "config.json", config.to_dict(architecture=architecture, labelled=labelled))


# --- what is stored ------------------------------------------------------------------------------------


def _default_labels(count: int) -> tuple[str, ...]:
    """transformers' names for labels that have none; it leaves those of two labels out of config.json."""
    return tuple(f"LABEL_{label}" for label in range(count))


def _rows(weight: _Stored | None) -> int:
    """The number of labels of a stored classifier; two if it is unknown."""
    return weight.shape[0] if weight is not None and len(weight.shape) == 2 else 2


def require_vouched(folder: ModelFolder) -> None:
    """Raises `AlbertError` (bad-model) for files that differ from the manifest. Warns if a folder of ours has none.

    Published folders need no manifest.
    """
    path = folder.path
    if manifest_entries(path) is None:
        if "albert" in folder.stored:
            _told.warning(
                f"{path}: no {MANIFEST} vouches for its files; names, shapes and sizes are checked, but damage or a "
                "mixture of two models cannot be told (`albert convert` writes the model anew, with one)"
            )
    elif difference := verify_manifest(path, needed=("config.json",)):
        raise damaged(path, difference)


def _stored_tensors(folder: Path, config: AlbertConfig) -> dict[str, _Stored]:
    """Every tensor in the folder by its full name. Names of an encoder alone get the family's prefix."""
    files = _weight_files(folder)
    stored = {_modern(name): tensor for file in files for name, tensor in _tensors_of(file).items()}
    bare = f"{FAMILIES[config.model_type].prefix}." if "embeddings.word_embeddings.weight" in stored else ""
    return {bare + name: value for name, value in stored.items()}


def _modern(name: str) -> str:
    """The published BERTs have TensorFlow's names for the weights of a LayerNorm."""
    for old, new in (("gamma", "weight"), ("beta", "bias")):
        if name.endswith(f"LayerNorm.{old}"):
            return name.removesuffix(old) + new
    return name


def _tensors_of(file: Path) -> dict[str, _Stored]:
    with _open(file) as tensors:
        return {
            key: _Stored(file, key, tuple(part.get_shape()), part.get_dtype())
            for key, part in ((key, tensors.get_slice(key)) for key in tensors.keys())  # noqa: SIM118  # no mapping
        }


def _weight_files(folder: Path) -> list[Path]:
    if (folder / WEIGHTS).is_file():
        return [folder / WEIGHTS]
    if (folder / _INDEX).is_file():
        index = parse(read_vouched(folder, _INDEX), str(folder / _INDEX))
        names = set(typed(_ShardIndex, index, str(folder / _INDEX)).weight_map.values())
        entries = manifest_entries(folder)
        for name in sorted(names):
            if entries is not None and name not in entries:
                raise damaged(folder, f"{name} is not in {MANIFEST}")
            if Path(name).name != name or not os.path.isfile(folder / name):  # a name may be too long
                raise AlbertError(
                    ErrorKind.MODEL,
                    f"{folder / _INDEX} names the shard {name!r:.80}",
                    got="no such file beside it",
                )
        return [folder / name for name in sorted(names)]
    pickles = [path for pattern in ("*.bin", "*.pt", "*.pth", "*.ckpt") for path in sorted(folder.glob(pattern))]
    if pickles:
        raise AlbertError(
            ErrorKind.UNSAFE,
            f"{pickles[0]} is a pickle, which can run any code when it is loaded",
            expected=WEIGHTS,
            hint="convert it where you trust it: AlbertModel.from_pretrained(folder).save_pretrained(new) "
            "in transformers writes safetensors",
        )
    raise AlbertError(ErrorKind.MODEL, str(folder), expected=f"a {WEIGHTS} in it", got="no weights")


@contextlib.contextmanager
def _open(file: Path) -> Iterator[safe_open]:
    try:
        with safe_open(file, framework="pt", device="cpu") as tensors:
            yield tensors
    except (SafetensorError, OSError) as error:
        raise AlbertError(
            ErrorKind.MODEL,
            str(file),
            expected="a whole safetensors file",
            got=str(error)[:200],
            hint="the file is truncated or damaged: copy or save it again",
        ) from None


# --- expected against stored ---------------------------------------------------------------------------


def _check(
    module: nn.Module,
    wanted: dict[str, str],
    stored: dict[str, _Stored],
    folder: Path,
    *,
    family: Family,
    ignore_heads: bool = False,
) -> None:
    """Compares names, shapes and dtypes; raises one error that lists every difference."""
    shapes = {name: tuple(tensor.shape) for name, tensor in module.state_dict().items()}
    lines = []
    for ours, theirs in wanted.items():
        entry = stored.get(theirs)
        if entry is None:
            lines.append(f"- {theirs}: missing, expected {list(shapes[ours])}")
        elif entry.shape != shapes[ours]:
            lines.append(f"! {theirs}: expected {list(shapes[ours])}, got {list(entry.shape)}")
        elif entry.dtype not in _DTYPES:
            lines.append(f"! {theirs}: expected one of {', '.join(sorted(_DTYPES))}, got {entry.dtype}")
    known = set(wanted.values()) | family.redundant
    for theirs, entry in stored.items():
        encoders_own = family.mapping and theirs.startswith(family.mapping)
        optional = encoders_own or theirs.startswith(family.pooler) or (ignore_heads and family.is_head_name(theirs))
        if theirs not in known and not optional:
            lines.append(f"+ {theirs}: unexpected, {list(entry.shape)}")
    if lines:
        more = [f"… and {len(lines) - 20} more"] if len(lines) > 20 else []
        raise AlbertError(
            ErrorKind.MODEL,
            f"{folder}: {len(lines)} of its tensors are not those of its config.json "
            "(- missing, + unexpected, ! different)",
            hint="check that config.json and the weights belong together",
            lines=[*lines[:20], *more],
        )


def _allocate(module: nn.Module) -> None:
    """Replaces tensors on the meta device by memory. `Module.to_empty` would import sympy for this, which takes half a
    second.
    """
    for part in module.modules():
        for name, parameter in part.named_parameters(recurse=False):
            setattr(part, name, nn.Parameter(torch.empty(parameter.shape)))


def _fill(module: nn.Module, wanted: dict[str, str], stored: dict[str, _Stored]) -> None:
    """Copies the stored values as float32, and allocates what is still on the meta device."""
    if any(parameter.is_meta for parameter in module.parameters()):
        _allocate(module)
    targets = module.state_dict()
    seen: dict[int, str] = {}
    by_file: dict[Path, list[tuple[str, _Stored]]] = {}
    for ours, theirs in wanted.items():
        by_file.setdefault(stored[theirs].file, []).append((ours, stored[theirs]))
    for file, entries in by_file.items():
        with _open(file) as tensors:
            for ours, entry in entries:
                value: Tensor = tensors.get_tensor(entry.key)
                target = targets[ours]
                first = seen.setdefault(target.data_ptr(), ours)
                if first != ours and not torch.equal(target, value.to(target.dtype)):
                    raise AlbertError(
                        ErrorKind.MODEL,
                        f"{file}: {entry.key}",
                        expected=f"the same values as {wanted[first]} (config.json says they are shared)",
                        got="others",
                    )
                target.copy_(value)
