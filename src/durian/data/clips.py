"""A clip is a value, whatever made it; and shards of clips on disk."""

from __future__ import annotations

import io
import json
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path

import cv2
import numpy as np
from jaxtyping import Bool, Float, Int, UInt8, UInt16
from webdataset.compat import WebDataset

from durian.errors import DurianError
from durian.labels import ATTRIBUTE_LABELS, LENS_BIT, attribute_region, lens_region
from durian.portrait.lenses import LensEvidence, are_clear, lens_openings
from durian.work import available_cores


@dataclass(frozen=True)
class Clip:
    """One person in motion.

    Attributes:
        name: unique in its data set.
        frames: RGB.
        landmarks: in pixels, NaN in frames where no face was found.
        masks: by attribute, where the attribute is; attributes that the person does not wear are missing.
            Of glasses with clear lenses the frame alone, for what is seen through them is no attribute.
        lenses: where the lenses of glasses are, clear or not; None without glasses.
        surface: which point of the person each pixel shows (`durian.surface`), where that is known.
        styles: by attribute, of what kind it is (a bob, a beret), where that is known.
        relit: some of the frames in other lights, where the world is a rendered one.
        unshaded: the frames as if the person's hat cast no shadow, where that is known.
        donors: by attribute, other people who wear it, where the world is a rendered one.
        before: by attribute, the person without it or with another, likewise. Masks are of both: what was
            there, and where the attribute is in a frame of the same pose.
        take: of each frame, which take of the person it is from; frames follow each other within a take.
            None is a single one.
    """

    name: str
    frames: UInt8[np.ndarray, "F H W 3"]
    landmarks: Float[np.ndarray, "F 478 3"]
    masks: dict[str, Bool[np.ndarray, "F H W"]]
    styles: dict[str, str] = field(default_factory=dict)
    relit: Clip | None = None
    take: Int[np.ndarray, " F"] | None = None
    lenses: Bool[np.ndarray, "F H W"] | None = None
    surface: UInt16[np.ndarray, "F H W 3"] | None = None
    unshaded: UInt8[np.ndarray, "F H W 3"] | None = None
    donors: dict[str, Clip] = field(default_factory=dict)
    before: dict[str, Clip] = field(default_factory=dict)

    def visible_frames(self) -> np.ndarray:
        """Indices of the frames with a face."""
        return np.flatnonzero(np.isfinite(self.landmarks).all((1, 2)))

    def area(self, attribute: str) -> Float[np.ndarray, " F"]:
        """The attribute's share of each frame, lenses included."""
        mask = self.masks[attribute]
        whole = mask if attribute != "glasses" or self.lenses is None else mask | self.lenses
        return whole.mean((1, 2))

    def outline(self, attribute: str, frame: int) -> Bool[np.ndarray, "H W"]:
        """The attribute's mask in a frame; of glasses the frame alone, whatever their lenses."""
        mask = self.masks[attribute][frame]
        return mask if attribute != "glasses" or self.lenses is None else mask & ~self.lenses[frame]


def read_clips(
    folder: Path, limit: int | None = None, progress: Callable[[int], None] | None = None
) -> Iterator[Clip]:
    """Read clips from tar shards in webdataset's naming.

    A clip `NAME` has members `NAME.frame00.webp` …, `NAME.label00.png` … and `NAME.landmarks.npy`, and
    where its frames are of several takes `NAME.take.npy` (the number of the take that each is from). Of
    synthetic ones `NAME.person.json` names the attributes' styles, and `NAME.relit00.webp` …,
    `NAME.relitlabel00.png` … and `NAME.relit.npy` (landmarks) are frames in other lights, and
    `NAME.surface00.png` …, `NAME.relitsurface00.png` … which point of the person each pixel shows, and
    `NAME.unshaded00.webp` … the frames as if the person's hat cast no shadow. `NAME.donor00.webp` … (with
    `donorlabel00.png` …, `donor.npy` and `donor.json`, the attribute of each) are other people in what the
    person wears, and `NAME.before00.webp` … the person with something else (`before.json` also says in the
    pose of which frames).

    Raises:
        DurianError: no shards in `folder`, or a clip that lacks a member.
    """
    shards = sorted(Path(folder).glob("*.tar"))
    if not shards:
        raise DurianError(
            f"no clips in {folder}: expected tar shards (*.tar) of frames, labels and landmarks"
        )
    # Every process of a training run reads all clips, and draws its own examples from them.
    samples = WebDataset(
        [str(shard) for shard in shards], shardshuffle=False, empty_check=False, nodesplitter=None
    )
    for index, clip in enumerate(_decoded(islice(samples, limit)), start=1):
        yield clip
        if progress is not None:
            progress(index)


def _decoded(samples: Iterable[dict[str, bytes]]) -> Iterator[Clip]:
    """Clips in order; some are decoded beside each other, for pictures are decoded without Python's lock."""
    workers = available_cores()
    with ThreadPoolExecutor(workers) as pool:
        begun: deque[Future[Clip]] = deque()
        for sample in samples:
            begun.append(pool.submit(_decode, sample))
            if len(begun) > 2 * workers:
                yield begun.popleft().result()
        while begun:
            yield begun.popleft().result()


def _decode(sample: dict[str, bytes]) -> Clip:
    name = str(sample["__key__"])
    try:
        clip = _frames(sample, name, "", "landmarks.npy", "frame")
        clear = _are_clear(clip)
        relit = None
        if "relit.npy" in sample:
            relit = _seen_through(_frames(sample, f"{name}.relit", "relit", "relit.npy", "relit"), clear)
        clip = _seen_through(clip, clear)
        donors, before = _donors(sample, name, clear), _before(sample, name, clip)
        unshaded = None
        if "unshaded00.webp" in sample:
            unshaded = _pictures(sample, "unshaded", len(clip.frames))
        take = _array(sample["take.npy"]) if "take.npy" in sample else None
        if take is not None and take.shape != (len(clip.frames),):
            raise ValueError(f"take.npy has shape {take.shape} for {len(clip.frames)} frames")
        person = json.loads(sample.get("person.json", b"{}")).get("attributes", {})
        styles = {key: person[key]["style"] for key in ATTRIBUTE_LABELS if person.get(key)}
    except (LookupError, ValueError, AttributeError, TypeError) as error:
        raise DurianError(f"clip {name}: missing or unreadable member ({error})") from error
    return replace(
        clip, styles=styles, relit=relit, take=take, unshaded=unshaded, donors=donors, before=before
    )


def _donors(sample: dict[str, bytes], name: str, clear: bool) -> dict[str, Clip]:
    if "donor.json" not in sample:
        return {}
    # Whose lenses are clear is known of what they share with the clip's person, and that alone is asked for.
    clip = _seen_through(_frames(sample, f"{name}.donor", "donor", "donor.npy", "donor"), clear)
    kinds = _kinds(json.loads(sample["donor.json"]), clip)
    return {kind: _part(clip, kind, np.flatnonzero(kinds == kind)) for kind in set(kinds)}


def _before(sample: dict[str, bytes], name: str, after: Clip) -> dict[str, Clip]:
    if "before.json" not in sample:
        return {}
    about = json.loads(sample["before.json"])
    clip = _frames(sample, f"{name}.before", "before", "before.npy", "before")
    kinds, frames = _kinds(about, clip), np.array(about["frames"])
    parts = {}
    for kind in set(kinds) & after.masks.keys():  # what no frame shows is nobody's attribute
        chosen = np.flatnonzero(kinds == kind)
        part = _part(clip, kind, chosen)
        was = part.masks[kind]
        if kind == "glasses":  # each picture shows its own
            each = [_part(clip, kind, chosen[i : i + 1]) for i in range(len(chosen))]
            was = np.concatenate([_seen_through(one, _are_clear(one)).masks[kind] for one in each])
        parts[kind] = replace(part, masks={kind: was | after.masks[kind][frames[chosen]]}, lenses=None)
    return parts


def _kinds(about: dict, clip: Clip) -> np.ndarray:
    kinds = np.array(about["kinds"])
    if len(kinds) != len(clip.frames) or not set(kinds) <= ATTRIBUTE_LABELS.keys():
        raise ValueError(f"attributes {about['kinds']} of {len(clip.frames)} pictures")
    return kinds


def _part(clip: Clip, kind: str, chosen: Int[np.ndarray, " P"]) -> Clip:
    """Some of the frames, with one attribute's masks; nowhere where it is not worn."""
    mask = clip.masks.get(kind, np.zeros(clip.frames.shape[:3], bool))
    lenses = None if clip.lenses is None else clip.lenses[chosen]
    return Clip(clip.name, clip.frames[chosen], clip.landmarks[chosen], {kind: mask[chosen]}, lenses=lenses)


def _frames(sample: dict[str, bytes], name: str, prefix: str, points: str, image: str) -> Clip:
    label, surface = f"{prefix}label", f"{prefix}surface"
    count = sum(key.startswith(image) and key.endswith(".webp") for key in sample)
    frames = _pictures(sample, image, count)
    labels = np.stack([_image(sample[f"{label}{i:02d}.png"], cv2.IMREAD_UNCHANGED) for i in range(count)])
    landmarks = _array(sample[points]).astype(np.float32)
    masks = {attribute: attribute_region(labels, attribute) for attribute in ATTRIBUTE_LABELS}
    worn = {key: mask for key, mask in masks.items() if mask.any()}
    lenses = None
    if "glasses" in worn:
        lenses = _lenses(labels, worn["glasses"], frames, landmarks)
    places = None
    if f"{surface}00.png" in sample:
        places = np.stack(
            [_image(sample[f"{surface}{i:02d}.png"], cv2.IMREAD_UNCHANGED) for i in range(count)]
        )
    return Clip(name, frames, landmarks, worn, lenses=lenses, surface=places)


def _pictures(sample: dict[str, bytes], name: str, count: int) -> UInt8[np.ndarray, "F H W 3"]:
    return np.stack([_image(sample[f"{name}{i:02d}.webp"], cv2.IMREAD_COLOR_RGB) for i in range(count)])


def _lenses(
    labels: UInt8[np.ndarray, "F H W"],
    glasses: Bool[np.ndarray, "F H W"],
    frames: UInt8[np.ndarray, "F H W 3"],
    landmarks: Float[np.ndarray, "F 478 3"],
) -> Bool[np.ndarray, "F H W"]:
    """From labels that know of lenses; else, as of real videos, within the rims around the eyes."""
    known = labels >= LENS_BIT
    if known.any():
        return lens_region(labels)
    lenses = np.zeros_like(glasses)
    for index in np.flatnonzero(np.isfinite(landmarks).all((1, 2)) & glasses.any((1, 2))):
        lenses[index] = lens_openings(glasses[index].astype(np.float32), frames[index], landmarks[index])
    return lenses


def _are_clear(clip: Clip) -> bool:
    if clip.lenses is None:
        return False
    frames = clip.visible_frames()
    return are_clear([LensEvidence.of(clip.frames[i], clip.landmarks[i], clip.lenses[i]) for i in frames])


def _seen_through(clip: Clip, clear: bool) -> Clip:
    """Without what is seen through clear lenses in the mask of glasses."""
    if not clear or clip.lenses is None:
        return clip
    return replace(clip, masks={**clip.masks, "glasses": clip.masks["glasses"] & ~clip.lenses})


def _array(data: bytes) -> np.ndarray:
    return np.load(io.BytesIO(data), allow_pickle=False)


def _image(data: bytes, flag: int) -> np.ndarray:
    image = cv2.imdecode(np.frombuffer(data, np.uint8), flag)
    if image is None:
        raise ValueError("not an image")
    return image
