"""The same fine-tuning with several seeds, which shows how much of a score is chance."""

from __future__ import annotations

import dataclasses
import statistics
from dataclasses import dataclass

from albert.errors import AlbertError, ErrorKind
from albert.finetuning.attempts import FinetuneResult
from albert.finetuning.dataset import FinetuneConfig
from albert.finetuning.finetune import finetune
from albert.storage.files import write_json
from albert.training.progress import ConsoleProgress


@dataclass(frozen=True)
class SeedsResult:
    """The result of every run, and the folder of the best one."""

    results: list[FinetuneResult]

    @property
    def best(self) -> FinetuneResult:
        return max(self.results, key=lambda result: result.scores[result.metric])

    @property
    def summary(self) -> dict[str, dict[str, float]]:
        """Median, minimum and maximum of each score."""
        names = self.results[0].scores
        columns = {name: [result.scores[name] for result in self.results] for name in names}
        return {
            name: {"median": statistics.median(values), "min": min(values), "max": max(values)}
            for name, values in columns.items()
        }


def finetune_seeds(
    config: FinetuneConfig,
    seeds: int,
    *,
    resume: bool = False,
    overwrite: bool = False,
    progress: ConsoleProgress | None = None,
) -> SeedsResult:
    """Fine-tunes with the seeds 0, 1, … into separate folders below `config.out`, and writes the summary to
    `seeds.json`.

    Without a dev file, every seed holds out other rows. Raises the errors of `finetune`.
    """
    if seeds < 1 or "seed" in config.settings:
        raise AlbertError(ErrorKind.USAGE, "--seeds", expected="at least 1, and no --set seed=…", got=str(seeds))
    if overwrite and not resume:
        (config.out / "seeds.json").unlink(missing_ok=True)  # the summary of runs that are now replaced one by one
    results = []
    for seed in range(seeds):
        folder = config.out / f"seed-{seed}"
        part = dataclasses.replace(config, out=folder, settings={**config.settings, "seed": seed})
        results.append(finetune(part, resume=resume, overwrite=overwrite, progress=progress))
    found = SeedsResult(results)
    write_json(config.out / "seeds.json", {"best": found.best.folder.name, "scores": found.summary})
    return found
