"""Training of the built-in masks' network, `durian.portrait.mask_network`."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
from mask_looks import draw_look, worn
from mask_people import console, load_people
from rich.progress import track
from safetensors.numpy import save_file
from torch import Tensor, nn
from torch.nn import functional as F

from durian.portrait.attributes import ATTRIBUTES
from durian.portrait.mask_evidence import CHANNELS, GRID, mirrored
from durian.portrait.person_segmentation import PersonSegmenter

LOOKS = 3  # of each picture
WIDTHS = (20, 32, 48, 64)  # channels at a half, a quarter … of the square's resolution
WHOLE = 64  # numbers that say what the whole picture shows
BATCH, RATE = 24, 4e-3
HELD = 0.05  # of the pictures tell how training goes
_SEEN = CHANNELS - 1


@dataclass(frozen=True)
class Examples:
    """Evidence and masks as bytes, and for each attribute whether it is worn (-1: hardly seen)."""

    evidence: np.ndarray
    masks: np.ndarray
    worn: np.ndarray


class MaskNetwork(nn.Module):
    """A small U-Net: logits for each pixel, and of whether an attribute is in the picture at all."""

    def __init__(self) -> None:
        super().__init__()
        first, kinds = WIDTHS[0], len(ATTRIBUTES)
        steps = list(pairwise(WIDTHS))
        self.stem = _Convolution(4 * CHANNELS, first, 1)
        self.down = nn.ModuleList(
            [
                nn.Sequential(_Convolution(first, first)),
                *(nn.Sequential(_Convolution(a, b), _Convolution(b, b)) for a, b in steps),
            ]
        )
        self.up = nn.ModuleList([_Convolution(a + b, a) for a, b in steps])
        self.whole = nn.Linear(2 * WIDTHS[-1], WHOLE)
        self.spread = nn.Linear(WHOLE, WIDTHS[-1])
        self.presence = nn.Linear(WHOLE, kinds)
        self.head = nn.Conv2d(first, 4 * kinds, 3, padding=1)

    def forward(self, evidence: Tensor) -> tuple[Tensor, Tensor]:
        x = self.stem(F.pixel_unshuffle(evidence, 2))
        levels = []
        for depth, layers in enumerate(self.down):
            x = layers(F.max_pool2d(x, 2) if depth else x)
            levels.append(x)
        whole = F.relu(self.whole(torch.cat([x.mean((2, 3)), x.amax((2, 3))], 1)))
        x = x + self.spread(whole)[..., None, None]
        for layer, level in zip(reversed(self.up), reversed(levels[:-1]), strict=True):
            x = layer(torch.cat([level, F.interpolate(x, scale_factor=2)], 1))
        return F.pixel_shuffle(self.head(x), 2), self.presence(whole)

    def folded(self) -> dict[str, np.ndarray]:
        """All weights by the names that `durian.portrait.mask_network` reads, with no normalisation left."""
        out: dict[str, np.ndarray] = {}
        for name, module in self.named_modules():
            if isinstance(module, _Convolution):
                weight, bias = module.folded()
            elif name in {"whole", "spread", "presence", "head"}:
                assert isinstance(module, nn.Linear | nn.Conv2d)
                assert module.bias is not None
                weight, bias = module.weight, module.bias
            else:
                continue
            out[f"{name}.weight"] = weight.detach().contiguous().numpy().astype(np.float16)
            out[f"{name}.bias"] = bias.detach().numpy().astype(np.float16)
        return out


class _Convolution(nn.Module):
    def __init__(self, inputs: int, outputs: int, side: int = 3) -> None:
        super().__init__()
        self.weights = nn.Conv2d(inputs, outputs, side, padding=side // 2, bias=False)
        self.norm = nn.BatchNorm2d(outputs)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.norm(self.weights(x)))

    def folded(self) -> tuple[Tensor, Tensor]:
        norm = self.norm
        assert norm.running_var is not None
        assert norm.running_mean is not None
        scale = norm.weight / torch.sqrt(norm.running_var + norm.eps)
        return self.weights.weight * scale[:, None, None, None], norm.bias - norm.running_mean * scale


def draw_examples(folder: Path, looks: int = LOOKS) -> Examples:
    """Looks of all people in a folder, in their order."""
    people = load_people(folder)
    count = looks * len(people.rgb)
    evidence = np.empty((count, CHANNELS, GRID, GRID), np.uint8)
    masks = np.empty((count, len(ATTRIBUTES), GRID, GRID), np.uint8)
    present = np.empty((count, len(ATTRIBUTES)), np.int8)
    with PersonSegmenter() as segment:
        for row in track(range(count), "looks", console=console):
            index = row // looks
            look = draw_look(people, index, np.random.default_rng([row, 1]), segment)
            evidence[row] = np.round(127.5 + 127.5 * np.clip(look.evidence(), -1, 1))
            masks[row] = np.round(255 * look.masks)
            present[row] = worn(look, people.worn[index])
    return Examples(evidence, masks, present)


def train(examples: Examples, out: Path, steps: int) -> None:
    """Write the weights, about 0.4 MB."""
    torch.manual_seed(0)
    rng = np.random.default_rng(0)
    network = MaskNetwork().to(memory_format=torch.channels_last)
    optimizer = torch.optim.AdamW(network.parameters(), RATE, weight_decay=0.02)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, RATE, steps, pct_start=0.15)
    held = int(len(examples.worn) * (1 - HELD))  # people are in their order: the last ones are others
    running = 0.0
    for step in range(steps):
        inputs, masks, present = _batch(examples, rng.choice(held, BATCH, replace=False), step % 2 == 1)
        seen = inputs[:, _SEEN:] > 0.5
        loss = _loss(*network(_roughened(inputs)), seen, masks, present)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        running += 0.01 * (loss.item() - running) if step else loss.item()
        if step % 200 == 199 or step == steps - 1:
            console.print(f"step {step + 1}: {running:.4f}, other people {_score(network, examples, held)}")
            save_file(network.folded(), out)


def _batch(examples: Examples, rows: np.ndarray, mirror: bool = False) -> tuple[Tensor, Tensor, Tensor]:
    inputs = examples.evidence[rows].astype(np.float32) / 127.5 - 1
    masks = examples.masks[rows].astype(np.float32) / 255
    if mirror:
        inputs, masks = mirrored(inputs), masks[..., ::-1].copy()
    return torch.from_numpy(inputs), torch.from_numpy(masks), torch.from_numpy(examples.worn[rows])


def _roughened(inputs: Tensor) -> Tensor:
    """Evidence that is louder or weaker than it should be, and now and then missing."""
    gain = 1 + 0.1 * torch.randn(len(inputs), CHANNELS, 1, 1)
    shift = 0.04 * torch.randn(len(inputs), CHANNELS, 1, 1)
    keep = (torch.rand(len(inputs), CHANNELS, 1, 1) > 0.04).float()
    keep[:, _SEEN] = 1
    return (inputs * (gain * keep) + shift * keep).contiguous(memory_format=torch.channels_last)


def _loss(logits: Tensor, presence: Tensor, seen: Tensor, masks: Tensor, present: Tensor) -> Tensor:
    """Of pixels that the picture has, of whole masks where there are any, and of what is there at all."""
    pixels = F.binary_cross_entropy_with_logits(logits, masks, reduction="none") * seen
    guess = logits.sigmoid() * seen
    masks = masks * seen
    both = (guess * masks).sum((2, 3))
    overlap = 1 - (2 * both + 1) / ((guess + masks).sum((2, 3)) + 1)
    known, worn = (present >= 0).float(), (present > 0).float()
    whole = F.binary_cross_entropy_with_logits(presence, worn, reduction="none") * known
    return 4 * pixels.mean() + 0.5 * (overlap * worn).sum() / worn.sum().clamp(min=1) + 0.3 * whole.mean()


@torch.inference_mode()
def _score(network: MaskNetwork, examples: Examples, held: int) -> str:
    network.eval()
    scores: list[list[float]] = [[] for _ in ATTRIBUTES]
    right = []
    for first in range(held, len(examples.worn), BATCH):
        inputs, masks, present = _batch(examples, np.arange(first, min(first + BATCH, len(examples.worn))))
        logits, presence = network(inputs)
        seen = inputs[:, _SEEN:] > 0.5
        found, truth = (logits > 0) & seen, (masks > 0.5) & seen
        ious = (found & truth).sum((2, 3)) / (found | truth).sum((2, 3)).clamp(min=1)
        for kind, values in enumerate(scores):
            values += ious[present[:, kind] > 0, kind].tolist()
        right.append(((presence > 0) == (present > 0))[present >= 0].float().mean())
    network.train()
    cells = [f"{name} {np.mean(values):.3f}" for name, values in zip(ATTRIBUTES, scores, strict=True)]
    return f"{', '.join(cells)}, there or not {np.mean(right):.1%}"
