"""The protocol `cases`: trials from benchmark cases, with exact ground truth."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from jaxtyping import Float

from durian.errors import DurianError
from durian.evaluation.case_files import (
    CaseFiles,
    Picture,
    read_description,
    regions,
)
from durian.evaluation.trial import Request, Trial, TrialRef
from durian.labels import Label, attribute_region, lens_region, pixel_classes
from durian.portrait.aligner import ALIGNERS
from durian.portrait.geometry import face_template, fit_similarity, rotation_angle, transform_points
from durian.portrait.inputs import AnimationInputs, Reference
from durian.portrait.lenses import attribute_alone
from durian.portrait.portrait_mask import portrait_mask

_POSE_BINS = (15.0, 30.0, 45.0, 60.0)  # degrees


@dataclass(frozen=True)
class CaseOptions:
    """What is changed about cases before they are asked.

    Attributes:
        aligner: one of `durian.portrait.aligner.ALIGNERS`, that makes `M_aligned`.
        mask_noise: by how much the masks that a model is given are wrong (figure 9 of the paper), in shares
            of the image's side: below 0 they are eroded, above dilated.
    """

    aligner: str = "head"
    mask_noise: float = 0.0

    def __post_init__(self) -> None:
        if self.aligner not in ALIGNERS:
            raise DurianError(f"unknown aligner {self.aligner!r}: choose from {', '.join(ALIGNERS)}")
        if not -0.2 <= self.mask_noise <= 0.2:
            raise DurianError(f"mask noise {self.mask_noise}: it is a share of the side, from -0.2 to 0.2")


def case_trials(
    folder: str | Path,
    *,
    splits: Sequence[str] | None = None,
    limit: int | None = None,
    options: CaseOptions | None = None,
    mask_noise: Sequence[float] = (),
    seed: int = 0,
) -> list[TrialRef]:
    """Trials of a folder of case folders, or of a benchmark's folder of splits.

    Every subfolder counts as a case, so that one that has lost its files is reported and not passed over.

    Args:
        splits: only these (of a benchmark's folder).
        limit: of each split only the first cases.
        options: of every trial.
        mask_noise: further trials of each case with so much noise in their masks, in a group of their own.
        seed: case number n of a split is sampled with `seed + n`.

    Raises:
        DurianError: no such folder or split, no cases, a limit below 1.
    """
    if limit is not None and limit < 1:
        raise DurianError(f"limit is {limit}: at least one case is needed")
    options = options or CaseOptions()
    noisy = [CaseOptions(options.aligner, amount) for amount in dict.fromkeys(mask_noise)]
    return [
        _ref(path, split, seed + index, chosen)
        for split, paths in _find_cases(Path(folder), splits).items()
        for index, path in enumerate(paths[:limit])
        for chosen in (options, *noisy)
    ]


def _find_cases(folder: Path, splits: Sequence[str] | None) -> dict[str, list[Path]]:
    """Case folders by split; the split of a folder that holds cases itself has its name."""
    if not folder.is_dir():
        raise DurianError(f"{folder} is not a folder: give a folder of benchmark cases")
    below = _subfolders(folder)
    if any((path / "case.json").is_file() for path in below):
        if splits:
            raise DurianError(f"{folder} holds cases and no splits: leave --split out")
        return {folder.resolve().name: below}
    splits_there = {path.name: _subfolders(path) for path in below}
    found = {
        name: paths
        for name, paths in splits_there.items()
        if any((path / "case.json").is_file() for path in paths)
    }
    if not found:
        raise DurianError(f"{folder} has no case folders: make some with durian synth cases --out {folder}")
    for name in splits or ():
        if name not in found:
            raise DurianError(f"{folder} has no split {name!r}: choose from {', '.join(found)}")
    return {name: found[name] for name in splits or found}


def _subfolders(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))


def _ref(path: Path, split: str, seed: int, options: CaseOptions) -> TrialRef:
    load = partial(load_case, path, split, seed, options)
    try:
        content = read_description(path)
    except DurianError:  # reported when it is loaded
        return TrialRef(f"{split}/{path.name}", (split,), (), load)
    name = f"{split}/{path.name}" + (f"@{_noise_name(options)}" if options.mask_noise else "")
    attributes = tuple(content["attributes"])
    # Sizes and times tell that a file was replaced as well as its contents, and cost nothing to read.
    files = [(file.name, (stat := file.stat()).st_size, stat.st_mtime_ns) for file in sorted(path.iterdir())]
    fingerprint = hashlib.sha256(repr((seed, options, files)).encode()).hexdigest()
    return TrialRef(name, _groups(split, attributes, options), attributes, load, fingerprint)


def _groups(split: str, attributes: tuple[str, ...], options: CaseOptions) -> tuple[str, ...]:
    if options.mask_noise:
        name = f"{split}, masks {_noise_name(options)}"
        return (name, f"{name}, {attributes[0]}") if len(attributes) == 1 else (name,)
    if len(attributes) == 1:
        return split, f"{split}, {attributes[0]}"
    return split, f"{split}, {len(attributes)} attributes", f"{split}, {' and '.join(attributes)}"


def _noise_name(options: CaseOptions) -> str:
    verb = "eroded" if options.mask_noise < 0 else "dilated"
    return f"{verb} {abs(options.mask_noise):.0%}"


def load_case(path: Path, split: str, seed: int, options: CaseOptions) -> Trial:
    """Read a case and make a trial of it.

    Raises:
        DurianError: something is missing or broken.
    """
    case = CaseFiles.read(path)
    own = _request(case, options, case.size).inputs
    gap = _pose_gap(case)
    groups = _groups(split, case.attributes, options)
    if split == "pose" and not options.mask_noise:
        groups += (f"pose, {_bin(gap)}",)
    return Trial(
        id=_ref_id(case, split, options),
        groups=groups,
        attributes=case.attributes,
        request=partial(_request, case, options),
        portrait=own.portrait,
        donors=own.attributes,
        keypoints=own.keypoints,
        targets=case.targets,
        regions=regions(case.target_labels, case.attributes),
        facts={"pose_gap": gap, "light_gap": _light_gap(case), "attribute_area": _area(case)},
        seed=seed,
    )


def _ref_id(case: CaseFiles, split: str, options: CaseOptions) -> str:
    return f"{split}/{case.id}" + (f"@{_noise_name(options)}" if options.mask_noise else "")


def _request(case: CaseFiles, options: CaseOptions, size: int) -> Request:
    """What a model of resolution `size` is given: of the answer only its landmarks, which are the motion.

    `M_init` comes from the portrait's labels, `M_aligned` from the donors' masks and the faces' landmarks.
    """
    donors = {name: _reference(case, donor, name, options, size) for name, donor in case.donors.items()}
    attribute = case.attributes[0]
    second = None if case.second is None else _reference(case, case.second, attribute, options, size)
    landmarks = _scaled(case, case.portrait.landmarks, size)
    own = np.max([worn_mask(case.portrait, name, options) for name in case.attributes], axis=0)
    image, own = resize(case.portrait.image, size), resize(own, size)

    def masked(worn: Mapping[str, Reference]) -> Reference:
        mask = portrait_mask(own, landmarks, worn.values(), ALIGNERS[options.aligner])
        return Reference(image, mask, landmarks)

    inputs = AnimationInputs(
        portrait=masked(donors),
        attributes=donors,
        keypoints=_scaled(case, case.driving, size),
        fps=15.0,
    )
    if second is None:
        return Request(inputs)
    ends = {attribute: second}
    return Request(inputs, ends, case.alphas, masked(ends))


def _reference(case: CaseFiles, donor: Picture, attribute: str, options: CaseOptions, size: int) -> Reference:
    mask = resize(worn_mask(donor, attribute, options), size)
    return Reference(resize(donor.image, size), mask, _scaled(case, donor.landmarks, size))


def worn_mask(
    picture: Picture, attribute: str, options: CaseOptions | None = None
) -> Float[np.ndarray, "S S"]:
    """Where a picture's person wears the attribute, as a model is told."""
    options = options or CaseOptions()
    mask = _disturbed(attribute_region(picture.labels, attribute), options)
    # Who is given a wrong mask must find lenses in it.
    lenses = None if options.mask_noise or attribute != "glasses" else lens_region(picture.labels)
    return attribute_alone(attribute, mask, picture.image, picture.landmarks, lenses)


def _disturbed(mask: np.ndarray, options: CaseOptions) -> Float[np.ndarray, "S S"]:
    """A mask eroded or dilated; an erosion that leaves nothing leaves the mask's innermost pixels."""
    mask = mask.astype(np.uint8)
    radius = round(abs(options.mask_noise) * len(mask))
    if radius and options.mask_noise > 0:
        disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * radius + 1, 2 * radius + 1))
        mask = cv2.dilate(mask, disc)
    elif radius and mask.any():
        depth = cv2.distanceTransform(mask, cv2.DIST_L2, 5)
        mask = depth > min(radius, depth.max() - 1e-3)
    return mask.astype(np.float32)


def _pose_gap(case: CaseFiles) -> float:
    """Degrees between the portrait's and the (farthest) donor's head."""
    portrait = _rotation(case.portrait)
    donors = [*case.donors.values(), *([] if case.second is None else [case.second])]
    return max(rotation_angle(portrait, _rotation(donor)) for donor in donors)


def _rotation(picture: Picture) -> np.ndarray:
    return fit_similarity(face_template(), picture.landmarks)[1]


def _bin(degrees: float) -> str:
    low = max((edge for edge in (0.0, *_POSE_BINS) if edge <= degrees), default=0.0)
    high = next((edge for edge in _POSE_BINS if edge > low), None)
    return f"{low:.0f}° and more" if high is None else f"{low:.0f}° to {high:.0f}°"


def _light_gap(case: CaseFiles) -> float:
    """How unlike the portrait's and the donors' skins are lit: difference of mean brightness, of 255."""
    skins = [_skin(picture) for picture in (case.portrait, *case.donors.values())]
    return float(max(abs(skin - skins[0]) for skin in skins[1:]))


def _skin(picture: Picture) -> float:
    skin = picture.image[pixel_classes(picture.labels) == Label.SKIN]
    return float(skin.mean()) if skin.size else 0.0


def _area(case: CaseFiles) -> float:
    """Share of the answer's pixels that are the attribute."""
    return float(regions(case.target_labels, case.attributes)["attribute"].mean())


def _scaled(case: CaseFiles, landmarks: np.ndarray, size: int) -> np.ndarray:
    scale = size / case.size
    return transform_points(np.array([[scale, 0, 0], [0, scale, 0]]), landmarks)


def resize(image: np.ndarray, size: int) -> Any:
    """An image or mask brought to `size`×`size`, averaged where that is smaller."""
    if image.shape[:2] == (size, size):
        return image
    method = cv2.INTER_AREA if size < image.shape[0] else cv2.INTER_LINEAR
    return cv2.resize(image, (size, size), interpolation=method)
