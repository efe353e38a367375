"""Whatever is handed in gives a result or one clear line: nothing hangs, and no partial file is left."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from diffusers import DDIMScheduler

from durian.cli import main
from durian.pipeline import DurianPipeline
from durian.video import VideoReader
from odd_inputs import DRIVER, ODD_INPUTS, PORTRAIT, SAMPLES, OddInput, Outcome
from tiny import tiny_networks, tiny_preset

_PATIENCE = 60  # seconds: a case takes about one, more on a busy machine


@pytest.fixture(scope="module")
def pipeline() -> DurianPipeline:
    preset = tiny_preset()
    return DurianPipeline(
        tiny_networks(), DDIMScheduler(**preset.scheduler), preset.size, preset.sampling_steps
    )


@pytest.fixture(autouse=True)
def _tiny(pipeline: DurianPipeline, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(DurianPipeline, "from_pretrained", lambda *_, **__: pipeline)


@contextmanager
def time_limit(seconds: int) -> Iterator[None]:
    def ring(*_: object) -> None:
        raise TimeoutError(f"still at it after {seconds} s")

    before = signal.signal(signal.SIGALRM, ring)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def arguments(
    output: Path, role: str | None = None, path: Path | str | None = None, own_mask: bool = True
) -> list[str]:
    """A good `durian animate` of two frames, with one input replaced. Masks save the search for them."""
    inputs = {
        "portrait": str(PORTRAIT),
        "attribute": f"hair={SAMPLES / 'hair.png'}",
        "attribute-mask": f"hair={SAMPLES / 'hair_mask.png'}",
        "driving": str(DRIVER),
        "output": str(output),
    }
    if own_mask:
        inputs["portrait-mask"] = str(SAMPLES / "portrait_mask.png")
    if role is not None:
        inputs[role] = f"hair={path}" if role.startswith("attribute") else str(path)
    return [
        "animate",
        "--frames",
        "2",
        "--steps",
        "1",
        *(f"--{name}={value}" for name, value in inputs.items()),
    ]


def check_line(line: str, says: str) -> None:
    assert line.startswith("durian: "), line
    assert says in line


@pytest.mark.parametrize("odd", ODD_INPUTS, ids=lambda odd: f"{odd.role}-{ascii(odd.file[:30])[1:-1]}")
def test_a_result_or_one_clear_line(odd: OddInput, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "out").mkdir()
    path, output = tmp_path / "in" / odd.file, tmp_path / "out" / "out.mp4"
    odd.make(path)
    inputs = sorted(os.listdir(tmp_path / "in"))
    capfd.readouterr()
    with time_limit(_PATIENCE):
        # The sample's mask fits what is made of the sample, in its size, and is of one picture.
        unlike = odd.file in ("odd.png", "video.png")
        own_mask = odd.role != "portrait" or (odd.outcome is Outcome.RESULT and not unlike)
        status = main(arguments(output, odd.role, path, own_mask))
    said = capfd.readouterr()
    said_lines = [line for line in said.err.splitlines() if not line.startswith("durian: warning: ")]
    left = [each.name for each in (tmp_path / "out").iterdir()]
    if status == 0:
        assert odd.outcome is not Outcome.LINE, said.out
        assert left == ["out.mp4"]
        assert said_lines == []
        with VideoReader(output) as video:
            assert 1 <= len(list(video)) <= 2
    else:
        assert status == 2
        assert odd.outcome is not Outcome.RESULT, said.err
        (line,) = said_lines
        check_line(line, odd.says)
        assert left == []
    assert sorted(os.listdir(tmp_path / "in")) == inputs, "nothing is written beside the inputs"


def test_there_are_many_of_them() -> None:
    assert len(ODD_INPUTS) >= 100
    assert len({(odd.role, odd.file) for odd in ODD_INPUTS}) == len(ODD_INPUTS)


def test_a_dog_is_one_line(shared_dir: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    dog = shared_dir / "real/portraits/not_a_person_dog.jpg"
    assert main(arguments(tmp_path / "out.mp4", "portrait", dog, own_mask=False)) == 2
    check_line(capfd.readouterr().err.strip(), "face")
    assert list(tmp_path.iterdir()) == []


OUTPUTS: dict[str, tuple[str, str]] = {
    "folder missing": ("nowhere/out.mp4", "does not exist"),
    "suffix unknown": ("out.avi", ".webm"),
    "two suffixes": ("out.mp4.txt", ".webm"),
    "name too long": ("n" * 300 + ".mp4", "too long"),
    "a folder": ("folder.mp4", "is a folder"),
    "a full folder": ("full", "not empty"),
    "a file where a folder is to be": ("file", "is a file"),
    "below a file": ("file/out.mp4", "does not exist"),
    "a folder that is no place for files": ("/proc/self/out.mp4", "cannot write"),
    "a circle of links": ("circle/out.mp4", "does not exist"),
}


@pytest.mark.parametrize("case", OUTPUTS)
def test_outputs_that_cannot_be(case: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "folder.mp4").mkdir()
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "x").touch()
    (tmp_path / "file").write_text("mine")
    (tmp_path / "circle").symlink_to("circle")
    before = sorted(tmp_path.rglob("*"))
    name, says = OUTPUTS[case]
    with time_limit(_PATIENCE):
        assert main(arguments(tmp_path / name)) == 2
    (line,) = capfd.readouterr().err.splitlines()
    check_line(line, says)
    assert sorted(tmp_path.rglob("*")) == before
    assert (tmp_path / "file").read_text() == "mine"


@pytest.mark.parametrize(
    "name", ["größe 映像.mp4", "two\nlines.gif", os.fsdecode(b"not\xffutf8.webp"), "frames"]
)
def test_outputs_of_any_name(name: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert main(arguments(tmp_path / name)) == 0
    assert [path.name for path in tmp_path.iterdir()] == [name]
    assert len(capfd.readouterr().out.splitlines()) == 1


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--start", "500"], "lasts"),
        (["--start", "-1"], "--start"),
        (["--fps", "0"], "--fps"),
        (["--fps", "nan"], "--fps"),
        (["--duration", "0"], "--duration"),
        (["--c2pa-cert", "x.pem"], "--c2pa-key"),
    ],
)
def test_lengths_and_rates_that_cannot_be(
    options: list[str], says: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert main([*arguments(tmp_path / "out.mp4"), *options]) == 2
    (line,) = capfd.readouterr().err.splitlines()
    check_line(line, says)
    assert list(tmp_path.iterdir()) == []


def test_rate_start_length_and_mark_reach_the_result(tmp_path: Path) -> None:
    options = ["--fps", "5", "--start", "0.5", "--duration", "0.6", "--frames", "9", "--mark"]
    assert main([*arguments(tmp_path / "marked"), *options]) == 0
    assert main([*arguments(tmp_path / "plain"), *options[:-1]]) == 0
    with VideoReader(tmp_path / "marked") as marked, VideoReader(tmp_path / "plain") as plain:
        pairs = list(zip(marked, plain, strict=True))
    assert len(pairs) == 3
    assert all((one != other).any() for one, other in pairs)


def test_a_real_process_ends_on_a_pipe(tmp_path: Path) -> None:
    """Nobody writes into it: whoever opens it waits for ever."""
    os.mkfifo(tmp_path / "pipe.png")
    code = "import sys; from durian.cli import main; sys.exit(main(sys.argv[1:]))"
    bad = arguments(tmp_path / "out.mp4", "portrait", tmp_path / "pipe.png")
    command = [sys.executable, "-c", code, *bad]
    done = subprocess.run(command, capture_output=True, text=True, timeout=2 * _PATIENCE, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    check_line(done.stderr.strip(), "not a file")


HEADS = [
    *(b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff\xe0", b"GIF89a", b"RIFF\x20\0\0\0WEBPVP8 ", b"II*\0\x08\0\0\0"),
    *(b"\0\0\0\x1cftypisom", b"\0\0\0\x1cftypavif", b"\x1a\x45\xdf\xa3", b"RIFF\x20\0\0\0AVI LIST", b"OggS"),
    *(
        b"\0\0\1\xba",
        b"FLV\1",
        b"\x47",
        b"BM",
        b"\x76\x2f\x31\x01\2\0\0\0",
        b"#?RADIANCE\n",
        b"P6\n9 9\n255\n",
    ),
]


def test_random_bytes_never_end_in_a_traceback(tmp_path: Path) -> None:
    """Heads of all kinds of files with noise after them."""
    rng = np.random.default_rng(1)
    for index, head in enumerate(HEADS * 4):
        path = tmp_path / f"{index}"
        path.write_bytes(head + rng.integers(0, 256, int(rng.integers(10, 3000)), dtype=np.uint8).tobytes())
        for role in ("portrait", "driving"):
            with time_limit(_PATIENCE):
                status = main(arguments(tmp_path / "out.mp4", role, path, own_mask=False))
            # Of plain pixels any noise is a picture.
            assert status == 2 or head.startswith(b"P6"), (head, role)
