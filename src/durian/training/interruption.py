"""Stopping a run between two steps."""

from __future__ import annotations

import signal
import threading
from types import FrameType

import torch
from accelerate import Accelerator

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class TrainingStopped(Exception):
    """A run was asked to stop, and has saved its state.

    Attributes:
        step: that it stopped after.
        signal: that asked for it.
    """

    def __init__(self, step: int, number: int):
        super().__init__(f"stopped after step {step}; run the same command again to go on")
        self.step, self.signal = step, number


class Interruption:
    """Within this context the first SIGINT or SIGTERM only sets `received`; a second acts as always.

    Outside the main thread, where Python allows no handlers, signals act as always.
    """

    def __init__(self) -> None:
        self.received = 0

    def __enter__(self) -> Interruption:
        self._before = {}
        if threading.current_thread() is threading.main_thread():
            self._before = {number: signal.signal(number, self._handle) for number in _SIGNALS}
        return self

    def __exit__(self, *exception: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._before = {}

    def _handle(self, number: int, frame: FrameType | None) -> None:
        self.received = number
        self.__exit__()

    def agreed(self, accelerator: Accelerator) -> int:
        """The signal that any of the processes has received, 0 for none; the same in all of them."""
        if accelerator.num_processes == 1:
            return self.received
        flag = torch.tensor([self.received], device=accelerator.device)
        return int(accelerator.gather(flag).max())
