"""Fitting the landmark chart to what MediaPipe finds; kept so that the stored table can be made again."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float

from durian.portrait.landmarks import MediaPipeLandmarks
from durian.synth.attributes import Attributes
from durian.synth.chart import COUNT, Kind, even_lids_and_lips, landmark_kinds
from durian.synth.head import Head
from durian.synth.landmarks import LandmarkRig
from durian.synth.model import build
from durian.synth.performance import FrameState
from durian.synth.person import sample_person
from durian.synth.pose import HeadPose, View
from durian.synth.render import render
from durian.synth.scene import sample_light

STEPS = 8
NUDGE = 0.02  # radians (or shares) by which the fit tries a point's two chart values


@dataclass(frozen=True)
class Sighting:
    """One rendered frame and what MediaPipe found in it, in pixels."""

    head: Head
    state: FrameState
    view: View
    found: Float[np.ndarray, "478 3"]


def fit_chart(
    people: int = 200, seed: int = 1, report: Callable[[str], None] = lambda line: None
) -> Float[np.ndarray, "478 2"]:
    """Find the chart whose landmarks lie closest, over many random people, to MediaPipe's.

    Every landmark's two chart values are found by themselves, by Gauss-Newton steps; what a point that
    faces away is found at counts little. Left and right are then averaged where they are mirror images.
    """
    sightings = collect_sightings(people, seed)
    report(f"{len(sightings)} faces found")
    chart = _start(sightings)
    kinds = landmark_kinds()
    free = ~np.isin(kinds, (Kind.RIGHT_IRIS, Kind.LEFT_IRIS))
    curves = free & (kinds != Kind.SKIN)
    for step in range(STEPS):
        hessian, gradient, error = np.zeros((COUNT, 2, 2)), np.zeros((COUNT, 2)), []
        for seen in sightings:
            base, facing = _project(seen, chart)
            jacobian = np.stack(
                [(_project(seen, chart + NUDGE * np.eye(2)[k])[0] - base) / NUDGE for k in range(2)], -1
            )
            off = seen.found[:, :2] - base
            between_eyes = np.linalg.norm(seen.found[33, :2] - seen.found[263, :2])
            off, jacobian = off / between_eyes, jacobian / between_eyes
            weight = np.clip(facing + 0.1, 0.02, 1.0) / (1 + (np.linalg.norm(off, axis=1) / 0.08) ** 2)
            hessian += weight[:, None, None] * np.einsum("nij,nik->njk", jacobian, jacobian)
            gradient += weight[:, None] * np.einsum("nij,ni->nj", jacobian, off)
            error.append(np.linalg.norm(off[free], axis=1).mean())
        damping = 1e-2 * np.trace(hessian, axis1=1, axis2=2)[:, None, None] + 1e-6
        move = np.linalg.solve(hessian + damping * np.eye(2), gradient[..., None])[..., 0]
        move = np.clip(move, -0.15, 0.15)
        move[curves, 1] = 0
        chart[free] += move[free]
        chart[curves, 0] = np.clip(chart[curves, 0], -1, 1)
        report(
            f"step {step + 1}: mean distance {np.mean(error):.4f} of the distance between the outer corners"
        )
    return chart.astype(np.float32)


def collect_sightings(people: int, seed: int) -> list[Sighting]:
    """Render people with hair only, turned a little to either side, and look for their faces."""
    sightings = []
    with MediaPipeLandmarks() as detect:
        for k in range(people):
            rng = np.random.default_rng((seed, k))
            person = sample_person(rng)
            hair = person.attributes.hair if k % 2 else None
            scene = replace(person.scene, light=sample_light(rng, "soft"))
            model = build(replace(person, attributes=Attributes(hair=hair), scene=scene))
            for turned in (-1, 0, 1):
                yaw = turned * rng.uniform(0.2, 0.5) + rng.uniform(-0.06, 0.06)
                state = FrameState(
                    yaw=float(yaw), pitch=float(rng.uniform(-0.12, 0.12)), smile=float(rng.uniform(0, 0.3))
                )
                frame = render(model, state, 256, 2)
                found = detect(frame.rgb)
                if found is not None:
                    view = View.of(scene.camera, 1.0, 256)
                    sightings.append(Sighting(model.head, state, view, found))
    return sightings


def _project(seen: Sighting, chart: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    landmarks = LandmarkRig.of(seen.head, chart)
    posed, facing = landmarks.place(seen.state, HeadPose.of(seen.state), seen.view)
    return seen.view.project(posed.astype(np.float64))[:, :2], facing


def _start(sightings: list[Sighting]) -> np.ndarray:
    """Where the points of the faces that look at the camera would lie on a sphere."""
    sums, count = np.zeros((COUNT, 2)), 0
    for seen in sightings:
        if abs(seen.state.yaw) > 0.1:
            continue
        scale = seen.view.scale / seen.view.distance * 1.08
        x = (seen.found[:, 0] - seen.view.centre) / scale
        y = (seen.view.centre - seen.found[:, 1]) / scale + seen.view.height
        z = np.sqrt(np.clip(0.85**2 - x**2 - 0.5 * (y + 0.12) ** 2, 0.02, None))
        lon, lat = seen.head.angles(np.stack([x, y, z], -1))
        sums += np.stack([lon, lat], -1)
        count += 1
    chart = sums / max(count, 1)
    curves = landmark_kinds() != Kind.SKIN
    chart[curves] = even_lids_and_lips()[curves]
    return chart
