"""The model's inputs, and what is likely to be wrong with them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, UInt8

from durian.portrait.aligner import align_mask
from durian.portrait.face_choice import LARGEST, FaceChoice
from durian.portrait.masks import AttributeMasker
from durian.portrait.prepare import References, prepare_motion, prepare_references
from durian.portrait.tracking import FaceTracker
from durian.portrait.views import View
from durian.portrait.warnings import SeenFrames, driving_warnings, reference_warnings


@dataclass(frozen=True)
class Inspection:
    """What `durian animate` would give the model.

    Attributes:
        references: the photos, and what the model sees of them.
        aligned: the mask of each picture of an attribute where the portrait will wear it, by the titles of
            `References.worn`.
        keypoints: the driver's motion on the portrait's face, in pixels of the model.
        seen: in which frames the driver's face was found.
        warnings: a sentence each.
    """

    references: References
    aligned: dict[str, Float[np.ndarray, "S S"]]
    keypoints: Float[np.ndarray, "F 478 3"]
    seen: Bool[np.ndarray, " F"]
    warnings: list[str]


def inspect_inputs(
    portrait: UInt8[np.ndarray, "H W 3"],
    attributes: Mapping[str, UInt8[np.ndarray, "H W 3"]],
    driving: Iterable[UInt8[np.ndarray, "H W 3"]],
    *,
    size: int,
    fps: float = 25.0,
    attribute_masks: Mapping[str, Float[np.ndarray, "H W"]] | None = None,
    portrait_mask: Float[np.ndarray, "H W"] | None = None,
    portrait_face: FaceChoice = LARGEST,
    attribute_faces: Mapping[str, FaceChoice] | None = None,
    to: Mapping[str, UInt8[np.ndarray, "H W 3"]] | None = None,
    to_masks: Mapping[str, Float[np.ndarray, "H W"]] | None = None,
    portrait_views: Sequence[View] = (),
    attribute_views: Mapping[str, Sequence[View]] | None = None,
    to_views: Mapping[str, Sequence[View]] | None = None,
    driving_face: FaceChoice = LARGEST,
    masker: AttributeMasker | None = None,
    progress: Callable[[int], None] | None = None,
) -> Inspection:
    """Prepare inputs as for an animation, and judge them.

    Arguments and errors are those of `prepare_references` and `prepare_motion`, but an attribute that is not
    found is a warning.
    """
    references = prepare_references(
        portrait,
        attributes,
        size=size,
        attribute_masks=attribute_masks,
        portrait_mask=portrait_mask,
        portrait_face=portrait_face,
        attribute_faces=attribute_faces,
        to=to,
        to_masks=to_masks,
        portrait_views=portrait_views,
        attribute_views=attribute_views,
        to_views=to_views,
        masker=masker,
        require=False,
    )
    with FaceTracker(driving_face) as tracker:
        watch = SeenFrames(tracker)
        keypoints = prepare_motion(
            driving,
            references.portrait.landmarks,
            face=driving_face,
            detector=watch,
            fps=fps,
            progress=progress,
        )
    target = references.portrait.landmarks
    return Inspection(
        references=references,
        aligned={
            title: align_mask(each.mask, each.landmarks, target, size) for title, _, each in references.worn()
        },
        keypoints=keypoints,
        seen=watch.seen,
        warnings=reference_warnings(references) + driving_warnings(watch.seen),
    )
