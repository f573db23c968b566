"""The progress of a run for people, on stderr: a bar on a terminal, occasional lines elsewhere."""

from __future__ import annotations

import sys
import time
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

_SECONDS_BETWEEN_LINES = 15.0


class ConsoleProgress:
    """Shows the loss, tokens per second and the remaining time. `quiet=True` shows nothing."""

    def __init__(self, *, quiet: bool = False) -> None:
        self.quiet = quiet
        self.console = Console(stderr=True, highlight=False)
        self._bar: Progress | None = None
        self._task = None
        self._last_line = 0.0
        self._loss: float | None = None
        self._window: list[tuple[int, float]] = []
        self.flops_per_token: float | None = None  # if the peak is known, model FLOPs utilisation is shown
        self.peak_flops: float | None = None

    def __enter__(self) -> Self:
        if not self.quiet and self.console.is_terminal:
            self._bar = Progress(
                TextColumn("training"),
                BarColumn(),
                MofNCompleteColumn(),
                TextColumn("{task.fields[note]}"),
                TimeRemainingColumn(),
                console=self.console,
            )
            self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.stop()

    def on_step(self, step: int, total: int, *, loss: float, tokens: int, seconds: float) -> None:
        """Shows a step, at most a few times per second."""
        if self.quiet:
            return
        self._loss = loss if self._loss is None else 0.95 * self._loss + 0.05 * loss
        self._window = [*self._window[-99:], (tokens, seconds)]
        rate = sum(t for t, _ in self._window) / max(sum(s for _, s in self._window), 1e-9)
        note = f"loss {self._loss:.4f} · {rate:,.0f} tokens/s"
        if self.flops_per_token and self.peak_flops:
            note += f" · MFU {rate * self.flops_per_token / self.peak_flops:.0%}"
        if self._bar is not None:
            if self._task is None:
                self._task = self._bar.add_task("", total=total, note="")  # type: ignore[assignment]
            self._bar.update(self._task, completed=step, note=note)  # type: ignore[arg-type]
        elif time.monotonic() - self._last_line >= _SECONDS_BETWEEN_LINES or step == total:
            self._last_line = time.monotonic()
            seconds_a_step = sum(s for _, s in self._window) / len(self._window)
            left = (total - step) * seconds_a_step
            self.on_message(f"step {step}/{total} · {note} · {duration(left)} left")

    def on_evaluation(self, step: int, scores: dict[str, float], *, best: bool) -> None:
        """Shows the scores of an evaluation."""
        listed = " · ".join(f"{name} {value:.4f}" for name, value in scores.items())
        self.on_message(f"step {step} · dev {listed}{' · best so far' if best else ''}")

    def on_message(self, text: str) -> None:
        """Shows a sentence about the run."""
        if not self.quiet:
            (self._bar.console if self._bar else self.console).print(text, markup=False, soft_wrap=True)
            sys.stderr.flush()


def duration(seconds: float) -> str:
    """A length of time in words: "42 s", "3 min", "1.5 h"."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
