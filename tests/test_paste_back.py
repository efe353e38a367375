"""Results put back into the whole photo."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from durian.portrait.crop import FaceCrop
from durian.portrait.geometry import face_template
from durian.portrait.paste_back import PasteBack


def photo(height: int = 300, width: int = 400, seed: int = 0) -> np.ndarray:
    """Smooth colours with some texture."""
    rng = np.random.default_rng(seed)
    coarse = cv2.resize(rng.integers(40, 215, (6, 8, 3)).astype(np.uint8), (width, height), None, 0, 0, 2)
    return np.clip(coarse + rng.normal(size=coarse.shape) * 4, 0, 255).astype(np.uint8)


def crop_of(image: np.ndarray, x: float, y: float, scale: float, size: int = 64) -> FaceCrop:
    return FaceCrop.from_landmarks(scale * face_template() + (x, y, 0), size, image.shape)


@settings(max_examples=15, deadline=None)
@given(x=st.floats(0, 400), y=st.floats(0, 300), scale=st.floats(8, 70), size=st.sampled_from([32, 96]))
def test_outside_the_square_nothing_changes(x: float, y: float, scale: float, size: int) -> None:
    image = photo()
    crop = crop_of(image, x, y, scale, size)
    pasted = PasteBack(image, crop)(np.full((size, size, 3), 255, np.uint8))
    assert pasted.shape == image.shape
    assert pasted.dtype == np.uint8
    inverse = cv2.invertAffineTransform(crop.matrix)
    low, high = inverse[:, 2], inverse[:, 0:2] @ (size, size) + inverse[:, 2]
    rows, columns = np.mgrid[0:300, 0:400] + 0.5
    outside = (columns < low[0]) | (columns > high[0]) | (rows < low[1]) | (rows > high[1])
    assert (pasted[outside] == image[outside]).all()


@pytest.mark.parametrize("size", [64, 200])
def test_the_photo_s_own_square_leaves_no_seam(size: int) -> None:
    image = photo()
    smooth = cv2.GaussianBlur(image, (0, 0), 4)
    crop = crop_of(smooth, 200, 140, 30, size)
    pasted = PasteBack(smooth, crop)(crop.apply(smooth))
    assert np.abs(pasted.astype(int) - smooth).max() <= 6
    assert np.abs(pasted.astype(int) - smooth).mean() < 0.5


def test_what_was_drawn_lands_where_it_belongs() -> None:
    image = np.full((300, 400, 3), 128, np.uint8)
    crop = crop_of(image, 210, 150, 30)
    frame = crop.apply(image)
    frame[28:36, 28:36] = 255
    pasted = PasteBack(image, crop)(frame).astype(float).mean(-1) - 128
    rows, columns = np.mgrid[0:300, 0:400] + 0.5
    centre = np.array([(columns * pasted).sum(), (rows * pasted).sum()]) / pasted.sum()
    assert centre == pytest.approx(cv2.invertAffineTransform(crop.matrix) @ (32, 32, 1), abs=0.4)


def test_a_change_of_tone_leaves_no_edge_and_the_middle_is_the_frames() -> None:
    image = np.full((300, 400, 3), (120, 130, 140), np.uint8)
    crop = crop_of(image, 200, 140, 30)
    darker = np.full((64, 64, 3), (105, 115, 125), np.uint8)
    paste = PasteBack(image, crop)
    pasted = paste(darker).astype(int)
    assert np.abs(np.diff(pasted, axis=0)).max() <= 2
    assert np.abs(np.diff(pasted, axis=1)).max() <= 2
    assert np.abs(paste(darker).astype(int) - pasted).max() <= 1, "and it does not flicker"
    other = np.zeros((64, 64, 3), np.uint8)
    x, y = (cv2.invertAffineTransform(crop.matrix) @ (32, 32, 1)).astype(int)
    assert PasteBack(image, crop)(other)[y, x].max() < 10, "another thing is no other tone"


def test_a_square_that_reaches_beyond_the_photo_has_no_seam_there() -> None:
    image = np.full((300, 400, 3), 128, np.uint8)
    crop = crop_of(image, 200, 250, 30)
    pasted = PasteBack(image, crop)(np.full((64, 64, 3), 255, np.uint8))
    assert pasted[299, 200].min() == 255
    assert PasteBack(image, crop).enlargement == pytest.approx(30 / (0.283 * 64), rel=0.01)
