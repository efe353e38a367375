"""Train and measure the Face Aligner, `durian.portrait.aligner`.

    python benchmarks/aligner.py render FOLDER [TRAINING_DONORS TEST_DONORS]
    python benchmarks/aligner.py train FOLDER OUT.safetensors
    python benchmarks/aligner.py measure FOLDER
    python benchmarks/aligner.py cases FOLDER

`render` makes pairs of synthetic people for the other two, going on from what FOLDER holds. The test has
people and styles of attributes that training has not. `cases` measures on the benchmark's cases
(`durian synth cases --out FOLDER`), with exact landmarks and with those that MediaPipe finds.
"""

from __future__ import annotations

import sys
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np
import torch
from aligner_pairs import GAPS, SIZE, TEST, TRAIN, Pairs, console, load_pairs, render_pairs
from rich.progress import track
from rich.table import Table
from safetensors.numpy import save_file
from torch import Tensor, nn
from torch.nn import functional as F

from durian.evaluation.case_files import CaseFiles
from durian.evaluation.statistics import Interval, interval, paired
from durian.labels import attribute_region
from durian.portrait.aligner import ALIGNERS, weigh
from durian.portrait.alignment_evidence import evidence
from durian.portrait.head_proxy import Head
from durian.portrait.landmarks import MediaPipeLandmarks
from durian.synth.recipes import KINDS

PIXELS = 300  # of each pair, half of them where the attribute may be
WIDTH, STEPS, BATCH, RATE = 48, 1600, 1024, 3e-3
TILT = 3.0  # degrees by which landmarks of photos may have a head's pose wrong


def train(folder: Path, out: Path) -> None:
    """A logistic regression with two hidden layers, on pixels of the training pairs."""
    pairs = load_pairs(folder, TRAIN)
    rng = np.random.default_rng(0)
    rows = [_sample(pairs, index, rng) for index in track(range(len(pairs.gap)), "read", console=console)]
    features, answers = (torch.from_numpy(np.concatenate(part)) for part in zip(*rows, strict=True))
    held = len(features) * 9 // 10  # people are in their order: the last ones are others
    mean, deviation = features[:held].mean(0), features[:held].std(0) + 1e-3
    torch.manual_seed(0)
    network = nn.Sequential(
        nn.Linear(features.shape[1], WIDTH),
        nn.ReLU(),
        nn.Linear(WIDTH, WIDTH),
        nn.ReLU(),
        nn.Linear(WIDTH, 1),
    )
    optimizer = torch.optim.AdamW(network.parameters(), RATE, weight_decay=0.3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, RATE, STEPS)
    for step in range(STEPS):
        chosen = torch.randint(held, (BATCH,))
        inputs = (features[chosen] - mean) / deviation
        inputs = inputs + 0.03 * torch.randn_like(inputs)
        loss = F.binary_cross_entropy_with_logits(network(inputs)[:, 0], answers[chosen])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        if step % 400 == 399:
            with torch.inference_mode():
                logits = network((features[held:] - mean) / deviation)[:, 0]
                other = F.binary_cross_entropy_with_logits(logits, answers[held:])
            console.print(f"step {step + 1}: {loss.item():.4f}, other people {other.item():.4f}")
    weights = _folded(network, mean, deviation)
    weights["2.bias"] -= _threshold(pairs, weights)
    save_file(weights, out)
    console.print(f"wrote {out}: {sum(value.size for value in weights.values())} numbers")


def _sample(pairs: Pairs, index: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Features and answers at some pixels of a pair, its poses a little wrong."""
    source, target = (
        _disturbed(Head.of(of[index]), rng) for of in (pairs.source_landmarks, pairs.target_landmarks)
    )
    near = cv2.dilate(np.maximum(pairs.source[index], pairs.target[index]), np.ones((13, 13))) > 127
    inside = np.flatnonzero(near)
    places = np.concatenate([rng.choice(inside, PIXELS // 2), rng.integers(0, SIZE**2, PIXELS // 2)])
    pixels = np.stack([places % SIZE, places // SIZE], 1) + 0.5
    answers = pairs.target[index].ravel()[places].astype(np.float32) / 255
    return evidence(pairs.source[index] / 255, source, target, pixels), answers


def _disturbed(head: Head, rng: np.random.Generator) -> Head:
    turn, _ = cv2.Rodrigues(np.radians(rng.normal(0, TILT, 3) * (1, 1, 0.3)))
    return replace(head, rotation=turn @ head.rotation)


def _folded(network: nn.Sequential, mean: Tensor, deviation: Tensor) -> dict[str, np.ndarray]:
    """The weights of the linear layers, with the inputs' normalisation in the first."""
    layers = [layer for layer in network if isinstance(layer, nn.Linear)]
    weights = {}
    for index, layer in enumerate(layers):
        weight, bias = layer.weight.detach(), layer.bias.detach()
        if index == 0:
            weight = weight / deviation
            bias = bias - weight @ mean
        weights |= {f"{index}.weight": weight.numpy().copy(), f"{index}.bias": bias.numpy().copy()}
    return weights


def _threshold(pairs: Pairs, weights: dict[str, np.ndarray]) -> float:
    """The logit above which masks have the best IoU with the exact ones, on a part of the training pairs."""
    axis = np.arange(SIZE) + 0.5
    pixels = np.stack(np.meshgrid(axis, axis), -1).reshape(-1, 2)
    levels = np.linspace(-1.5, 1.0, 11)
    scores = []
    for i in range(0, len(pairs.gap), 25):
        heads = (Head.of(of[i]) for of in (pairs.source_landmarks, pairs.target_landmarks))
        logits = weigh(evidence(pairs.source[i] / 255, *heads, pixels), weights)
        scores.append([_iou(logits > level, pairs.target[i].ravel() > 127) for level in levels])
    return float(levels[np.mean(scores, 0).argmax()])


def _iou(one: np.ndarray, other: np.ndarray) -> float:
    return float((one & other).sum() / max((one | other).sum(), 1))


def measure(folder: Path) -> None:
    """IoU with the exact masks, by gap between the poses and by attribute, with 95 % intervals."""
    pairs = load_pairs(folder, TEST)
    scores = {name: [] for name in ("head", "ellipsoid", "similarity", "no alignment")}
    for i in track(range(len(pairs.gap)), "align", console=console):
        mask, truth = pairs.source[i] / 255, pairs.target[i] > 127
        for name, values in scores.items():
            aligned = mask
            if name in ALIGNERS:
                aligned = ALIGNERS[name](mask, pairs.source_landmarks[i], pairs.target_landmarks[i], SIZE)
            values.append(_iou(aligned > 0.5, truth))
    out = Table("pairs", "", *scores, "head − similarity", "head − ellipsoid")
    bins = np.digitize(pairs.gap, GAPS[1:-1])
    groups = {f"{low:.0f}° to {high:.0f}°": bins == k for k, (low, high) in enumerate(pairwise(GAPS))}
    groups |= {kind: pairs.kind == k for k, kind in enumerate(KINDS)}
    groups |= {
        f"{kind}, {name}": (pairs.kind == k) & groups[name]
        for k, kind in enumerate(KINDS)
        for name in list(groups)[: len(GAPS) - 1]
    }
    for title, chosen in groups.items():
        part = {name: list(np.array(values)[chosen]) for name, values in scores.items()}
        cells = [_cell(interval(values)) for values in part.values()]
        better = [
            _cell(paired(part["head"], part[other]).difference, "+") for other in ("similarity", "ellipsoid")
        ]
        out.add_row(title, str(int(chosen.sum())), *cells, *better)
    console.print(out)


def measure_cases(folder: Path) -> None:
    """IoU with the exact masks on the cases of one donor, by split, with exact and with found landmarks."""
    out = Table("split", "cases", "exact landmarks", "found", "found, one ellipsoid", "found, similarity")
    with MediaPipeLandmarks() as detect:
        for split in ("single", "pose"):
            scores: dict[str, list[float]] = {}
            for path in track(sorted((folder / split).glob("*/case.json")), split, console=console):
                case = CaseFiles.read(path.parent)
                (name,) = case.attributes
                donor, portrait = case.donors[name], case.portrait
                truth = attribute_region(
                    cv2.imread(str(path.parent / "aligned.png"), cv2.IMREAD_UNCHANGED), name
                )
                found = [detect(picture.image) for picture in (donor, portrait)]
                if any(landmarks is None for landmarks in found):
                    continue
                mask = attribute_region(donor.labels, name).astype(np.float32)
                for title, aligner, landmarks in (
                    ("exact", "head", (donor.landmarks, portrait.landmarks)),
                    ("head", "head", found),
                    ("ellipsoid", "ellipsoid", found),
                    ("similarity", "similarity", found),
                ):
                    aligned = ALIGNERS[aligner](mask, *landmarks, case.size)
                    scores.setdefault(title, []).append(_iou(aligned > 0.5, truth))
            count = str(len(scores["exact"]))
            out.add_row(split, count, *(_cell(interval(values)) for values in scores.values()))
    console.print(out)


def _cell(value: Interval, sign: str = "") -> str:
    assert value.mean is not None
    if value.low is None or value.high is None:
        return f"{value.mean:{sign}.2f}"
    return f"{value.mean:{sign}.2f} [{value.low:{sign}.2f}, {value.high:{sign}.2f}]"


if __name__ == "__main__":
    command, folder = sys.argv[1], Path(sys.argv[2])
    if command == "render":
        donors = [int(count) for count in sys.argv[3:5]] or [400, 400]
        render_pairs(folder, TRAIN, donors[0])
        render_pairs(folder, TEST, donors[1])
    elif command == "train":
        train(folder, Path(sys.argv[3]))
    elif command == "measure":
        measure(folder)
    elif command == "cases":
        measure_cases(folder)
