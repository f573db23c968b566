"""The one training loop: micro-batches, one update a step, evaluation after saving, exact resumption.

Everything random (order, dropout) is a pure function of the seed and the step, so a run that was killed
and resumed is the same run.
"""

from __future__ import annotations

import copy
import math
import signal
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from albert.engine import autocast, resolve_precision
from albert.errors import AlbertError, ErrorKind
from albert.machine.memory import keep_freed_memory
from albert.machine.process import StopRequest
from albert.training.average import Average
from albert.training.best import keep_best, merit, merits, newest_with_its_best, out_of_patience
from albert.training.optimizer import set_rate
from albert.training.parts import Forward, LoopConfig, Objective, Progress, Source, Watch
from albert.training.resume import changes, note_threads, refuse_changes
from albert.training.state import BEST, LAST, Checkpoints, MetricsLog, RunState
from albert.training.world import World

MAX_ROLLBACKS = 2
_MAX_RETREATS = 5
_SLOWER = 0.7  # the rate after a retreat, of the one before
_MEASURED_STEPS = 8
_LAG = 20  # steps whose numbers a GPU computes before anybody looks, so that it need not wait


@dataclass(frozen=True)
class _Update:
    """An update whose numbers may still be on the device."""

    step: int
    losses: dict[str, Tensor]
    norm: Tensor
    rate: float
    tokens: int


class Trainer:
    """Runs updates of one model until its data, its patience or the machine's is at an end.

    `schedule(step, total)` gives the share of the full learning rate; `evaluate()` gives scores, of which
    `metric` decides which weights are kept (without one the last are). With an `average`, the share of the run over
    which weights are averaged, their mean is scored beside them. A `watch` may call the run back. Under several ranks
    each has its own micro-batches of every step, and rank 0 writes.
    """

    def __init__(
        self,
        model: nn.Module,
        optimizer: torch.optim.Optimizer,
        source: Source,
        objective: Objective,
        *,
        config: LoopConfig,
        folder: Path,
        fingerprint: dict[str, Any],
        defaults: Mapping[str, Any] | None = None,
        progress: Progress,
        schedule: Callable[[int, int], float],
        clip: float,
        evaluate: Callable[[], dict[str, float]] | None = None,
        metric: str | None = None,
        average: float = 0.0,
        watch: Watch | None = None,
        world: World | None = None,
    ) -> None:
        self.model = model
        self.optimizer = optimizer
        self.source = source
        self.objective = objective
        self.config = config
        self.progress = progress
        self.schedule = schedule
        self.before_step: Callable[[int], None] = lambda step: None  # before evaluating there, too
        self.clip = clip
        self.evaluate = evaluate
        self.metric = metric
        self.watch = watch
        self.defaults = defaults  # of settings that the fingerprint leaves out
        keep_freed_memory()
        self.world = world or World()
        self.device = next(model.parameters()).device
        self.forward = self.world.parallel(Forward(model, objective))
        self.precision = resolve_precision(config.precision, self.device)
        self.total = config.steps or max(1, round(source.steps_per_epoch * config.epochs))
        self.eval_every = max(1, round(source.steps_per_epoch / config.evals_per_epoch))
        self.average = Average(model, round(self.total * average)) if average else None
        folder.mkdir(parents=True, exist_ok=True)
        self.checkpoints = Checkpoints(folder / "checkpoints")
        self.log = MetricsLog(folder / "metrics.jsonl")
        self.state = RunState(fingerprint=fingerprint)
        self._stop = StopRequest()
        self._lag = _LAG if self.device.type == "cuda" and self.world.size == 1 else 1
        self._unseen: list[_Update] = []
        self._looked = time.perf_counter()

    # --- a run -----------------------------------------------------------------------------------------

    def run(self, *, resume: bool = False) -> RunState:
        """Trains to the end and leaves the best weights in the model (the last ones without evaluation).

        Raises `AlbertError`: pre-empted or interrupted after a signal (all is saved), internal when loss or
        gradients stay non-finite, bad-config when a resumed run's data or settings changed.
        """
        if resume:
            self._resume()
        if not self.state.threads:
            note_threads(self.state.threads, self.device, self.progress.on_message)
        if self.world.leads:
            self.checkpoints.forget_after(LAST, self.state.step)
            self.checkpoints.forget_after(BEST, self.state.step)
        self._rewind_log()
        self.model.train()
        if self._lag > 1 and self.state.step == 0:
            self._save()  # there is something to go back to
        saved_at = time.monotonic()
        with self._stop:
            while True:
                self.before_step(self.state.step)
                ends = self.state.step >= self.total or out_of_patience(self.state, self.metric, self.config.patience)
                if (ends or self._evaluation_due()) and not self._look():
                    continue
                if self._evaluation_due():
                    self._save()
                    saved_at = time.monotonic()
                    if not self._evaluate():
                        continue
                if self.state.step >= self.total or out_of_patience(self.state, self.metric, self.config.patience):
                    break
                stop = self._step()
                due = time.monotonic() - saved_at >= self.config.save_seconds
                if (due or stop) and self._look():
                    self._save()
                    saved_at = time.monotonic()
                if stop:
                    self._stop.leave_if_asked(
                        f"at step {self.state.step} of {self.total}",
                        hint="everything is saved; repeat the command with --resume to go on",
                    )
        self._save()
        keep_best(self.checkpoints, self.state, self.metric, self.model)
        return self.state

    def estimated_seconds(self) -> float:
        """What all steps will take, from a few measured on a copy of the model, spread over the first epoch."""
        kept = self.model, self.optimizer, self.forward
        self.model, self.optimizer = copy.deepcopy(kept[:2])
        self.forward = Forward(self.model, self.objective)
        self.model.train()
        count = self.source.steps_per_epoch
        measured = max(1, min(_MEASURED_STEPS, self.total // 20))  # a short run does not wait for its estimate
        seconds = []
        for sample in range(measured + 1):
            start = time.perf_counter()
            self._gradients(self.source.micro_batches(sample * count // (measured + 1)))
            nn.utils.clip_grad_norm_(self.model.parameters(), self.clip)
            self.optimizer.step()
            seconds.append(time.perf_counter() - start)
        self.model, self.optimizer, self.forward = kept
        return sum(seconds[1:]) / measured * self.total  # the first one only warms up

    # --- one step --------------------------------------------------------------------------------------

    def _step(self) -> bool:
        """Makes one update; returns whether to stop after it, because a signal came to any rank."""
        step = self.state.step
        told = self._stop.signal is not None
        if not self._unseen:
            self._looked = time.perf_counter()
        if step not in self.state.skipped_steps:
            factor = self.schedule(step, self.total) * _SLOWER**self.state.retreats
            set_rate(self.optimizer, factor)
            batches = self.source.micro_batches(step)
            tokens = float(sum(batch.pieces for batch in batches))
            losses, sums = self._gradients(batches, {"tokens": tokens, "told": float(told)})
            parameters = [p for p in self.model.parameters() if p.grad is not None]
            norm = nn.utils.clip_grad_norm_(parameters, self.clip)
            rate = self.optimizer.param_groups[0]["lr"]
            self._unseen.append(_Update(step, losses, norm, rate, int(sums["tokens"])))
            if self._lag == 1 and not self._look():
                return False
            self.optimizer.step()
            self.state.updates += 1
            if self.average is not None:
                self.average.update(self.state.updates)
            self.state.step = step + 1
            if len(self._unseen) >= self._lag and not self._look():
                return False
            if self.world.size > 1:  # all ranks leave after the same step
                told = sums["told"] > 0
                self._stop.signal = self._stop.signal or (signal.SIGTERM if told else None)
            else:
                told = self._stop.signal is not None
        self.state.step = step + 1
        return told

    def _look(self) -> bool:
        """Reads and records the numbers of the updates so far; false where they made the run go back."""
        updates, self._unseen = self._unseen, []
        if not updates:
            return True
        parts = [torch.stack([*map(_scalar, update.losses.values()), _scalar(update.norm)]) for update in updates]
        rows = torch.stack(parts).tolist()  # the device is waited for once
        now = time.perf_counter()
        seconds, self._looked = (now - self._looked) / len(updates), now
        for update, row in zip(updates, rows, strict=True):
            losses, norm = dict(zip(update.losses, row, strict=False)), row[-1]
            loss = self._weighted(losses)
            if not (math.isfinite(loss) and math.isfinite(norm)):
                self._roll_back(update.step, loss, norm)
                return False
            if self.world.leads:
                self.log.write(
                    {
                        "step": update.step,
                        "loss": loss,
                        **(losses if len(losses) > 1 else {}),
                        "lr": update.rate,
                        "grad_norm": norm,
                        "tokens": update.tokens,
                        "seconds": round(seconds, 4),
                    }
                )
            self.progress.on_step(update.step + 1, self.total, loss=loss, tokens=update.tokens, seconds=seconds)
            if self.watch is not None and (reason := self.watch.after_step(losses)):
                self._retreat(reason)
                return False
        return True

    def _weighted(self, losses: dict[str, Any]) -> Any:
        return sum(self.objective.weights.get(name, 1.0) * value for name, value in losses.items())

    def _gradients(
        self, batches: list[Any], also: dict[str, float] | None = None
    ) -> tuple[dict[str, Tensor], dict[str, float]]:
        """Leaves the gradient of the loss over all micro-batches of all ranks in `.grad`.

        Returns the means that the loss adds up, and the sums over ranks of the values `also`.
        """
        self.optimizer.zero_grad(set_to_none=True)
        counts: dict[str, float] = {}
        for batch in batches:
            for name, count in self.objective.counts(batch).items():
                counts[name] = counts.get(name, 0) + count
        everywhere = self.world.sum({**counts, **(also or {})})
        sums: dict[str, Tensor] = {}
        for number, batch in enumerate(batches):
            micro_batch = number * self.world.size + self.world.rank  # of the whole step: dropout is any world's
            torch.manual_seed((self.config.seed * 1_000_003 + self.state.step + micro_batch * 2**40) % 2**63)
            with self.world.averaging(self.forward, on=number == len(batches) - 1):
                with autocast(self.precision, self.device):
                    terms = self.forward(batch)
                loss = self._weighted({name: term / max(everywhere[name], 1) for name, term in terms.items()})
                (loss * self.world.size).backward()  # ranks are averaged, the loss is over all of them
            for name, term in terms.items():
                sums[name] = sums.get(name, 0) + term.detach().double()
        if self.world.size > 1:
            found = self.world.sum({name: float(total) for name, total in sums.items()})
            sums = {name: torch.tensor(total) for name, total in found.items()}
        return {name: total / max(everywhere[name], 1) for name, total in sums.items()}, everywhere

    def _roll_back(self, step: int, loss: float, norm: float) -> None:
        """Goes back to the last checkpoint and leaves this step out from now on."""
        skipped = [*self.state.skipped_steps, step]
        what = f"step {step}: loss {loss:g}, gradient norm {norm:g}"
        if len(skipped) > MAX_ROLLBACKS:
            raise AlbertError(
                ErrorKind.INTERNAL,
                f"{what} after {MAX_ROLLBACKS} rollbacks",
                expected="finite numbers",
                got=f"trouble at steps {', '.join(map(str, skipped))}",
                hint="lower the learning rate (--set lr=…) or use --set precision=fp32; nothing was saved",
            )
        path = self.checkpoints.newest(LAST)
        if path is not None:
            self._restore(path)
            self._rewind_log()
        self.state.skipped_steps = skipped
        self.progress.on_message(f"{what}: not finite; no update, back at step {self.state.step}, skipping it")

    def _retreat(self, reason: str) -> None:
        """Goes back to a checkpoint from before the trouble and on at a lower rate."""
        retreats = self.state.retreats + 1
        if retreats > _MAX_RETREATS:
            raise AlbertError(
                ErrorKind.INTERNAL,
                f"step {self.state.step}: {reason}",
                expected=f"a run that learns after {_MAX_RETREATS} retreats, each to {_SLOWER} of the rate",
                got="none",
                hint="begin anew with a lower learning rate (--set lr=…)",
            )
        at = self.state.step
        path = self.checkpoints.oldest(LAST)
        if path is not None:
            self._restore(path)
            self.checkpoints.forget_after(LAST, self.state.step)
            self._rewind_log()
        self.state.retreats = retreats
        self._save()
        self.progress.on_message(
            f"step {at}: {reason}; back at step {self.state.step}, at {_SLOWER**retreats:.2f} of the planned rate"
        )

    # --- evaluation, saving, resuming --------------------------------------------------------------------

    def _evaluation_due(self) -> bool:
        step = self.state.step
        if self.evaluate is None or step == 0 or any(e["step"] == step for e in self.state.evaluations):
            return False
        return step % self.eval_every == 0 or step >= self.total

    def _evaluate(self) -> bool:
        """Scores the weights; false where the scores made the run go back."""
        assert self.evaluate is not None
        scores = self.evaluate()
        note: dict[str, Any] = {}
        weights: AbstractContextManager[None] = nullcontext()
        if self.average is not None and self.average.mean and self.metric is not None:
            with self.average.in_model():
                of_mean = self.evaluate()
            averaged = merit(of_mean, self.metric) > merit(scores, self.metric)
            note = {"averaged": averaged, "beside": scores if averaged else of_mean}
            if averaged:
                scores, weights = of_mean, self.average.in_model()
        step = self.state.step
        best = self.metric is not None and all(merit(scores, self.metric) > m for m in merits(self.state, self.metric))
        self.state.evaluations.append({"step": step, "scores": scores, **note})
        if self.world.leads:
            if best:
                with weights:
                    self.checkpoints.save(BEST, step, self.model, None, {"step": step, "scores": scores, **note})
            self.log.write({"step": step, "dev": scores, **note})
        self.progress.on_evaluation(step, scores, best=best)
        if note:
            which = "the mean of the weights" if note["averaged"] else "the weights themselves"
            self.progress.on_message(f"step {step}: {which} scored better")
        if self.watch is not None and (reason := self.watch.after_evaluation(scores)):
            self._retreat(reason)
            return False
        return True

    def _rewind_log(self) -> None:
        if not self.world.leads:
            return
        self.log.rewind(self.state.step, evaluated={e["step"] for e in self.state.evaluations})

    def _save(self) -> None:
        if not self.world.leads:
            return
        if self.watch is not None:
            self.state.watch = self.watch.seen
        mean = self.average.mean if self.average is not None else None
        self.checkpoints.save(LAST, self.state.step, self.model, self.optimizer, asdict(self.state), average=mean)

    def _restore(self, path: Path) -> None:
        self.state = Checkpoints.restore(path, self.model, self.optimizer)
        if self.watch is not None:
            self.watch.seen = self.state.watch
        if self.average is not None:
            self.average.load(Checkpoints.average(path))

    def _resume(self) -> None:
        path = newest_with_its_best(self.checkpoints, self.metric, self.progress.on_message)
        if path is None:
            self.progress.on_message("no checkpoint to resume from: starting at step 0")
            return
        expected = self.state.fingerprint
        state = Checkpoints.state(path)  # before the tensors: other settings give them other shapes
        schedule = {**expected, "schedule": state.fingerprint.get("schedule")}
        if found := changes(state.fingerprint, schedule, self.defaults):
            refuse_changes(path, found)
        if expected.get("schedule") != state.fingerprint.get("schedule"):
            self.progress.on_message(f"schedule from here on: {expected['schedule']}")
        self._restore(path)
        self.state.fingerprint = expected
        self.progress.on_message(f"resuming at step {state.step} of {self.total}")
        note_threads(self.state.threads, self.device, self.progress.on_message)


def _scalar(value: Tensor) -> Tensor:
    return value.detach().double().reshape(())
