"""`durian prepare` as a whole: from video files to shards, whatever happens on the way."""

from __future__ import annotations

import contextlib
import importlib.util
import json
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from durian.cli import main
from durian.data.clips import read_clips
from durian.errors import DurianError
from durian.preparation import run, store
from durian.preparation.ray_jobs import run_on_ray
from durian.preparation.run import prepare_videos
from durian.preparation.settings import Filters, Settings, parse_filters
from durian.preparation.video import VideoClips, cut_clips
from durian.video import VideoReader, read_image, write_video
from durian.work import run_jobs

SAMPLES = Path(__file__).resolve().parents[1] / "src" / "durian" / "samples"
HERE = partial(run_jobs, workers=1)
# The driver of the samples fills the picture, and more.
CLOSE = Filters(max_beyond=0.6)
SMALL = Settings(
    size=64, frames=6, gap=0, clips_per_video=3, shard_clips=2, attributes=("hair",), filters=CLOSE
)


@pytest.fixture(scope="module")
def videos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A person who moves, one who does not, nobody, no video."""
    folder = tmp_path_factory.mktemp("videos") / "people"
    folder.mkdir()
    with VideoReader(SAMPLES / "driving.mp4") as reader:
        moving = list(reader)
    write_video(folder / "moving.mp4", moving, 15.0)
    write_video(folder / "still.mp4", [read_image(SAMPLES / "portrait.png")] * 7, 15.0)
    write_video(folder / "nobody.mp4", [np.full((128, 128, 3), 90, np.uint8)] * 7, 15.0)
    (folder / "broken.mp4").write_text("not a video")
    return folder


@pytest.fixture(scope="module")
def outcomes() -> dict[str, VideoClips]:
    return {}


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch, network: Path, outcomes: dict[str, VideoClips]) -> Settings:
    """Settings with the tiny network; what a video gives is worked out once for all tests."""
    settings = SMALL.model_copy(update={"parser": str(network)})

    def remembered(path: Path, name: str, wanted: Settings, parser: object) -> VideoClips:
        key = f"{name} {wanted.filters}"
        if key not in outcomes:
            outcomes[key] = cut_clips(path, name, wanted, parser)  # ty: ignore
        return outcomes[key]

    monkeypatch.setattr(run, "cut_clips", remembered)
    return settings


def _files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_videos_become_clips_to_train_on(videos: Path, quick: Settings, tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []
    out = tmp_path / "clips"
    summary = prepare_videos(
        [videos], out, quick, HERE, progress=lambda done, total: seen.append((done, total))
    )
    assert (seen[0], seen[-1]) == ((0, 4), (4, 4))
    assert summary.clips == 3
    assert summary.attributes == {"hair": 3}
    assert summary.dropped == {"no face in the scene": 1, "too little motion": 1}
    assert summary.unreadable == {"people/broken.mp4": "neither a picture nor a video that can be read"}

    clips = list(read_clips(out))
    assert [clip.name.split("-")[0] for clip in clips] == ["moving"] * 3
    for clip in clips:
        assert clip.frames.shape == (6, 64, 64, 3)
        assert len(clip.visible_frames()) == 6
        assert clip.masks["hair"].all()
        # The face is where inference puts it.
        eyes = clip.landmarks[:, [33, 263], :2]
        np.testing.assert_allclose(eyes.mean((0, 1)) / 64, (0.5, 0.459), atol=0.08)
    with VideoReader(SAMPLES / "driving.mp4") as reader:
        count = sum(1 for _ in reader)
    assert summary.videos[1].name == "people/moving.mp4"
    assert summary.videos[1].frames <= count  # it stopped at the third clip

    manifest = json.loads((out / "manifest.json").read_text())
    assert manifest["clips"] == 3
    assert manifest["shards"] == [{"file": "clips-00000.tar", "clips": 3}]
    assert manifest["settings"]["filters"]["min_scale"] == 0.5
    assert [video["name"] for video in manifest["videos"]] == sorted(v.name for v in summary.videos)


def test_the_built_in_parser_finds_the_drivers_hair(videos: Path, tmp_path: Path) -> None:
    settings = Settings(
        size=64, frames=2, fps=3, gap=0, clips_per_video=1, attributes=("hair",), filters=CLOSE
    )
    summary = prepare_videos([videos / "moving.mp4"], tmp_path / "clips", settings, HERE)
    (clip,) = read_clips(tmp_path / "clips")
    assert summary.attributes == {"hair": 1}
    eyes = int(clip.landmarks[0, [33, 263], 1].mean())
    rows = clip.masks["hair"][0].mean(1)
    assert rows[:eyes].mean() > 3 * rows[eyes:].mean()


def test_interrupted_anywhere_it_goes_on_to_the_same_bytes(
    videos: Path, quick: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    quick = quick.model_copy(update={"shard_clips": 1})
    more = tmp_path / "people"
    shutil.copytree(videos, more)
    shutil.copy(more / "moving.mp4", more / "again.mp4")
    prepare_videos([more], tmp_path / "whole", quick, HERE)
    network = run.open_parser(quick.parser)
    monkeypatch.setattr(run, "open_parser", lambda *_: network)  # loaded once will do
    expected = _files(tmp_path / "whole")
    assert {"clips-00000.tar", "clips-00001.tar", "manifest.json"} <= set(expected)

    writes = 0
    stop: Callable[[int, bool], bool] = lambda number, written: False  # noqa: E731
    replacing = store.replacing

    @contextmanager
    def interrupted(path: Path) -> Iterator[Path]:
        nonlocal writes
        writes += 1
        with replacing(path) as temporary:
            yield temporary
            if stop(writes, False):
                raise KeyboardInterrupt
        if stop(writes, True):
            raise KeyboardInterrupt

    monkeypatch.setattr(store, "replacing", interrupted)
    prepare_videos([more], tmp_path / "count", quick, HERE)
    total = writes
    assert total > 10
    for last in range(1, total + 1):
        for after in (False, True):
            writes = 0
            stop = lambda number, written, last=last, after=after: (number, written) == (last, after)  # noqa: E731
            out = tmp_path / f"{last}-{after}"
            with pytest.raises(KeyboardInterrupt):
                prepare_videos([more], out, quick, HERE)
            stop = lambda number, written: False  # noqa: E731
            prepare_videos([more], out, quick, HERE)
            assert _files(out) == expected, (last, after)


def test_what_is_prepared_is_not_made_again(
    videos: Path, quick: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, folder = tmp_path / "clips", tmp_path / "people"
    folder.mkdir()
    shutil.copy(videos / "moving.mp4", folder / "one.mp4")
    prepare_videos([folder], out, quick, HERE)
    first = (out / "clips-00000.tar").read_bytes()
    made: list[str] = []
    remembered = run.cut_clips

    def watched(path: Path, *arguments: object) -> VideoClips:
        made.append(path.name)
        return remembered(path, *arguments)  # ty: ignore

    monkeypatch.setattr(run, "cut_clips", watched)
    shutil.copy(videos / "moving.mp4", folder / "another.mp4")
    summary = prepare_videos([folder], out, quick, HERE)
    assert made == ["another.mp4"]
    assert (out / "clips-00000.tar").read_bytes() == first
    assert (summary.clips, summary.shards) == (6, 2)
    assert len({clip.name for clip in read_clips(out)}) == 6

    (folder / "one.mp4").write_bytes((folder / "one.mp4").read_bytes() + b"0")
    with pytest.raises(DurianError, match=r"one\.mp4 has changed since"):
        prepare_videos([folder], out, quick, HERE)
    (folder / "another.mp4").unlink()
    summary = prepare_videos([folder], out, quick, HERE, fresh=True)
    assert summary.clips == 3
    assert [path.name for path in out.glob("*.tar")] == ["clips-00000.tar"]


def test_other_settings_and_other_folders_are_refused(videos: Path, quick: Settings, tmp_path: Path) -> None:
    out = tmp_path / "clips"
    prepare_videos([videos / "broken.mp4"], out, quick, HERE)
    other = quick.model_copy(update={"fps": 5.0})
    with pytest.raises(DurianError, match=r"other settings \(fps 15\.0, not 5\.0\).*--fresh"):
        prepare_videos([videos / "broken.mp4"], out, other, HERE)
    assert prepare_videos([videos / "broken.mp4"], out, other, HERE, fresh=True).clips == 0
    foreign = tmp_path / "foreign"
    foreign.mkdir()
    (foreign / "mine.tar").write_bytes(b"mine")
    for fresh in (False, True):
        with pytest.raises(DurianError, match="tar files of something else"):
            prepare_videos([videos], foreign, quick, HERE, fresh=fresh)
    assert [path.name for path in foreign.iterdir()] == ["mine.tar"]
    hats = quick.model_copy(update={"attributes": ("hat",)})
    with pytest.raises(DurianError, match="finds hair, glasses and none of hat"):
        prepare_videos([videos], tmp_path / "hats", hats, HERE)


def test_the_command_counts_and_says_where_to_go_on(
    videos: Path, quick: Settings, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, sheet = tmp_path / "clips", tmp_path / "sheet.png"
    options = ["--size", "64", "--frames", "6", "--gap", "0", "--clips-per-video", "3", "--workers", "1"]
    options += f"--parser {quick.parser} --attribute hair --filter max_beyond=0.6 --out {out}".split()
    assert main(["prepare", str(videos), *options, "--sheet", str(sheet)]) == 0
    printed = capsys.readouterr()
    words = printed.out.split()
    assert words[words.index("kept") + 2] == "3"
    assert "too little motion" in printed.out
    assert f"3 clips of 64×64 pixels into {out}" in printed.out
    assert "data.clips" in printed.out
    assert "unreadable: people/broken.mp4" in printed.err
    picture = read_image(sheet)
    assert picture.shape[1] > 1000  # two strips of four pictures
    assert main(["prepare", str(videos), *options, "--filter", "max_yaw=0"]) == 2
    assert "max_yaw 60.0, not 0.0" in capsys.readouterr().err
    assert main(["prepare", str(videos), *options, "--filter", "max_yaw=0", "--fresh"]) == 2
    printed = capsys.readouterr()
    assert "no clip was kept" in printed.err
    assert "extreme pose" in printed.out
    assert not (out / "clips-00000.tar").exists()


def test_a_cluster_that_is_not_there_is_one_line(
    videos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "ray", None)  # as where it is not installed
    assert main(["prepare", str(videos), "--out", str(tmp_path / "clips"), "--ray", "local"]) == 2
    assert "Ray is not installed" in capsys.readouterr().err


@pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="needs the extra 'cluster'")
def test_on_ray_the_same_bytes_come_out(
    videos: Path, quick: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)  # workers have another working directory
    prepare_videos([videos], tmp_path / "here", quick, HERE)
    errors: list[DurianError] = []

    def on_ray(function: Callable[..., str], jobs: Sequence[tuple]) -> Iterator[str]:
        # One job more, which fails: what it raises comes back as it is. Starting Ray takes most of the time.
        def call(function: Callable, *arguments: object) -> object:
            return function(*arguments)

        calls = [*[(function, *job) for job in jobs], (parse_filters, ["nonsense"])]
        try:
            yield from run_on_ray(call, calls, "local", workers=1)
        except DurianError as error:
            errors.append(error)

    for _ in range(3):  # on a busy machine Ray may not start within the 30 s that it gives itself
        errors.clear()
        with contextlib.suppress(RuntimeError):
            prepare_videos([videos], Path("ray"), quick, on_ray)
        if not any("could not be started" in str(error) for error in errors):
            break
    assert _files(tmp_path / "ray") == _files(tmp_path / "here")
    assert [str(error).split(":")[0] for error in errors] == ["--filter nonsense"]
