"""`durian evaluate`: measure checkpoints, ours or anyone's."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from durian.cli.options import CacheInterval, Detail, Device, Seed, Steps
from durian.cli.progress import progress_bars
from durian.errors import DurianError

if TYPE_CHECKING:
    from durian.evaluation.report import Report
    from durian.evaluation.trial import TrialRef

evaluate_app = typer.Typer(help="Measure checkpoints, ours or anyone's.")

_BASELINES_ONLY = "none"
_COLUMNS = (
    "psnr",
    "psnr_attribute",
    "ssim",
    "flicker",
    "warping_error",
    "landmark_error",
    "identity",
    "clip_i",
)
"""Metrics for the terminal: the first six that were measured."""

Output = Annotated[
    Path,
    typer.Option(
        "--out", help="Folder of the report; what it already holds is not scored again.", show_default=True
    ),
]
Checkpoints = Annotated[
    list[str] | None,
    typer.Option(
        "--checkpoint",
        help="'mini', a checkpoint folder or a hub id; NAME=… names it in the report; 'none' for the "
        "baselines alone. May be given again.",
        show_default="mini",
    ),
]
Weights = Annotated[
    list[str] | None,
    typer.Option(
        help="NAME=FILE, FOLDER or HUB ID of a network that a metric needs: lpips, inception, video, clip, "
        "dino, arcface (docs/metrics.md). May be given again.",
        show_default="none",
    ),
]
Dependence = Annotated[
    bool, typer.Option(help="Also measure what models lose without a condition, at five times their cost.")
]
Media = Annotated[bool, typer.Option(help="Keep pictures and videos for the page.")]
Workers = Annotated[
    int | None, typer.Option(min=1, help="Processes.", show_default="one a core, one alone with a GPU")
]
Limit = Annotated[int | None, typer.Option(min=1, help="Only the first N cases.", show_default="all")]


@evaluate_app.command()
def cases(
    cases: Annotated[Path, typer.Argument(help="Folder of a benchmark, of one split, or of case folders.")],
    out: Output = Path("durian-evaluation"),
    checkpoint: Checkpoints = None,
    split: Annotated[
        list[str] | None, typer.Option(help="Only this split; may be given again.", show_default="all")
    ] = None,
    limit: Annotated[
        int | None, typer.Option(min=1, help="Only the first N cases of each split.", show_default="all")
    ] = None,
    mask_noise: Annotated[
        list[float] | None,
        typer.Option(
            help="Also score each case with its masks eroded (below 0) or dilated (above) by this share of "
            "the image's side; may be given again.",
            show_default="none",
        ),
    ] = None,
    aligner: Annotated[
        str, typer.Option(help="head, ellipsoid, similarity or none: what makes M_aligned.")
    ] = "head",
    dependence: Dependence = True,
    weights: Weights = None,
    media: Media = True,
    steps: Steps = None,
    cache_interval: CacheInterval = 1,
    detail: Detail = True,
    seed: Seed = 0,
    workers: Workers = None,
    device: Device = None,
) -> None:
    """Score transfer between people against exact ground truth, beside baselines."""

    def list_trials() -> Sequence[TrialRef]:
        from durian.evaluation.cases import CaseOptions, case_trials

        return case_trials(
            cases,
            splits=split,
            limit=limit,
            options=CaseOptions(aligner),
            mask_noise=mask_noise or (),
            seed=seed,
        )

    _evaluate(
        "cases",
        f"Cases with exact ground truth: {cases.resolve().name}",
        list_trials,
        out=out,
        checkpoints=checkpoint,
        dependence=dependence,
        weights=weights,
        media=media,
        steps=steps,
        cache_interval=cache_interval,
        detail=detail,
        workers=workers,
        device=device,
        settings={"cases": str(cases), "aligner": aligner, "seed": seed, "limit": limit},
    )


VideosFolder = Annotated[
    Path, typer.Argument(help="Folder of videos with masks beside them (docs/protocols.md).")
]
Size = Annotated[int, typer.Option(min=32, max=1024, help="Side of the compared images in pixels.")]
Frames = Annotated[int, typer.Option(min=1, help="Frames of each trial.")]
Stride = Annotated[int, typer.Option(min=1, help="Take every Nth frame of the videos.")]
FindMasks = Annotated[
    bool, typer.Option(help="Find masks that are missing by the built-in method. The scores are rougher.")
]


@evaluate_app.command(name="self")
def self_transfer(
    videos: VideosFolder,
    out: Output = Path("durian-evaluation"),
    checkpoint: Checkpoints = None,
    size: Size = 512,
    frames: Frames = 16,
    stride: Stride = 1,
    find_masks: FindMasks = False,
    limit: Limit = None,
    dependence: Dependence = False,
    weights: Weights = None,
    media: Media = True,
    steps: Steps = None,
    cache_interval: CacheInterval = 1,
    detail: Detail = True,
    workers: Workers = None,
    device: Device = None,
) -> None:
    """Score self-attribute transfer on real videos: portrait, attribute and motion from one video.

    A model that copies what it is shown wins this; only `cases` or `cross` tell whether it transfers.
    """
    _evaluate_videos(
        "self", videos, out, checkpoint, size, frames, stride, find_masks, limit, dependence, weights, media,
        steps, cache_interval, detail, workers, device,
    )  # fmt: skip


@evaluate_app.command()
def cross(
    videos: VideosFolder,
    out: Output = Path("durian-evaluation"),
    checkpoint: Checkpoints = None,
    size: Size = 512,
    frames: Frames = 16,
    stride: Stride = 1,
    find_masks: FindMasks = False,
    limit: Limit = None,
    weights: Weights = None,
    media: Media = True,
    steps: Steps = None,
    cache_interval: CacheInterval = 1,
    detail: Detail = True,
    workers: Workers = None,
    device: Device = None,
) -> None:
    """Score transfer between people on real videos: portrait, attribute and motion from three videos.

    There is no true answer: what is measured is identity, the attribute's likeness and the motion.
    """
    _evaluate_videos(
        "cross", videos, out, checkpoint, size, frames, stride, find_masks, limit, False, weights, media,
        steps, cache_interval, detail, workers, device,
    )  # fmt: skip


@evaluate_app.command()
def compare(
    first: Annotated[Path, typer.Argument(help="A report.json or its folder.")],
    second: Annotated[Path, typer.Argument(help="Another of the same protocol.")],
    out: Annotated[Path | None, typer.Option(help="Write the comparison to this .md file.")] = None,
) -> None:
    """Compare two reports case by case, and say what is better, worse or not told apart."""
    from durian.evaluation.report import compare as compare_reports
    from durian.evaluation.report import compare_markdown, read_report
    from durian.video import check_writable

    if out is not None:
        from durian.cli.options import check_suffix

        check_suffix(out, ".md")
        check_writable(out)
    text = compare_markdown(compare_reports(read_report(first), read_report(second)))
    if out is None:
        typer.echo(text)
        return
    out.write_text(text, "utf-8")
    typer.echo(f"Wrote {out}.")


@evaluate_app.command()
def contest(
    report: Annotated[Path, typer.Argument(help="A report.json or its folder.")],
    against: Annotated[str, typer.Option(help="The method that all others are held against.")],
    group: Annotated[
        list[str] | None,
        typer.Option(help="Of cases, such as single; may be given again.", show_default="all"),
    ] = None,
    metric: Annotated[
        list[str] | None,
        typer.Option(help="Such as psnr; may be given again.", show_default="psnr, psnr_attribute"),
    ] = None,
) -> None:
    """Print every method of a report against one of them, paired by case, with 95 % intervals."""
    from durian.evaluation.report import contest_markdown, read_report

    metrics = metric or ["psnr", "psnr_attribute"]
    typer.echo(contest_markdown(read_report(report), against, group or ["all"], metrics), nl=False)


def _evaluate_videos(
    protocol: str,
    videos: Path,
    out: Path,
    checkpoints: list[str] | None,
    size: int,
    frames: int,
    stride: int,
    find_masks: bool,
    limit: int | None,
    dependence: bool,
    weights: list[str] | None,
    media: bool,
    steps: int | None,
    cache_interval: int,
    detail: bool,
    workers: int | None,
    device: str | None,
) -> None:
    def list_trials() -> Sequence[TrialRef]:
        from durian.evaluation.videos import cross_trials, self_trials
        from durian.portrait.masks import FallbackMasker

        masker = FallbackMasker() if find_masks else None
        options: dict[str, Any] = {"size": size, "frames": frames, "stride": stride, "masker": masker}
        if protocol == "cross":
            return cross_trials(videos, count=limit, **options)
        return self_trials(videos, **options)[:limit]

    titles = {"self": "Self-attribute transfer", "cross": "Cross-attribute transfer"}
    _evaluate(
        protocol,
        f"{titles[protocol]}: {videos.resolve().name}",
        list_trials,
        out=out,
        checkpoints=checkpoints,
        dependence=dependence,
        weights=weights,
        media=media,
        steps=steps,
        cache_interval=cache_interval,
        detail=detail,
        workers=1 if find_masks else workers,  # a masker is of one process
        device=device,
        settings={"videos": str(videos), "size": size, "frames": frames, "stride": stride, "limit": limit},
    )


def _evaluate(
    protocol: str,
    title: str,
    list_trials: Callable[[], Sequence[TrialRef]],
    *,
    out: Path,
    checkpoints: list[str] | None,
    dependence: bool,
    weights: list[str] | None,
    media: bool,
    steps: int | None,
    cache_interval: int,
    detail: bool,
    workers: int | None,
    device: str | None,
    settings: dict[str, Any],
) -> None:
    from durian.evaluation.judge import Task
    from durian.evaluation.methods import list_methods
    from durian.evaluation.perceptual import WeightSources
    from durian.evaluation.run import evaluate

    if out.exists() and not out.is_dir():
        raise DurianError(f"{out}: is a file: give the name of a folder")
    refs = list_trials()
    sampling: dict[str, Any] = {"steps": steps, "cache_interval": cache_interval, "detail": detail}
    methods = list_methods(_named(checkpoints), **sampling, dependence=dependence)
    # The identity embedding knows synthetic people only.
    sources = WeightSources.parse(weights or ())
    task = Task(out, tuple(methods), sources, device, media, synthetic=protocol == "cases")
    with progress_bars() as report_progress:
        report = evaluate(
            refs,
            task,
            protocol=protocol,
            title=title,
            settings={"command": _command(), **settings, **sampling},
            workers=workers or _default_workers(device),
            progress=partial(report_progress, "Scoring"),
        )
    _print(report)
    for case in report.skipped:
        typer.echo(f"skipped: {case.id}: {case.reason}", err=True)
    typer.echo(f"Wrote {out / 'index.html'}, report.md and report.json.")


def _named(checkpoints: list[str] | None) -> dict[str, str]:
    """Models by name: that before the "=", else the last parts of the path that tell them apart."""
    named: dict[str, str] = {}
    for entry in checkpoints or ["mini"]:
        if entry == _BASELINES_ONLY:
            continue
        name, equals, checkpoint = entry.partition("=")
        if not equals:
            parts = Path(entry).parts
            name, checkpoint = parts[-2] if parts[-1] == "checkpoint" and len(parts) > 1 else parts[-1], entry
        if name in named:
            raise DurianError(f"--checkpoint {entry}: {name!r} is there already, write NAME={checkpoint}")
        named[name] = checkpoint
    return named


def _default_workers(device: str | None) -> int:
    import torch

    from durian.work import available_cores

    return 1 if device not in (None, "cpu") or torch.cuda.is_available() else available_cores()


def _command() -> str:
    return shlex.join(["durian", *sys.argv[1:]])


def _print(report: Report) -> None:
    from rich.console import Console
    from rich.table import Table

    from durian.evaluation.report.schema import ALL

    measured = {metric for row in report.table[ALL].values() for metric in row}
    columns = [name for name in _COLUMNS if name in measured][:6]
    table = Table("cases", "method", title=report.title)
    for name in columns:
        info = report.metrics[name]
        table.add_column(f"{info.title} {'↑' if info.better == 'higher' else '↓'}", justify="right")
    for group, count in report.groups.items():
        if group.count(",") > 1 or (group != ALL and count == report.groups[ALL]):
            continue
        for name, method in report.methods.items():
            if method.kind == "ablation" or name not in report.table.get(group, {}):
                continue
            cells = (report.cell(group, name, metric) for metric in columns)
            shown = [
                "–" if cell is None or cell.mean is None else f"{cell.mean:.{report.metrics[metric].digits}f}"
                for metric, cell in zip(columns, cells, strict=True)
            ]
            table.add_row(f"{group} ({count})", method.title, *shown)
        table.add_section()
    # A log or a pipe has no width of its own: rows stay whole there.
    Console(width=None if sys.stdout.isatty() else 120).print(table)
    for model, losses in report.dependence.items():
        for title, loss in losses.items():
            if loss.mean is not None:
                typer.echo(f"{model}, {title}: {loss.mean:.2f} dB of {loss.metric} lost")
