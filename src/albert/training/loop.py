"""The one training loop: micro-batches, one update a step, evaluation after saving, exact resumption.

Everything random (order, dropout) is a pure function of the seed and the step, so a run that was killed
and resumed is the same run.
"""

from __future__ import annotations

import copy
import math
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from albert.data.batches import Batch, Features, training_steps
from albert.engine import autocast, resolve_precision
from albert.engine.precision import Precision
from albert.errors import AlbertError, ErrorKind, require_ranges
from albert.training.optimizer import rate_factor, set_rate
from albert.training.state import BEST, LAST, Checkpoints, MetricsLog

MAX_ROLLBACKS = 2
_MEASURED_STEPS = 8


@dataclass(frozen=True, kw_only=True)
class LoopConfig:
    """How long and in what portions a run goes over its data.

    `batch_size` counts examples an update, `max_tokens` padded tokens a forward pass (a larger batch is
    accumulated). Training stops early after `patience` evaluations without a better score (0: never).
    """

    epochs: float = 3.0
    batch_size: int = 32
    max_tokens: int = 8192
    evals_per_epoch: int = 1
    patience: int = 0
    save_seconds: float = 300.0
    precision: Precision = "auto"
    seed: int = 0

    def __post_init__(self) -> None:
        require_ranges(
            self,
            ("epochs", 1e-6, 1e6),
            ("batch_size", 1, 1_000_000),
            ("max_tokens", 8, 100_000_000),
            ("evals_per_epoch", 1, 1000),
            ("patience", 0, 1_000_000),
            ("save_seconds", 0, 1e9),
            ("seed", 0, 2**32 - 1),
        )


class Source(Protocol):
    """Where a run's batches come from: the micro-batches of any step, in any order of asking."""

    @property
    def steps_per_epoch(self) -> int: ...

    def micro_batches(self, step: int) -> list[Batch]: ...


class FeatureSource:
    """Batches of encoded examples in memory; the order of an epoch is drawn from (seed, epoch)."""

    def __init__(self, features: Features, config: LoopConfig) -> None:
        self.features = features
        self.config = config
        self._epoch = -1
        self._steps: list[list[Any]] = []

    @property
    def steps_per_epoch(self) -> int:
        return math.ceil(len(self.features) / self.config.batch_size)

    def micro_batches(self, step: int) -> list[Batch]:
        epoch, index = divmod(step, self.steps_per_epoch)
        if epoch != self._epoch:
            config = self.config
            self._steps = training_steps(
                self.features.lengths,
                batch_size=config.batch_size,
                max_tokens=config.max_tokens,
                seed=config.seed,
                epoch=epoch,
            )
            self._epoch = epoch
        return [self.features.batch(indices) for indices in self._steps[index]]


class Progress(Protocol):
    """Who watches a run."""

    def on_step(self, step: int, total: int, *, loss: float, tokens: int, seconds: float) -> None: ...

    def on_evaluation(self, step: int, scores: dict[str, float], *, best: bool) -> None: ...

    def on_message(self, text: str) -> None: ...


@dataclass
class RunState:
    """What a checkpoint keeps beside tensors."""

    step: int = 0
    evaluations: list[dict[str, Any]] = field(default_factory=list)
    skipped_steps: list[int] = field(default_factory=list)  # their gradients were not finite
    fingerprint: dict[str, Any] = field(default_factory=dict)


class Trainer:
    """Runs updates of one model until its data, its patience or the machine's is at an end.

    `objective(model, batch)` gives (loss sum, count); `evaluate()` gives scores, of which `metric` decides.
    """

    def __init__(
        self,
        model: nn.Module,
        optimizer: torch.optim.Optimizer,
        source: Source,
        objective: Callable[[nn.Module, Batch], tuple[Tensor, int]],
        *,
        config: LoopConfig,
        folder: Path,
        fingerprint: dict[str, Any],
        progress: Progress,
        warmup: float,
        clip: float,
        evaluate: Callable[[], dict[str, float]] | None = None,
        metric: str = "",
    ) -> None:
        self.model = model
        self.optimizer = optimizer
        self.source = source
        self.objective = objective
        self.config = config
        self.progress = progress
        self.warmup = warmup
        self.clip = clip
        self.evaluate = evaluate
        self.metric = metric
        self.device = next(model.parameters()).device
        self.precision = resolve_precision(config.precision, self.device)
        self.total = max(1, round(source.steps_per_epoch * config.epochs))
        self.eval_every = max(1, round(source.steps_per_epoch / config.evals_per_epoch))
        folder.mkdir(parents=True, exist_ok=True)
        self.checkpoints = Checkpoints(folder / "checkpoints")
        self.log = MetricsLog(folder / "metrics.jsonl")
        self.state = RunState(fingerprint=fingerprint)
        self._stop_signal: int | None = None

    # --- a run -----------------------------------------------------------------------------------------

    def run(self, *, resume: bool = False) -> RunState:
        """Trains to the end and leaves the best weights in the model (the last ones without evaluation).

        Raises `AlbertError`: pre-empted or interrupted after a signal (all is saved), internal when loss or
        gradients stay non-finite, bad-config when a resumed run's data or settings changed.
        """
        if resume:
            self._resume()
        self._rewind_log()
        self.model.train()
        saved_at = time.monotonic()
        with self._signals():
            while True:
                if self._evaluation_due():
                    self._save()
                    saved_at = time.monotonic()
                    self._evaluate()
                if self.state.step >= self.total or self._out_of_patience():
                    break
                self._step()
                if time.monotonic() - saved_at >= self.config.save_seconds or self._stop_signal is not None:
                    self._save()
                    saved_at = time.monotonic()
                self._leave_if_told()
        self._save()
        self._keep_best()
        return self.state

    def estimated_seconds(self) -> float:
        """What all steps will take, from a few measured on a copy of the model, spread over the first epoch."""
        kept = self.model, self.optimizer
        self.model, self.optimizer = copy.deepcopy(kept)
        self.model.train()
        count = self.source.steps_per_epoch
        seconds = []
        for sample in range(_MEASURED_STEPS + 1):
            start = time.perf_counter()
            self._gradients(self.source.micro_batches(sample * count // (_MEASURED_STEPS + 1)))
            nn.utils.clip_grad_norm_(self.model.parameters(), self.clip)
            self.optimizer.step()
            seconds.append(time.perf_counter() - start)
        self.model, self.optimizer = kept
        return sum(seconds[1:]) / _MEASURED_STEPS * self.total  # the first one only warms up

    # --- one step --------------------------------------------------------------------------------------

    def _step(self) -> None:
        step = self.state.step
        start = time.perf_counter()
        if step not in self.state.skipped_steps:
            set_rate(self.optimizer, rate_factor(step, total=self.total, warmup=self.warmup))
            torch.manual_seed((self.config.seed * 1_000_003 + step) % 2**63)  # dropout
            batches = self.source.micro_batches(step)
            loss = self._gradients(batches)
            parameters = [p for p in self.model.parameters() if p.grad is not None]
            norm = nn.utils.clip_grad_norm_(parameters, self.clip)
            if not (math.isfinite(loss) and math.isfinite(float(norm))):
                self._roll_back(step, loss, float(norm))
                return
            self.optimizer.step()
            tokens = sum(int(batch.attention_mask.sum()) for batch in batches)
            seconds = time.perf_counter() - start
            self.log.write(
                {
                    "step": step,
                    "loss": loss,
                    "lr": self.optimizer.param_groups[0]["lr"],
                    "grad_norm": float(norm),
                    "tokens": tokens,
                    "seconds": round(seconds, 4),
                }
            )
            self.progress.on_step(step + 1, self.total, loss=loss, tokens=tokens, seconds=seconds)
        self.state.step = step + 1

    def _gradients(self, batches: list[Batch]) -> float:
        """Leaves the gradient of the mean loss over all micro-batches in `.grad` and returns that mean."""
        self.optimizer.zero_grad(set_to_none=True)
        total, count = 0.0, 0
        for batch in batches:
            with autocast(self.precision, self.device):
                loss, n = self.objective(self.model, batch)
            loss.backward()
            total += float(loss.detach())
            count += n
        gradients = [p.grad for p in self.model.parameters() if p.grad is not None]
        torch._foreach_div_(gradients, float(max(count, 1)))
        return total / max(count, 1)

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
            self.state = RunState(**Checkpoints.restore(path, self.model, self.optimizer))
            self._rewind_log()
        self.state.skipped_steps = skipped
        self.progress.on_message(f"{what}: not finite; no update, back at step {self.state.step}, skipping it")

    # --- evaluation, saving, resuming --------------------------------------------------------------------

    def _evaluation_due(self) -> bool:
        step = self.state.step
        if self.evaluate is None or step == 0 or any(e["step"] == step for e in self.state.evaluations):
            return False
        return step % self.eval_every == 0 or step >= self.total

    def _evaluate(self) -> None:
        assert self.evaluate is not None
        scores = self.evaluate()
        step = self.state.step
        previous = [e["scores"][self.metric] for e in self.state.evaluations]
        best = not previous or scores[self.metric] > max(previous)
        if best:
            self.checkpoints.save(BEST, step, self.model, None, {"step": step, "scores": scores})
        self.state.evaluations.append({"step": step, "scores": scores})
        self.log.write({"step": step, "dev": scores})
        self.progress.on_evaluation(step, scores, best=best)

    def _rewind_log(self) -> None:
        self.log.rewind(self.state.step, evaluated={e["step"] for e in self.state.evaluations})

    def _out_of_patience(self) -> bool:
        scores = [e["scores"][self.metric] for e in self.state.evaluations]
        patience = self.config.patience
        return 0 < patience < len(scores) and max(scores[-patience:]) <= max(scores[:-patience])

    def _save(self) -> None:
        self.checkpoints.save(LAST, self.state.step, self.model, self.optimizer, asdict(self.state))

    def _resume(self) -> None:
        path = self.checkpoints.newest(LAST)
        if path is None:
            self.progress.on_message("no checkpoint to resume from: starting at step 0")
            return
        expected = self.state.fingerprint
        state = RunState(**Checkpoints.state(path))  # before the tensors: other settings give them other shapes
        changed = sorted(
            k for k in expected.keys() | state.fingerprint.keys() if state.fingerprint.get(k) != expected.get(k)
        )
        if changed:
            raise AlbertError(
                ErrorKind.CONFIG,
                f"cannot resume {path}",
                expected="the data and settings that it began with",
                got="other "
                + ", ".join(f"{k} ({state.fingerprint.get(k)!s:.20} -> {expected.get(k)!s:.20})" for k in changed),
                hint="repeat the first command with --resume, or start anew in another folder",
            )
        self.state = RunState(**Checkpoints.restore(path, self.model, self.optimizer))
        self.progress.on_message(f"resuming at step {state.step} of {self.total}")

    def _keep_best(self) -> None:
        path = self.checkpoints.newest(BEST)
        if path is not None:
            Checkpoints.restore(path, self.model, None)

    @contextmanager
    def _signals(self) -> Iterator[None]:
        """The first SIGTERM or SIGINT lets the step finish and saves; a second one leaves at once."""

        def handle(number: int, frame: FrameType | None) -> None:
            if self._stop_signal is not None:
                signal.signal(number, signal.SIG_DFL)
                signal.raise_signal(number)
            self._stop_signal = number

        try:
            previous = {number: signal.signal(number, handle) for number in (signal.SIGTERM, signal.SIGINT)}
        except ValueError:  # not the main thread: its owner handles signals
            previous = {}
        try:
            yield
        finally:
            for number, handler in previous.items():
                signal.signal(number, handler)

    def _leave_if_told(self) -> None:
        if self._stop_signal is None:
            return
        preempted = self._stop_signal == signal.SIGTERM
        raise AlbertError(
            ErrorKind.PREEMPTED if preempted else ErrorKind.INTERRUPTED,
            f"stopped by {signal.Signals(self._stop_signal).name} at step {self.state.step} of {self.total}",
            hint="everything is saved; repeat the command with --resume to go on",
        )
