"""The embedding of synthetic identities: alignment, loading, and whether it tells people apart."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageFilter
from safetensors.torch import load_file, save_file

from durian.errors import DurianError
from durian.evaluation.identity import (
    CROP,
    DIMENSIONS,
    IDENTITY_METRICS,
    IdentityEncoder,
    SyntheticIdentity,
    align_faces,
    face_tensor,
)
from durian.evaluation.trial import Request, Trial
from durian.portrait.geometry import face_template, similarity_matrix, transform_points, warp_image
from durian.portrait.inputs import AnimationInputs, Reference
from durian.synth.attributes import sample_attributes
from durian.synth.identity import sample_identity
from durian.synth.model import build
from durian.synth.performance import sample_performance
from durian.synth.person import Person
from durian.synth.render import render
from durian.synth.scene import sample_clothes, sample_scene

PEOPLE, LOOKS, SIZE = 8, 4, 96


@pytest.fixture(scope="module")
def judge() -> SyntheticIdentity:
    return SyntheticIdentity()


@pytest.fixture(scope="module")
def faces() -> tuple[np.ndarray, np.ndarray]:
    """Frames and landmarks (people, looks): everybody in the same few looks."""
    frames, landmarks = [], []
    for person in range(PEOPLE):
        identity = sample_identity(np.random.default_rng([77, person]))
        motion = np.random.default_rng([78, person])
        for look in range(LOOKS):
            rng = np.random.default_rng([79, look])
            attributes = sample_attributes(rng, rng.uniform(-1, 1), rng.uniform(0, 1), "all")
            model = build(Person(identity, attributes, sample_clothes(rng), sample_scene(rng)))
            frame = render(model, sample_performance(motion, 1, static=True).frames[0], SIZE, 2)
            frames.append(frame.rgb)
            landmarks.append(frame.landmarks)
    shape = (PEOPLE, LOOKS)
    return (
        np.stack(frames).reshape(*shape, SIZE, SIZE, 3),
        np.stack(landmarks).astype(np.float32).reshape(*shape, 478, 3),
    )


def trial(faces: tuple[np.ndarray, np.ndarray], *, truth: bool = True) -> Trial:
    """The first person's portrait in one look; the frames to come are that person's other looks."""
    frames, landmarks = faces
    portrait = Reference(frames[0, 0], np.zeros((SIZE, SIZE), np.float32), landmarks[0, 0])
    inputs = AnimationInputs(portrait, {}, landmarks[0])
    return Trial(
        id="one",
        groups=("all",),
        attributes=("hair",),
        request=lambda size: Request(inputs),
        portrait=portrait,
        donors={},
        keypoints=landmarks[0],
        targets=frames[0] if truth else None,
    )


# --- alignment -------------------------------------------------------------------------------------------


def test_the_mean_face_fills_the_crop() -> None:
    """A dot on each of three landmarks arrives where the crop's place in face coordinates puts it."""
    size, scale = 128, 40.0
    landmarks = transform_points(np.array([[scale, 0, 64], [0, scale, 45]]), face_template())
    frame = np.zeros((size, size, 3), np.uint8)
    for channel, number in enumerate((33, 263, 152)):  # outer eye corners, chin
        column, row = np.floor(landmarks[number, :2]).astype(int)
        frame[row, column, channel] = 255
    crop = align_faces(frame[None], landmarks[None])[0]
    assert crop.shape == (CROP, CROP, 3)
    for channel, number in enumerate((33, 263, 152)):
        row, column = np.unravel_index(crop[..., channel].argmax(), (CROP, CROP))
        expected = (face_template()[number, :2] - (0, 0.33)) * CROP / 1.9 + CROP / 2
        np.testing.assert_allclose((column + 0.5, row + 0.5), expected, atol=1.2)


@settings(max_examples=15, deadline=None)
@given(st.floats(-25, 25), st.floats(0.8, 1.25), st.floats(-10, 10))
def test_alignment_undoes_a_similarity(degrees: float, zoom: float, shift: float) -> None:
    coarse = np.random.default_rng(3).integers(0, 255, (5, 5, 3), dtype=np.uint8)
    frame = np.asarray(Image.fromarray(coarse).resize((128, 128), Image.Resampling.BICUBIC))
    landmarks = transform_points(np.array([[36.0, 0, 64], [0, 36.0, 58]]), face_template())
    c, s = zoom * np.cos(np.radians(degrees)), zoom * np.sin(np.radians(degrees))
    matrix = np.array([[c, -s, 64 - 64 * c + 64 * s + shift], [s, c, 64 - 64 * s - 64 * c]])
    moved = warp_image(frame, matrix, (128, 128))
    inside = align_faces(np.full_like(frame, 255)[None], landmarks[None])
    seen = align_faces(
        warp_image(np.full_like(frame, 255), matrix, (128, 128))[None],
        transform_points(matrix, landmarks)[None],
    )
    there = (seen == 255) & (inside == 255)
    first = align_faces(frame[None], landmarks[None]).astype(int)
    second = align_faces(moved[None], transform_points(matrix, landmarks)[None]).astype(int)
    assert there.mean() > 0.5
    assert np.abs(first - second)[there].max() <= 8


def test_margin_adds_a_border(faces: tuple[np.ndarray, np.ndarray]) -> None:
    frames, landmarks = faces[0][:, 0], faces[1][:, 0]
    inner = align_faces(frames, landmarks, margin=8)[:, 8:-8, 8:-8].astype(int)
    assert np.abs(inner - align_faces(frames, landmarks)).max() <= 1  # of rounding


# --- weights ---------------------------------------------------------------------------------------------


def test_the_packaged_weights_are_small() -> None:
    path = Path(str(files("durian.evaluation") / "identity.safetensors"))
    assert path.stat().st_size < 1.5e6
    assert sum(value.numel() for value in IdentityEncoder().parameters()) <= 600_000


@pytest.mark.parametrize("change", ["missing", "unexpected", "shape", "broken", "absent"])
def test_weights_are_loaded_strictly(tmp_path: Path, change: str) -> None:
    state = IdentityEncoder().state_dict()
    if change == "missing":
        del state["project.bias"]
    elif change == "unexpected":
        state["project.scale"] = torch.ones(1)
    elif change == "shape":
        state["project.bias"] = torch.zeros(DIMENSIONS + 1)
    path = tmp_path / "weights.safetensors"
    save_file(state, path)
    if change == "broken":
        path.write_bytes(path.read_bytes()[:1000])
    elif change == "absent":
        path.unlink()
    with pytest.raises(DurianError, match=r"weights\.safetensors holds no weights") as caught:
        SyntheticIdentity(path)
    assert "\n" not in str(caught.value)


def test_weights_of_a_file_are_used(tmp_path: Path, faces: tuple[np.ndarray, np.ndarray]) -> None:
    torch.manual_seed(1)
    encoder = IdentityEncoder().eval()
    save_file(encoder.state_dict(), tmp_path / "own.safetensors")
    assert load_file(tmp_path / "own.safetensors").keys() == encoder.state_dict().keys()
    frames, landmarks = faces[0][:, 0], faces[1][:, 0]
    with torch.no_grad():
        expected = encoder(face_tensor(align_faces(frames, landmarks))).numpy()
    found = SyntheticIdentity(tmp_path / "own.safetensors").embed(frames, landmarks)
    np.testing.assert_allclose(found, expected, atol=1e-6)


# --- the judge -------------------------------------------------------------------------------------------


def test_embeddings_are_unit_vectors(judge: SyntheticIdentity, faces: tuple[np.ndarray, np.ndarray]) -> None:
    frames, landmarks = (part.reshape(-1, *part.shape[2:]) for part in faces)
    vectors = judge.embed(frames, landmarks)
    assert vectors.shape == (PEOPLE * LOOKS, DIMENSIONS)
    assert vectors.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    np.testing.assert_allclose(judge.embed(frames[3:4], landmarks[3:4])[0], vectors[3], atol=1e-5)
    many = np.resize(np.arange(len(frames)), 70)  # more than one batch
    np.testing.assert_allclose(judge.embed(frames[many], landmarks[many]), vectors[many], atol=1e-5)


def areas(vectors: np.ndarray) -> tuple[float, float]:
    """Areas under the ROC curve of unit vectors (people, looks, D).

    The first is that of one person in two looks against two people in two looks, the second that of one
    person in two looks against two people in the same look.
    """
    flat = vectors.reshape(PEOPLE * LOOKS, -1)
    cosines = flat @ flat.T
    person, look = np.divmod(np.arange(PEOPLE * LOOKS), LOOKS)
    same_person, same_look = person[:, None] == person, look[:, None] == look
    own = cosines[same_person & ~same_look][:, None]
    return (
        float((own > cosines[~same_person & ~same_look]).mean()),
        float((own > cosines[~same_person & same_look]).mean()),
    )


def test_people_are_told_apart_whatever_they_wear(
    judge: SyntheticIdentity, faces: tuple[np.ndarray, np.ndarray]
) -> None:
    frames, landmarks = (part.reshape(-1, *part.shape[2:]) for part in faces)
    other_look, same_look = areas(judge.embed(frames, landmarks).reshape(PEOPLE, LOOKS, -1))
    assert other_look > 0.85
    assert same_look > 0.7

    # Pixels alone see what is worn: two people in the same look are more alike than one person in two.
    aligned = align_faces(frames, landmarks).astype(float)
    pixels = (aligned - aligned.mean(0)).reshape(PEOPLE, LOOKS, -1)
    assert areas(pixels / np.linalg.norm(pixels, axis=2, keepdims=True))[1] < 0.5


def test_blur_and_another_size_leave_the_person(
    judge: SyntheticIdentity, faces: tuple[np.ndarray, np.ndarray]
) -> None:
    frames, landmarks = faces[0][:, 0], faces[1][:, 0]
    sharp = judge.embed(frames, landmarks)
    blurred = [np.asarray(Image.fromarray(f).filter(ImageFilter.GaussianBlur(2))) for f in frames]
    small = [np.asarray(Image.fromarray(f).resize((64, 64), Image.Resampling.BOX)) for f in frames]
    scaled = landmarks * np.float32(64 / SIZE)
    for vectors in (judge.embed(np.stack(blurred), landmarks), judge.embed(np.stack(small), scaled)):
        cosines = vectors @ sharp.T
        assert (cosines.argmax(1) == np.arange(PEOPLE)).all()
        assert np.diag(cosines).mean() > cosines[~np.eye(PEOPLE, dtype=bool)].mean() + 0.3


def test_scores(judge: SyntheticIdentity, faces: tuple[np.ndarray, np.ndarray]) -> None:
    frames, landmarks = faces
    true = judge.scores(frames[0], trial(faces))
    assert list(true) == [metric.name for metric in IDENTITY_METRICS]
    assert true["identity_truth"] == pytest.approx(1, abs=1e-5)
    across = judge.embed(frames[0], landmarks[0])
    assert true["identity"] == pytest.approx((across @ across[0]).mean(), abs=1e-5)

    # Somebody else's face, brought to where a face is asked for, scores lower in both.
    brought = [similarity_matrix(landmarks[1, k], landmarks[0, k]) for k in range(LOOKS)]
    strange = np.stack([warp_image(frames[1, k], brought[k], (SIZE, SIZE)) for k in range(LOOKS)])
    other = judge.scores(strange, trial(faces))
    for name in other:
        assert other[name] < true[name] - 0.2

    assert judge.scores(frames[0], trial(faces, truth=False)) == true | {"identity_truth": None}


def test_what_does_not_fit_is_refused(judge: SyntheticIdentity, faces: tuple[np.ndarray, np.ndarray]) -> None:
    frames, landmarks = faces
    with pytest.raises(ValueError, match="the trial has 4 of 96 px"):
        judge.scores(frames[0][:1], trial(faces))
    with pytest.raises(ValueError, match="the trial has 4 of 96 px"):
        judge.scores(frames[0][:, ::2, ::2], trial(faces))
    unknown = np.where(np.arange(478)[:, None] == 33, np.nan, landmarks[0])
    with pytest.raises(ValueError, match="finite landmarks"):
        judge.embed(frames[0], unknown)
    with pytest.raises(ValueError, match="finite landmarks"):
        judge.embed(frames[0], landmarks[0][:1])
