"""An exported graph in place of the engine: the same features in, the same logits out, computed by ONNX Runtime."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from albert.data.batches import Features, inference_batches
from albert.engine.early_exit import Exits
from albert.engine.forward import MAX_TOKENS
from albert.errors import require_extra


class OnnxEngine:
    """A graph that `albert export` wrote, or its bytes. Raises `AlbertError` (bad-config) without ONNX Runtime."""

    early = None  # what it computes goes through all depths

    def __init__(self, graph: Path | bytes) -> None:
        runtime = require_extra("onnxruntime", "onnx")
        options = runtime.SessionOptions()
        options.log_severity_level = 3
        self.session = runtime.InferenceSession(
            graph if isinstance(graph, bytes) else str(graph), options, providers=["CPUExecutionProvider"]
        )
        self.outputs = [output.name for output in self.session.get_outputs()]

    def exits(self, features: Features, *, max_tokens: int = MAX_TOKENS) -> Exits:
        """Each row's logits in the form of `Engine.exits`; no row leaves early."""
        rows = [np.zeros(0, np.float32)] * len(features)
        for indices in inference_batches(features.lengths, max_tokens=max_tokens):
            batch = features.batch(indices)
            inputs = {name: getattr(batch, name).numpy() for name in ("input_ids", "attention_mask", "token_type_ids")}
            values = self._read(self.session.run(None, inputs))
            for index, row, length in zip(indices, values, features.lengths[indices], strict=True):
                rows[index] = row if row.ndim == 1 else row[:length]
        return Exits(rows, np.ones(len(features), np.int64))

    def _read(self, values: list[np.ndarray]) -> np.ndarray:
        """The logits that the task decodes: start and end side by side, or a text's vector."""
        if self.outputs == ["start_logits", "end_logits"]:
            return np.stack(values, 2)
        return values[self.outputs.index("sentence_embedding") if "sentence_embedding" in self.outputs else 0]
