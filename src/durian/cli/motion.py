"""`durian motion`: a driver's motion, kept without its pictures."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from durian.cli.media_options import Duration, Fps, Start
from durian.cli.motion_options import DrivingFace, Smoothing, parse_face
from durian.cli.options import Frames
from durian.cli.progress import progress_bars


def motion(
    driver: Annotated[Path, typer.Argument(help="A video, or a picture for its pose and expression.")],
    output: Annotated[Path, typer.Option(help="The .safetensors or .npz to write.")],
    driving_face: DrivingFace = "largest",
    smoothing: Smoothing = 1.0,
    frames: Frames = None,
    start: Start = 0.0,
    duration: Duration = None,
    fps: Fps = None,
) -> None:
    """Keep a driver's motion in a small file, for `durian animate --driving`."""
    face = parse_face(driving_face, "--driving-face")

    from durian.portrait.motion_template import MotionTemplate, check_suffix
    from durian.portrait.prepare import driver_motion
    from durian.video import VideoReader

    check_suffix(output)
    with (
        VideoReader(driver, frames, fps=fps, start=start, duration=duration) as video,
        progress_bars() as report,
    ):
        landmarks = driver_motion(
            video,
            face=face,
            fps=video.fps,
            smoothing=smoothing,
            progress=partial(report, "Following the face", total=video.frame_count),
        )
        rate = video.fps
    MotionTemplate(landmarks, rate).save(output)
    typer.echo(f"Wrote {output}: {len(landmarks)} frames.")
