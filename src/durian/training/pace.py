"""How far a run is: by its steps or, where its time is limited, by the time that it has taken."""

from __future__ import annotations

import time
from collections.abc import Callable

import torch
from accelerate import Accelerator
from accelerate.utils import broadcast

from durian.training.config import TrainConfig


class Pace:
    """Counts steps, and those as well that there will be no time for.

    Args:
        accelerator: whose main process says what time it is, so that all processes end at the same step.
        spent: seconds that earlier starts of the run have taken.
        clock: in seconds.
    """

    def __init__(
        self,
        config: TrainConfig,
        accelerator: Accelerator,
        spent: float = 0.0,
        clock: Callable[[], float] = time.monotonic,
    ):
        self.steps, self.accelerator, self.clock = config.steps, accelerator, clock
        self.limit = None if config.minutes is None else 60 * config.minutes
        self._begin = clock() - spent

    def done(self, step: int) -> float:
        """After `step` steps, how many of the configuration's steps the run is past; all of them at its end.

        Of a run with a limit it is the share of the time that is over, if that is more.
        """
        if self.limit is None:
            return step
        spent = torch.tensor(self.clock() - self._begin, device=self.accelerator.device)
        return max(step, self.steps * min(1.0, float(broadcast(spent)) / self.limit))

    def left(self) -> float | None:
        """Seconds until the time is over; None where it is not limited."""
        return None if self.limit is None else max(0.0, self.limit - (self.clock() - self._begin))
