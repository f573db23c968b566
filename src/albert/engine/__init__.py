"""Forward passes for inference; the reference network behind one function."""

from albert.engine.forward import batch_logits, predict_logits
from albert.engine.precision import autocast, resolve_precision

__all__ = ["autocast", "batch_logits", "predict_logits", "resolve_precision"]
