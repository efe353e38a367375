"""Guidance at inference asks the networks what condition dropout asked of them in training."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import DDIMScheduler

from durian.pipeline.conditioner import Conditioner, Guidance
from durian.pipeline.conditioning import draw_all, keypoint_tensor, position_tensor, reference_tensors
from durian.portrait.guidance import aligned_guidance
from durian.portrait.inputs import AnimationInputs
from durian.training.config import TrainConfig
from durian.training.objective import ReconstructionObjective
from tiny import tiny_inputs, tiny_networks, tiny_preset

GRID, LATENT, FRAMES = 8, 8, 2
OPTIONS = {
    "mini": {},
    "no copies": {"copy_heads": 0},
    "joint": {
        "joint_references": True,
        "copy_heads": 0,
        "reference_net": {"drop_masked_tokens": False},
    },
    "guidance": {"guidance_channels": 8},
}


def objective_of(
    tmp_path: Path, changes: dict[str, float] | None = None, **options: Any
) -> ReconstructionObjective:
    values = {"preset": "mini", "stage": 1, "output": tmp_path, "data": {"clips": tmp_path}, "steps": 1}
    config = TrainConfig.model_validate({**values, **(changes or {})})
    scheduler = DDIMScheduler(**tiny_preset().scheduler)
    return ReconstructionObjective(tiny_networks(temporal=False, **options), scheduler, config)


def batch_of(inputs: AnimationInputs) -> dict[str, torch.Tensor]:
    """What training would call these inputs."""
    cpu = torch.device("cpu")
    portrait = reference_tensors(inputs.portrait, "portrait", GRID, cpu)
    attributes = [reference_tensors(a, "attribute", GRID, cpu) for a in inputs.attributes.values()]
    warped = aligned_guidance(inputs.portrait, inputs.attributes.values(), inputs.keypoints, LATENT)
    return {
        "portrait": portrait.image,
        "portrait_mask": 1 - portrait.visible,
        "portrait_positions": portrait.canonical,
        "attributes": torch.stack([a.image for a in attributes], 1),
        "attribute_masks": torch.stack([a.visible for a in attributes], 1),
        "attribute_positions": torch.stack([a.canonical for a in attributes], 1),
        "worn": torch.ones(1, len(attributes), dtype=torch.bool),
        "target_positions": position_tensor(inputs.keypoints, inputs.portrait.image.shape[0], GRID, cpu)[
            None
        ],
        "keypoints": keypoint_tensor(draw_all(inputs.keypoints, 32), cpu)[None],
        "guidance": torch.from_numpy(warped)[None],
    }


@torch.no_grad()
@pytest.mark.parametrize("attributes", [("hair",), ("hair", "glasses")])
@pytest.mark.parametrize("name", OPTIONS)
def test_each_condition_of_guidance_is_one_that_training_showed(
    tmp_path: Path, name: str, attributes: tuple[str, ...]
):
    objective = objective_of(tmp_path, **OPTIONS[name])
    inputs = tiny_inputs(FRAMES, attributes)
    batch = batch_of(inputs)
    if name != "guidance":
        batch["guidance"] = torch.zeros(1, FRAMES, 0, 1, 1)

    latents = torch.randn(1, 48, FRAMES, LATENT, LATENT, generator=torch.Generator().manual_seed(0))
    timestep = torch.tensor(700)
    conditioner = Conditioner(objective.networks.eval(), 32, inputs.portrait, inputs.attributes)
    images = draw_all(inputs.keypoints, 32)
    frames = list(conditioner.frames(inputs.keypoints, images, [1.0] * FRAMES))
    outputs = []
    # e(∅) + s_port (e(port) - e(∅)) + s_attr (e(port, attr) - e(port)) is a single term at these scales.
    for scales, kept in (((1, 1), (True, True)), ((1, 0), (True, False)), ((0, 0), (False, False))):
        guidance = Guidance(*scales)
        keep_portrait, keep_attribute = (torch.tensor([k]) for k in kept)
        trained = objective.predict(
            batch,
            latents,
            timestep.expand(1, FRAMES),
            objective.read_positions(batch)[0],
            keep_portrait,
            keep_attribute,
        )
        outputs.append(conditioner.predict(latents, timestep, frames, guidance, guidance.holds(0.3))[0])
        torch.testing.assert_close(outputs[-1], trained, atol=2e-5, rtol=1e-4)
    differences = [
        float((a - b).abs().max()) for a, b in zip(outputs, outputs[1:] + outputs[:1], strict=True)
    ]
    assert min(differences) > 1e-3


def test_references_are_dropped_as_often_as_asked(tmp_path: Path, monkeypatch):
    rates = {"drop_portrait": 0.3, "drop_attribute": 0.2, "drop_both": 0.1}
    objective = objective_of(tmp_path, rates)
    count, kept = 1500, []
    batch = batch_of(tiny_inputs(1))
    batch |= {"targets": torch.zeros(1, 1, 3, 32, 32), "target_masks": torch.ones(1, 1, 1, 32, 32)}
    batch = {key: value.expand(count, *value.shape[1:]) for key, value in batch.items()}

    def denoise(self, batch, noisy, timesteps, positions, keep_portrait, keep_attribute):
        kept.extend(zip(keep_portrait.tolist(), keep_attribute.tolist(), strict=True))
        return noisy, None, None

    monkeypatch.setattr(ReconstructionObjective, "denoise", denoise)
    with torch.no_grad():
        objective(batch, [torch.Generator().manual_seed(seed) for seed in range(count)])
    shares = {pair: kept.count(pair) / len(kept) for pair in set(kept)}
    # Within drop_portrait: 0.1 by drop_both, and 0.2 of the other 0.2 by chance.
    assert shares[False, False] == pytest.approx(0.1 + 0.2 * 0.2, abs=0.03)
    assert shares[False, True] == pytest.approx(0.2 * 0.8, abs=0.03)
    assert shares[True, False] == pytest.approx(0.7 * 0.2, abs=0.03)
    with pytest.raises(ValueError, match="drop_both: is a part of drop_portrait"):
        objective_of(tmp_path, {"drop_portrait": 0.1, "drop_both": 0.2})
