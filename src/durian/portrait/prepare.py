"""From photos and a driving video to the model's inputs."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field, replace

import cv2
import numpy as np
from jaxtyping import Float, UInt8

from durian.errors import DurianError
from durian.portrait.attributes import check_attribute
from durian.portrait.crop import FaceCrop
from durian.portrait.face_choice import LARGEST, FaceChoice
from durian.portrait.inputs import AnimationInputs, Reference
from durian.portrait.landmarks import LandmarkDetector, MediaPipeLandmarks
from durian.portrait.lenses import attribute_alone
from durian.portrait.masks import AttributeMasker, FallbackMasker
from durian.portrait.motion_transfer import MotionOptions
from durian.portrait.photo import Photo
from durian.portrait.portrait_mask import portrait_mask as unite_masks
from durian.portrait.retarget import bridge_gaps, retarget
from durian.portrait.smoothing import LandmarkSmoother
from durian.portrait.tracking import FaceTracker

_MASKING_SIZE = 384  # attributes are searched in crops of at least this side, whatever the model's size
_LEAST = 0.002  # of the image must be the attribute


@dataclass(frozen=True)
class References:
    """The portrait and the attributes as the model sees them.

    Attributes:
        portrait: with `M_port = M_init ∪ M_aligned` over `attributes` (section 3.3), a little grown.
        attributes: by attribute name.
        photo: the portrait's; `photo.crop` is where its square lies in it.
        donors: the attributes' photos, by attribute name.
        others: all attributes as they are at the other end of a blend (section 3.4); None without one.
        portrait_to: the portrait with `M_port` over `others`; likewise.
        other_donors: the photos of those that change.
    """

    portrait: Reference
    attributes: dict[str, Reference]
    photo: Photo
    donors: dict[str, Photo]
    others: dict[str, Reference] | None = None
    portrait_to: Reference | None = None
    other_donors: Mapping[str, Photo] = field(default_factory=dict)

    def worn(self) -> list[tuple[str, Photo, Reference]]:
        """Every picture of an attribute: its title, its photo, and what the model sees of it."""
        first = [(name, photo, self.attributes[name]) for name, photo in self.donors.items()]
        others = self.others or {}
        return first + [(f"then {name}", photo, others[name]) for name, photo in self.other_donors.items()]

    def animated(self, keypoints: Float[np.ndarray, "F 478 3"], fps: float) -> AnimationInputs:
        """With a motion: landmarks in pixels of the crop."""
        return AnimationInputs(self.portrait, self.attributes, keypoints, fps)


def prepare(
    portrait: UInt8[np.ndarray, "H W 3"],
    attributes: Mapping[str, UInt8[np.ndarray, "H W 3"]],
    driving: Iterable[UInt8[np.ndarray, "H W 3"]],
    *,
    size: int,
    fps: float = 25.0,
    attribute_masks: Mapping[str, Float[np.ndarray, "H W"]] | None = None,
    portrait_mask: Float[np.ndarray, "H W"] | None = None,
    detector: LandmarkDetector | None = None,
    masker: AttributeMasker | None = None,
    motion: MotionOptions | None = None,
    progress: Callable[[int], None] | None = None,
) -> AnimationInputs:
    """Crop, find landmarks and masks, and retarget the motion: `prepare_references` and `prepare_motion`.

    Args:
        portrait: photo of the person to animate.
        attributes: photos of people who wear what the portrait's person shall wear, by attribute name.
        driving: frames of the driving video; read once, one at a time, only landmarks are kept.
        size: side of the model's images in pixels.
        fps: frames a second of the driving video.
        attribute_masks: by attribute name, where the attribute is, in pixels of its whole photo; what is
            missing is found by `masker`.
        portrait_mask: where the portrait wears such attributes itself (`M_init`), in pixels of its whole
            photo; found by `masker` when missing.
        detector: finds landmarks in photos and frames; MediaPipe by default, which follows one face through
            the video.
        masker: finds attributes; person segmentation, landmark regions and colours by default.
        motion: what of the driver's motion is taken over.
        progress: called after each driving frame with the number of frames done.

    Raises:
        DurianError: no attribute, an unknown one, one that is not found in its photo, no face in a photo
            or in the whole video, no frames, or a mask that does not fit its photo.
    """
    references = prepare_references(
        portrait,
        attributes,
        size=size,
        attribute_masks=attribute_masks,
        portrait_mask=portrait_mask,
        detector=detector,
        masker=masker,
    )
    keypoints = prepare_motion(
        driving, references.portrait.landmarks, detector=detector, options=motion, fps=fps, progress=progress
    )
    return references.animated(keypoints, fps)


def prepare_references(
    portrait: UInt8[np.ndarray, "H W 3"],
    attributes: Mapping[str, UInt8[np.ndarray, "H W 3"]],
    *,
    size: int,
    attribute_masks: Mapping[str, Float[np.ndarray, "H W"]] | None = None,
    portrait_mask: Float[np.ndarray, "H W"] | None = None,
    portrait_face: FaceChoice = LARGEST,
    attribute_faces: Mapping[str, FaceChoice] | None = None,
    to: Mapping[str, UInt8[np.ndarray, "H W 3"]] | None = None,
    to_masks: Mapping[str, Float[np.ndarray, "H W"]] | None = None,
    detector: LandmarkDetector | None = None,
    masker: AttributeMasker | None = None,
    require: bool = True,
) -> References:
    """Crop the photos, find landmarks and masks.

    Args:
        portrait_face: which of several faces in the portrait's photo.
        attribute_faces: and in the attributes' photos, by attribute name; the largest by default.
        to, to_masks: photos that some of the attributes are to be blended towards, and their masks.
        require: False lets attributes that are not found pass with the mask that there is, however empty.

    The other arguments and what it raises are those of `prepare`.
    """
    if not attributes:
        raise DurianError("no attribute was given: give a picture of hair, glasses, a beard or a hat")
    given, chosen = dict(attribute_masks or {}), dict(attribute_faces or {})
    ends, end_masks = dict(to or {}), dict(to_masks or {})
    for name in (*attributes, *given, *chosen, *ends, *end_masks):
        check_attribute(name)
    for what, names, pictures in (
        ("a mask", given, attributes),
        ("a face", chosen, attributes),
        ("a picture to blend towards", ends, attributes),
        ("a mask to blend towards", end_masks, ends),
    ):
        if stray := sorted(set(names) - set(pictures)):
            raise DurianError(f"{what} was given for {', '.join(stray)} but no picture: give both")

    with ExitStack() as stack:
        find_landmarks = detector or stack.enter_context(MediaPipeLandmarks())
        find_mask = masker or stack.enter_context(FallbackMasker())
        photo = Photo.find("the portrait", portrait, size, find_landmarks, portrait_face)
        person, donors, other_donors = _Crops.of(photo), {}, {}

        def read(name: str, photo: Photo, mask: np.ndarray | None, option: str) -> Reference:
            donor = _Crops.of(photo)
            fine = donor.find(name, find_mask) if mask is None else donor.given(mask)
            if require and fine.mean() < _LEAST:
                raise DurianError(
                    f"no {name} was found in {photo.title}: choose another picture, or say where it is with "
                    f"{option} {name}=FILE (white where the {name} is, black elsewhere)"
                )
            return Reference(donor.image, donor.shrunk(name, fine), donor.landmarks)

        references: dict[str, Reference] = {}
        for name, image in attributes.items():
            title, face = f"the picture of the {name}", chosen.get(name, LARGEST)
            donors[name] = Photo.find(title, image, size, find_landmarks, face)
            references[name] = read(name, donors[name], given.get(name), "--attribute-mask")
        others = dict(references)
        for name, image in ends.items():
            title = f"the second picture of the {name}"
            other_donors[name] = Photo.find(title, image, size, find_landmarks)
            others[name] = read(name, other_donors[name], end_masks.get(name), "--to-mask")
        if portrait_mask is not None:
            own = person.own(portrait_mask)
        else:
            own = np.max([person.shrunk(name, person.find(name, find_mask)) for name in references], axis=0)

    def masked(worn: Mapping[str, Reference]) -> Reference:
        mask = unite_masks(own, person.landmarks, worn.values())
        return Reference(person.image, mask, person.landmarks)

    if not ends:
        return References(masked(references), references, photo, donors)
    return References(masked(references), references, photo, donors, others, masked(others), other_donors)


def prepare_motion(
    driving: Iterable[UInt8[np.ndarray, "H W 3"]],
    portrait: Float[np.ndarray, "478 3"],
    *,
    face: FaceChoice = LARGEST,
    options: MotionOptions | None = None,
    detector: LandmarkDetector | None = None,
    fps: float = 25.0,
    smoothing: float = 1.0,
    progress: Callable[[int], None] | None = None,
) -> Float[np.ndarray, "F 478 3"]:
    """The portrait's landmarks, moved as the driver moves.

    Args:
        driving: frames of the driving video.
        portrait: the portrait's landmarks, in pixels of the output.
        face: whose motion, where the video shows several people.
        options: what of the motion is taken over.
        detector: finds one face in each frame; by default one is chosen and followed, see `FaceTracker`.
        fps: frames a second of the driving video.
        smoothing: how steady the landmarks are made, see `LandmarkSmoother`; 0 leaves them as they are found.
        progress: called after each frame with the number of frames done.

    Raises:
        DurianError: no frames, or no face in any.
    """
    motion = driver_motion(
        driving, face=face, detector=detector, fps=fps, smoothing=smoothing, progress=progress
    )
    return motion_on_portrait(motion, portrait, options)


def motion_on_portrait(
    motion: Float[np.ndarray, "F 478 3"],
    portrait: Float[np.ndarray, "478 3"],
    options: MotionOptions | None = None,
) -> Float[np.ndarray, "F 478 3"]:
    """The portrait's landmarks, moved as the driver moves, or as a still shows it.

    A still cannot move relative to itself: the head is turned as in it, whatever the options say.
    """
    options = options or MotionOptions()
    if len(motion) == 1:
        options = replace(options, absolute=True)
    return retarget(motion, portrait, options=options)


def driver_motion(
    driving: Iterable[UInt8[np.ndarray, "H W 3"]],
    *,
    face: FaceChoice = LARGEST,
    detector: LandmarkDetector | None = None,
    fps: float = 25.0,
    smoothing: float = 1.0,
    progress: Callable[[int], None] | None = None,
) -> Float[np.ndarray, "F 478 3"]:
    """The landmarks of a driver, in pixels of the video, gaps bridged and steadied.

    The arguments and what it raises are those of `prepare_motion`.
    """
    with ExitStack() as stack:
        find = detector or stack.enter_context(FaceTracker(face))
        found = driving_landmarks(driving, find, progress)
    if face.index is not None and face.index > 1 and np.isnan(found).all():
        raise DurianError(f"no frame of the driving video shows {face.index} faces: choose another one")
    motion = bridge_gaps(found)
    smoother = LandmarkSmoother(fps, smoothing)
    return np.stack([smoother(frame) for frame in motion])


def driving_landmarks(
    frames: Iterable[UInt8[np.ndarray, "H W 3"]],
    detector: LandmarkDetector,
    progress: Callable[[int], None] | None = None,
) -> Float[np.ndarray, "F 478 3"]:
    """Landmarks of every frame of a video, in its pixels; NaN where there is no face.

    Motion transfer does not depend on where and how large the driver is, so the frames need no crop.
    """
    found = []
    for count, frame in enumerate(frames, 1):
        landmarks = detector(frame)
        found.append(np.full((478, 3), np.nan, np.float32) if landmarks is None else landmarks)
        if progress is not None:
            progress(count)
    if not found:
        raise DurianError("the driving video has no frames")
    return np.stack(found)


@dataclass(frozen=True)
class _Crops:
    """A photo's crop at the model's size, and a finer one to find attributes in."""

    photo: Photo
    image: UInt8[np.ndarray, "size size 3"]
    landmarks: Float[np.ndarray, "478 3"]
    fine_crop: FaceCrop
    fine_image: UInt8[np.ndarray, "fine fine 3"]
    fine_landmarks: Float[np.ndarray, "478 3"]

    @classmethod
    def of(cls, photo: Photo) -> _Crops:
        crop, points = photo.crop, photo.landmarks
        fine = FaceCrop.from_landmarks(points, max(crop.size, _MASKING_SIZE), photo.image.shape)
        return cls(
            photo,
            crop.apply(photo.image),
            crop.points(points),
            fine,
            fine.apply(photo.image),
            fine.points(points),
        )

    def own(self, mask: np.ndarray) -> np.ndarray:
        """A mask of the whole photo, cropped."""
        return self._cropped(mask, self.photo.crop)

    def find(self, name: str, masker: AttributeMasker) -> np.ndarray:
        """An attribute's mask in the finer crop."""
        return masker(self.fine_image, self.fine_landmarks, name)

    def given(self, mask: np.ndarray) -> np.ndarray:
        """A mask of the whole photo in the finer crop."""
        return self._cropped(mask, self.fine_crop)

    def _cropped(self, mask: np.ndarray, crop: FaceCrop) -> np.ndarray:
        if mask.shape != crop.source_size:
            raise DurianError(
                f"the mask of {self.photo.title} must have its size, {_size_text(crop.source_size)}"
            )
        return crop.apply_mask(mask.astype(np.float32))

    def shrunk(self, name: str, mask: np.ndarray) -> np.ndarray:
        """What of an attribute's mask in the finer crop is the attribute, at the model's size."""
        mask, size = attribute_alone(name, mask, self.fine_image, self.fine_landmarks), self.photo.crop.size
        return cv2.resize(mask, (size, size), interpolation=cv2.INTER_AREA)


def _size_text(shape: tuple[int, int]) -> str:
    return f"{shape[1]}×{shape[0]} pixels"
