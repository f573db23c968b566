"""The engines that `inference.py` compares, each a function from padded batches to their logits.

Every arm has the same weights, those of a transformers checkpoint folder, and the same cores.
"""

from __future__ import annotations

import contextlib
import logging
import warnings
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers

Batch = tuple[np.ndarray, np.ndarray]  # ids and mask, [batch, seq]
Run = Callable[[Sequence[Batch]], list[np.ndarray]]  # -> [batch, labels] each
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
    return transformers.AlbertForSequenceClassification.from_pretrained(folder, dtype=dtype).eval()


def of_transformers(folder: Path, dtype: torch.dtype, *, compiled: bool = False) -> Run:
    model: Any = reference(folder, dtype)
    if compiled:
        model = torch.compile(model, dynamic=True)

    @torch.inference_mode()
    def run(batches: Sequence[Batch]) -> list[np.ndarray]:
        return [
            model(input_ids=torch.from_numpy(ids), attention_mask=torch.from_numpy(mask)).logits.float().numpy()
            for ids, mask in batches
        ]

    return run


def exported(folder: Path) -> Path:
    """The ONNX file of a checkpoint, made once."""
    path = folder / "model.onnx"
    if not path.exists():
        ids = torch.randint(5, 100, (3, 17))
        batch, seq = torch.export.Dim("batch", min=1, max=4096), torch.export.Dim("seq", min=2, max=512)
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
    """int8: its own dynamic quantisation, a scale a channel."""
    import onnxruntime
    from onnxruntime.quantization import QuantType, quantize_dynamic

    path = exported(folder)
    if int8:
        import onnx

        model = onnx.load(path)
        del model.graph.value_info[:]  # the exporter's shapes of fused parts contradict what the quantiser infers
        path = folder / "model-int8.onnx"
        with quiet():
            quantize_dynamic(model, path, weight_type=QuantType.QInt8, per_channel=True)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    return lambda batches: [session.run(None, dict(zip(_INPUTS, batch, strict=True)))[0] for batch in batches]


def of_openvino(folder: Path, precision: str, hint: str, sample: Sequence[Batch]) -> Run:
    """LATENCY has one stream of all cores; THROUGHPUT a stream a core, with a batch in each.

    int8: NNCF's quantisation of weights and activations for transformers, calibrated on the sample.
    """
    import openvino

    core = openvino.Core()
    with quiet():
        model = core.read_model(exported(folder))
        if precision == "int8":
            import nncf

            data = nncf.Dataset([dict(zip(_INPUTS, batch, strict=True)) for batch in sample])
            model = nncf.quantize(model, data, model_type=nncf.ModelType.TRANSFORMER)
    cores = torch.get_num_threads()
    compiled = core.compile_model(
        model,
        "CPU",
        {
            "PERFORMANCE_HINT": hint,
            "INFERENCE_PRECISION_HINT": "f32" if precision == "fp32" else "bf16",
            "NUM_STREAMS": "1" if hint == "LATENCY" else str(cores),
            "INFERENCE_NUM_THREADS": str(cores),
        },
    )
    queue = openvino.AsyncInferQueue(compiled, 1 if hint == "LATENCY" else cores)

    def run(batches: Sequence[Batch]) -> list[np.ndarray]:
        logits: list[np.ndarray] = [np.zeros(0)] * len(batches)

        def keep(request: Any, place: int) -> None:
            logits[place] = np.array(request.get_output_tensor(0).data, np.float32)

        queue.set_callback(keep)
        for place, batch in enumerate(batches):
            queue.start_async(dict(zip(_INPUTS, batch, strict=True)), place)
        queue.wait_all()
        return logits

    return run
