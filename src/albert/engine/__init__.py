"""Forward passes for inference, behind one class."""

from albert.engine.forward import Engine, batch_logits
from albert.engine.precision import autocast, resolve_precision

__all__ = ["Engine", "autocast", "batch_logits", "resolve_precision"]
