"""Benchmark cases of a flat world, whose answers can be worked out by hand."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from PIL import Image

from durian.portrait.geometry import face_template, similarity_matrix, transform_points, warp_image

SIZE, FRAMES = 64, 3
CLASSES = {"hair": 4, "beard": 6, "glasses": 7, "hat": 8}
BOXES = {"hair": (32, 20, 14, 7), "beard": (32, 44, 8, 5), "glasses": (32, 31, 12, 3), "hat": (32, 9, 12, 5)}
"""Where the attributes are in their donors' pictures: centre and half sides."""


def face(x: float, y: float, scale: float = 14, degrees: float = 0) -> np.ndarray:
    """The mean face at a place of a SIZE×SIZE image."""
    c, s = scale * np.cos(np.radians(degrees)), scale * np.sin(np.radians(degrees))
    return transform_points(np.array([[c, -s, x], [s, c, y]]), face_template()).astype(np.float32)


def smooth(seed: int) -> np.ndarray:
    """A smooth random picture, so that interpolation costs little."""
    coarse = np.random.default_rng(seed).integers(40, 215, (4, 4, 3), dtype=np.uint8)
    return np.asarray(Image.fromarray(coarse).resize((SIZE, SIZE), Image.Resampling.BICUBIC))


def save_landmarks(folder: Path, landmarks: dict[str, np.ndarray]) -> None:
    np.savez(folder / "landmarks.npz", allow_pickle=False, **landmarks)


def write_case(folder: Path, *attributes: str, seed: int = 0, alphas: list[float] | None = None) -> Path:
    """Targets are the portrait moved in the plane, with the donors' boxes moved likewise.

    With `alphas` (of the one attribute) a second donor's box fades in.
    """
    folder.mkdir(parents=True)
    ys, xs = np.mgrid[:SIZE, :SIZE]

    def save(name: str, image: np.ndarray, labels: np.ndarray) -> None:
        Image.fromarray(image).save(folder / f"{name}.webp", lossless=True)
        Image.fromarray(labels.astype(np.uint8)).save(folder / f"{name}.png")

    portrait = smooth(100 * seed)
    landmarks = {"portrait": face(32, 30)}
    save("portrait", portrait, np.ones((SIZE, SIZE)))
    donors = []
    for index, name in enumerate(attributes):
        x, y, half_width, half_height = BOXES[name]
        box = (np.abs(xs - x) < half_width) & (np.abs(ys - y) < half_height)
        file = f"attribute_{name}" if len(attributes) > 1 else "attribute"
        donors.append((smooth(100 * seed + index + 1), box, face(34, 32), CLASSES[name]))
        landmarks[file] = donors[-1][2]
        save(file, donors[-1][0], np.where(box, CLASSES[name], 1))
    second = smooth(100 * seed + 50)
    if alphas is not None:
        save("attribute_b", second, np.where(donors[0][1], donors[0][3], 1))
        landmarks["attribute_b"] = donors[0][2]
    for index in range(FRAMES if alphas is None else len(alphas)):
        name = f"target_{index:02}"
        landmarks[name] = face(27 + 2 * index + 2 * (seed % 5), 31 - index, 14, 3 * index)
        image = warp_image(portrait, similarity_matrix(landmarks["portrait"], landmarks[name]), (SIZE, SIZE))
        labels = np.ones((SIZE, SIZE))
        for picture, box, points, label in donors:
            worn = similarity_matrix(points, landmarks[name])
            mask = warp_image(box.astype(np.float32), worn, (SIZE, SIZE)) > 0.5
            shown = warp_image(picture, worn, (SIZE, SIZE))
            if alphas is not None:
                other = warp_image(second, worn, (SIZE, SIZE))
                shown = np.round((1 - alphas[index]) * shown + alphas[index] * other).astype(np.uint8)
            image[mask] = shown[mask]
            labels[mask] = label
        save(name, image, labels)
    save_landmarks(folder, landmarks)
    content = {"attribute": attributes[0], "attributes": list(attributes), "seed": seed, "alphas": alphas}
    (folder / "case.json").write_text(json.dumps(content))
    return folder


def write_world(folder: Path) -> Path:
    """A split of single attributes, one of several, one of interpolations."""
    for index, name in enumerate(["hair", "glasses", "hat", "hair", "glasses"]):
        write_case(folder / "single" / f"{index:03}_{name}", name, seed=index)
    write_case(folder / "multi" / "000_2", "hair", "glasses", seed=7)
    write_case(folder / "interpolation" / "000_hair", "hair", seed=8, alphas=[0.0, 0.25, 0.5, 0.75, 1.0])
    return folder
