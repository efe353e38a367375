"""From photos and a driving video to the model's inputs."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass

import cv2
import numpy as np
from jaxtyping import Float, UInt8

from durian.errors import DurianError
from durian.portrait.attributes import check_attribute
from durian.portrait.crop import FaceCrop
from durian.portrait.inputs import AnimationInputs, Reference
from durian.portrait.landmarks import LandmarkDetector, MediaPipeLandmarks
from durian.portrait.masks import AttributeMasker, FallbackMasker
from durian.portrait.portrait_mask import portrait_mask as unite_masks
from durian.portrait.retarget import retarget

_MASKING_SIZE = 384  # attributes are searched in crops of at least this side, whatever the model's size
_LEAST = 0.002  # of the image must be the attribute


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
    progress: Callable[[int], None] | None = None,
) -> AnimationInputs:
    """Crop, find landmarks and masks, and retarget the motion.

    The portrait's mask is `M_port = M_init ∪ M_aligned` over all attributes (section 3.3), a little grown.

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
        detector: finds landmarks in photos and frames; MediaPipe by default.
        masker: finds attributes; person segmentation, landmark regions and colours by default.
        progress: called after each driving frame with the number of frames done.

    Raises:
        DurianError: no attribute, an unknown one, one that is not found in its photo, no face in a photo
            or in the whole video, no frames, or a mask that does not fit its photo.
    """
    if not attributes:
        raise DurianError("no attribute was given: give a picture of hair, glasses, a beard or a hat")
    given = dict(attribute_masks or {})
    for name in (*attributes, *given):
        check_attribute(name)
    if stray := sorted(set(given) - set(attributes)):
        raise DurianError(f"a mask was given for {', '.join(stray)} but no picture: give both")

    with ExitStack() as stack:
        find_landmarks = detector or stack.enter_context(MediaPipeLandmarks())
        find_mask = masker or stack.enter_context(FallbackMasker())
        person = _Photo.of(portrait, "the portrait", find_landmarks, size)
        references: dict[str, Reference] = {}
        for name, image in attributes.items():
            donor = _Photo.of(image, f"the picture of the {name}", find_landmarks, size)
            mask = donor.own(given[name]) if name in given else donor.find(name, find_mask)
            if mask.mean() < _LEAST:
                raise DurianError(
                    f"no {name} was found in {donor.title}: choose another picture, or say where it is with "
                    f"--attribute-mask {name}=FILE (white where the {name} is, black elsewhere)"
                )
            references[name] = Reference(donor.image, mask, donor.landmarks)
        if portrait_mask is not None:
            own = person.own(portrait_mask)
        else:
            own = np.max([person.find(name, find_mask) for name in references], axis=0)
        # The video's detector follows one face from frame to frame, the photos' must not.
        find_in_video = detector or stack.enter_context(MediaPipeLandmarks(static=False))
        motion = driving_landmarks(driving, find_in_video, progress)

    return AnimationInputs(
        portrait=Reference(
            person.image, unite_masks(own, person.landmarks, references.values()), person.landmarks
        ),
        attributes=references,
        keypoints=retarget(motion, person.landmarks),
        fps=fps,
    )


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
class _Photo:
    """A photo's crop at the model's size, and a finer one to find attributes in."""

    title: str  # for messages
    crop: FaceCrop
    image: UInt8[np.ndarray, "size size 3"]
    landmarks: Float[np.ndarray, "478 3"]
    fine_image: UInt8[np.ndarray, "fine fine 3"]
    fine_landmarks: Float[np.ndarray, "478 3"]

    @classmethod
    def of(cls, photo: np.ndarray, title: str, detector: LandmarkDetector, size: int) -> _Photo:
        landmarks = detector(photo)
        if landmarks is None:
            raise DurianError(f"no face was found in {title}: choose one that shows a face from the front")
        crop = FaceCrop.from_landmarks(landmarks, size, photo.shape)
        fine = FaceCrop.from_landmarks(landmarks, max(size, _MASKING_SIZE), photo.shape)
        return cls(
            title, crop, crop.apply(photo), crop.points(landmarks), fine.apply(photo), fine.points(landmarks)
        )

    def own(self, mask: np.ndarray) -> np.ndarray:
        """A mask of the whole photo, cropped."""
        if mask.shape != self.crop.source_size:
            raise DurianError(
                f"the mask of {self.title} must have its size, {_size_text(self.crop.source_size)}"
            )
        return self.crop.apply_mask(mask.astype(np.float32))

    def find(self, name: str, masker: AttributeMasker) -> np.ndarray:
        mask = masker(self.fine_image, self.fine_landmarks, name)
        return cv2.resize(mask, (self.crop.size, self.crop.size), interpolation=cv2.INTER_AREA)


def _size_text(shape: tuple[int, int]) -> str:
    return f"{shape[1]}×{shape[0]} pixels"
