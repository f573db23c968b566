"""TensorBoard, where a run asks for it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from albert.errors import AlbertError, ErrorKind


def tensorboard(folder: Path) -> Callable[[dict[str, Any]], None]:
    """A mirror of the metrics log that writes its numbers as scalars into `folder`/tensorboard.

    Raises `AlbertError` (usage) where tensorboard is not installed.
    """
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        raise AlbertError(
            ErrorKind.USAGE, "--tensorboard", expected="tensorboard", hint="pip install 'albert-nlp[track]'"
        ) from None
    writer = SummaryWriter(str(folder / "tensorboard"))

    def write(record: dict[str, Any]) -> None:
        step = record["step"]
        for name, value in {**record, **record.get("dev", {})}.items():
            if name not in ("step", "dev"):
                writer.add_scalar(("dev/" if "dev" in record else "train/") + name, value, step)

    return write
