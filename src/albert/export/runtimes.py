"""Exported graphs in place of the engine: the same features in, the same logits out, computed by another runtime."""

from __future__ import annotations

from abc import ABC, abstractmethod
from pathlib import Path

import numpy as np

from albert.data.batches import Features, inference_batches
from albert.engine.early_exit import Exits
from albert.engine.forward import MAX_TOKENS
from albert.errors import require_extra


class Runtime(ABC):
    """A graph that `albert export` wrote, opened; `outputs` are the names of what it computes."""

    early = None  # what it computes goes through all depths
    outputs: list[str]

    @abstractmethod
    def run(self, inputs: dict[str, np.ndarray]) -> list[np.ndarray]:
        """The outputs of a padded batch, in order."""

    def exits(self, features: Features, *, max_tokens: int = MAX_TOKENS) -> Exits:
        """Each row's logits in the form of `Engine.exits`; no row leaves early."""
        rows = [np.zeros(0, np.float32)] * len(features)
        for indices in inference_batches(features.lengths, max_tokens=max_tokens):
            batch = features.batch(indices)
            inputs = {name: getattr(batch, name).numpy() for name in ("input_ids", "attention_mask", "token_type_ids")}
            values = self._read(self.run(inputs))
            for index, row, length in zip(indices, values, features.lengths[indices], strict=True):
                rows[index] = row if row.ndim == 1 else row[:length]
        return Exits(rows, np.ones(len(features), np.int64))

    def _read(self, values: list[np.ndarray]) -> np.ndarray:
        """The logits that the task decodes: start and end side by side, or a text's vector."""
        if self.outputs == ["start_logits", "end_logits"]:
            return np.stack(values, 2)
        return values[self.outputs.index("sentence_embedding") if "sentence_embedding" in self.outputs else 0]


class OnnxEngine(Runtime):
    """An ONNX file, or its bytes, in ONNX Runtime. Raises `AlbertError` (bad-config) where that is not installed."""

    def __init__(self, graph: Path | bytes) -> None:
        runtime = require_extra("onnxruntime", "onnx")
        options = runtime.SessionOptions()
        options.log_severity_level = 3
        self._session = runtime.InferenceSession(
            graph if isinstance(graph, bytes) else str(graph), options, providers=["CPUExecutionProvider"]
        )
        self.outputs = [output.name for output in self._session.get_outputs()]

    def run(self, inputs: dict[str, np.ndarray]) -> list[np.ndarray]:
        found: list[np.ndarray] = self._session.run(None, inputs)
        return found


class OpenVinoEngine(Runtime):
    """An OpenVINO or ONNX file, or the bytes of one, in float32. Raises `AlbertError` (bad-config) without OpenVINO."""

    def __init__(self, graph: Path | bytes) -> None:
        core = require_extra("openvino", "openvino").Core()
        self.network = core.read_model(graph)
        self._compiled = core.compile_model(self.network, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
        self.outputs = [output.get_any_name() for output in self._compiled.outputs]

    def run(self, inputs: dict[str, np.ndarray]) -> list[np.ndarray]:
        found = self._compiled(inputs)
        return [np.array(found[name]) for name in self.outputs]
