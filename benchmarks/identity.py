"""Train and measure the embedding of synthetic identities, `durian.evaluation.identity`.

    python benchmarks/identity.py render FOLDER
    python benchmarks/identity.py train FOLDER OUT.safetensors
    python benchmarks/identity.py measure FOLDER [WEIGHTS.safetensors]
    python benchmarks/identity.py cases CASES [WEIGHTS.safetensors]

`render` makes the aligned faces that the next two need, going on from what FOLDER holds. `cases` compares
the portraits, true frames and baselines of the benchmark's cases. No face is of a benchmark case or a clip.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from dataclasses import astuple, replace
from pathlib import Path

import cv2
import numpy as np
import torch
from rich.console import Console
from rich.progress import track
from rich.table import Table
from safetensors.torch import save_file
from torch import nn

from durian.evaluation.baselines import copy_portrait, warp_paste
from durian.evaluation.cases import case_trials
from durian.evaluation.identity import (
    CROP,
    DIMENSIONS,
    IDENTITY_METRICS,
    IdentityEncoder,
    SyntheticIdentity,
    align_faces,
    face_tensor,
)
from durian.evaluation.statistics import interval
from durian.evaluation.trial import Frames, Scores, Trial
from durian.portrait.geometry import similarity_matrix, warp_image
from durian.portrait.inputs import Reference
from durian.synth.attributes import Split, sample_attributes
from durian.synth.identity import Identity, sample_identity
from durian.synth.model import build
from durian.synth.performance import sample_performance
from durian.synth.person import Person
from durian.synth.render import render
from durian.synth.scene import sample_clothes, sample_scene

PEOPLE = 3  # domain of seeds beside `durian.synth.dataset.CLIPS` and `CASES`
TRAIN, TEST = 0, 1
CHUNK = 50  # people in a file
SHARING = 10  # people of the test who all wear the same attributes, in the same scenes
LOOKS, POSES = 4, 2  # views of a person: LOOKS changes of attributes, clothes and scene, in POSES each
MARGIN = 8  # pixels around the crop, for augmentation
SIZE, SAMPLES = 128, 2

EPOCHS, BATCH, RATE = 18, 64, 3e-3
SCALE, MARGIN_OF_COSINE = 16.0, 0.15  # of the softmax over people
TRAIT_WEIGHT = 6.0

console = Console(width=100)


def render_people(folder: Path, role: int, people: int) -> None:
    """Write the aligned faces of people in files of `CHUNK`, going on from what is there.

    Members: `faces` (people, views, side, side, 3) uint8 and `traits` (people, T), the numbers of each
    identity.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for first in track(range(0, people, CHUNK), f"render {('train', 'test')[role]}", console=console):
        path = folder / f"{('train', 'test')[role]}-{first // CHUNK:03d}.npz"
        if path.is_file():
            continue
        identities = [sample_identity(_rng(role, 0, index)) for index in range(first, first + CHUNK)]
        faces = [_views(identity, role, first + k) for k, identity in enumerate(identities)]
        temporary = path.with_name(f".{path.name}")
        with temporary.open("wb") as file:
            np.savez(file, faces=np.stack(faces), traits=np.stack([_traits(i) for i in identities]))
        os.replace(temporary, path)


def _rng(*seed: int) -> np.random.Generator:
    return np.random.default_rng([PEOPLE, *seed])


def _views(identity: Identity, role: int, index: int) -> np.ndarray:
    """Faces of a person in ever new attributes, clothes, light and poses.

    Attributes are drawn for somebody else, so that they tell nothing about who wears them. In training
    they have training styles and are everybody's own. In the test they have held-out styles, and `SHARING`
    people share those of each look, so that there are impostors in the same hair.
    """
    split: Split = "train" if role == TRAIN else "test"
    motion = _rng(role, 1, index)
    frames, landmarks = [], []
    for look in range(LOOKS):
        rng = _rng(role, 2, index if role == TRAIN else index // SHARING, look)
        attributes = sample_attributes(rng, rng.uniform(-1, 1), rng.uniform(0, 1), split)
        model = build(Person(identity, attributes, sample_clothes(rng), sample_scene(rng)))
        for _ in range(POSES):
            state = sample_performance(motion, 1, static=True).frames[0]
            blink = float(motion.random() * (motion.random() < 0.1))
            frame = render(model, replace(state, blink_left=blink, blink_right=blink), SIZE, SAMPLES)
            frames.append(frame.rgb)
            landmarks.append(frame.landmarks)
    return align_faces(np.stack(frames), np.stack(landmarks), MARGIN)


def _traits(identity: Identity) -> np.ndarray:
    """All the numbers of an identity in a row."""

    def flatten(values):
        for value in values:
            if isinstance(value, tuple):
                yield from flatten(value)
            else:
                yield float(value)

    return np.array(list(flatten(astuple(identity))), np.float32)


def load_people(folder: Path, role: int) -> tuple[np.ndarray, np.ndarray]:
    """Faces (people, views, side, side, 3) and traits (people, T) of all files of a role, by number."""
    chunks = [np.load(path) for path in sorted(folder.glob(f"{('train', 'test')[role]}-*.npz"))]
    return np.concatenate([c["faces"] for c in chunks]), np.concatenate([c["traits"] for c in chunks])


def centre(faces: np.ndarray) -> np.ndarray:
    """Faces (…, side, side, 3) without their margins."""
    return faces[..., MARGIN : MARGIN + CROP, MARGIN : MARGIN + CROP, :]


# --- training --------------------------------------------------------------------------------------------


def spoil(face: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A crop of a face with margins as a model or a file might have left it.

    Out of place by up to 4 pixels, mirrored, tinted, blurred, resized, noisy, compressed: none of that
    makes anybody another person.
    """
    matrix = cv2.getRotationMatrix2D((39.5, 39.5), rng.normal() * 3, 1 + 0.04 * rng.normal())
    matrix[:, 2] += np.clip(rng.normal(size=2) * 1.5, -4, 4) - MARGIN
    face = cv2.warpAffine(face, matrix, (CROP, CROP), borderMode=cv2.BORDER_REPLICATE)
    if rng.random() < 0.5:
        face = face[:, ::-1]
    if rng.random() < 0.5:
        face = soften(face, rng.uniform(0.3, 3.0))
    if rng.random() < 0.3:
        side = int(rng.integers(20, CROP))
        face = cv2.resize(cv2.resize(face, (side, side), interpolation=cv2.INTER_AREA), (CROP, CROP))
    tint = np.exp(0.06 * rng.normal() + 0.03 * rng.normal(size=3))
    tinted = face * tint.astype(np.float32)
    if rng.random() < 0.3:
        tinted += rng.standard_normal(face.shape, np.float32) * np.float32(rng.uniform(0, 8))
    face = np.clip(tinted, 0, 255).astype(np.uint8)
    return compress(face, int(rng.integers(30, 95))) if rng.random() < 0.2 else face


def soften(face: np.ndarray, sigma: float) -> np.ndarray:
    """Blurred by a Gaussian of `sigma` pixels."""
    return cv2.GaussianBlur(face, (0, 0), sigma) if sigma > 0 else face


def compress(face: np.ndarray, quality: int) -> np.ndarray:
    """Through JPEG and back."""
    data = cv2.imencode(".jpg", face, [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
    return np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR))


def train(folder: Path, out: Path, epochs: int = EPOCHS) -> None:
    """Train an encoder and write its weights, float16.

    Two losses: a cosine softmax over the people with a margin (CosFace), and the traits, read off the
    embedding by a linear layer. The world's people differ in those numbers and in nothing else, so they
    say directly what an embedding must hold, where the softmax alone learns slowly from few views.
    """
    torch.manual_seed(0)
    faces, traits = load_people(folder, TRAIN)
    people, views = faces.shape[:2]
    faces = faces.reshape(-1, *faces.shape[2:])
    wanted = torch.from_numpy((traits - traits.mean(0)) / (traits.std(0) + 1e-6))
    encoder = IdentityEncoder().to(memory_format=torch.channels_last).train()
    classes = nn.Parameter(nn.functional.normalize(torch.randn(people, DIMENSIONS)))
    reader = nn.Linear(DIMENSIONS, traits.shape[1])
    nn.init.normal_(reader.weight)  # of unit vectors it must make numbers of variance 1
    parameters = [*encoder.parameters(), classes, *reader.parameters()]
    optimiser = torch.optim.AdamW(parameters, weight_decay=0.02)
    steps = epochs * (len(faces) // BATCH)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, RATE, total_steps=steps, pct_start=0.15)
    rng, begin = _rng(TRAIN, 3), time.monotonic()
    console.print(f"{people} people, {views} views each, {steps} steps")
    for epoch in range(epochs):
        losses = []
        for chosen in np.array_split(
            rng.permutation(len(faces))[: len(faces) // BATCH * BATCH], len(faces) // BATCH
        ):
            who = torch.from_numpy(chosen // views)
            batch = np.stack([spoil(faces[index], rng) for index in chosen])
            embeddings = encoder(face_tensor(batch).contiguous(memory_format=torch.channels_last))
            cosines = embeddings @ nn.functional.normalize(classes).T
            cosines = cosines - MARGIN_OF_COSINE * nn.functional.one_hot(who, people)
            softmax = nn.functional.cross_entropy(SCALE * cosines, who)
            trait = nn.functional.mse_loss(reader(embeddings), wanted[who])
            optimiser.zero_grad()
            (softmax + TRAIT_WEIGHT * trait).backward()
            optimiser.step()
            schedule.step()
            losses.append((softmax.item(), trait.item()))
        softmax, trait = np.mean(losses, axis=0)
        minutes = (time.monotonic() - begin) / 60
        console.print(f"epoch {epoch + 1}: softmax {softmax:.3f}, traits {trait:.3f}, {minutes:.1f} min")
        state = {k: v.half() if v.is_floating_point() else v for k, v in encoder.state_dict().items()}
        temporary = out.with_name(f".{out.name}")
        save_file({k: v.contiguous() for k, v in state.items()}, temporary)
        os.replace(temporary, out)


# --- measuring -------------------------------------------------------------------------------------------

Embedding = Callable[[np.ndarray], np.ndarray]
"""From aligned faces (N, 64, 64, 3) to vectors (N, D) whose dot product is the similarity."""


def _unit(vectors: np.ndarray) -> np.ndarray:
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def _of_encoder(encoder: IdentityEncoder) -> Embedding:
    def embed(faces: np.ndarray) -> np.ndarray:
        with torch.inference_mode():
            return torch.cat([encoder(part) for part in face_tensor(faces).split(100)]).numpy()

    return embed


def _pixels(mean_face: np.ndarray) -> Embedding:
    """Differences from the mean face of the training people."""
    return lambda faces: _unit((faces - mean_face).reshape(len(faces), -1))


def _mean_colour(mean_face: np.ndarray) -> Embedding:
    """Mean colour of the middle of the face, from nose to brows, against the mean face's."""

    def embed(faces: np.ndarray) -> np.ndarray:
        return _unit((faces - mean_face)[:, 16:48, 16:48].mean((1, 2)))

    return embed


def _edges(mean_face: np.ndarray) -> Embedding:
    """Gradients of brightness at every pixel, slightly blurred, against the mean face's."""

    def gradients(faces: np.ndarray) -> np.ndarray:
        grey = [cv2.GaussianBlur(face.astype(np.float32).mean(2), (0, 0), 1) for face in faces]
        return np.stack([cv2.Sobel(image, cv2.CV_32F, *d) for image in grey for d in ((1, 0), (0, 1))])

    mean = gradients(mean_face[None]).ravel()
    return lambda faces: _unit(gradients(faces).reshape(len(faces), -1) - mean)


def measure(folder: Path, weights: Path | None) -> None:
    """Verification and identification of unseen people in unseen attributes; effect of spoiled pictures."""
    faces, _ = load_people(folder, TEST)
    faces = centre(faces)
    known = centre(load_people(folder, TRAIN)[0][:200]).reshape(-1, CROP, CROP, 3)
    mean_face = known.mean(0)
    judge = _of_encoder(SyntheticIdentity(weights).encoder)
    methods = {
        "this": judge,
        "pixels": _pixels(mean_face),
        "mean colour": _mean_colour(mean_face),
        "edges": _edges(mean_face),
    }
    out = Table("", "ROC-AUC", "EER", "AUC, same look", "EER, same look", "rank 1 of 100")
    for name, embed in methods.items():
        vectors = embed(faces.reshape(-1, CROP, CROP, 3)).reshape(*faces.shape[:2], -1)
        own, others, alike = pairs(vectors, vectors)
        auc, rate, threshold = verification(own, others)
        hard_auc, hard_rate, _ = verification(own, alike)
        rank = identification(vectors)
        out.add_row(name, *(f"{v:.4f}" for v in (auc, rate, hard_auc, hard_rate, rank)))
        if name == "this":
            console.print(
                f"cosines, mean and deviation: own {own.mean():.3f} ± {own.std():.3f} in another look, "
                f"impostors {others.mean():.3f} ± {others.std():.3f}, in the same look "
                f"{alike.mean():.3f} ± {alike.std():.3f}; equal errors at {threshold:.3f}"
            )
    console.print(out)

    out = Table("probe", "to itself", "AUC, same look", "AUC, pixels", "own, other look")
    sharp = {name: methods[name](faces.reshape(-1, CROP, CROP, 3)) for name in ("this", "pixels")}
    for title, change in DAMAGES.items():
        probes = np.stack([change(face) for face in faces.reshape(-1, CROP, CROP, 3)])
        vectors = {name: methods[name](probes) for name in sharp}
        itself = (vectors["this"] * sharp["this"]).sum(1).mean()
        shape = (*faces.shape[:2], -1)
        results = {name: pairs(sharp[name].reshape(shape), vectors[name].reshape(shape)) for name in sharp}
        areas = {name: verification(own, alike)[0] for name, (own, _, alike) in results.items()}
        own = results["this"][0].mean()
        out.add_row(title, f"{itself:.3f}", f"{areas['this']:.4f}", f"{areas['pixels']:.4f}", f"{own:.3f}")
    console.print(out)


def _moved(face: np.ndarray) -> np.ndarray:
    return cv2.warpAffine(
        face, np.array([[1, 0, 3], [0, 1, 2]], float), (CROP, CROP), borderMode=cv2.BORDER_REPLICATE
    )


def _halved(face: np.ndarray) -> np.ndarray:
    return cv2.resize(cv2.resize(face, (32, 32), interpolation=cv2.INTER_AREA), (CROP, CROP))


def _noisy(face: np.ndarray) -> np.ndarray:
    noise = np.random.default_rng(0).normal(size=face.shape) * 6
    return np.clip(face + noise, 0, 255).astype(np.uint8)


DAMAGES: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "as it is": lambda face: face,
    "blur, σ 1 px": lambda face: soften(face, 1),
    "blur, σ 2 px": lambda face: soften(face, 2),
    "blur, σ 3 px": lambda face: soften(face, 3),
    "32 px and back": _halved,
    "noise, σ 6 of 255": _noisy,
    "JPEG, quality 40": lambda face: compress(face, 40),
    "moved by 3, 2 px": _moved,
}


def pairs(first: np.ndarray, second: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Cosines between vectors (people, views, D): of own pairs, impostors, and impostors in the same look.

    Own pairs are of different looks, so that attributes, clothes, scene and pose differ. Impostors are all
    pairs of different people; those in the same look wear the same in the same scene, in poses of their own.
    """
    people, views = first.shape[:2]
    cosines = first.reshape(people * views, -1) @ second.reshape(people * views, -1).T
    who, view = np.divmod(np.arange(people * views), views)
    look, group = view // POSES, who // SHARING
    same_person = who[:, None] == who
    same_look = look[:, None] == look
    alike = (group[:, None] == group) & same_look & ~same_person
    return cosines[same_person & ~same_look], cosines[~same_person], cosines[alike]


def verification(own: np.ndarray, impostors: np.ndarray) -> tuple[float, float, float]:
    """Area under the ROC curve, equal error rate, and the threshold at which errors are equal."""
    both = np.concatenate([own, impostors])
    label = np.concatenate([np.ones(len(own), int), np.zeros(len(impostors), int)])
    order = np.argsort(-both, kind="stable")
    hits = np.cumsum(label[order]) / len(own)
    alarms = np.cumsum(1 - label[order]) / len(impostors)
    at = int(np.argmin(np.abs(1 - hits - alarms)))
    return float(np.trapezoid(hits, alarms)), float((1 - hits[at] + alarms[at]) / 2), float(both[order][at])


def identification(vectors: np.ndarray, gallery: int = 100) -> float:
    """How often the nearest of `gallery` people, one picture each, is who is asked for, in another look."""
    hits = []
    for first in range(0, len(vectors) - gallery + 1, gallery):
        part = vectors[first : first + gallery]
        for shown in range(part.shape[1]):
            for asked in range(part.shape[1]):
                if shown // POSES != asked // POSES:
                    nearest = (part[:, asked] @ part[:, shown].T).argmax(1)
                    hits.append((nearest == np.arange(gallery)).mean())
    return float(np.mean(hits))


def compare_cases(folder: Path, weights: Path | None, split: str = "single") -> None:
    """The two scores of what must score high or low: true frames, baselines, other people."""
    judge = SyntheticIdentity(weights)
    rows: dict[str, list[Scores]] = {}
    trials = [ref.load() for ref in case_trials(folder, splits=[split])]
    for number, trial in enumerate(track(trials, "compare", console=console)):
        assert trial.targets is not None
        inputs, other = trial.request(trial.size).inputs, trials[number - 1]
        donor = next(iter(trial.donors.values()))
        shown = {
            "true frames": trial.targets,
            "true frames, blurred, σ 2 px": np.stack([soften(frame, 2) for frame in trial.targets]),
            "copied portrait, moved to its place": _brought(trial.portrait, trial),
            "copied portrait": copy_portrait(inputs),
            "warp and paste": warp_paste(inputs),
            "donor, moved to its place": _brought(donor, trial),
            "another case's portrait, moved to its place": _brought(other.portrait, trial),
        }
        for name, frames in shown.items():
            rows.setdefault(name, []).append(judge.scores(frames, trial))
    out = Table(f"mean of {len(trials)} cases", *(metric.title for metric in IDENTITY_METRICS))
    for name, values in rows.items():
        means = (interval([scores[metric.name] for scores in values]).mean for metric in IDENTITY_METRICS)
        out.add_row(name, *(f"{value:.3f}" for value in means))
    console.print(out)


def _brought(reference: Reference, trial: Trial) -> Frames:
    """A picture, its face brought to where the trial's frames have theirs, without a change of pose."""
    size = (trial.size, trial.size)
    return np.stack(
        [
            warp_image(reference.image, similarity_matrix(reference.landmarks, points), size)
            for points in trial.keypoints
        ]
    )


if __name__ == "__main__":
    command, folder = sys.argv[1], Path(sys.argv[2])
    if command == "render":
        render_people(folder, TEST, 200)
        render_people(folder, TRAIN, 600)
    elif command == "train":
        train(folder, Path(sys.argv[3]), *map(int, sys.argv[4:]))
    elif command == "measure":
        measure(folder, Path(sys.argv[3]) if len(sys.argv) > 3 else None)
    elif command == "cases":
        compare_cases(folder, Path(sys.argv[3]) if len(sys.argv) > 3 else None)
