"""albert-lite against the engine: logits within 1e-4 in float32 for any shape and head, and the same answers."""

from __future__ import annotations

import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from albert.config import AlbertConfig
from albert.data.examples import Example
from albert.model import AlbertForTask, save_model
from albert.predict.inputs import as_example
from albert.predict.predictor import Predictor
from albert.predict.pretrained import PretrainedModel
from albert.tasks import TASKS
from albert.text.tokenizer import AlbertTokenizer
from served import LABELS

pytestmark = pytest.mark.ci  # the first one builds the library
INSTRUCTIONS = ("avx512bf16", "avx512vnni", "avx512", "avx2", "portable", "scalar")
TEXTS = [
    "A plain sentence.", "", "x", "Ada Lovelace met Charles Babbage in London, in 1843, and wrote notes " * 6,
    "naïve ﬁle — ΣΑΣ, 東京の天気 😀 92,000,", "the quick brown fox " * 30,
]  # fmt: skip


def inputs_of(task: str) -> list[Any]:
    """What a model of the task can be asked."""
    if task == "qa":
        return [("Who wrote notes?", text) for text in TEXTS]
    if task == "choice":
        return [{"text": text, "text_pair": "He _ it.", "choices": ["saw", "wrote", "did not see"]} for text in TEXTS]
    if task in ("classification", "regression", "similarity"):
        return [*TEXTS, ("a pair", "of texts"), (TEXTS[3], TEXTS[5])]
    return list(TEXTS)


@pytest.fixture(scope="module")
def files(tokenizer: AlbertTokenizer, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The files of the tokenizer that albert-lite reads."""
    folder = tmp_path_factory.mktemp("files")
    tokenizer.save(folder)
    (folder / "tokenizer.json").unlink()
    return folder


def write(folder: Path, files: Path, task: str | None, *, seed: int = 0, **shape: Any) -> Path:
    """A random model of a task, or a pre-trained one, with weights large enough to tell right from wrong."""
    shutil.copytree(files, folder, dirs_exist_ok=True)
    sizes = {"embedding_size": 16, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2,
             "intermediate_size": 64, "max_position_embeddings": 128, **shape}  # fmt: skip
    labels: dict[str, Any] = {}
    if task is not None:
        stride = None if TASKS[task].lengths.stride is None else 16
        labels = {"id2label": LABELS[task], "problem_type": TASKS[task].problem_type,
                  "extra": {"task": task, "max_length": 64, "stride": stride}}  # fmt: skip
    config = AlbertConfig(
        vocab_size=16_000, initializer_range=min(1.0, sizes["hidden_size"] ** -0.5), **sizes, **labels
    )
    head = "pretraining" if task is None else TASKS[task].head
    model = AlbertForTask(config, head, generator=torch.Generator().manual_seed(seed))
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name.endswith("bias"):
                parameter.uniform_(-0.3, 0.3, generator=torch.Generator().manual_seed(seed))
    save_model(model, folder)
    return folder


@st.composite
def shapes(draw: st.DrawFn) -> dict[str, Any]:
    heads = draw(st.sampled_from([1, 2, 3]))
    groups = draw(st.integers(1, 3))
    sharing = draw(st.sampled_from(["all", "attention", "ffn", "none"]))
    return {
        "num_attention_heads": heads,
        "hidden_size": heads * draw(st.sampled_from([5, 8, 16, 64, 80])),
        "embedding_size": draw(st.sampled_from([4, 16, 33, 64])),
        "intermediate_size": draw(st.sampled_from([16, 40, 64])),
        "num_hidden_layers": draw(st.integers(groups, 4)) if sharing == "all" else groups,
        "num_hidden_groups": groups,
        "inner_group_num": draw(st.integers(1, 2)),
        "sharing": sharing,
        "hidden_act": draw(st.sampled_from(["gelu", "gelu_new", "relu"])),
        "pooling": draw(st.sampled_from(["cls", "mean"])),
    }


def load(lite: Any, folder: Path, instructions: str, precision: str = "fp32") -> Any | None:
    """The model with these instructions; None if this processor or the model's widths do not allow them."""
    try:
        return lite.load(folder, precision=precision, instructions=instructions)
    except lite.LiteError as error:
        if error.code != "usage":
            raise
        return None


def assert_same_logits(model: Any, predictor: Predictor, given: list[Any]) -> None:
    examples: list[Example] = [as_example(item) for item in given]
    for found, output in zip(model.logits(given), predictor.outputs(examples), strict=True):
        assert len(found) == len(output.logits)
        for mine, wanted in zip(found, output.logits, strict=True):
            assert np.abs(mine.reshape(wanted.shape) - wanted).max() < 1e-4


@given(
    task=st.sampled_from(sorted(LABELS)),
    shape=shapes(),
    instructions=st.sampled_from(INSTRUCTIONS),
    seed=st.integers(0, 99),
)
@settings(max_examples=12, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_logits_of_any_shape_and_head(
    lite: Any, files: Path, tmp_path: Path, task: str, shape: dict[str, Any], instructions: str, seed: int
) -> None:
    folder = write(tmp_path, files, task, seed=seed, **shape)
    model = load(lite, folder, instructions) or lite.load(folder, precision="fp32")
    assert_same_logits(model, Predictor.load(folder, precision="fp32"), inputs_of(task))


def same(mine: Any, theirs: Any) -> bool:
    """Whether predictions are alike: numbers within 1e-4."""
    if isinstance(theirs, dict):
        return mine.keys() == theirs.keys() and all(same(mine[key], theirs[key]) for key in theirs)
    if isinstance(theirs, list):
        return len(mine) == len(theirs) and all(map(same, mine, theirs))
    return abs(mine - theirs) < 1e-4 if isinstance(theirs, float) else bool(mine == theirs)


OPTIONS: list[dict[str, Any]] = [{}, {"top_k": None}, {"top_k": 3}]
ENTITIES = [{"aggregation": name} for name in ("none", "simple", "first", "average", "max")]
ANSWERS = [*OPTIONS, {"handle_impossible_answer": True, "top_k": 4}, {"max_answer": 2}]
RAW = [*OPTIONS, {"raw_scores": True}]
ASKED = {"ner": ENTITIES, "qa": ANSWERS, "classification": RAW, "multilabel": RAW, "regression": RAW}


@pytest.mark.parametrize("task", sorted(LABELS))
def test_answers_are_the_package_s(lite: Any, files: Path, tmp_path: Path, task: str) -> None:
    folder = write(tmp_path, files, task)
    model, predictor = lite.load(folder, precision="fp32"), Predictor.load(folder, precision="fp32")
    given = inputs_of(task)
    for options in ASKED.get(task, OPTIONS):
        assert same(model(given, **options), predictor(given, **options)), options
        assert same(model(given[0], **options), predictor(given[0], **options)), options
    assert model.cut == predictor.cut


def test_capitals_are_marked_as_in_the_package(
    lite: Any, files: Path, tmp_path: Path, tokenizer: AlbertTokenizer
) -> None:
    plain, folder = write(tmp_path / "plain", files, "ner"), write(tmp_path / "marked", files, "ner")
    tokenizer.with_case_marks(True).save(folder)
    texts = [*TEXTS, "İzmir, ǅ, iPhone, ΣΑΣ und STRASSE", "all small, straße 9"]
    model, marked = lite.load(plain, precision="fp32"), lite.load(folder, precision="fp32")
    assert_same_logits(marked, Predictor.load(folder, precision="fp32"), texts)
    differ = [
        any((a != b).any() for a, b in zip(*windows, strict=True))
        for windows in zip(model.logits(texts), marked.logits(texts), strict=True)
    ]
    assert differ == [text != text.lower() for text in texts]


def test_thresholds_and_fallback(lite: Any, files: Path, tmp_path: Path) -> None:
    extra = {"task": "classification", "max_length": 64, "stride": 8, "fallback": "none", "thresholds": [0.6]}
    for task, more in (
        ("classification", extra),
        ("multilabel", {"thresholds": [0.3, 0.7]}),
        ("qa", {"thresholds": [0.4]}),
        ("ner", {"thresholds": [0.1, 0.2, -2.4, -0.1, -0.7, 1.6, -1.3]}),
    ):
        folder = write(tmp_path / task, files, task)
        raw = AlbertConfig.load(folder)
        config = raw.with_(extra={**raw.extra, **more})
        (folder / "config.json").write_text(_json(config, folder), encoding="utf-8")
        model, predictor = lite.load(folder, precision="fp32"), Predictor.load(folder, precision="fp32")
        for options in ENTITIES if task == "ner" else [{"top_k": 2}]:
            assert same(model(inputs_of(task), **options), predictor(inputs_of(task), **options)), task


def _json(config: AlbertConfig, folder: Path) -> str:
    import json

    before = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    return json.dumps(config.to_dict(architecture=before["architectures"][0]))


def test_vectors_and_masks(lite: Any, files: Path, tmp_path: Path) -> None:
    folder = write(tmp_path, files, None)
    model, theirs = lite.load(folder, precision="fp32"), PretrainedModel.load(folder, precision="fp32")
    assert np.abs(model.embed(TEXTS) - theirs.embed(TEXTS)).max() < 1e-4
    assert np.abs(model.embed(TEXTS, normalize=False) - theirs.embed(TEXTS, normalize=False)).max() < 1e-4
    for text in ("The [MASK] is here.", "[MASK]a [MASK] b", "x[MASK], y"):
        assert same(model.fill_mask(text, top_k=4), theirs.fill_mask(text, top_k=4)), text
    with pytest.raises(lite.LiteError, match=r"bad-data.*a \[MASK\] to fill"):
        model.fill_mask("no mask")


def test_a_model_serves_several_threads(lite: Any, files: Path, tmp_path: Path) -> None:
    model = lite.load(write(tmp_path, files, "classification"))
    wanted = model(TEXTS)
    with ThreadPoolExecutor(4) as pool:
        assert all(found == wanted for found in pool.map(model, [TEXTS] * 40))


def test_a_model_without_settings_has_the_task_of_its_head(lite: Any, files: Path, tmp_path: Path) -> None:
    for task in sorted(LABELS):
        folder = write(tmp_path / task, files, task)
        config = AlbertConfig.load(folder).with_(extra={})
        (folder / "config.json").write_text(_json(config, folder), encoding="utf-8")
        model, predictor = lite.load(folder, precision="fp32"), Predictor.load(folder, precision="fp32")
        assert same(model(inputs_of(task)), predictor(inputs_of(task))), task


def test_half_precision_weights_are_read(lite: Any, files: Path, tmp_path: Path) -> None:
    folder = write(tmp_path, files, "classification")
    predictor = Predictor.load(folder, precision="fp32")
    for dtype in (torch.float16, torch.bfloat16):
        save_model(predictor.model, folder, dtype=dtype)
        assert_same_logits(lite.load(folder, precision="fp32"), Predictor.load(folder, precision="fp32"), TEXTS)


def write_int8(folder: Path, files: Path) -> Predictor:
    """A model with int8, and its predictor in float32."""
    from albert.compute.quantized import save_ranges
    from albert.engine import calibrate

    shape = {"hidden_size": 64, "num_attention_heads": 4, "intermediate_size": 128, "num_hidden_groups": 2,
             "num_hidden_layers": 4, "inner_group_num": 2, "embedding_size": 32}  # fmt: skip
    predictor = Predictor.load(write(folder, files, "ner", **shape), precision="fp32")
    features = predictor.encode([Example(text) for text in TEXTS])
    save_ranges(folder / "int8.safetensors", calibrate(predictor.model, features), {})
    return predictor


def test_int8_is_the_engine_s(lite: Any, files: Path, tmp_path: Path) -> None:
    """Where both have the same kernels. One bit more in a scale would change what is rounded at every depth."""
    write_int8(tmp_path, files)
    predictor = Predictor.load(tmp_path, precision="int8")
    fused = None if predictor.engine.packed is None else predictor.engine.packed.fused
    if fused is None or not fused.ours:
        pytest.skip("the engine's products are PyTorch's on this processor")
    assert_same_logits(lite.load(tmp_path, precision="int8"), predictor, TEXTS)


@pytest.mark.parametrize("instructions", INSTRUCTIONS)
def test_bf16_and_int8_stay_near(lite: Any, files: Path, tmp_path: Path, instructions: str) -> None:
    predictor, folder = write_int8(tmp_path, files), tmp_path
    wanted = [row for output in predictor.outputs([Example(text) for text in TEXTS]) for row in output.logits]
    spread = max(float(np.abs(row).max()) for row in wanted)
    for precision, bound in (("fp32", 1e-4), ("bf16", 0.05 * spread), ("int8", 0.1 * spread)):
        if (model := load(lite, folder, instructions, precision)) is None:
            continue
        found = [row for rows in model.logits(TEXTS) for row in rows]
        error = max(float(np.abs(a - b).max()) for a, b in zip(found, wanted, strict=True))
        assert error < bound, (precision, error)
        assert model.about["precision"] == precision
