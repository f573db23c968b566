"""Forward passes for inference, behind one class."""

from albert.engine.forward import Engine, batch_logits, calibrate
from albert.engine.precision import Precision, autocast, resolve_precision

__all__ = ["Engine", "Precision", "autocast", "batch_logits", "calibrate", "resolve_precision"]
