"""Benchmark cases on disk, and the trials made of them."""

from __future__ import annotations

import json
import pickle
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from durian.errors import DurianError
from durian.evaluation.case_files import CaseFiles, regions
from durian.evaluation.cases import CaseOptions, case_trials, load_case
from durian.labels import attribute_region, lens_region
from durian.portrait.aligner import align_mask
from durian.portrait.geometry import similarity_matrix, warp_image
from durian.synth.benchmark import write_benchmark
from worlds import SIZE, save_landmarks, write_case, write_world

PLAIN = CaseOptions()


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_world(tmp_path_factory.mktemp("world"))


def test_regions_read_class_and_lens_bits() -> None:
    labels = np.array([[4, 7, 8, 6], [2 | 128, 4 | 128, 7 | 128, 0]], np.uint8)
    assert attribute_region(labels, "glasses").tolist() == [[0, 1, 0, 0], [1, 1, 1, 0]]
    assert attribute_region(labels, "hair").tolist() == [[1, 0, 0, 0], [0, 1, 0, 0]]
    assert attribute_region(labels, "hat").tolist() == [[0, 0, 1, 0], [0, 0, 0, 0]]
    assert lens_region(labels).tolist() == [[0, 0, 0, 0], [1, 1, 0, 0]]


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**31), st.sets(st.sampled_from(["hair", "glasses", "beard", "hat"]), min_size=1))
def test_regions_divide_the_picture(seed: int, attributes: set[str]) -> None:
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 13, (2, 9, 9), dtype=np.uint8) | (128 * rng.integers(0, 2, (2, 9, 9))).astype(
        np.uint8
    )
    parts = regions(labels, tuple(attributes))
    assert (sum(part.astype(int) for part in parts.values()) == 1).all()
    for name in attributes:
        assert not (attribute_region(labels, name) & ~parts["attribute"]).any()
    assert set(np.unique(labels[parts["face"]] & 127)) <= {1, 2, 3, 5, 6, 11}


def test_trials_of_a_benchmark(world: Path) -> None:
    refs = case_trials(world)
    assert [ref.id for ref in refs] == [
        "interpolation/000_hair", "multi/000_2", "single/000_hair", "single/001_glasses", "single/002_hat",
        "single/003_hair", "single/004_glasses",
    ]  # fmt: skip
    assert refs[1].attributes == ("hair", "glasses")
    assert refs[1].groups == ("multi", "multi, 2 attributes", "multi, hair and glasses")
    assert refs[2].groups == ("single", "single, hair")
    assert [ref.id for ref in case_trials(world, splits=["single"], limit=2)] == [
        "single/000_hair", "single/001_glasses",
    ]  # fmt: skip
    assert len({ref.fingerprint for ref in refs}) == len(refs)
    for ref in pickle.loads(pickle.dumps(refs)):  # they are sent to other processes
        trial = ref.load()
        assert (trial.id, trial.attributes) == (ref.id, ref.attributes)
        assert trial.groups[: len(ref.groups)] == ref.groups


def test_a_split_alone_is_read_too(world: Path) -> None:
    assert [ref.id for ref in case_trials(world / "multi")] == ["multi/000_2"]


@pytest.mark.parametrize(
    ("folder", "options", "message"),
    [
        ("absent", {}, "not a folder"),
        ("empty", {}, "no case folders"),
        ("", {"limit": 0}, "at least one"),
        ("", {"splits": ["singel"]}, "no split 'singel': choose from interpolation, multi, single"),
        ("single", {"splits": ["single"]}, "leave --split out"),
    ],
)
def test_folders_and_choices_that_cannot_be_used(
    world: Path, folder: str, options: dict, message: str
) -> None:
    (world.parent / "empty").mkdir(exist_ok=True)
    path = world.parent / "empty" if folder == "empty" else world / folder
    with pytest.raises(DurianError, match=message):
        case_trials(path, **options)


@pytest.mark.parametrize(
    ("options", "message"), [(("star",), "unknown aligner"), (("head", 0.5), "mask noise")]
)
def test_options_that_cannot_be_used(options: tuple, message: str) -> None:
    with pytest.raises(DurianError, match=message):
        CaseOptions(*options)


def test_the_fingerprint_tells_of_other_files_and_options(tmp_path: Path) -> None:
    folder = write_case(tmp_path / "cases" / "a", "hat")

    def fingerprint(**options) -> str:
        return case_trials(tmp_path / "cases", **options)[0].fingerprint

    first = fingerprint()
    assert fingerprint() == first
    assert fingerprint(seed=1) != first
    assert fingerprint(options=CaseOptions("none")) != first
    Image.new("RGB", (SIZE, SIZE), (1, 2, 3)).save(folder / "portrait.webp", lossless=True)
    assert fingerprint() != first


def test_inputs_at_own_resolution(world: Path) -> None:
    case = CaseFiles.read(world / "single" / "000_hair")
    trial = load_case(world / "single" / "000_hair", "single", 3, PLAIN)
    inputs = trial.request(SIZE).inputs
    assert trial.seed == 3
    assert set(inputs.attributes) == {"hair"}
    np.testing.assert_array_equal(inputs.portrait.image, case.portrait.image)
    np.testing.assert_array_equal(inputs.attributes["hair"].mask, case.donors["hair"].labels == 4)
    np.testing.assert_allclose(inputs.keypoints, case.driving, atol=1e-4)
    # The portrait has no hair of its own: M_port is the donor's, brought over and a little wider.
    worn = warp_image(
        inputs.attributes["hair"].mask,
        similarity_matrix(case.donors["hair"].landmarks, case.portrait.landmarks),
        (SIZE, SIZE),
    )
    mask = inputs.portrait.mask
    assert mask.dtype == np.float32
    assert 0 <= mask.min() <= mask.max() <= 1
    assert (mask > 0.5)[worn > 0.9].mean() > 0.9
    assert (worn > 0.5).sum() < (mask > 0.5).sum() < 2.5 * (worn > 0.5).sum()
    np.testing.assert_array_equal(trial.regions["attribute"], case.target_labels == 4)


def test_several_attributes_share_the_portrait_mask(world: Path) -> None:
    trial = load_case(world / "multi" / "000_2", "multi", 0, PLAIN)
    assert list(trial.donors) == ["hair", "glasses"]
    for name, donor in trial.donors.items():
        one = donor.mask > 0.5
        assert trial.portrait.mask[one].mean() > 0.7, name
    both = load_case(world / "multi" / "000_2", "multi", 0, CaseOptions("none"))
    assert both.portrait.mask.max() == 0  # the portrait wears neither, and no aligner says where they will be


def test_own_attribute_is_in_the_portrait_mask(tmp_path: Path) -> None:
    folder = write_case(tmp_path / "case", "hair")
    before = load_case(folder, "single", 0, PLAIN).portrait.mask
    labels = np.asarray(Image.open(folder / "portrait.png")).copy()
    labels[50:60, 5:10] = 4
    Image.fromarray(labels).save(folder / "portrait.png")
    mask = load_case(folder, "single", 0, PLAIN).portrait.mask
    assert (mask[50:60, 4:11] == 1).all()  # dilated by a pixel
    assert (mask[49:61, 5:10] == 1).all()
    assert before[52:58, 6:9].max() == 0


def test_inputs_at_another_resolution(world: Path) -> None:
    trial = load_case(world / "single" / "001_glasses", "single", 0, PLAIN)
    small, own = trial.request(SIZE // 2).inputs, trial.request(SIZE).inputs
    assert small.portrait.image.shape == (SIZE // 2, SIZE // 2, 3)
    assert small.portrait.mask.shape == small.attributes["glasses"].mask.shape == (SIZE // 2, SIZE // 2)
    np.testing.assert_allclose(small.keypoints, own.keypoints / 2, atol=1e-4)
    np.testing.assert_allclose(small.portrait.landmarks, own.portrait.landmarks / 2, atol=1e-4)
    assert small.attributes["glasses"].mask.mean() == pytest.approx(
        own.attributes["glasses"].mask.mean(), rel=0.01
    )


def test_inputs_never_use_the_answer(tmp_path: Path) -> None:
    folder = write_case(tmp_path / "case", "hair")
    before = load_case(folder, "single", 0, PLAIN).request(SIZE).inputs
    for path in folder.glob("target_*"):
        Image.new("RGB" if path.suffix == ".webp" else "L", (SIZE, SIZE)).save(path)
    after = load_case(folder, "single", 0, PLAIN).request(SIZE).inputs
    np.testing.assert_array_equal(before.portrait.mask, after.portrait.mask)
    np.testing.assert_array_equal(before.attributes["hair"].image, after.attributes["hair"].image)


def test_mask_noise_erodes_and_dilates_what_a_model_is_given_and_nothing_else(world: Path) -> None:
    refs = {ref.id: ref for ref in case_trials(world / "single", limit=1, mask_noise=[-0.03, 0.03])}
    assert set(refs) == {"single/000_hair", "single/000_hair@eroded 3%", "single/000_hair@dilated 3%"}
    plain, eroded, dilated = (ref.load() for ref in refs.values())
    areas = [trial.donors["hair"].mask.sum() for trial in (eroded, plain, dilated)]
    assert areas[0] < 0.8 * areas[1] < areas[1] < 0.8 * areas[2]
    assert (eroded.donors["hair"].mask <= plain.donors["hair"].mask).all()
    np.testing.assert_array_equal(eroded.regions["attribute"], plain.regions["attribute"])
    np.testing.assert_array_equal(eroded.targets, plain.targets)
    assert eroded.groups[0] == "single, masks eroded 3%"
    worn_away = load_case(world / "single" / "001_glasses", "single", 0, CaseOptions(mask_noise=-0.2))
    assert worn_away.donors["glasses"].mask.any()  # something is always left


def test_an_interpolation_asks_for_both_ends(world: Path) -> None:
    trial = load_case(world / "interpolation" / "000_hair", "interpolation", 0, PLAIN)
    request = trial.request(SIZE)
    assert request.interpolate_to is not None
    np.testing.assert_allclose(request.interpolation, [0, 0.25, 0.5, 0.75, 1])
    assert (request.interpolate_to["hair"].image != request.inputs.attributes["hair"].image).any()


def test_each_end_of_an_interpolation_has_a_portrait_that_gives_way_to_it_alone(tmp_path: Path) -> None:
    folder = write_case(tmp_path / "case", "hair", alphas=[0.0, 0.5, 1.0])
    labels = np.asarray(Image.open(folder / "attribute_b.png"))
    Image.fromarray(np.roll(labels, 20, 0)).save(folder / "attribute_b.png")
    request = load_case(folder, "interpolation", 0, PLAIN).request(SIZE)
    assert request.interpolate_to is not None
    assert request.portrait_to is not None
    first, second = request.inputs.portrait, request.portrait_to
    np.testing.assert_array_equal(first.image, second.image)
    ends = {"first": request.inputs.attributes["hair"], "second": request.interpolate_to["hair"]}
    aligned = {
        name: align_mask(each.mask, each.landmarks, first.landmarks, SIZE) > 0.5
        for name, each in ends.items()
    }
    for name, portrait in (("first", first), ("second", second)):
        other = "second" if name == "first" else "first"
        assert (portrait.mask[aligned[name]] > 0.5).all()
        assert not (portrait.mask[aligned[other]] > 0.5).all()


def test_frames_without_a_face_are_left_out(tmp_path: Path) -> None:
    folder = write_case(tmp_path / "case", "hat", alphas=[0.0, 0.5, 1.0])
    landmarks = dict(np.load(folder / "landmarks.npz"))
    full = CaseFiles.read(folder)
    landmarks["target_01"][5] = np.nan
    save_landmarks(folder, landmarks)
    case = CaseFiles.read(folder)
    for name in ("targets", "target_labels", "driving", "alphas"):
        np.testing.assert_array_equal(getattr(case, name), getattr(full, name)[[0, 2]])


def spoil_landmarks(name: str | None, value: float = np.nan):
    def spoil(folder: Path) -> None:
        landmarks = dict(np.load(folder / "landmarks.npz"))
        if name is None:
            landmarks = {key: points[:400] for key, points in landmarks.items()}
        else:
            landmarks |= {key: np.full_like(v, value) for key, v in landmarks.items() if key.startswith(name)}
        save_landmarks(folder, landmarks)

    return spoil


def rewrite(**changes: object):
    def spoil(folder: Path) -> None:
        content = json.loads((folder / "case.json").read_text())
        (folder / "case.json").write_text(json.dumps({**content, **changes}))

    return spoil


@pytest.mark.parametrize(
    "spoil",
    [
        lambda folder: (folder / "portrait.webp").unlink(),
        lambda folder: (folder / "target_01.png").unlink(),
        lambda folder: (folder / "landmarks.npz").unlink(),
        lambda folder: (folder / "landmarks.npz").write_bytes(b"PK no archive"),
        lambda folder: (folder / "case.json").write_text("{"),
        lambda folder: (folder / "case.json").write_text("[]"),
        rewrite(attributes=["cape"]),
        rewrite(attributes=[["hat"]]),
        rewrite(attributes=[]),
        rewrite(attributes=["hat", "hat"]),
        rewrite(attributes=["hat", "hair"]),
        rewrite(alphas=[0, 1]),
        rewrite(alphas=[0, 0.5, 1]),
        lambda folder: (folder / "attribute.webp").write_bytes(b"no picture"),
        lambda folder: (folder / "attribute.png").write_bytes((folder / "attribute.png").read_bytes()[:60]),
        lambda folder: Image.new("L", (8, 8)).save(folder / "target_00.png"),
        lambda folder: Image.new("RGB", (SIZE, SIZE)).save(folder / "target_00.png"),
        lambda folder: Image.new("L", (SIZE, SIZE)).save(folder / "attribute.png"),
        lambda folder: Image.new("RGB", (SIZE, 40)).save(folder / "portrait.webp"),
        lambda folder: [path.unlink() for path in folder.glob("target_*")],
        spoil_landmarks(None),
        spoil_landmarks("portrait"),
        spoil_landmarks("attribute"),
        spoil_landmarks("target"),
    ],
)
def test_a_broken_case_is_named(tmp_path: Path, spoil) -> None:
    folder = write_case(tmp_path / "cases" / "poor", "hat")
    spoil(folder)
    ref = case_trials(tmp_path / "cases")[0] if (folder / "case.json").is_file() else None
    assert ref is not None
    assert ref.id == "cases/poor"
    with pytest.raises(DurianError, match="case poor: ") as error:
        ref.load()
    assert "\n" not in str(error.value)


def test_every_split_of_the_synthetic_benchmark_can_be_read(tmp_path: Path) -> None:
    splits = ["single", "multi", "overlap", "pose", "light", "interpolation", "self"]
    write_benchmark(tmp_path / "cases", splits, limit=1, size=32, samples=1)
    trials = {ref.id.split("/")[0]: ref.load() for ref in case_trials(tmp_path / "cases")}
    assert set(trials) == set(splits)
    assert set(trials["multi"].donors) == set(trials["multi"].attributes) == {"hair", "glasses"}
    assert trials["interpolation"].request(32).interpolate_to is not None
    assert 25 < trials["pose"].facts["pose_gap"] < 75
    assert trials["pose"].groups[2].endswith("°")
    assert all(trial.regions["attribute"].any() for trial in trials.values())
