"""The engines that `inference.py` compares, each a function from a padded batch to logits.

Every arm has the same weights, those of a transformers checkpoint folder, and both cores.
"""

from __future__ import annotations

import contextlib
import logging
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers

Run = Callable[[np.ndarray, np.ndarray], np.ndarray]  # ids and mask, [batch, seq] -> logits, [batch, labels]
_INPUTS = ("input_ids", "attention_mask")


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Exporters are talkative."""
    logging.disable(logging.WARNING)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
    logging.disable(logging.NOTSET)


def reference(folder: Path, dtype: torch.dtype = torch.float32) -> torch.nn.Module:
    """transformers' classifier."""
    model = transformers.AlbertForSequenceClassification.from_pretrained(folder, dtype=dtype)
    return model.eval()


def of_transformers(folder: Path, dtype: torch.dtype, *, compiled: bool = False) -> Run:
    model: Any = reference(folder, dtype)
    if compiled:
        model = torch.compile(model, dynamic=True)

    @torch.inference_mode()
    def run(ids: np.ndarray, mask: np.ndarray) -> np.ndarray:
        logits = model(input_ids=torch.from_numpy(ids), attention_mask=torch.from_numpy(mask)).logits
        return np.asarray(logits.float())

    return run


def exported(folder: Path) -> Path:
    """The ONNX file of a checkpoint, made once."""
    path = folder / "model.onnx"
    if not path.exists():
        batch, seq = torch.export.Dim("batch", min=1, max=4096), torch.export.Dim("seq", min=2, max=512)
        ids = torch.randint(5, 100, (3, 17))
        with quiet():
            torch.onnx.export(
                reference(folder),
                kwargs={"input_ids": ids, "attention_mask": torch.ones_like(ids)},
                f=str(path),
                dynamo=True,
                dynamic_shapes={name: {0: batch, 1: seq} for name in _INPUTS},
                input_names=_INPUTS,
                output_names=("logits",),
                verbose=False,
            )
    return path


def of_onnxruntime(folder: Path, *, int8: bool = False) -> Run:
    import onnxruntime
    from onnxruntime.quantization import QuantType, quantize_dynamic

    path = exported(folder)
    if int8:
        small = folder / "model-int8.onnx"
        if not small.exists():
            with quiet():
                quantize_dynamic(path, small, weight_type=QuantType.QInt8, per_channel=True)
        path = small
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])

    def run(ids: np.ndarray, mask: np.ndarray) -> np.ndarray:
        return np.asarray(session.run(None, {"input_ids": ids, "attention_mask": mask})[0])

    return run


def of_openvino(folder: Path, precision: str, hint: str) -> Run:
    """`hint`: LATENCY has one stream of all cores, THROUGHPUT a stream a core, a batch divided among them."""
    import openvino

    core = openvino.Core()
    with quiet():
        model = core.read_model(exported(folder))
    if precision == "int8":
        import nncf

        with quiet():
            model = nncf.compress_weights(model, mode=nncf.CompressWeightsMode.INT8_SYM)
    cores = torch.get_num_threads()
    streams = 1 if hint == "LATENCY" else cores
    compiled = core.compile_model(
        model,
        "CPU",
        {
            "PERFORMANCE_HINT": hint,
            "INFERENCE_PRECISION_HINT": "f32" if precision == "fp32" else "bf16",
            "NUM_STREAMS": str(streams),
            "INFERENCE_NUM_THREADS": str(cores),
        },
    )
    requests = [compiled.create_infer_request() for _ in range(streams)]

    def run(ids: np.ndarray, mask: np.ndarray) -> np.ndarray:
        parts = min(streams, len(ids))
        pieces = list(zip(np.array_split(ids, parts), np.array_split(mask, parts), strict=True))
        for request, (part, own) in zip(requests, pieces, strict=False):
            request.start_async({"input_ids": part, "attention_mask": own})
        logits = []
        for request, _ in zip(requests, pieces, strict=False):
            request.wait()
            logits.append(np.array(request.get_output_tensor(0).data, np.float32))
        return np.concatenate(logits)

    return run
