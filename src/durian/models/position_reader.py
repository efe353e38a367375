"""PositionReader: what place of the face each cell of a keypoint image shows."""

from __future__ import annotations

from itertools import pairwise

import torch
import torch.nn.functional as F
from diffusers.configuration_utils import ConfigMixin, register_to_config
from diffusers.models.modeling_utils import ModelMixin
from jaxtyping import Float
from torch import Tensor, nn

from durian.models.positions import cell_centres
from durian.portrait.head_shape import MAX_TILT, undo_parallax


class PositionReader(ModelMixin, ConfigMixin):
    """Reads face coordinates off keypoint images, so that these are all that DNet is told of the motion.

    An option of the networks, for use with landmark-canonical positions (not in the paper). With
    coordinates computed from the landmarks beside the image, DNet learns to look at the coordinates alone
    and ignores the image. The head's pose is read as a weak perspective of a head's rough shape, which holds
    far from the face too, and the face's shape and expression as a correction of it.

    Args:
        grid: cells a side of the coordinates; the images are `factor` times as large.
        factor: pixels a side of a cell, a multiple of 2.
        channels: widths at the cells' resolution and at its halves.
    """

    @register_to_config
    def __init__(self, grid: int = 32, factor: int = 4, channels: tuple[int, ...] = (16, 32, 48, 96)):
        super().__init__()
        down = [nn.Conv2d(3 * factor**2 + 2, channels[0], 3, padding=1)]
        down += [nn.Conv2d(before, after, 3, 2, 1) for before, after in pairwise(channels)]
        self.down = nn.ModuleList(down)
        side = grid
        for _ in channels[1:]:
            side = -(-side // 2)
        self.pose = nn.Sequential(nn.Linear(channels[-1] * side**2, 128), nn.SiLU(), nn.Linear(128, 8))
        self.correction = nn.Sequential(
            nn.Conv2d(sum(channels[:3]) + 2, 32, 3, padding=1), nn.SiLU(), nn.Conv2d(32, 2, 3, padding=1)
        )

    def forward(self, keypoint_images: Float[Tensor, "B 3 H W"]) -> Float[Tensor, "B g g 2"]:
        """Face coordinates of every cell, as `durian.portrait.geometry.canonical_positions` defines them.

        Args:
            keypoint_images: in [0, 1], black where nothing is drawn.
        """
        hidden = F.pixel_unshuffle(keypoint_images, self.config["factor"])
        place = cell_centres(*hidden.shape[-2:], hidden).expand(len(hidden), -1, -1, -1)
        hidden = torch.cat([hidden, place], 1)
        levels = []
        for layer in self.down:
            hidden = F.silu(layer(hidden))
            levels.append(hidden)
        matrix, tilt = self.pose(hidden.flatten(1)).split((6, 2), 1)
        matrix = matrix.unflatten(1, (2, 3))
        # An upright face in the middle that fills a third of the image's width, but for what is read.
        matrix = matrix + matrix.new_tensor([[2.0, 0.0, 0.0], [0.0, 2.0, 0.0]])
        plane = torch.einsum("bij,bjyx->biyx", matrix[:, :, :2], place) + matrix[:, :, 2, None, None]
        tilt = tilt * (MAX_TILT / tilt.norm(dim=1, keepdim=True).clamp(min=MAX_TILT))
        plane = torch.stack(undo_parallax(*plane.unbind(1), *tilt.T[:, :, None, None]), 1)
        size = levels[0].shape[-2:]
        context = [F.interpolate(level, size, mode="bilinear") for level in levels[1:3]]
        correction = self.correction(torch.cat([levels[0], *context, plane], 1))
        return (plane + correction).permute(0, 2, 3, 1)
