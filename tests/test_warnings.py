"""Warnings about inputs: each where it belongs, and none where all is well."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest

from durian.portrait.crop import FaceCrop
from durian.portrait.geometry import face_template
from durian.portrait.inputs import Reference
from durian.portrait.photo import Photo
from durian.portrait.prepare import References
from durian.portrait.warnings import (
    driving_warnings,
    gap_warnings,
    light_warnings,
    mask_warnings,
    photo_warnings,
    reference_warnings,
)

SIZE = 64


def face(scale: float = 60, x: float = 150, y: float = 130, yaw: float = 0, pitch: float = 7) -> np.ndarray:
    """The mean face in a picture; a pitch of 7° looks straight ahead (`durian.portrait.head_pose`)."""
    turns = (np.array([0, -yaw, 0.0]), np.array([pitch, 0, 0.0]))
    about_y, about_x = (cv2.Rodrigues(np.radians(turn))[0] for turn in turns)
    return (scale * face_template() @ (about_y @ about_x).T + (x, y, 0)).astype(np.float32)


def picture(blur: float = 0) -> np.ndarray:
    """Blotches as fine as a face's features."""
    noise = np.random.default_rng(0).normal(0, 1, (300, 300)).astype(np.float32)
    blotches = cv2.GaussianBlur(noise, (0, 0), 1.5 + blur)
    return np.repeat(np.clip(128 + 40 * blotches / blotches.std(), 0, 255).astype(np.uint8)[..., None], 3, 2)


def photo(landmarks: np.ndarray | None = None, size: int = SIZE, blur: float = 0, **more) -> Photo:
    landmarks = face() if landmarks is None else landmarks
    image = picture(blur)
    crop = FaceCrop.from_landmarks(landmarks, size, image.shape)
    return Photo("the portrait", image, landmarks, crop, **more)


def test_a_good_photo_has_no_warnings() -> None:
    assert photo_warnings(photo(rivals=(face(), face(10, 20, 20)))) == []


@pytest.mark.parametrize(
    ("spoiled", "words"),
    [
        (photo(face(8), size=128), "too small: 8 pixels from eye to eye, and the model works with 36"),
        (photo(blur=6), "blurred"),
        (photo(face(yaw=55)), "turned 5.° to the right"),
        (photo(face(yaw=-55)), "turned 5.° to the left"),
        (photo(face(pitch=7 + 40)), "turned .*° down"),
        (photo(face(pitch=7 - 40)), "turned .*° up"),
        (photo(face(x=20)), "cut off"),
        (photo(rivals=(face(), face(50, 40, 40))), "2 faces .* the one at"),
    ],
)
def test_each_spoiled_photo_has_its_warning(spoiled: Photo, words: str) -> None:
    found = photo_warnings(spoiled)
    assert len(found) == 1, found
    with pytest.raises(ValueError, match=words):
        raise ValueError(found[0])


def box(top: int, bottom: int, left: int, right: int) -> np.ndarray:
    mask = np.zeros((SIZE, SIZE), np.float32)
    mask[top:bottom, left:right] = 1
    return mask


def test_masks_of_the_usual_size_have_no_warnings() -> None:
    assert mask_warnings("hair", box(8, 30, 15, 50)) == []
    assert mask_warnings("hair", box(8, 64, 15, 50)) == [], "long hair falls over the shoulders"
    assert mask_warnings("glasses", box(26, 34, 18, 46)) == []


def test_masks_too_small_and_too_large() -> None:
    (missing,) = mask_warnings("hair", box(10, 14, 30, 34))
    assert "0.4%" in missing
    assert "--attribute-mask hair=FILE" in missing
    (everywhere,) = mask_warnings("glasses", box(10, 50, 10, 50))
    assert "39%" in everywhere


def test_glasses_are_as_large_as_what_their_rims_enclose() -> None:
    rims = box(28, 34, 20, 30) - box(29, 33, 21, 29)
    assert rims.mean() < 0.008
    assert mask_warnings("glasses", rims) == []
    assert len(mask_warnings("glasses", box(28, 29, 20, 48))) == 1
    (everywhere,) = mask_warnings("glasses", box(10, 50, 10, 50) - box(11, 49, 11, 49))
    assert "39%" in everywhere


def test_masks_that_are_cut_off() -> None:
    (top,) = mask_warnings("hat", box(0, 20, 15, 50))
    assert "touches the top of the picture" in top
    (sides,) = mask_warnings("hair", box(5, 40, 0, 64))
    assert "the left and the right" in sides


def test_a_mask_is_cut_off_where_the_photo_ends_inside_the_crop() -> None:
    crop = FaceCrop.from_landmarks(face(), SIZE, (180, 300))  # the photo ends below the chin
    end = int(crop.points(np.array([[0.0, 180.0]]))[0, 1])
    assert end < SIZE - 4
    assert mask_warnings("hair", box(8, end - 6, 15, 50), crop) == []
    (cut,) = mask_warnings("hair", box(8, end, 15, 50), crop)
    assert "touches the bottom" in cut


def test_heads_turned_far_apart() -> None:
    assert gap_warnings("hair", face(yaw=25), face(yaw=-25)) == []
    (far,) = gap_warnings("hair", face(yaw=35), face(yaw=-35))
    assert "are turned 7" in far
    assert gap_warnings("hair", face(yaw=10), face(yaw=10)) == []


def test_driving_frames_without_a_face() -> None:
    assert driving_warnings(np.ones(10, bool)) == []
    (few,) = driving_warnings(np.arange(10) != 4)
    assert few.startswith("1 of the driving video's 10 frames")
    assert "choose" not in few
    (many,) = driving_warnings(np.arange(10) > 4)
    assert "choose a part" in many


def test_all_of_the_references() -> None:
    donors = {"hair": photo(face(yaw=45)), "glasses": photo()}
    masks = {"hair": box(8, 30, 15, 50), "glasses": box(30, 31, 30, 31)}
    attributes = {
        name: Reference(np.zeros((SIZE, SIZE, 3), np.uint8), mask, face()) for name, mask in masks.items()
    }
    portrait = Reference(np.zeros((SIZE, SIZE, 3), np.uint8), box(8, 30, 15, 50), face())
    references = References(
        portrait, attributes, photo(face(yaw=-45)), donors, left_out=["a picture is left out"]
    )
    found = reference_warnings(references)
    assert [text.split(":")[0].split(" covers")[0] for text in found] == [
        "the face in the portrait is turned 45° to the left",
        "the face in the portrait is turned 45° to the right",
        "the heads of the portrait and of the picture of the hair are turned 90° apart",
        "the mask of the glasses",
        "a picture is left out",
    ]


def test_of_a_portrait_in_two_lights() -> None:
    first = photo()
    brighter = replace(first, image=np.clip(first.image * 1.25, 0, 255).astype(np.uint8))
    warmer = replace(first, image=(first.image * [1, 1, 0.8]).astype(np.uint8))
    alike = replace(first, image=(first.image * 0.95).astype(np.uint8))
    assert light_warnings(first, [first, alike]) == []
    for other in (brighter, warmer):
        (text,) = light_warnings(first, [alike, other])
        assert "is in another light than the first" in text
