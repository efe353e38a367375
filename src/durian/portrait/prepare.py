"""From photos and a driving video to the model's inputs."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace

import numpy as np
from jaxtyping import Float, UInt8

from durian.errors import DurianError
from durian.portrait.attributes import check_attribute
from durian.portrait.face_choice import LARGEST, FaceChoice
from durian.portrait.inputs import AnimationInputs, Reference
from durian.portrait.landmarks import LandmarkDetector, MediaPipeLandmarks
from durian.portrait.masks import AttributeMasker, FallbackMasker
from durian.portrait.motion_transfer import MotionOptions
from durian.portrait.photo import Photo
from durian.portrait.pictures import PictureReader
from durian.portrait.portrait_mask import portrait_mask as unite_masks
from durian.portrait.retarget import bridge_gaps, retarget
from durian.portrait.smoothing import LandmarkSmoother
from durian.portrait.tracking import FaceTracker
from durian.portrait.views import View


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
        view_photos: photos of further pictures by their number, in the order of their references' `views`, by
            title: of the `portrait`, of `hair`, and of `then hair`, the other end of a blend.
        left_out: what is wrong with further pictures that are not used, a sentence each.
    """

    portrait: Reference
    attributes: dict[str, Reference]
    photo: Photo
    donors: dict[str, Photo]
    others: dict[str, Reference] | None = None
    portrait_to: Reference | None = None
    other_donors: Mapping[str, Photo] = field(default_factory=dict)
    view_photos: Mapping[str, Mapping[int, Photo]] = field(default_factory=dict)
    left_out: Sequence[str] = ()

    def worn(self) -> list[tuple[str, Photo, Reference]]:
        """Every picture of an attribute: its title, its photo, and what the model sees of it."""
        others = self.others or {}
        first = [(name, photo, self.attributes[name]) for name, photo in self.donors.items()]
        first += [(f"then {name}", photo, others[name]) for name, photo in self.other_donors.items()]
        return [each for title, photo, one in first for each in self._pictures(title, photo, one)]

    def portraits(self) -> list[tuple[str, Photo, Reference]]:
        """The same of the portrait."""
        return self._pictures("portrait", self.photo, self.portrait)

    def _pictures(self, title: str, photo: Photo, one: Reference) -> list[tuple[str, Photo, Reference]]:
        more = zip(self.view_photos.get(title, {}).items(), one.views, strict=True)
        numbered = ((f"{title}, picture {number}", other, view) for (number, other), view in more)
        return [(title, photo, one), *numbered]

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
    portrait_views: Sequence[View] = (),
    attribute_views: Mapping[str, Sequence[View]] | None = None,
    to_views: Mapping[str, Sequence[View]] | None = None,
    detector: LandmarkDetector | None = None,
    masker: AttributeMasker | None = None,
    require: bool = True,
) -> References:
    """Crop the photos, find landmarks and masks.

    Args:
        portrait_face: which of several faces in the portrait's photo.
        attribute_faces: and in the attributes' photos, by attribute name; the largest by default.
        to, to_masks: photos that some of the attributes are to be blended towards, and their masks.
        portrait_views: further pictures of the portrait, by the same camera: they are cropped as the first
            one, so that the background stays where it is.
        attribute_views, to_views: of the attributes' photos and of those of `to`, whoever took them.
        require: False lets attributes that are not found pass with the mask that there is, however empty.

    The other arguments and what it raises are those of `prepare`.
    """
    if not attributes:
        raise DurianError("no attribute was given: give a picture of hair, glasses, a beard or a hat")
    given, chosen = dict(attribute_masks or {}), dict(attribute_faces or {})
    ends, end_masks = dict(to or {}), dict(to_masks or {})
    more, more_ends = dict(attribute_views or {}), dict(to_views or {})
    for name in (*attributes, *given, *chosen, *ends, *end_masks, *more, *more_ends):
        check_attribute(name)
    for what, names, pictures in (
        ("a mask", given, attributes),
        ("a face", chosen, attributes),
        ("a picture to blend towards", ends, attributes),
        ("a mask to blend towards", end_masks, ends),
        ("a further picture", more, attributes),
        ("a further picture to blend towards", more_ends, ends),
    ):
        if stray := sorted(set(names) - set(pictures)):
            raise DurianError(f"{what} was given for {', '.join(stray)} but no picture: give both")

    with ExitStack() as stack:
        find_landmarks = detector or stack.enter_context(MediaPipeLandmarks())
        reader = PictureReader(size, find_landmarks, masker or stack.enter_context(FallbackMasker()), require)
        photo = reader.photo("the portrait", View(portrait, portrait_face))
        donors, other_donors, references, others = {}, {}, {}, {}
        view_photos: dict[str, Mapping[int, Photo]] = {}
        for name, image in attributes.items():
            face = chosen.get(name, LARGEST)
            donors[name] = reader.photo(f"the picture of the {name}", View(image, face))
            references[name], view_photos[name] = reader.attribute(
                name, donors[name], given.get(name), "--attribute-mask", more.get(name, ())
            )
        for name, image in ends.items():
            other_donors[name] = reader.photo(f"the second picture of the {name}", View(image))
            others[name], view_photos[f"then {name}"] = reader.attribute(
                name, other_donors[name], end_masks.get(name), "--to-mask", more_ends.get(name, ())
            )
        people = reader.portrait(photo, portrait_mask, references, portrait_views)
        view_photos["portrait"] = {each.number: each.photo for each in people[1:]}

    def masked(worn: Mapping[str, Reference]) -> Reference:
        first, *more = (
            each.masked(unite_masks(each.own, each.crops.landmarks, worn.values())) for each in people
        )
        return replace(first, views=tuple(more))

    result = References(
        masked(references), references, photo, donors, view_photos=view_photos, left_out=reader.left_out
    )
    if not ends:
        return result
    others = {**references, **others}
    return replace(result, others=others, portrait_to=masked(others), other_donors=other_donors)


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
