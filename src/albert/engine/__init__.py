"""Forward passes for inference, behind one class."""

from albert.engine.forward import Engine, batch_logits, calibrate
from albert.engine.precision import autocast, resolve_precision

__all__ = ["Engine", "autocast", "batch_logits", "calibrate", "resolve_precision"]
