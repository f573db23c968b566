"""Forward passes for inference; the reference network behind one function."""

from albert.engine.forward import predict_logits
from albert.engine.precision import autocast, resolve_precision

__all__ = ["autocast", "predict_logits", "resolve_precision"]
