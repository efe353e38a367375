"""Attribute masks from networks of transformers, tiny ones with random weights, and their cleaning."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from transformers import (
    Sam2Config,
    Sam2Model,
    Sapiens2Config,
    Sapiens2ForSemanticSegmentation,
)

from durian.cli.mask_options import parse_mask_options
from durian.errors import DurianError
from durian.portrait.click import ClickMasker
from durian.portrait.geometry import face_template
from durian.portrait.mask_cleaning import clean_mask
from durian.portrait.network_images import NetworkImages
from durian.portrait.parsers import ParsedMasks, open_parser

FACE = (20 * face_template() + (32, 28, 0)).astype(np.float32)


def preprocessor(folder: Path, **settings: object) -> None:
    (folder / "preprocessor_config.json").write_text(json.dumps(settings))


@pytest.fixture
def sapiens(tmp_path: Path) -> Path:
    """A tiny Sapiens2 that sees glasses everywhere."""
    names = dict(enumerate(["Background", "Eyeglass", "Hair", "Face_Neck"]))
    torch.manual_seed(0)
    network = Sapiens2ForSemanticSegmentation(
        Sapiens2Config(
            image_size=[64, 48],
            patch_size=16,
            hidden_size=32,
            intermediate_size=32,
            num_hidden_layers=1,
            num_attention_heads=2,
            num_register_tokens=1,
            num_key_value_heads_per_layer=[2],
            head_config={"upsample_out_channels": [8], "conv_out_channels": [8]},
            id2label=names,
            label2id={name: index for index, name in names.items()},
        )
    )
    last = [each for each in network.modules() if isinstance(each, torch.nn.Conv2d)][-1]
    assert last.out_channels == len(names)
    with torch.no_grad():
        last.weight.zero_()
        last.bias.copy_(torch.tensor([0.0, 9.0, 0.0, 0.0]))
    network.save_pretrained(tmp_path)
    preprocessor(tmp_path, image_processor_type="Sapiens2ImageProcessor", size={"height": 64, "width": 48})
    return tmp_path


@pytest.fixture
def sam(tmp_path: Path) -> Path:
    """A tiny SAM 2."""
    torch.manual_seed(0)
    config = Sam2Config(
        vision_config={
            "backbone_config": {
                "model_type": "sam2_hiera_det_model",
                "hidden_size": 8,
                "image_size": [64, 64],
                "blocks_per_stage": [1, 1, 2, 1],
                "embed_dim_per_stage": [8, 16, 32, 64],
                "num_attention_heads_per_stage": [1, 1, 1, 1],
                "window_size_per_stage": [8, 4, 4, 4],
                "global_attention_blocks": [3],
            },
            "backbone_channel_list": [64, 32, 16, 8],
            "backbone_feature_sizes": [[16, 16], [8, 8], [4, 4]],
            "fpn_hidden_size": 16,
        },
        prompt_encoder_config={"hidden_size": 16, "image_size": 64, "patch_size": 16},
        mask_decoder_config={
            "hidden_size": 16,
            "mlp_dim": 16,
            "num_hidden_layers": 1,
            "num_attention_heads": 2,
            "iou_head_hidden_dim": 16,
        },
    )
    network = Sam2Model(config)
    for weight in (*network.mask_decoder.parameters(), *network.prompt_encoder.parameters()):
        if weight.dim() > 1:  # or all that a click changes is lost in the last digits
            torch.nn.init.normal_(weight, std=0.5)
    network.save_pretrained(tmp_path)
    preprocessor(tmp_path, image_processor_type="Sam2ImageProcessor", size={"height": 64, "width": 64})
    return tmp_path


def test_sapiens_by_the_names_of_its_labels(sapiens: Path) -> None:
    parser = open_parser(str(sapiens), "cpu")
    assert parser.attributes == ("hair", "glasses")
    masks = parser(np.zeros((1, 64, 64, 3), np.uint8), FACE[None], ["hair", "glasses"])
    np.testing.assert_allclose(masks["glasses"], 1, atol=1e-2)
    np.testing.assert_allclose(masks["hair"], 0, atol=1e-2)


def test_what_a_network_does_not_know_is_found_without_it(sapiens: Path) -> None:
    asked = []

    def fallback(image: np.ndarray, landmarks: np.ndarray, attribute: str) -> np.ndarray:
        asked.append(attribute)
        return np.full(image.shape[:2], 0.25, np.float32)

    find = ParsedMasks(open_parser(str(sapiens), "cpu"), fallback)
    image = np.zeros((64, 64, 3), np.uint8)
    assert find(image, FACE, "beard").mean() == 0.25
    assert find(image, FACE, "glasses").mean() > 0.9
    assert asked == ["beard"]


def test_a_click_asks_about_its_place(sam: Path) -> None:
    find = ClickMasker(str(sam), "cpu")
    image = np.random.default_rng(0).integers(0, 255, (40, 80, 3), dtype=np.uint8)
    left, again, right = (find(image, [point]) for point in ((5, 10), (5, 10), (70, 30)))
    assert left.shape == (40, 80)
    assert 0 <= left.min() <= left.max() <= 1
    np.testing.assert_array_equal(left, again)
    assert np.abs(left - right).max() > 1e-4
    with pytest.raises(DurianError, match=r"click 80,3: is outside of the picture of 80×40"):
        find(image, [(80, 3)])


def test_clicks_in_words() -> None:
    files = {"hair": Path("hair.jpg"), "hat": Path("hat.jpg")}
    masks, clicks = parse_mask_options(files, ["hat=mask.png"], ["hair=310,95.5", "hair=3,4"])
    assert masks == {"hat": Path("mask.png")}
    assert clicks == {"hair": [(310, 95.5), (3, 4)]}
    for text in ("hair", "hair=", "hair=3", "hair=a,b", "hair=1,2,3"):
        with pytest.raises(DurianError, match="write it as NAME=X,Y"):
            parse_mask_options(files, [], [text])
    with pytest.raises(DurianError, match="no --attribute glasses"):
        parse_mask_options(files, [], ["glasses=1,2"])
    with pytest.raises(DurianError, match="leave one of them out"):
        parse_mask_options(files, ["hair=mask.png"], ["hair=1,2"])


def test_a_click_model_that_cannot_be_loaded_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(DurianError, match="--click-model"):
        ClickMasker(str(tmp_path))


def test_sizes_of_preprocessors(tmp_path: Path) -> None:
    preprocessor(tmp_path, size={"shortest_edge": 32}, image_mean=[0.5] * 3, image_std=[0.25] * 3)
    images = NetworkImages.from_pretrained(str(tmp_path))
    assert images.size == (32, 32)
    np.testing.assert_allclose(images(np.full((50, 50, 3), 255, np.uint8)), 2, atol=1e-6)
    preprocessor(tmp_path, image_mean=[0.5] * 3)
    with pytest.raises(ValueError, match="no size"):
        NetworkImages.from_pretrained(str(tmp_path))


def test_cleaning_drops_specks_and_fills_holes() -> None:
    landmarks = (40 * face_template() + (64, 56, 0)).astype(np.float32)
    mask = np.zeros((128, 128), np.float32)
    mask[10:50, 20:100] = 1
    mask[30:33, 60:63] = 0  # a hole
    mask[100:103, 10:13] = 1  # a speck
    clean = clean_mask(mask, landmarks)
    assert clean[31, 61] > 0.95
    assert clean[98:106, 8:16].max() == 0
    assert clean[25, 40] == pytest.approx(1)
    edge = clean[5:15, 60]
    assert ((edge > 0.05) & (edge < 0.95)).any(), "soft"
    assert (clean > 0.5).sum() == pytest.approx((mask > 0.5).sum(), rel=0.02)


def test_cleaning_keeps_thin_frames_of_glasses() -> None:
    landmarks = (40 * face_template() + (64, 56, 0)).astype(np.float32)
    mask = np.zeros((128, 128), np.uint8)
    for x in (50, 78):
        cv2.circle(mask, (x, 58), 10, 1, 2)
    mask[57:59, 60:69] = 1  # the bridge
    clean = clean_mask(mask.astype(np.float32), landmarks)
    assert clean[58, 64] > 0.5, "the bridge is there"
    for x in (40, 60, 68, 88):
        assert clean[58, x] > 0.5, "and the rims"
    assert (clean > 0.5)[58, 50] == (clean > 0.5)[58, 78]


def test_cleaning_keeps_the_only_part_however_small() -> None:
    landmarks = (40 * face_template() + (64, 56, 0)).astype(np.float32)
    mask = np.zeros((128, 128), np.float32)
    mask[60:63, 60:63] = 1
    assert clean_mask(mask, landmarks)[61, 61] > 0.5
    assert not clean_mask(np.zeros((128, 128), np.float32), landmarks).any()
