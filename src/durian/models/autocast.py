"""Whether autocast, rather than a tensor's own type, says in which precision is computed."""

from __future__ import annotations

import torch
from torch import Tensor


def autocast_holds(tensor: Tensor) -> bool:
    """Whether it does for operations on such a tensor; on paper (the device meta) there is none."""
    kind = tensor.device.type
    return torch.amp.is_autocast_available(kind) and torch.is_autocast_enabled(kind)
