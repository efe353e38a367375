"""What is likely to spoil an animation, in words, before anyone waits for it."""

from __future__ import annotations

from collections.abc import Iterable

import cv2
import numpy as np
from jaxtyping import Float, UInt8

from durian.portrait.crop import EYE_DISTANCE, FaceCrop
from durian.portrait.head_pose import head_pose
from durian.portrait.keypoints import FACE_OVAL
from durian.portrait.landmarks import LandmarkDetector
from durian.portrait.photo import Photo
from durian.portrait.prepare import References
from durian.portrait.sharpness import face_sharpness

_ENLARGED = 2.0  # a face this much smaller than the model's is blurred by enlarging it
_YAW, _PITCH = 40.0, 25.0  # degrees; beyond them landmarks and masks are guesses
_GAP = 60.0  # degrees between the heads, up to which the Face Aligner has been measured
_SHARPNESS = 0.008  # see `sharpness`; photos of faces in focus have more
_RIVAL = 0.5  # a face of this part of the chosen one's size may have been meant
_BORDER = 0.03  # of a side where the photo ends are covered by what is cut off there
_FRAMED = 0.2  # and of a side of the crop, beyond which the photo goes on unseen
_LEAST = {"hair": 0.02, "glasses": 0.008, "beard": 0.004, "hat": 0.02}  # of the crop
_MOST = {"hair": 0.7, "glasses": 0.15, "beard": 0.25, "hat": 0.6}
_LIGHT = 0.13  # of a face's colours, as a difference of logarithms: in one light few pictures differ by more
_UNSEEN = 0.2  # of the driver's frames without a face leave too little motion


class SeenFrames:
    """A detector of a driving video's face that keeps count of the frames in which it found one."""

    def __init__(self, detector: LandmarkDetector) -> None:
        self._detector, self._seen = detector, []

    def __call__(self, image: UInt8[np.ndarray, "H W 3"]) -> Float[np.ndarray, "478 3"] | None:
        landmarks = self._detector(image)
        self._seen.append(landmarks is not None)
        return landmarks

    @property
    def seen(self) -> np.ndarray:
        """A boolean for each frame."""
        return np.array(self._seen, bool)


def photo_warnings(photo: Photo) -> list[str]:
    """Of the size, sharpness, pose and place of a face, and of others beside it."""
    return [
        text
        for text in (_small(photo), _blurred(photo), _turned(photo), _beyond(photo), _several(photo))
        if text
    ]


def mask_warnings(
    attribute: str, mask: Float[np.ndarray, "S S"], crop: FaceCrop | None = None, second: bool = False
) -> list[str]:
    """Of an attribute's mask in its crop: too little, too much, or cut off where the picture ends.

    Args:
        second: whether it is of the picture that the attribute is blended towards.
    """
    title, option = f"the mask of the {attribute}", "--attribute-mask"
    if second:
        title, option = f"{title} in its second picture", "--to-mask"
    share = float(_whole(attribute, mask).mean())
    found = []
    if share < _LEAST[attribute]:
        found.append(
            f"{title} covers {share:.1%} of the picture: is the {attribute} there? "
            f"If so, give {option} {attribute}=FILE"
        )
    if share > _MOST[attribute]:
        found.append(
            f"{title} covers {share:.0%} of the picture, more than {attribute} usually does: "
            f"give {option} {attribute}=FILE"
        )
    if sides := _cut_sides(mask, crop):
        found.append(
            f"{title} touches the {' and the '.join(sides)} of the picture: what is cut off there "
            "will be guessed"
        )
    return found


def gap_warnings(
    attribute: str,
    donor: Float[np.ndarray, "478 3"],
    portrait: Float[np.ndarray, "478 3"],
    second: bool = False,
) -> list[str]:
    """Of a donor's head that is turned far away from the portrait's."""
    gap = head_pose(donor).angle_to(head_pose(portrait))
    if gap <= _GAP:
        return []
    picture = "second picture" if second else "picture"
    return [
        f"the heads of the portrait and of the {picture} of the {attribute} are turned {gap:.0f}° apart: "
        f"what the latter does not show of the {attribute} will be guessed"
    ]


def driving_warnings(seen: np.ndarray) -> list[str]:
    """Of frames of the driving video without a face.

    Args:
        seen: a boolean for each frame.
    """
    missing, frames = int((~seen).sum()), len(seen)
    if not missing:
        return []
    text = f"{missing} of the driving video's {frames} frames show no face: the motion is bridged there"
    if missing > _UNSEEN * frames:
        text += "; choose a part or a video in which the face is always seen"
    return [text]


def light_warnings(portrait: Photo, others: Iterable[Photo]) -> list[str]:
    """Of further pictures of the portrait in another light than the first."""
    usual = _skin(portrait)
    return [
        f"{other.title} is in another light than the first: faces come out between the two; leave it out"
        for other in others
        if np.abs(np.log(_skin(other) / usual)).max() > _LIGHT
    ]


def reference_warnings(references: References) -> list[str]:
    """All of the above that concern the photos, and what is wrong with those that were left out."""
    portrait = references.photo
    found = photo_warnings(portrait)
    ends = (
        (references.donors, references.attributes, False),
        (
            references.other_donors,
            references.others or {},
            True,
        ),
    )
    for photos, seen, second in ends:
        for name, donor in photos.items():
            found += photo_warnings(donor)
            found += mask_warnings(name, seen[name].mask, donor.crop, second)
            found += gap_warnings(name, donor.landmarks, portrait.landmarks, second)
    found += light_warnings(portrait, references.view_photos.get("portrait", {}).values())
    return found + list(references.left_out)


def _skin(photo: Photo) -> Float[np.ndarray, " 3"]:
    """The face's usual colour, above 0."""
    inside = np.zeros(photo.image.shape[:2], np.uint8)
    cv2.fillPoly(inside, [np.round(photo.landmarks[list(FACE_OVAL), :2]).astype(np.int32)], 1)
    return np.median(photo.image[inside > 0], axis=0) + 1.0 if inside.any() else np.ones(3)


def _small(photo: Photo) -> str | None:
    eyes, needed = head_pose(photo.landmarks).scale, EYE_DISTANCE * photo.crop.size
    if eyes * _ENLARGED > needed:
        return None
    return (
        f"the face in {photo.title} is too small: {eyes:.0f} pixels from eye to eye, "
        f"and the model works with {needed:.0f}"
    )


def _blurred(photo: Photo) -> str | None:
    if face_sharpness(photo.image, photo.landmarks) >= _SHARPNESS:
        return None
    return f"the face in {photo.title} is blurred: details that the picture does not have cannot be kept"


def _turned(photo: Photo) -> str | None:
    pose = head_pose(photo.landmarks)
    if abs(pose.yaw) <= _YAW and abs(pose.pitch) <= _PITCH:
        return None
    ways = []
    if abs(pose.yaw) > _YAW:
        ways.append(f"{abs(pose.yaw):.0f}° to the {'right' if pose.yaw > 0 else 'left'}")
    if abs(pose.pitch) > _PITCH:
        ways.append(f"{abs(pose.pitch):.0f}° {'down' if pose.pitch > 0 else 'up'}")
    return (
        f"the face in {photo.title} is turned {' and '.join(ways)}: "
        "a picture from nearer the front gives a better result"
    )


def _beyond(photo: Photo) -> str | None:
    height, width = photo.image.shape[:2]
    x, y = photo.landmarks[:, 0], photo.landmarks[:, 1]
    if x.min() >= 0 and y.min() >= 0 and x.max() <= width and y.max() <= height:
        return None
    return f"the face in {photo.title} is cut off by the picture's edge"


def _several(photo: Photo) -> str | None:
    size = head_pose(photo.landmarks).scale
    others = sum(head_pose(face).scale > _RIVAL * size for face in photo.rivals) - 1
    if others < 1:
        return None
    middle = photo.landmarks[:, :2].mean(0)
    return (
        f"{photo.title} shows {others + 1} faces of about the same size: "
        f"the one at {middle[0]:.0f},{middle[1]:.0f} was taken"
    )


def _whole(attribute: str, mask: Float[np.ndarray, "S S"]) -> Float[np.ndarray, "S S"]:
    """With what rims enclose, which is no part of the mask where lenses are clear."""
    if attribute != "glasses":
        return mask
    outlines, _ = cv2.findContours((mask > 0.5).astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    filled = cv2.drawContours(np.zeros(mask.shape, np.uint8), outlines, -1, 1, cv2.FILLED)
    return np.maximum(mask, filled.astype(np.float32))


def _cut_sides(mask: Float[np.ndarray, "S S"], crop: FaceCrop | None) -> list[str]:
    """Sides where the photo, or much of the mask at the crop's own border, ends before the mask does."""
    size = len(mask)
    low, high = np.zeros(2), np.full(2, float(size))
    if crop is not None:
        corners = crop.points(np.array([[0.0, 0.0], crop.source_size[::-1]]))
        low, high = np.maximum(low, corners[0]), np.minimum(high, corners[1])
    left, top = np.clip(np.ceil(low).astype(int) + 1, 0, size - 1)
    right, bottom = np.clip(np.floor(high).astype(int) - 2, 0, size - 1)
    lines = {
        "top": (mask[top], top == 1),
        "bottom": (mask[bottom], bottom == size - 2),
        "left": (mask[:, left], left == 1),
        "right": (mask[:, right], right == size - 2),
    }
    # Every crop ends at the shoulders, over which long hair falls: there the bottom does not count.
    return [
        side
        for side, (line, framed) in lines.items()
        if not (framed and side == "bottom") and (line > 0.5).mean() > (_FRAMED if framed else _BORDER)
    ]
