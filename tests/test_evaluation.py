"""The evaluation room: metrics against definitions, cases, baselines and the cross protocol."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from durian.evaluation.cross import evaluate_cross, save_sheet, write_json
from PIL import Image

from durian.errors import DurianError
from durian.evaluation.baselines import copy_portrait, warp_paste
from durian.evaluation.cases import Case, attribute_region, load_cases
from durian.portrait.geometry import face_template, similarity_matrix, transform_points, warp_image
from durian.portrait.inputs import AnimationInputs
from durian.portrait.keypoints import draw_keypoints

SIZE, FRAMES = 64, 3
CLASSES = {"hair": 4, "beard": 6, "glasses": 7, "hat": 8}


def face(x: float, y: float, scale: float = 14, degrees: float = 0) -> np.ndarray:
    """The mean face at a place of a SIZE×SIZE image."""
    c, s = scale * np.cos(np.radians(degrees)), scale * np.sin(np.radians(degrees))
    return transform_points(np.array([[c, -s, x], [s, c, y]]), face_template()).astype(np.float32)


def smooth(seed: int) -> np.ndarray:
    """A smooth random picture, so that interpolation costs little."""
    coarse = np.random.default_rng(seed).integers(40, 215, (4, 4, 3), dtype=np.uint8)
    return np.asarray(Image.fromarray(coarse).resize((SIZE, SIZE), Image.Resampling.BICUBIC))


def save_landmarks(folder: Path, landmarks: dict[str, np.ndarray]) -> None:
    np.savez(folder / "landmarks.npz", allow_pickle=False, **landmarks)


def write_case(folder: Path, attribute: str, seed: int) -> Path:
    """A flat world: targets are the portrait moved in the plane, with the donor's box moved likewise."""
    folder.mkdir(parents=True)
    portrait, donor = smooth(2 * seed), smooth(2 * seed + 1)
    ys, xs = np.mgrid[:SIZE, :SIZE]
    box = (np.abs(xs - 32) < 14) & (np.abs(ys - 20) < 7)
    labels = np.where(box, CLASSES[attribute], 1).astype(np.uint8)
    landmarks = {"portrait": face(32, 30), "attribute": face(34, 32)}

    def save(name: str, image: np.ndarray, label: np.ndarray) -> None:
        Image.fromarray(image).save(folder / f"{name}.webp", lossless=True)
        Image.fromarray(label).save(folder / f"{name}.png")

    save("portrait", portrait, np.ones_like(labels))
    save("attribute", donor, labels)
    for index in range(FRAMES):
        name = f"target_{index:02}"
        landmarks[name] = face(27 + 2 * index + 3 * (seed % 3), 31 - index, 14, 3 * index)
        moved = similarity_matrix(landmarks["portrait"], landmarks[name])
        worn = similarity_matrix(landmarks["attribute"], landmarks[name])
        mask = warp_image(box.astype(np.float32), worn, (SIZE, SIZE)) > 0.5
        image = warp_image(portrait, moved, (SIZE, SIZE))
        image[mask] = warp_image(donor, worn, (SIZE, SIZE))[mask]
        save(name, image, np.where(mask, CLASSES[attribute], 1).astype(np.uint8))
    save_landmarks(folder, landmarks)
    (folder / "case.json").write_text(json.dumps({"attribute": attribute, "seed": seed}))
    return folder


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two cases of hair, two of glasses, one hat."""
    folder = tmp_path_factory.mktemp("world")
    for index, attribute in enumerate(["hair", "glasses", "hat", "hair", "glasses"]):
        write_case(folder / f"{index:03}_{attribute}", attribute, index)
    return folder


class Model:
    """A model made of a function of its inputs; keeps what it was called with."""

    def __init__(self, function, size: int = SIZE) -> None:
        self.function, self.size, self.calls = function, size, []

    def animate(
        self,
        inputs: AnimationInputs,
        *,
        num_inference_steps: int | None = None,
        seed: int = 0,
        drop_attribute_tokens: bool = False,
        keypoint_images: np.ndarray | None = None,
    ) -> np.ndarray:
        self.calls.append(
            {"inputs": inputs, "steps": num_inference_steps, "seed": seed, "drop": drop_attribute_tokens}
            | {"keypoint_images": keypoint_images}
        )
        if keypoint_images is None:
            keypoint_images = np.stack([draw_keypoints(k, self.size) for k in inputs.keypoints])
        return self.function(inputs, drop_attribute_tokens, keypoint_images)


def oracle(world: Path) -> Model:
    """Knows the answer of the case whose portrait it is shown."""
    answers = {case.portrait.tobytes(): case.targets for case in map(Case.load, load_cases(world))}
    return Model(lambda inputs, drop, images: answers[inputs.portrait.image.tobytes()])


# --- cases -----------------------------------------------------------------------------------------------


def test_attribute_region_reads_class_and_lens_bits() -> None:
    labels = np.array([[4, 7, 8, 6], [2 | 128, 4 | 128, 7 | 128, 0]], np.uint8)
    assert attribute_region(labels, "glasses").tolist() == [[0, 1, 0, 0], [1, 1, 1, 0]]
    assert attribute_region(labels, "hair").tolist() == [[1, 0, 0, 0], [0, 1, 0, 0]]
    assert attribute_region(labels, "hat").tolist() == [[0, 0, 1, 0], [0, 0, 0, 0]]


def test_inputs_at_own_resolution(world: Path) -> None:
    case = Case.load(world / "000_hair")
    inputs = case.inputs(SIZE)
    assert set(inputs.attributes) == {"hair"}
    np.testing.assert_array_equal(inputs.portrait.image, case.portrait)
    np.testing.assert_array_equal(inputs.attributes["hair"].mask, case.donor_labels == 4)
    np.testing.assert_allclose(inputs.keypoints, case.driving, atol=1e-4)
    # The portrait has no hair of its own: M_port is the donor's, brought over and a little wider.
    worn = warp_image(
        inputs.attributes["hair"].mask,
        similarity_matrix(case.donor_landmarks, case.portrait_landmarks),
        (SIZE, SIZE),
    )
    mask = inputs.portrait.mask
    assert mask.dtype == np.float32
    assert 0 <= mask.min() <= mask.max() <= 1
    assert (mask > 0.5)[worn > 0.9].mean() > 0.9
    assert (worn > 0.5).sum() < (mask > 0.5).sum() < 2.5 * (worn > 0.5).sum()


def test_own_attribute_is_in_the_portrait_mask(world: Path) -> None:
    case = Case.load(world / "000_hair")
    labels = case.portrait_labels.copy()
    labels[50:60, 5:10] = 4
    mask = replace(case, portrait_labels=labels).inputs(SIZE).portrait.mask
    assert (mask[50:60, 4:11] == 1).all()  # dilated by a pixel
    assert (mask[49:61, 5:10] == 1).all()
    assert case.inputs(SIZE).portrait.mask[52:58, 6:9].max() == 0


def test_inputs_at_another_resolution(world: Path) -> None:
    case = Case.load(world / "001_glasses")
    small, own = case.inputs(SIZE // 2), case.inputs(SIZE)
    assert small.portrait.image.shape == (SIZE // 2, SIZE // 2, 3)
    assert small.portrait.mask.shape == small.attributes["glasses"].mask.shape == (SIZE // 2, SIZE // 2)
    np.testing.assert_allclose(small.keypoints, own.keypoints / 2, atol=1e-4)
    np.testing.assert_allclose(small.portrait.landmarks, own.portrait.landmarks / 2, atol=1e-4)
    assert small.attributes["glasses"].mask.mean() == pytest.approx(
        own.attributes["glasses"].mask.mean(), rel=0.01
    )


def test_inputs_never_use_the_answer(world: Path) -> None:
    case = Case.load(world / "000_hair")
    blind = replace(
        case, targets=np.zeros_like(case.targets), target_labels=np.zeros_like(case.target_labels)
    )
    np.testing.assert_array_equal(blind.inputs(SIZE).portrait.mask, case.inputs(SIZE).portrait.mask)


def test_frames_without_a_face_are_left_out(tmp_path: Path) -> None:
    folder = write_case(tmp_path / "case", "hat", 0)
    landmarks = dict(np.load(folder / "landmarks.npz"))
    full = Case.load(folder)
    landmarks["target_01"][5] = np.nan
    save_landmarks(folder, landmarks)
    case = Case.load(folder)
    np.testing.assert_array_equal(case.targets, full.targets[[0, 2]])
    np.testing.assert_array_equal(case.target_labels, full.target_labels[[0, 2]])
    np.testing.assert_array_equal(case.driving, full.driving[[0, 2]])


def spoil_landmarks(name: str | None, value: float = np.nan):
    def spoil(folder: Path) -> None:
        landmarks = dict(np.load(folder / "landmarks.npz"))
        if name is None:
            landmarks = {key: points[:400] for key, points in landmarks.items()}
        else:
            landmarks |= {key: np.full_like(v, value) for key, v in landmarks.items() if key.startswith(name)}
        save_landmarks(folder, landmarks)

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
        lambda folder: (folder / "case.json").write_text('{"attribute": "cape"}'),
        lambda folder: (folder / "case.json").write_text('{"attribute": ["hat"]}'),
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
    folder = write_case(tmp_path / "poor", "hat", 0)
    spoil(folder)
    with pytest.raises(DurianError, match="case poor: "):
        Case.load(folder)


def test_case_folders(world: Path, tmp_path: Path) -> None:
    assert [path.name for path in load_cases(world, 2)] == ["000_hair", "001_glasses"]
    assert len(load_cases(world)) == 5
    with pytest.raises(DurianError, match="no case folders"):
        load_cases(tmp_path)
    with pytest.raises(DurianError, match="not a folder"):
        load_cases(tmp_path / "absent")
    with pytest.raises(DurianError, match="at least one"):
        load_cases(world, 0)


# --- the protocol ----------------------------------------------------------------------------------------


def test_baselines_alone(world: Path) -> None:
    seen: list[tuple[int, int]] = []
    report = evaluate_cross(world, None, progress=lambda done, total: seen.append((done, total)))
    assert seen == [(n, 5) for n in range(1, 6)]
    assert {"model", "dependence"}.isdisjoint(report)
    assert list(report["warp_paste"]) == ["overall", "hair", "glasses", "hat"]
    assert report["settings"]["count"] == {"overall": 5, "hair": 2, "glasses": 2, "hat": 1}
    for name in ("copy_portrait", "warp_paste"):
        by_case = [entry["scores"][name]["psnr"] for entry in report["cases"]]
        assert report[name]["overall"]["psnr"] == pytest.approx(np.mean(by_case))
        assert report[name]["hair"]["psnr"] == pytest.approx((by_case[0] + by_case[3]) / 2)
    assert report["warp_paste"]["overall"]["psnr"] > report["copy_portrait"]["overall"]["psnr"] + 1


def test_the_answer_scores_at_the_cap_and_depends_on_nothing(world: Path) -> None:
    report = evaluate_cross(world, oracle(world), checkpoint="oracle")
    for group in ("overall", "hair", "glasses", "hat"):
        assert report["model"][group] == pytest.approx(
            {"psnr": 100, "ssim": 1, "l1": 0, "psnr_attribute": 100}, abs=1e-6
        )
    assert report["dependence"] == {
        "attribute_removed": 0,
        "attribute_swapped": 0,
        "keypoints_swapped": 0,
        "keypoints_and_positions_swapped": 0,
    }
    assert report["settings"]["checkpoint"] == "oracle"


def test_dependence_sees_what_a_model_uses(world: Path) -> None:
    truth = oracle(world).function

    def uses_tokens(inputs, drop, images):
        return truth(inputs, drop, images) // (2 if drop else 1)

    def uses_keypoint_images(inputs, drop, images):
        own = np.stack([draw_keypoints(k, SIZE) for k in inputs.keypoints])
        return truth(inputs, drop, images) // (1 if (own == images).all() else 2)

    removed = evaluate_cross(world, Model(uses_tokens))["dependence"]
    assert removed.pop("attribute_removed") > 50
    assert set(removed.values()) == {0}

    # This model is at one with itself when positions are swapped too, so only the first loses.
    keypoints = evaluate_cross(world, Model(uses_keypoint_images))["dependence"]
    assert keypoints.pop("keypoints_swapped") > 50
    assert set(keypoints.values()) == {0}

    # Pasting uses the attribute's picture and the landmarks, but neither tokens nor keypoint images.
    pasted = evaluate_cross(world, Model(lambda inputs, drop, images: warp_paste(inputs)), limit=2)
    assert pasted["model"] == pasted["warp_paste"]
    assert pasted["dependence"]["attribute_removed"] == pasted["dependence"]["keypoints_swapped"] == 0
    assert pasted["dependence"]["attribute_swapped"] > 3
    assert pasted["dependence"]["keypoints_and_positions_swapped"] > 0.3


def test_how_the_model_is_called(world: Path) -> None:
    model = oracle(world)
    evaluate_cross(world, model, limit=1, num_inference_steps=7, seed=3)
    first, other, driver = (Case.load(world / name) for name in ("000_hair", "003_hair", "001_glasses"))
    plain, removed, swapped, keypoints, moved = model.calls
    assert all(call["steps"] == 7 and call["seed"] == 3 for call in model.calls)
    assert [call["drop"] for call in model.calls] == [False, True, False, False, False]
    assert removed["inputs"] is keypoints["inputs"] is plain["inputs"]
    np.testing.assert_array_equal(swapped["inputs"].attributes["hair"].image, other.donor)
    np.testing.assert_array_equal(swapped["inputs"].portrait.mask, plain["inputs"].portrait.mask)
    np.testing.assert_array_equal(plain["inputs"].keypoints, first.driving_at(SIZE))
    np.testing.assert_array_equal(moved["inputs"].keypoints, driver.driving_at(SIZE))
    np.testing.assert_array_equal(
        keypoints["keypoint_images"], [draw_keypoints(k, SIZE) for k in driver.driving_at(SIZE)]
    )


def test_shorter_motions_go_round(tmp_path: Path) -> None:
    write_case(tmp_path / "a", "hat", 0)
    short = write_case(tmp_path / "b", "hat", 1)
    for path in short.glob("target_02.*"):
        path.unlink()
    model = oracle(tmp_path)
    evaluate_cross(tmp_path, model, limit=1)
    driving = Case.load(short).driving_at(SIZE)
    np.testing.assert_array_equal(model.calls[-1]["inputs"].keypoints, driving[[0, 1, 0]])


def test_a_model_of_another_resolution_is_scored_at_the_case_s(world: Path) -> None:
    model = Model(lambda inputs, drop, images: copy_portrait(inputs), size=SIZE // 2)
    report = evaluate_cross(world, model, dependence=False)
    assert "dependence" not in report
    assert {call["inputs"].portrait.image.shape for call in model.calls} == {(SIZE // 2, SIZE // 2, 3)}
    # The pictures are smooth, so half the resolution changes little.
    assert report["model"]["overall"]["psnr"] == pytest.approx(
        report["copy_portrait"]["overall"]["psnr"], abs=0.5
    )


def test_without_another_case_there_is_no_swap(tmp_path: Path) -> None:
    write_case(tmp_path / "alone", "hat", 0)
    report = evaluate_cross(tmp_path, oracle(tmp_path))
    assert report["dependence"] == {
        "attribute_removed": 0,
        "attribute_swapped": None,
        "keypoints_swapped": None,
        "keypoints_and_positions_swapped": None,
    }


def test_an_empty_region_has_no_score_and_no_loss(tmp_path: Path) -> None:
    folder = write_case(tmp_path / "covered", "hat", 0)
    for path in folder.glob("target_*.png"):
        Image.new("L", (SIZE, SIZE)).save(path)
    report = evaluate_cross(tmp_path, oracle(tmp_path))
    assert report["model"]["overall"]["psnr_attribute"] is None
    assert report["dependence"]["attribute_removed"] is None
    assert report["model"]["overall"]["psnr"] == pytest.approx(100)


def test_unreadable_cases_are_listed_and_not_averaged(tmp_path: Path) -> None:
    for index in range(3):
        write_case(tmp_path / f"{index}", "hat", index)
    whole = evaluate_cross(tmp_path, None)
    (tmp_path / "1" / "portrait.webp").write_bytes(b"broken")
    report = evaluate_cross(tmp_path, None)
    assert [entry["id"] for entry in report["skipped"]] == ["1"]
    assert "case 1: " in report["skipped"][0]["reason"]
    assert report["settings"]["count"] == {"overall": 2, "hat": 2}
    assert report["cases"] == [whole["cases"][0], whole["cases"][2]]
    for index in (0, 2):
        (tmp_path / f"{index}" / "case.json").unlink()
    with pytest.raises(DurianError, match="none of the 3 cases"):
        evaluate_cross(tmp_path, None)


def test_report_on_disk(world: Path, tmp_path: Path) -> None:
    report = evaluate_cross(world, oracle(world), limit=2)
    path = tmp_path / "made" / "report.json"
    write_json(path, report)
    assert json.loads(path.read_text()) == report
    with pytest.raises(ValueError, match="JSON"):
        write_json(path, {"psnr": float("inf")})
    assert json.loads(path.read_text()) == report
    assert [entry.name for entry in path.parent.iterdir()] == ["report.json"]
    with pytest.raises(DurianError, match="cannot be written"):
        write_json(path / "below.json", report)


def test_sheet(world: Path, tmp_path: Path) -> None:
    model = oracle(world)
    report = evaluate_cross(world, model, dependence=False)
    save_sheet(tmp_path / "sheet.png", world, report, model)
    with Image.open(tmp_path / "sheet.png") as image:
        sheet = np.asarray(image)
    tile = sheet.shape[0] // 9
    assert sheet.shape == (9 * tile, (1 + FRAMES) * tile, 3)
    lines = sheet.reshape(9, tile, -1)
    for row in (0, 3, 6):  # the oracle's frames are the true ones
        np.testing.assert_array_equal(lines[row, :, 3 * tile :], lines[row + 1, :, 3 * tile :])
    save_sheet(tmp_path / "baselines.png", world, evaluate_cross(world, None, limit=1))
    with Image.open(tmp_path / "baselines.png") as image:
        assert image.size == ((1 + FRAMES) * tile, 3 * tile)


def test_the_benchmark_can_be_read(shared_dir: Path) -> None:
    folder = shared_dir / "data" / "portraits-v0" / "cases"
    if not folder.is_dir():
        pytest.skip("needs the benchmark cases")
    report = evaluate_cross(folder, None, limit=3)
    assert not report["skipped"]
    assert report["settings"]["count"] == {"overall": 3, "hair": 1, "glasses": 1, "hat": 1}
    assert all(entry["frames"] == 8 for entry in report["cases"])
    for name in ("hair", "hat"):
        assert report["warp_paste"][name]["psnr_attribute"] > report["copy_portrait"][name]["psnr_attribute"]
