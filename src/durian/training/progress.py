"""How far a run is, how fast and until when."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import timedelta

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

_WINDOW = 50


class TrainingProgress:
    """A bar on a terminal; elsewhere a line now and then, for logs.

    Args:
        total: steps of the run. done: those that it has already.
        seconds: that the latest of these took, so that rate and remaining time are known from the start.
        every: steps between two lines of a log.
        limit: seconds that the run may still take, None for as many as it needs.
    """

    def __init__(
        self,
        console: Console,
        total: int,
        done: int,
        seconds: Sequence[float],
        every: int,
        limit: Callable[[], float | None] = lambda: None,
    ):
        self.console, self.total, self.done, self.every, self.limit = console, total, done, every, limit
        self.seconds, self.losses = list(seconds[-_WINDOW:]), []
        columns = TextColumn("training"), BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[text]}")
        self._bar = Progress(*columns, console=console, disable=not console.is_terminal)
        self._task = self._bar.add_task("training", total=total, completed=done, text=self.text())

    def __enter__(self) -> TrainingProgress:
        self._bar.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._bar.stop()

    def advance(self, loss: float, seconds: float) -> None:
        """After a step with this loss that took so long."""
        self.done += 1
        self.losses = [*self.losses, loss][-_WINDOW:]
        self.seconds = [*self.seconds, seconds][-_WINDOW:]
        self._bar.update(self._task, completed=self.done, text=self.text())
        if not self.console.is_terminal and (self.done % self.every == 0 or self.done == self.total):
            self.console.print(f"step {self.done} of {self.total}: {self.text()}")

    def text(self) -> str:
        """Loss, rate and remaining time, as far as they are known."""
        parts = []
        if self.losses:
            parts.append(f"loss {sum(self.losses) / len(self.losses):.4f}")
        if self.seconds:
            mean = sum(self.seconds) / len(self.seconds)
            parts.append(f"{1 / mean:.2f} steps/s" if mean < 1 else f"{mean:.2f} s/step")
            needed, limit = (self.total - self.done) * mean, self.limit()
            left = needed if limit is None else min(needed, limit)
            parts.append(f"{timedelta(seconds=round(left))} left")
        return ", ".join(parts)
