"""A process of `edge.py`: loads a model one way, then reads numbers of texts and writes the processor's seconds.

    python benchmarks/edge_runner.py KIND MODEL TEXTS

The kind "prepare" writes the texts, their ids for JavaScript and, if there is no model, a random one in all forms.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT / "lite" / "python"), str(ROOT / "src")]
Run = Callable[[list[str]], object]  # whole predictions, from text to label


def of_lite(folder: Path, precision: str) -> Run:
    import albert_lite

    model: Run = albert_lite.load(folder, precision=precision)
    return model


def of_engine(folder: Path, precision: str) -> Run:
    import torch

    from albert.predict.predictor import Predictor

    torch.set_num_threads(1)
    predictor: Run = Predictor.load(folder, precision=precision, early_exit=False)  # type: ignore[arg-type]
    return predictor


def of_onnx(folder: Path, name: str) -> Run:
    import numpy as np
    import onnxruntime
    from tokenizers import Tokenizer

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(str(folder / name), options, providers=["CPUExecutionProvider"])
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.enable_truncation(128)
    tokenizer.enable_padding()
    labels = json.loads((folder / "config.json").read_text(encoding="utf-8"))["id2label"]

    def run(texts: list[str]) -> list[str]:
        rows = tokenizer.encode_batch(texts)
        parts = {"input_ids": "ids", "attention_mask": "attention_mask", "token_type_ids": "type_ids"}
        inputs = {key: np.array([getattr(row, part) for row in rows]) for key, part in parts.items()}
        return [labels[str(best)] for best in session.run(None, inputs)[0].argmax(1)]

    return run


def of_transformers(folder: Path) -> Run:
    import torch
    import transformers

    torch.set_num_threads(1)
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    model: Any = transformers.AlbertForSequenceClassification.from_pretrained(folder).eval()

    @torch.inference_mode()
    def run(texts: list[str]) -> list[str]:
        batch = tokenizer(texts, padding=True, truncation=True, max_length=128, return_tensors="pt")
        return [model.config.id2label[best] for best in model(**batch).logits.argmax(1).tolist()]

    return run


def prepare(folder: Path, given: Path) -> None:
    from albert.predict.predictor import Predictor
    from lite import texts, write_model

    lines = texts(64)
    given.write_text("\n".join(lines), encoding="utf-8")
    if not folder.exists():
        write_model(folder, "starter")
        add_forms(folder, given.with_name("dev.jsonl"), lines)
    tokenizer = Predictor.load(folder, precision="fp32").tokenizer
    ids = [tokenizer(line, max_length=128).input_ids for line in lines]
    given.with_suffix(".json").write_text(json.dumps(ids), encoding="utf-8")


def add_forms(folder: Path, dev: Path, lines: list[str]) -> None:
    """int8 and both ONNX graphs of a random model, whose score on any labels is as good as another."""
    from albert.export import target_named
    from albert.storage.files import write_manifest

    rows = [{"text": line, "label": ("bad", "good")[number % 2]} for number, line in enumerate(lines)]
    dev.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    write_manifest(folder)
    for target in ("int8", "onnx", "onnx-int8"):
        target_named(target)(folder, dev, force=True)


def main() -> None:
    kind, *parts = sys.argv[1].split(" ")
    folder, given = Path(sys.argv[2]), Path(sys.argv[3])
    if kind == "prepare":
        return prepare(folder, given)
    ways: dict[str, Callable[..., Run]] = {
        "lite": of_lite, "engine": of_engine, "onnx": of_onnx, "transformers": of_transformers
    }  # fmt: skip
    run = ways[kind](folder, *parts)
    texts = given.read_text(encoding="utf-8").split("\n")
    for line in sys.stdin:
        start = time.process_time()
        run(texts[: int(line)])
        print(time.process_time() - start, flush=True)
    return None


main()
