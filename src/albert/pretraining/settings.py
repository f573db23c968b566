"""The settings of pre-training, for every component."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from albert.errors import require_whole
from albert.pretraining.cooccurrence import EmbeddingConfig
from albert.pretraining.distillation import DistillationConfig
from albert.pretraining.growth import GrowthConfig
from albert.pretraining.instances import InstanceConfig
from albert.pretraining.source import MaskingConfig
from albert.training.optimizer import OptimizerConfig
from albert.training.parts import LoopConfig


@dataclass(frozen=True, kw_only=True)
class PretrainConfig:
    """The corpus, the output folder, the start of the model, and the settings.

    `init` goes on from a model folder or hub id with the corpus's vocabulary. `teacher` is the folder or hub id of a
    BERT or ALBERT whose vectors are also learned (`albert.pretraining.distillation`); rows are full then.
    """

    shards: Path
    out: Path
    size: str = "small"
    init: str | None = None
    teacher: str | None = None
    evaluation_rows: int = 1024
    tensorboard: bool = False
    settings: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        require_whole(self, ("evaluation_rows", 1, 1_000_000_000))


@dataclass(frozen=True)
class PretrainSettings:
    """The settings of every component."""

    optimizer: OptimizerConfig
    loop: LoopConfig
    instances: InstanceConfig
    masking: MaskingConfig
    growth: GrowthConfig
    start: EmbeddingConfig
    distillation: DistillationConfig

    @staticmethod
    def kinds() -> tuple[type, ...]:
        """The classes of the components."""
        batches = (InstanceConfig, MaskingConfig, GrowthConfig)
        return OptimizerConfig, LoopConfig, *batches, EmbeddingConfig, DistillationConfig

    def as_dict(self) -> dict[str, Any]:
        """All settings by name."""
        return {name: value for part in dataclasses.asdict(self).values() for name, value in part.items()}

    @classmethod
    def defaults(cls) -> dict[str, Any]:
        """The default settings of every component."""
        return cls(*(kind() for kind in cls.kinds())).as_dict()

    def fingerprint(self) -> dict[str, str]:
        """The settings that a resumed run must share with its beginning. Only its schedule may change.

        Values that nobody chose are left out, so that a version with new settings can go on with an old run.
        """
        values = self.as_dict()
        values.pop("save_seconds")
        schedule = {name: values.pop(name) for name in ("steps", "epochs", "warmup", "decay")}
        defaults = self.defaults()
        chosen = {name: value for name, value in values.items() if value != defaults[name]}
        return {"settings": json.dumps(chosen, sort_keys=True), "schedule": json.dumps(schedule)}
