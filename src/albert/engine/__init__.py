"""Forward passes for inference, behind one class."""

from albert.compute.precision import Precision, autocast, resolve_precision
from albert.engine.forward import Engine, batch_logits, calibrate

__all__ = ["Engine", "Precision", "autocast", "batch_logits", "calibrate", "resolve_precision"]
