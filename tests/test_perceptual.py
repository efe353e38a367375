"""Perceptual metrics on random weights in the layouts of the published ones.

The expected numbers of LPIPS and Inception were made by `lpips` 0.1.4 and `pytorch-fid` 0.3.0 from the very
weights that `invented` gives.
"""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from safetensors.torch import load_file, save_file
from torchmetrics.image.fid import FrechetInceptionDistance
from transformers import (
    CLIPConfig,
    CLIPModel,
    Dinov2Config,
    Dinov2Model,
    VideoMAEConfig,
    VideoMAEForVideoClassification,
)

from durian.errors import DurianError
from durian.evaluation.perceptual import PERCEPTUAL_METRICS, WeightSources, frechet_distance
from durian.evaluation.perceptual.crops import arcface_crops, attribute_crop
from durian.evaluation.perceptual.encoders import arcface_encoder, inception_encoder, video_encoder
from durian.evaluation.perceptual.identity import identity_similarity
from durian.evaluation.perceptual.inception import InceptionV3
from durian.evaluation.perceptual.lpips import Lpips
from durian.evaluation.perceptual.measure import PerceptualMetrics, video_clips
from durian.evaluation.perceptual.sources import HOW_TO_GET, METRIC_OF
from durian.evaluation.trial import Trial
from durian.models.image_embedding import ArcFaceEncoder
from durian.portrait.geometry import face_template, transform_points
from durian.portrait.inputs import Reference

CPU = torch.device("cpu")
SIZE, FRAMES = 64, 3
EXPECTED_LPIPS = [0.1555627, 0.1420741, 0.1385352]
EXPECTED_INCEPTION = [0.3562, 0.00485, 0.0007, 0.71746, 0.0, 0.60839, 0.0009, 0.50201, 2.84915]
TINY = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}


def invented(shapes: dict[str, tuple[int, ...]]) -> dict[str, torch.Tensor]:
    """Weights that keep activations about as large as they are, by name; equal on every machine."""
    rng = np.random.default_rng(0)
    weights = {}
    for key in sorted(shapes):
        shape = shapes[key]
        if len(shape) > 1:
            value = rng.normal(0, np.sqrt(2 / np.prod(shape[1:])), shape)
        elif key.endswith(("running_var", "bn.weight")):
            value = rng.uniform(0.8, 1.2, shape)
        else:
            value = rng.normal(0, 0.1, shape)
        weights[key] = torch.from_numpy(value.astype(np.float32))
    return weights


ALEXNET = {
    "features.0.weight": (64, 3, 11, 11),
    "features.3.weight": (192, 64, 5, 5),
    "features.6.weight": (384, 192, 3, 3),
    "features.8.weight": (256, 384, 3, 3),
    "features.10.weight": (256, 256, 3, 3),
    "features.0.bias": (64,),
    "features.3.bias": (192,),
    "features.6.bias": (384,),
    "features.8.bias": (256,),
    "features.10.bias": (256,),
    "classifier.6.bias": (1000,),
}


def inception_shapes() -> dict[str, tuple[int, ...]]:
    with torch.device("meta"):
        network = InceptionV3()
    shapes = {key: tuple(value.shape) for key, value in network.state_dict().items()}
    shapes = {key: shape for key, shape in shapes.items() if not key.endswith("num_batches_tracked")}
    return {**shapes, "fc.weight": (1008, 2048), "fc.bias": (1008,)}


def pictures(seed: int, count: int = FRAMES, size: int = SIZE) -> np.ndarray:
    """Smooth random pictures."""
    coarse = np.random.default_rng(seed).integers(0, 256, (count, 5, 5, 3), dtype=np.uint8)
    return np.stack(
        [np.asarray(Image.fromarray(c).resize((size, size), Image.Resampling.BICUBIC)) for c in coarse]
    )


def face(x: float, y: float, scale: float = 14, degrees: float = 0) -> np.ndarray:
    """The mean face at a place of an image."""
    c, s = scale * np.cos(np.radians(degrees)), scale * np.sin(np.radians(degrees))
    return transform_points(np.array([[c, -s, x], [s, c, y]]), face_template()).astype(np.float32)


def box(x: int, y: int, width: int = 16, height: int = 10, size: int = SIZE) -> np.ndarray:
    mask = np.zeros((size, size), bool)
    mask[y : y + height, x : x + width] = True
    return mask


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """All sources, tiny where the network's shape is free."""
    folder = tmp_path_factory.mktemp("weights")
    torch.manual_seed(0)
    torch.save(invented(ALEXNET), folder / "alexnet.pth")
    inception = {key: value.half() for key, value in invented(inception_shapes()).items()}
    (folder / "inception").mkdir()
    save_file(inception, folder / "inception" / "weights.safetensors")
    vision = {**TINY, "image_size": 32, "patch_size": 8, "projection_dim": 12}
    CLIPModel(
        CLIPConfig(text_config={**TINY, "vocab_size": 50}, vision_config=vision, projection_dim=12)
    ).save_pretrained(folder / "clip")
    Dinov2Model(Dinov2Config(**TINY, image_size=28, patch_size=14)).save_pretrained(folder / "dino")
    VideoMAEForVideoClassification(
        VideoMAEConfig(**TINY, image_size=32, patch_size=16, num_frames=4, tubelet_size=2)
    ).save_pretrained(folder / "video")
    identity = ArcFaceEncoder(8, layers=(1, 1, 2, 1), widths=(4, 4, 8, 8), embedding_dim=16).eval()
    save_file(identity.state_dict(), folder / "arcface.safetensors")
    return {
        "lpips": str(folder / "alexnet.pth"),
        "inception": str(folder / "inception"),
        "video": str(folder / "video"),
        "clip": str(folder / "clip"),
        "dino": str(folder / "dino"),
        "arcface": str(folder / "arcface.safetensors"),
    }


@pytest.fixture(scope="module")
def metrics(weights: dict[str, str]) -> PerceptualMetrics:
    return PerceptualMetrics(WeightSources(**weights))


def trial(**changes) -> Trial:
    """A portrait whose person wears the donor's box in every true frame, each time elsewhere."""
    donor, targets = pictures(1, 1)[0], pictures(2)
    region = np.stack([box(8 + 5 * i, 12 + 3 * i) for i in range(FRAMES)])
    for frame, worn in zip(targets, region, strict=True):
        frame[worn] = donor[box(30, 40)]
    made = Trial(
        id="made/0",
        groups=("made",),
        attributes=("hat",),
        request=lambda size: pytest.fail("metrics ask for nothing"),
        portrait=Reference(pictures(0, 1)[0], np.zeros((SIZE, SIZE), np.float32), face(32, 30)),
        donors={"hat": Reference(donor, box(30, 40).astype(np.float32), face(32, 34))},
        keypoints=np.stack([face(28 + 3 * i, 30, 14, 5 * i) for i in range(FRAMES)]),
        targets=targets,
        regions={"attribute": region},
    )
    return replace(made, **changes)


# --- where weights come from ------------------------------------------------------------------------------


def test_sources_are_parsed() -> None:
    sources = WeightSources.parse(["clip=openai/clip-vit-base-patch32", " arcface = /x/y=z.safetensors"])
    assert sources == WeightSources(clip="openai/clip-vit-base-patch32", arcface="/x/y=z.safetensors")
    assert sources.given() == {"clip": "openai/clip-vit-base-patch32", "arcface": "/x/y=z.safetensors"}
    assert WeightSources.parse([]).given() == {}


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        (["clip"], "NAME="),
        (["clip="], "NAME="),
        (["vgg=x"], "'vgg' is none of lpips, inception, video, clip, dino, arcface"),
        (["clip=a", "clip=b"], "twice: 'a' and 'b'"),
    ],
)
def test_sources_that_cannot_be_meant(entries: list[str], message: str) -> None:
    with pytest.raises(DurianError, match=message):
        WeightSources.parse(entries)


def test_every_source_has_a_metric_and_a_way_to_get_it() -> None:
    names = list(WeightSources.__dataclass_fields__)
    assert list(HOW_TO_GET) == list(METRIC_OF) == names
    assert set(METRIC_OF.values()) == set(PERCEPTUAL_METRICS)


@pytest.mark.parametrize("name", list(HOW_TO_GET))
@pytest.mark.parametrize("where", ["/nowhere/weights", "no-such-owner-of-durian/no-such-weights"])
def test_missing_weights_are_named_with_the_way_to_get_them(name: str, where: str) -> None:
    with pytest.raises(DurianError) as caught:
        PerceptualMetrics(WeightSources(**{name: where}))
    message = str(caught.value)
    assert message.startswith(f"{name} weights: ")
    assert where in message
    assert HOW_TO_GET[name] in message
    assert "\n" not in message


@pytest.mark.parametrize("name", list(HOW_TO_GET))
def test_a_lacking_tensor_is_an_error(name: str, weights: dict[str, str], tmp_path: Path) -> None:
    """And never a random one in its place."""
    source = Path(weights[name])
    file = source if source.is_file() else next(source.glob("*.safetensors"))
    tensors = load_file(file) if file.suffix == ".safetensors" else torch.load(file, weights_only=True)
    needed = {
        "lpips": "features.8.weight",
        "inception": "Mixed_6c.branch_pool.bn.weight",
        "video": "videomae.encoder.layer.0.output.dense.weight",
        "clip": "visual_projection.weight",
        "dino": "encoder.layer.0.norm1.weight",
        "arcface": "layer3.1.bn3.running_mean",
    }[name]
    assert tensors.pop(needed).numel()
    save_file(tensors, tmp_path / "model.safetensors", metadata={"format": "pt"})
    if (source / "config.json").is_file():
        (tmp_path / "config.json").write_bytes((source / "config.json").read_bytes())
    with pytest.raises(DurianError, match=f"^{name} weights: ") as caught:
        PerceptualMetrics(WeightSources(**{name: str(tmp_path)}))
    assert needed.split(".", 1)[1] in str(caught.value) or needed in str(caught.value)
    assert "\n" not in str(caught.value)


def test_weights_of_another_shape_do_not_pass(weights: dict[str, str], tmp_path: Path) -> None:
    file = Path(weights["clip"]) / "model.safetensors"
    tensors = load_file(file)
    tensors["visual_projection.weight"] = torch.zeros(20, 16)
    save_file(tensors, tmp_path / "model.safetensors", metadata={"format": "pt"})
    (tmp_path / "config.json").write_bytes((file.parent / "config.json").read_bytes())
    with pytest.raises(DurianError, match=r"1 weights of .* another shape \(visual_projection.weight\)"):
        PerceptualMetrics(WeightSources(clip=str(tmp_path)))


def test_what_is_beyond_the_model_is_left_out_silently(
    weights: dict[str, str], capfd: pytest.CaptureFixture[str]
) -> None:
    PerceptualMetrics(WeightSources(clip=weights["clip"]))
    assert capfd.readouterr() == ("", "")


def test_other_networks_weights_do_not_pass(weights: dict[str, str]) -> None:
    for name, other in [("arcface", "lpips"), ("lpips", "arcface"), ("clip", "dino")]:
        with pytest.raises(DurianError, match=f"^{name} weights: "):
            PerceptualMetrics(WeightSources(**{name: weights[other]}))


def test_weights_run_no_code(tmp_path: Path) -> None:
    class Payload:
        def __reduce__(self):
            return (os.mkdir, (str(tmp_path / "ran"),))

    torch.save({"features.0.weight": Payload()}, tmp_path / "weights.pth")
    with pytest.raises(DurianError, match="lpips weights"):
        Lpips(str(tmp_path / "weights.pth"), CPU)
    assert not (tmp_path / "ran").exists()


def test_a_folder_of_several_weight_files_is_ambiguous(weights: dict[str, str], tmp_path: Path) -> None:
    for name in ("a.pth", "b.pth"):
        (tmp_path / name).write_bytes(Path(weights["lpips"]).read_bytes())
    with pytest.raises(DurianError, match="holds 2 weight files"):
        Lpips(str(tmp_path), CPU)


def test_the_names_are_there_without_torch() -> None:
    code = (
        "import sys; import durian.evaluation.perceptual as p; p.WeightSources.parse(['clip=x']);"
        "sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


# --- LPIPS ------------------------------------------------------------------------------------------------


def test_lpips_is_that_of_its_authors(weights: dict[str, str]) -> None:
    lpips = Lpips(weights["lpips"], CPU)
    first, second = pictures(3), pictures(4)
    assert [lpips(a[None], b[None]) for a, b in zip(first, second, strict=True)] == pytest.approx(
        EXPECTED_LPIPS, rel=1e-4
    )
    assert lpips(first, second) == pytest.approx(np.mean(EXPECTED_LPIPS), rel=1e-4)
    assert lpips(first, first) == 0
    long = np.repeat(first, 7, axis=0)  # more than a batch
    assert lpips(long, np.repeat(second, 7, axis=0)) == pytest.approx(np.mean(EXPECTED_LPIPS), rel=1e-4)


# --- FID and VFID -----------------------------------------------------------------------------------------


def test_inception_is_that_of_fid(weights: dict[str, str]) -> None:
    features = inception_encoder(weights["inception"], CPU)(pictures(5, 1, 299))[0]
    assert features.shape == (2048,)
    assert features[15::254] == pytest.approx(EXPECTED_INCEPTION, rel=1e-3, abs=1e-3)


class Same(torch.nn.Module):
    num_features = 6

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**31), st.sampled_from([4, 6, 7, 50]), st.sampled_from([4, 6, 60]))
def test_frechet_distance_is_that_of_torchmetrics(seed: int, n: int, m: int) -> None:
    rng = np.random.default_rng(seed)
    a, b = rng.normal(size=(n, 6)), 0.5 + rng.normal(size=(m, 6)) @ rng.normal(size=(6, 6))
    reference = FrechetInceptionDistance(feature=Same()).set_dtype(torch.float64)
    reference.update(torch.from_numpy(a), real=True)
    reference.update(torch.from_numpy(b), real=False)
    distance = frechet_distance(a, b, min_samples=2)
    assert distance == pytest.approx(float(reference.compute()), rel=1e-4, abs=1e-4)
    assert frechet_distance(b, a, min_samples=2) == pytest.approx(distance)


def test_frechet_distance_of_known_gaussians() -> None:
    a = np.random.default_rng(0).normal(size=(40, 100)).astype(np.float32)
    assert frechet_distance(a, a) == pytest.approx(0, abs=1e-6)
    assert frechet_distance(a, a + 2) == pytest.approx(400, rel=1e-5)
    # Scaling by s about the mean moves every direction's deviation σ by (s - 1) σ.
    scaled = a.mean(0) + 3 * (a - a.mean(0))
    assert frechet_distance(a, scaled) == pytest.approx(4 * a.var(0, ddof=1).sum(), rel=1e-5)


def test_too_few_samples_have_no_distance() -> None:
    a = np.random.default_rng(0).normal(size=(40, 3))
    assert frechet_distance(a[:31], a) is None
    assert frechet_distance(a, a[:1], min_samples=1) is None
    assert frechet_distance(a[:32], a) is not None
    with pytest.raises(ValueError, match="must be"):
        frechet_distance(a, a[:, :2])


@given(st.integers(1, 60), st.integers(2, 16))
def test_video_clips_cover_the_video_in_order(count: int, length: int) -> None:
    frames = np.arange(count, dtype=np.uint8)[:, None, None, None]
    clips = video_clips(frames, length)[:, 0, 0, 0].reshape(-1, length).astype(int)
    assert len(clips) == max(1, count // length)
    assert clips[0, 0] == 0
    if count > length:
        assert (np.diff(clips) == 1).all()
        assert (np.diff(clips[:, 0]) >= length).all()
    else:
        assert sorted(set(clips[0])) == list(range(count))
        assert (np.diff(clips[0]) >= 0).all()
    if len(clips) > 1 or count <= length:
        assert clips[-1, -1] == count - 1


def test_features_of_a_set(metrics: PerceptualMetrics, weights: dict[str, str]) -> None:
    features = metrics.features(pictures(6, 2))
    assert {name: value.shape for name, value in features.items()} == {"fid": (2, 2048), "vfid": (1, 16)}
    assert all(value.dtype == np.float32 and np.isfinite(value).all() for value in features.values())
    assert set(metrics.features(pictures(6, 1))) == {"fid"}
    videos = PerceptualMetrics(WeightSources(video=weights["video"])).features(pictures(6, 9))
    assert {name: value.shape for name, value in videos.items()} == {"vfid": (2, 16)}


def test_vfid_sees_the_order_of_frames(weights: dict[str, str]) -> None:
    encoder = video_encoder(weights["video"], CPU)
    frames = pictures(7, 4)
    assert np.abs(encoder(frames) - encoder(frames[[2, 0, 3, 1]])).max() > 1e-4


def test_videomae_s_published_biases_are_loaded(weights: dict[str, str], tmp_path: Path) -> None:
    """Published files call the biases of queries and values otherwise than the class does."""
    folder = Path(weights["video"])
    tensors = load_file(folder / "model.safetensors")
    layer = "videomae.encoder.layer.0.attention.attention"
    names = {f"{layer}.q_bias", f"{layer}.query.bias", f"{layer}.v_bias", f"{layer}.value.bias"}
    stored = sorted(names & set(tensors))
    assert len(stored) == 2
    old = {key: tensors.pop(key) for key in stored}
    (tmp_path / "config.json").write_bytes((folder / "config.json").read_bytes())
    for suffix, offset in (("q_bias", 0), ("v_bias", 3)):
        original = next(value for key, value in old.items() if key[len(layer) + 1] == suffix[0])
        tensors[f"{layer}.{suffix}"] = original + offset
    save_file(tensors, tmp_path / "model.safetensors", metadata={"format": "pt"})
    clip = pictures(8, 4)
    plain, biased = (video_encoder(str(where), CPU)(clip) for where in (folder, tmp_path))
    assert np.abs(plain - biased).max() > 1e-2


# --- the attribute ----------------------------------------------------------------------------------------


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**31), st.integers(0, 40), st.integers(0, 40))
def test_an_attribute_is_seen_alone_and_wherever_it_is(seed: int, x: int, y: int) -> None:
    image, other = pictures(seed, 2)
    mask, moved = box(x, y), box(21, 17)
    crop = attribute_crop(image, mask, 32)
    assert crop is not None
    assert crop.shape == (32, 32, 3)
    assert tuple(crop[0, 0]) == (124, 116, 104)
    elsewhere = other.copy()
    elsewhere[moved] = image[mask]
    np.testing.assert_array_equal(attribute_crop(elsewhere, moved, 32), crop)


def test_an_attribute_of_any_size_fills_its_crop() -> None:
    small = pictures(9, 1)[0]
    large = np.asarray(Image.fromarray(small).resize((256, 256), Image.Resampling.BICUBIC))
    one = attribute_crop(small, box(10, 20, 30, 20))
    four = attribute_crop(large, box(40, 80, 120, 80, 256).astype(np.float32))
    assert one is not None
    assert four is not None
    inside = np.zeros((224, 224), bool)
    inside[64:160, 30:194] = True
    assert np.abs(one.astype(int) - four)[inside].max() <= 8


def test_a_region_that_shows_nothing_has_no_crop() -> None:
    assert attribute_crop(pictures(0, 1)[0], np.zeros((SIZE, SIZE), bool)) is None
    assert attribute_crop(pictures(0, 1)[0], box(3, 3, 5, 3)) is None


def test_the_donor_s_own_attribute_is_the_best(metrics: PerceptualMetrics) -> None:
    exact = trial()
    assert exact.targets is not None
    best = metrics.scores(exact.targets, exact)
    assert best["clip_i"] == pytest.approx(1, abs=1e-5)
    assert best["dino_attribute"] == pytest.approx(1, abs=1e-5)
    assert best["lpips"] == 0
    worse = metrics.scores(pictures(10), exact)
    assert worse["clip_i"] < best["clip_i"]
    assert worse["dino_attribute"] < best["dino_attribute"]
    assert worse["lpips"] > 0
    inverted = exact.targets.copy()  # all but the attribute
    inverted[~exact.regions["attribute"]] ^= 255
    assert metrics.scores(inverted, exact)["clip_i"] == pytest.approx(best["clip_i"], abs=1e-5)


def test_without_truth_the_attribute_must_be_found(weights: dict[str, str]) -> None:
    exact = trial()
    blind = trial(targets=None, regions={})
    sources = WeightSources(lpips=weights["lpips"], dino=weights["dino"])
    frames = exact.targets
    assert PerceptualMetrics(sources).scores(frames, blind) == {"lpips": None, "dino_attribute": None}

    regions = iter(exact.regions["attribute"])
    asked = []

    def masker(image: np.ndarray, landmarks: np.ndarray, attribute: str) -> np.ndarray:
        asked.append(attribute)
        return next(regions).astype(np.float32)

    found = PerceptualMetrics(sources, masker=masker).scores(frames, blind)
    assert found["dino_attribute"] == pytest.approx(1, abs=1e-5)
    assert asked == ["hat"] * FRAMES


def test_several_attributes_need_a_masker_to_be_told_apart(weights: dict[str, str]) -> None:
    exact = trial()
    both = trial(donors={"hat": exact.donors["hat"], "glasses": exact.donors["hat"]})
    sources = WeightSources(clip=weights["clip"])
    assert PerceptualMetrics(sources).scores(exact.targets, both) == {"clip_i": None}
    places = {"hat": exact.regions["attribute"][0], "glasses": np.zeros((SIZE, SIZE))}
    told = PerceptualMetrics(sources, masker=lambda image, landmarks, name: places[name].astype(np.float32))
    still = np.repeat(exact.targets[:1], FRAMES, axis=0)
    assert told.scores(still, both)["clip_i"] == pytest.approx(1, abs=1e-5)  # of the hat; no glasses are seen


# --- identity ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("scale", "degrees"), [(20, 0), (45, 30), (90, -20)])
def test_faces_are_aligned_to_arcface_s_points(scale: float, degrees: float) -> None:
    """A dot at each of the five points of an upright or turned face arrives where ArcFace expects it."""
    landmarks = face(130, 110, scale, degrees)
    places = [
        landmarks[[33, 133], :2].mean(0),
        landmarks[[362, 263], :2].mean(0),
        *landmarks[[1, 61, 291], :2],
    ]
    ys, xs = np.mgrid[:256, :256] + 0.5
    spread = 0.06 * scale
    found = []
    for x, y in places:
        dot = 255 * np.exp(-((xs - x) ** 2 + (ys - y) ** 2) / (2 * spread**2))
        frame = np.repeat(dot.round().astype(np.uint8)[..., None], 3, -1)
        crop = arcface_crops(frame[None], landmarks[None])[0, :, :, 0].astype(float)
        rows, columns = np.mgrid[:112, :112]  # ArcFace's pixel centres lie at whole numbers
        found.append([(crop * columns).sum() / crop.sum(), (crop * rows).sum() / crop.sum()])
    template = [
        (38.2946, 51.6963),
        (73.5318, 51.5014),
        (56.0252, 71.7366),
        (41.5493, 92.3655),
        (70.7299, 92.2041),
    ]
    assert np.abs(np.array(found) - template).mean() < 3  # the mean face is not exactly ArcFace's
    middle = np.mean(found, 0) - np.mean(template, 0)
    assert np.abs(middle).max() < 0.1  # but a least-squares fit keeps the points' middle


def test_identity_is_the_cosine_of_arcface_s_embeddings(weights: dict[str, str]) -> None:
    encoder = arcface_encoder(weights["arcface"], CPU)
    crops = pictures(11, 2, 112)
    network = ArcFaceEncoder(16, layers=(1, 1, 2, 1), widths=(4, 4, 8, 8), embedding_dim=16).eval()
    stored = {k: v for k, v in load_file(weights["arcface"]).items() if not k.startswith("projection")}
    network.load_state_dict(stored, strict=False)
    network.projection = torch.nn.Identity()
    images = torch.from_numpy(crops).permute(0, 3, 1, 2).float() / 127.5 - 1
    expected = F.normalize(network(images)[:, 0], dim=1).numpy()
    np.testing.assert_allclose(encoder(crops), expected, atol=1e-5)


def test_arcface_s_depth_is_read_off_the_weights(tmp_path: Path) -> None:
    deep = ArcFaceEncoder(8, layers=(1, 2, 12, 1), widths=(4, 4, 4, 4), embedding_dim=8)
    released = {key: value for key, value in deep.state_dict().items() if not key.startswith("projection")}
    torch.save(released, tmp_path / "backbone.pth")
    vectors = arcface_encoder(str(tmp_path / "backbone.pth"), CPU)(pictures(12, 2, 112))
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, rtol=1e-5)


def test_the_portrait_itself_has_identity_one(metrics: PerceptualMetrics) -> None:
    person = trial()
    landmarks = np.repeat(person.portrait.landmarks[None], FRAMES, axis=0)
    same = np.repeat(person.portrait.image[None], FRAMES, axis=0)
    still = replace(person, keypoints=landmarks)
    assert metrics.scores(same, still)["identity_arcface"] == pytest.approx(1, abs=1e-5)
    assert metrics.scores(pictures(13), still)["identity_arcface"] < 0.999


def test_any_embedding_goes_the_same_way() -> None:
    """Frames without landmarks do not count, nor does anything without the portrait's."""
    person = trial()
    seen = []

    def embedding(frames: np.ndarray, landmarks: np.ndarray) -> np.ndarray:
        seen.append(len(frames))
        angle = frames.mean((1, 2, 3)) / 100
        return np.stack([np.cos(angle), np.sin(angle)], 1)

    frames = np.stack([np.full((SIZE, SIZE, 3), value, np.uint8) for value in (100, 200, 0)])
    portrait = replace(person.portrait, image=np.full((SIZE, SIZE, 3), 50, np.uint8))
    keypoints = person.keypoints.copy()
    keypoints[1] = np.nan
    similarity = identity_similarity(embedding, frames, keypoints, portrait)
    assert similarity == pytest.approx(np.cos(0.5))  # of 100 and of 0 against 50
    assert seen == [1, 2]
    assert identity_similarity(embedding, frames, np.full_like(keypoints, np.nan), portrait) is None
    faceless = replace(portrait, landmarks=np.full_like(portrait.landmarks, np.nan))
    assert identity_similarity(embedding, frames, keypoints, faceless) is None


# --- all together -----------------------------------------------------------------------------------------


def test_only_what_is_given_is_measured(metrics: PerceptualMetrics, weights: dict[str, str]) -> None:
    exact = trial()
    assert set(metrics.names) == set(PERCEPTUAL_METRICS)
    per_trial = {"lpips", "clip_i", "dino_attribute", "identity_arcface"}
    scores = metrics.scores(exact.targets, exact)
    assert set(scores) == per_trial
    assert all(isinstance(value, float) and np.isfinite(value) for value in scores.values())
    nothing = PerceptualMetrics(WeightSources())
    assert (nothing.names, nothing.scores(exact.targets, exact), nothing.features(exact.targets)) == (
        (),
        {},
        {},
    )
    one = PerceptualMetrics(WeightSources(lpips=weights["lpips"]))
    assert one.names == ("lpips",)
    assert set(one.scores(exact.targets, exact)) == {"lpips"}


def test_frames_of_another_shape_are_refused(metrics: PerceptualMetrics) -> None:
    for frames in (pictures(0, 2), pictures(0, FRAMES, 32), pictures(0).astype(np.float32)):
        with pytest.raises(ValueError, match="must be"):
            metrics.scores(frames, trial())
