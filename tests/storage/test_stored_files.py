"""Every stored file made wrong: one clear error or an answer, never anything else, and no wrong answer in silence.

ALBERT_MUTANTS and ALBERT_FLIPS say how many the long forms try.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import tempfile
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from jaxtyping import config as shapes
from safetensors.torch import load_file

from albert.compute.quantized import save_ranges
from albert.config import AlbertConfig
from albert.corpus.job import PrepareConfig
from albert.corpus.prepare import prepare
from albert.corpus.shards import open_corpus
from albert.data.examples import Example
from albert.engine import calibrate
from albert.errors import AlbertError, ErrorKind
from albert.model import AlbertForTask, save_model
from albert.predict.files import score_file
from albert.predict.predictor import Predictor
from albert.pretraining.sample import sample_instance
from albert.storage.files import INT8, MANIFEST, write_manifest
from albert.storage.stored import read_records
from albert.text.tokenizer import AlbertTokenizer
from albert.text.vocabulary import train_vocabulary
from albert.training.resume import changes
from albert.training.state import LAST, Checkpoints, MetricsLog
from lines import write_vocabulary
from mutants import flipped, mutated_bytes, mutated_json

TEXTS = ["the ferry leaves at seven", "a great lamp, bought twice", ""]
ODD_TEXT = "zzz 漢字 [MASK] \U0001f600 \u0301"  # of what no vocabulary here has
KINDS = {ErrorKind.MODEL, ErrorKind.CONFIG, ErrorKind.DATA, ErrorKind.UNSAFE}
VOUCHED, ARRAYS = ("corpus", "checkpoint"), (".npy", ".safetensors")
PARTS = 4  # of a long form, for as many processes (pytest -n)
Use = Callable[[Path], Any]


@pytest.fixture(scope="module")
def small() -> AlbertTokenizer:
    """A tokenizer of 50 pieces, whose files are read in a moment."""
    words = [*" ".join(TEXTS).replace(",", "").split(), "good", "bad", "soup", "chair", "in", "morning"]
    rng = random.Random(0)
    lines = [" ".join(rng.choices(words, k=8)) for _ in range(300)]
    return AlbertTokenizer(train_vocabulary(lines, vocab_size=50))


def write_model(
    folder: Path, tokenizer: Any, *, labels: tuple[str, ...] = ("a", "b", "c"), exits: bool = False, **extra: Any
) -> Path:
    config = AlbertConfig(
        vocab_size=tokenizer.vocab_size, embedding_size=8, hidden_size=16, num_hidden_layers=2, num_attention_heads=2,
        intermediate_size=16, max_position_embeddings=32, initializer_range=0.5, id2label=labels,
        problem_type=extra.pop("problem_type", None),
        extra={"task": "classification", "metric": "accuracy", "max_length": 32, "stride": None,
               "columns": {"text": "text", "text_pair": None, "label": "label", "choices": []}, **extra},
    )  # fmt: skip
    generator = torch.Generator().manual_seed(0)
    model = AlbertForTask(config, "sequence_classification", exits=exits, generator=generator).eval()
    folder.mkdir(parents=True)
    save_model(model, folder)
    tokenizer.save(folder)
    return folder


def write_published(folder: Path, tokenizer: Any) -> Path:
    """A BERT for vectors of texts in its own layout, as sentence-transformers leaves it, without settings of ours."""
    config = AlbertConfig(
        vocab_size=tokenizer.vocab_size, embedding_size=16, hidden_size=16, num_hidden_layers=2, num_hidden_groups=2,
        num_attention_heads=2, intermediate_size=16, max_position_embeddings=32, sharing="none",
        embedding_projection=False, model_type="bert",
    )  # fmt: skip
    save_model(AlbertForTask(config, "embedding", generator=torch.Generator().manual_seed(0)), folder)
    tokenizer.save(folder)
    raw = json.loads((folder / "config.json").read_text())
    del raw["albert"]
    pooling = {"word_embedding_dimension": 16, "pooling_mode_mean_tokens": True, "pooling_mode_cls_token": False}
    kinds = [("", "Transformer"), ("1_Pooling", "Pooling"), ("2_Normalize", "Normalize")]
    modules = [{"idx": number, "name": str(number), "path": path, "type": f"sentence_transformers.models.{kind}"}
               for number, (path, kind) in enumerate(kinds)]  # fmt: skip
    written = {"config.json": raw, "modules.json": modules, "sentence_bert_config.json": {"max_seq_length": 16},
               "1_Pooling/config.json": pooling}  # fmt: skip
    for name, value in written.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(json.dumps(value))
    return folder


def answers(folder: Path) -> Any:
    """What a folder's model says, in full precision and, if it can, in int8."""
    said = [Predictor.load(folder, precision="fp32")([*TEXTS, ODD_TEXT], top_k=None)]
    if (folder / INT8).exists():
        said.append(Predictor.load(folder, precision="int8")(TEXTS, top_k=None))
    return said


def vectors(folder: Path) -> Any:
    return Predictor.load(folder, precision="fp32").embed(TEXTS[:2]).tolist()


def corpus_tokens(folder: Path) -> Any:
    corpus = open_corpus(folder)
    AlbertTokenizer.from_pretrained(folder)
    return [[part.tolist() for part in (shard.tokens, shard.sentences, shard.documents)] for shard in corpus.shards]


def checkpoint_state(folder: Path) -> Any:
    """Of what verifies the state and the tensors; and what a run that goes on would make of the state as it is."""
    checkpoints = Checkpoints(folder / "checkpoints")
    verified = checkpoints.newest(LAST)
    tensors = {} if verified is None else load_file(verified / "model.safetensors")
    state = Checkpoints.state(checkpoints.at(LAST, 3))
    list(changes(state.fingerprint, {"a": "c", "model": '{"x": 1}', "data": "d", "init": None}))
    return verified is None or [tensor.tolist() for tensor in tensors.values()]


def log_total(folder: Path) -> Any:
    log = MetricsLog(folder / "metrics.jsonl")
    list(read_records(log.path))
    total = log.total("tokens")
    log.rewind(2)
    return total


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory, small: AlbertTokenizer) -> list[tuple[str, Path, list[str], Use]]:
    """(name, folder, names of the files in it, what reads them) for everything that is stored."""
    base = tmp_path_factory.mktemp("stored")
    names = ["config.json", "tokenizer_config.json", "tokenizer.json"]
    one = write_model(base / "one", small, early_exit={"threshold": None, "depth": 2.0})
    several = write_model(
        base / "several", small, problem_type="multi_label_classification", task="multilabel", metric="micro_f1",
        thresholds=[0.4, 0.5, 0.6],
    )  # fmt: skip
    words = write_vocabulary(base / "words", TEXTS * 3)
    bert = write_model(base / "bert", words)
    published = write_published(base / "published", words)
    sharded = write_model(base / "sharded", small)
    (sharded / "model.safetensors").rename(sharded / "model-1.safetensors")
    index = {"metadata": {}, "weight_map": {"albert.pooler.weight": "model-1.safetensors"}}
    (sharded / "model.safetensors.index.json").write_text(json.dumps(index))
    (sharded / "added_tokens.json").write_text("{}")
    (sharded / "special_tokens_map.json").write_text('{"mask_token": "[MASK]"}')
    vouched = write_model(base / "vouched", small)
    write_manifest(vouched)
    (base / "texts.txt").write_text("the ferry leaves at seven\n\na great lamp\n\ngood soup\n" * 20)
    small.save(base / "vocabulary")
    job = PrepareConfig(inputs=(base / "texts.txt",), out=base / "corpus", vocabulary=str(base / "vocabulary"),
                        workers=1)  # fmt: skip
    prepare(job)
    begun = base / "begun"
    shutil.copytree(base / "corpus", begun)
    manifest = json.loads((begun / MANIFEST).read_text())
    (begun / "job.json").write_text(json.dumps({name: manifest[name] for name in ("format", "settings", "inputs")}))
    for shard in manifest["shards"]:
        (begun / f"{shard['name']}.json").write_text(json.dumps(shard))
    (begun / MANIFEST).unlink()

    def again(folder: Path) -> Any:
        prepared = prepare(PrepareConfig(inputs=job.inputs, out=folder, vocabulary=job.vocabulary, workers=1))
        return sample_instance(prepared.folder, prepared.manifest)

    shards = sorted(path.name for path in (base / "corpus").glob("*.npy"))
    run = base / "run"
    network = torch.nn.Linear(2, 2)
    Checkpoints(run / "checkpoints").save(
        LAST, 3, network, None,
        {"step": 3, "updates": 3, "evaluations": [{"step": 2, "scores": {"accuracy": 0.5}}],
         "fingerprint": {"a": "b", "model": '{"x": 2}', "data": "c", "init": "d"},
         "threads": [1]},
    )  # fmt: skip
    (run / "metrics.jsonl").write_text('{"step": 1, "loss": 0.5, "tokens": 7}\n{"step": 2, "dev": {"accuracy": 0.5}}\n')
    kept = ("state.json", "model.safetensors", MANIFEST)
    part = write_model(base / "part", small)
    (part / "in.jsonl").write_text('{"text": "a lamp"}\n')
    (part / "o.jsonl.part").write_text("")
    (part / "o.jsonl.part.json").write_text('{"albert": "0", "rows": 0, "bytes": 0}')

    def scored(folder: Path) -> Any:
        score_file(Predictor.load(folder, precision="fp32"), str(folder / "in.jsonl"), str(folder / "o.jsonl"))
        return (folder / "o.jsonl").read_text()

    return [
        ("classifier", one, [*names, "spiece.model", "model.safetensors"], answers),
        ("several labels", several, names[:1], answers),
        ("BERT's pieces", bert, [*names, "vocab.txt"], answers),
        ("shards of weights", sharded, ["model.safetensors.index.json", "added_tokens.json", "special_tokens_map.json"],
         answers),
        ("vectors", published, ["config.json", "modules.json", "sentence_bert_config.json", "1_Pooling/config.json"],
         vectors),
        ("manifest", vouched, [MANIFEST], answers),
        ("corpus", base / "corpus", [MANIFEST, "tokenizer_config.json", "spiece.model", *shards], corpus_tokens),
        ("corpus again", base / "corpus", [MANIFEST], again),
        ("begun corpus", begun, ["job.json", *(f"{shard['name']}.json" for shard in manifest["shards"])], again),
        ("checkpoint", run, [f"checkpoints/step-00000003/{name}" for name in kept], checkpoint_state),
        ("log", run, ["metrics.jsonl"], log_total),
        ("predictions", part, ["o.jsonl.part.json"], scored),
    ]  # fmt: skip


def copies(stored: list[tuple[str, Path, list[str], Use]], place: Path) -> Iterator[tuple[str, Path, str, Use]]:
    """(what, a copy of its folder, the name of one of its files, what reads it)."""
    for number, (what, folder, names, use) in enumerate(stored):
        for name in names:
            yield what, Path(shutil.copytree(folder, place / f"{number}-{name.replace('/', '-')}")), name, use


def fault(folder: Path, use: Use, said: list[Any] | None = None) -> str | None:
    """What is wrong with how a folder is read or refused: one line (or a list of tensors), and no other exception.

    What it is read as goes into `said`.
    """
    try:
        found = use(folder)
        if said is not None:
            said.append(found)
    except AlbertError as error:
        if error.kind not in KINDS or len(str(error).splitlines()) != 1 + len(error.lines) + bool(error.lines):
            return str(error)
    except BaseException as error:
        if not (isinstance(error, Exception) or type(error).__name__ == "PanicException"):  # the latter is Rust's
            raise
        where = traceback.extract_tb(error.__traceback__)[-1]
        return f"{type(error).__name__}: {error} ({where.filename.rpartition('/')[2]}:{where.lineno})"
    return None


def try_mutants(stored: list[tuple[str, Path, list[str], Use]], place: Path, count: int, *, seed: int = 0) -> None:
    """So many mutants of all stored files, each kind of file as often as another.

    Arrays that a manifest vouches for are read as they were, or not at all.
    """
    rng, faults = random.Random(seed), dict[str, str]()
    kept = list(copies(stored, place))
    whole = {folder: bytes_of(folder) for _, folder, *_ in kept}
    truths = {folder: use(folder) for what, folder, name, use in kept if what in VOUCHED and name.endswith(ARRAYS)}
    for number in range(count):
        what, folder, name, use = kept[number % len(kept)]
        raw = whole[folder][folder / name]
        mutant = mutated_json(raw, rng) if name.endswith(".json") else mutated_bytes(raw, rng)
        (folder / name).write_bytes(mutant)
        said: list[Any] = []
        found = fault(folder, use, said)
        if folder in truths and said not in ([], [truths[folder]], [True]):
            found = "read as something else"
        if found:
            faults.setdefault(found[-60:], f"mutant {number} of {what}, {name}: {found}: {mutant[:1000]!r}")
        restore(folder, whole[folder])
    assert not faults, "\n".join(faults.values())


def bytes_of(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def restore(folder: Path, whole: dict[Path, bytes]) -> None:
    for path in folder.rglob("*"):
        if path.is_file() and path not in whole:
            path.unlink()
    for path, raw in whole.items():
        if not path.is_file() or path.read_bytes() != raw:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(raw)


def test_some_mutants_of_stored_files(stored: list[tuple[str, Path, list[str], Use]], tmp_path: Path) -> None:
    for what, folder, names, use in [*stored]:
        copy = Path(shutil.copytree(folder, tmp_path / "whole" / what))
        use(copy)  # as it is, it can be read
        assert names
    try_mutants(stored, tmp_path, int(os.environ.get("ALBERT_MUTANTS", "200")))


@pytest.fixture
def in_memory(tmp_path: Path) -> Iterator[Path]:
    """A place in the machine's memory, if it has one, and shapes unchecked, as users run it: a third of the time."""
    memory, checked = Path("/dev/shm"), shapes.jaxtyping_disable
    shapes.update("jaxtyping_disable", True)
    with tempfile.TemporaryDirectory(dir=memory if os.access(memory, os.W_OK) else tmp_path) as folder:
        yield Path(folder)
    shapes.update("jaxtyping_disable", checked)


@pytest.mark.slow
@pytest.mark.timeout(36_000)
@pytest.mark.parametrize("part", range(PARTS))
def test_many_mutants_of_stored_files(
    stored: list[tuple[str, Path, list[str], Use]], in_memory: Path, part: int
) -> None:
    try_mutants(stored, in_memory, int(os.environ.get("ALBERT_MUTANTS", "100000")) // PARTS, seed=1 + part)


# --- bits ------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory, small: AlbertTokenizer) -> Path:
    """A model of every file that one can have: with early exit, in int8, and a manifest."""
    folder = write_model(tmp_path_factory.mktemp("flips") / "m", small, exits=True, early_exit={"threshold": 0.9})
    predictor = Predictor.load(folder, precision="fp32", early_exit=False)
    features, _ = predictor.features([Example(text) for text in TEXTS])
    save_ranges(folder / INT8, calibrate(predictor.model, features), {"metric": "accuracy"})
    write_manifest(folder)
    return folder


def try_flips(folder: Path, count: int, *, vouched: bool, seed: int = 0) -> dict[str, int]:
    """So many flips of one bit each; how many of each file were refused. With a manifest no answer may change."""
    if not vouched:
        (folder / MANIFEST).unlink()
    whole = {path: path.read_bytes() for path in folder.iterdir()}
    truth, rng, refused, faults = answers(folder), random.Random(seed), dict.fromkeys(whole, 0), list[str]()
    for number in range(count):
        path = list(whole)[number % len(whole)]
        bit = rng.randrange(8 * len(whole[path]))
        path.write_bytes(flipped(whole[path], bit))
        said: list[Any] = []
        found = fault(folder, answers, said)
        refused[path] += not said
        if found or (vouched and said not in ([], [truth])):
            faults.append(f"bit {bit} of {path.name}: {found or 'another answer'}")
        path.write_bytes(whole[path])
    assert not faults, "\n".join(faults[:20])
    return {path.name: times for path, times in refused.items()}


@pytest.mark.parametrize("vouched", [True, False])
def test_some_flipped_bits(exported: Path, tmp_path: Path, vouched: bool) -> None:
    folder = Path(shutil.copytree(exported, tmp_path / "m"))
    refused = try_flips(folder, 80, vouched=vouched)
    assert len(refused) == 7 + vouched
    assert not vouched or all(refused.values())


@pytest.mark.slow
@pytest.mark.timeout(36_000)
@pytest.mark.parametrize("part", range(PARTS))
@pytest.mark.parametrize("vouched", [True, False])
def test_many_flipped_bits(exported: Path, in_memory: Path, vouched: bool, part: int) -> None:
    folder = Path(shutil.copytree(exported, in_memory / "m"))
    count = int(os.environ.get("ALBERT_FLIPS", "50000")) // PARTS
    print(try_flips(folder, count, vouched=vouched, seed=1 + part))
