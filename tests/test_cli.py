"""The command line: what it says, what it refuses, and that it leaves nothing behind when it fails."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
import torch
from PIL import Image

from durian.cli import main
from durian.errors import DurianError
from durian.portrait.inputs import AnimationInputs

SAMPLES = Path(__file__).resolve().parents[1] / "src" / "durian" / "samples"


class FakePipeline:
    """Stands in for the networks: everything before and after them is the real thing."""

    size = 128
    calls: list[dict[str, Any]]
    loaded: dict[str, Any]

    def __init__(self) -> None:
        self.calls = []

    def animate(self, inputs: Any, *, progress: Callable[[int, int], None], **options: Any) -> np.ndarray:
        self.calls.append({"inputs": inputs, **options})
        progress(1, 1)
        frames = np.zeros((len(inputs.keypoints), self.size, self.size, 3), np.uint8)
        frames[:, :, : self.size // 2] = (200, 30, 30)
        return frames

    def animate_iter(
        self,
        portrait: Any,
        attributes: Any,
        keypoints: Any,
        *,
        progress: Callable[[int], None],
        **options: Any,
    ) -> Iterator[np.ndarray]:
        inputs = AnimationInputs(portrait, attributes, keypoints)
        yield from self.animate(inputs, progress=lambda done, _: progress(done), **options)

    def use_decoder(self, source: str) -> None:
        self.decoder = source

    def network_calls(self, frames: int, steps: int | None) -> int:
        return 1


@pytest.fixture
def pipeline(monkeypatch: pytest.MonkeyPatch) -> FakePipeline:
    fake = FakePipeline()

    def load(*_: Any, **options: Any) -> FakePipeline:
        fake.loaded = options
        return fake

    monkeypatch.setattr("durian.pipeline.DurianPipeline.from_pretrained", load)
    return fake


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Input files of all kinds of badness, and an empty folder `out`."""
    (tmp_path / "out").mkdir()
    (tmp_path / "empty.png").touch()
    (tmp_path / "empty.mp4").touch()
    (tmp_path / "text.png").write_text("not a picture")
    (tmp_path / "text.mp4").write_text("not a video")
    Image.new("RGB", (256, 256), (90, 120, 90)).save(tmp_path / "faceless.png")
    Image.new("L", (64, 64), 255).save(tmp_path / "small_mask.png")
    _write_video(tmp_path / "faceless.mp4", np.full((6, 128, 128, 3), 90, np.uint8))
    return tmp_path


def _write_video(path: Path, frames: np.ndarray) -> None:
    from durian.video import write_video

    write_video(path, frames, 15.0)


def _arguments(output: Path, /, **changes: str | list[str] | None) -> list[str]:
    """A good `durian animate`, with changes; None leaves an option out."""
    options: dict[str, str | list[str] | None] = {
        "portrait": str(SAMPLES / "portrait.png"),
        "attribute": f"hair={SAMPLES / 'hair.png'}",
        "driving": str(SAMPLES / "driving.mp4"),
        "output": str(output),
        "frames": "3",
        **changes,
    }
    arguments = ["animate"]
    for name, values in options.items():
        for value in [values] if isinstance(values, str) else values or []:
            arguments += [f"--{name.replace('_', '-')}", value]
    return arguments


def _refusal(arguments: list[str], capfd: pytest.CaptureFixture[str]) -> str:
    """Run something that must be refused; return the one line on stderr (native code's output counts)."""
    assert main(arguments) == 2
    captured = capfd.readouterr()
    assert captured.out == ""
    lines = captured.err.splitlines()
    assert len(lines) == 1, captured.err
    assert lines[0].startswith("durian: ")
    return lines[0]


@pytest.mark.parametrize(
    "line", ["--help", "animate --help", "inspect --help", "demo --help", "train --help", "--version", ""]
)
def test_help_imports_nothing_heavy(line: str) -> None:
    code = (
        "import sys; from durian.cli import main; status = main(sys.argv[1:]);"
        "heavy = {'torch', 'diffusers', 'mediapipe', 'cv2', 'av', 'numpy', 'PIL'} & set(sys.modules);"
        "sys.exit(f'imported {heavy}' if heavy else status)"
    )
    command = [sys.executable, "-c", code, *line.split()]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    assert run.stderr == ""
    assert "durian" in run.stdout


def test_importing_the_package_is_light_and_gives_every_public_name() -> None:
    code = (
        "import durian, sys; assert 'torch' not in sys.modules;"
        "[getattr(durian, name) for name in durian.__all__]"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_animate_writes_the_video(pipeline: FakePipeline, tmp_path: Path, capfd) -> None:
    from durian.video import VideoReader

    output = tmp_path / "out.mp4"
    masks = [f"hair={SAMPLES / 'hair_mask.png'}"]
    options = {"steps": "2", "seed": "5", "portrait_scale": "1.5", "attribute_scale": "2"}
    options |= {"cache_interval": "3", "decoder": "owner/small"}
    portrait_mask = str(SAMPLES / "portrait_mask.png")
    assert main(_arguments(output, attribute_mask=masks, portrait_mask=portrait_mask, **options)) == 0
    captured = capfd.readouterr()
    assert str(output) in captured.out
    assert captured.err == ""  # no bars and no library chatter where there is no terminal
    with VideoReader(output) as video:
        frames = list(video)
        assert video.fps == 15
    assert [frame.shape for frame in frames] == [(128, 128, 3)] * 3
    assert [path.name for path in tmp_path.iterdir()] == ["out.mp4"]
    (call,) = pipeline.calls
    assert list(call["inputs"].attributes) == ["hair"]
    asked = (call["num_inference_steps"], call["seed"], call["portrait_scale"], call["attribute_scale"])
    assert asked == (2, 5, 1.5, 2.0)
    assert (call["cache_interval"], pipeline.decoder) == (3, "owner/small")
    assert pipeline.loaded["detail"]


def test_animate_may_leave_the_detail_out(pipeline: FakePipeline, tmp_path: Path) -> None:
    assert main([*_arguments(tmp_path / "out.mp4"), "--no-detail"]) == 0
    assert pipeline.loaded["detail"] is False


@pytest.mark.parametrize(
    ("device", "knows_bf16", "asked", "dtype"),
    [
        ("cpu", True, None, torch.float32),
        ("cuda", True, None, torch.bfloat16),
        ("cuda", False, None, torch.float32),
        ("cuda", True, "fp16", torch.float16),
    ],
)
def test_computation_is_in_half_precision_where_the_gpu_knows_it(
    pipeline: FakePipeline, monkeypatch, tmp_path: Path, device: str, knows_bf16: bool, asked, dtype
) -> None:
    monkeypatch.setattr("durian.pipeline.durian.choose_device", lambda _: torch.device(device))
    monkeypatch.setattr("torch.cuda.is_bf16_supported", lambda **_: knows_bf16)
    assert main(_arguments(tmp_path / "out.mp4", dtype=asked)) == 0
    assert pipeline.loaded["dtype"] == dtype


def test_animate_sets_the_strength_of_detail(pipeline: FakePipeline, tmp_path: Path) -> None:
    assert main([*_arguments(tmp_path / "out.mp4", detail_strength="0.6")]) == 0
    assert pipeline.detail_strength == 0.6


def test_detail_that_is_left_out_has_no_strength(tmp_path: Path, capfd) -> None:
    line = _refusal([*_arguments(tmp_path / "out.mp4", detail_strength="0.6"), "--no-detail"], capfd)
    assert "there is no DetailNet in use" in line
    assert not list(tmp_path.iterdir())


def test_animate_warns_before_the_work(pipeline: FakePipeline, tmp_path: Path, capfd) -> None:
    speck = np.zeros((256, 256), np.uint8)
    speck[20:34, 120:134] = 255
    Image.fromarray(speck).save(tmp_path / "speck.png")
    assert main(_arguments(tmp_path / "out.mp4", attribute_mask=[f"hair={tmp_path / 'speck.png'}"])) == 0
    (line,) = capfd.readouterr().err.splitlines()
    assert line.startswith("durian: warning: the mask of the hair covers 0.")


def test_a_parser_finds_the_masks(pipeline: FakePipeline, network: Path, tmp_path: Path, capfd) -> None:
    assert main(_arguments(tmp_path / "out.mp4", parser=str(network), device="cpu")) == 0
    (call,) = pipeline.calls
    assert call["inputs"].attributes["hair"].mask.mean() > 0.9  # this one sees hair everywhere
    assert "more than hair usually does" in capfd.readouterr().err


def test_the_sound_of_the_driving_video_is_kept(pipeline: FakePipeline, tmp_path: Path) -> None:
    driving, output = tmp_path / "talk.mp4", tmp_path / "out.mp4"
    with av.open(str(SAMPLES / "driving.mp4")) as source, av.open(str(driving), "w") as target:
        video = target.add_stream_from_template(source.streams.video[0])
        sound = target.add_stream("aac", rate=16000, layout="mono")
        for packet in source.demux(video=0):
            if packet.dts is not None:
                packet.stream = video
                target.mux(packet)
        samples = np.sin(np.arange(16000) / 8, dtype=np.float32)[None]
        frame = av.AudioFrame.from_ndarray(samples, format="fltp", layout="mono")
        frame.sample_rate = 16000
        target.mux([*sound.encode(frame), *sound.encode(None)])
    assert main(_arguments(output, driving=str(driving), frames="8")) == 0
    with av.open(str(output)) as result:
        decoded = [frame.to_ndarray() for frame in result.decode(audio=0)]
    assert np.abs(np.concatenate(decoded, 1)).max() > 0.5


def test_attributes_and_their_masks_reach_the_model(pipeline: FakePipeline, tmp_path: Path) -> None:
    names = ("hair", "glasses")
    pictures = [f"{name}={SAMPLES / f'{name}.png'}" for name in names]
    masks = [f"{name}={SAMPLES / f'{name}_mask.png'}" for name in names]
    assert main(_arguments(tmp_path / "out.mp4", attribute=pictures, attribute_mask=masks)) == 0
    attributes = pipeline.calls[0]["inputs"].attributes
    assert list(attributes) == list(names)
    # Eyeglasses are the smaller thing: had the masks been mixed up, it would be the other way round.
    assert 0 < attributes["glasses"].mask.mean() < attributes["hair"].mask.mean()


REFUSED_AT_ONCE: dict[str, tuple[dict[str, Any], str]] = {
    "portrait missing": ({"portrait": "{}/nobody.png"}, "nobody.png"),
    "portrait empty": ({"portrait": "{}/empty.png"}, "empty"),
    "portrait not a picture": ({"portrait": "{}/text.png"}, "text.png"),
    "no portrait given": ({"portrait": None}, "--portrait"),
    "no attribute given": ({"attribute": None}, "--attribute"),
    "attribute unknown": ({"attribute": "cape=x.jpg"}, "hair, glasses, beard, hat"),
    "attribute without a name": ({"attribute": "x.jpg"}, "NAME=FILE"),
    "attribute with an empty name": ({"attribute": "=x.jpg"}, "NAME=FILE"),
    "attribute without a file": ({"attribute": "hair="}, "NAME=FILE"),
    "attribute twice": ({"attribute": ["hair=a.png", "hair=b.png"]}, "twice"),
    "attribute missing": ({"attribute": "hair={}/nobody.png"}, "nobody.png"),
    "attribute not a picture": ({"attribute": "hair={}/text.png"}, "text.png"),
    "mask of an attribute not given": (
        {"attribute_mask": "hat={}/small_mask.png"},
        "--attribute hat",
    ),
    "mask of another size": ({"attribute_mask": "hair={}/small_mask.png"}, "small_mask.png"),
    "mask twice": ({"attribute_mask": ["hair=a.png", "hair=b.png"]}, "twice"),
    "mask not a picture": ({"attribute_mask": "hair={}/text.png"}, "text.png"),
    "portrait mask of another size": ({"portrait_mask": "{}/small_mask.png"}, "small_mask.png"),
    "driving missing": ({"driving": "{}/nobody.mp4"}, "nobody.mp4"),
    "driving empty": ({"driving": "{}/empty.mp4"}, "empty"),
    "driving not a video": ({"driving": "{}/text.mp4"}, "text.mp4"),
    "output folder missing": ({"output": "{}/nowhere/out.mp4"}, "nowhere"),
    "output folder not writable": ({"output": "/proc/self/out.mp4"}, "/proc/self"),
    "output is a folder": ({"output": "{}/out.mp4"}, "folder"),
    "output is a picture": ({"output": "{}/out/out.png"}, ".mp4"),
    "output is a folder with files": ({"output": "{}"}, "not empty"),
    "no steps": ({"steps": "0"}, "--steps"),
    "no step in full": ({"cache_interval": "0"}, "--cache-interval"),
    "half a step": ({"steps": "0.5"}, "--steps"),
    "no frames": ({"frames": "0"}, "--frames"),
    "negative seed": ({"seed": "-1"}, "--seed"),
    "negative scale": ({"attribute_scale": "-1"}, "--attribute-scale"),
    "unknown option": ({"attribut": "hair=a.png"}, "--attribut"),
}


def _fill(changes: dict[str, Any], folder: Path) -> dict[str, Any]:
    return {
        name: value.replace("{}", str(folder)) if isinstance(value, str) else value
        for name, value in changes.items()
    }


@pytest.mark.parametrize("case", REFUSED_AT_ONCE)
def test_bad_input_is_refused_before_the_networks_are_loaded(
    case: str, folder: Path, monkeypatch: pytest.MonkeyPatch, capfd
) -> None:
    def loaded(*_: Any, **__: Any) -> None:
        raise AssertionError("the networks were loaded")

    monkeypatch.setattr("durian.pipeline.DurianPipeline.from_pretrained", loaded)
    changes, expected = REFUSED_AT_ONCE[case]
    if case == "output is a folder":
        (folder / "out.mp4").mkdir()
    line = _refusal(_arguments(folder / "out" / "out.mp4", **_fill(changes, folder)), capfd)
    assert expected in line
    assert list((folder / "out").iterdir()) == []


REFUSED_WHEN_SEEN: dict[str, tuple[dict[str, Any], str]] = {
    "no face in the portrait": ({"portrait": "{}/faceless.png"}, "face"),
    "no face in the attribute": ({"attribute": "hair={}/faceless.png"}, "face"),
    "no face in the driving video": ({"driving": "{}/faceless.mp4"}, "face"),
}


@pytest.mark.parametrize("case", REFUSED_WHEN_SEEN)
def test_pictures_without_a_face_are_refused(case: str, folder: Path, pipeline: FakePipeline, capfd) -> None:
    changes, expected = REFUSED_WHEN_SEEN[case]
    line = _refusal(_arguments(folder / "out" / "out.mp4", **_fill(changes, folder)), capfd)
    assert expected in line
    assert list((folder / "out").iterdir()) == []
    assert pipeline.calls == []


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"checkpoint": "{}/no-such-checkpoint"}, "no-such-checkpoint"),
        ({"checkpoint": "{}/out"}, "out"),
        ({"checkpoint": "{}/text.png"}, "text.png"),
        ({"device": "toaster"}, "toaster"),
        ({"device": "cuda:99"}, "cuda:99"),
    ],
)
def test_unusable_checkpoints_and_devices_are_refused(
    changes: dict[str, str], expected: str, folder: Path, capfd
) -> None:
    line = _refusal(_arguments(folder / "out" / "out.mp4", **_fill(changes, folder)), capfd)
    assert expected in line
    assert list((folder / "out").iterdir()) == []


def test_an_earlier_result_survives_a_failure(folder: Path, pipeline: FakePipeline, capfd) -> None:
    output = folder / "out" / "out.mp4"
    output.write_bytes(b"earlier")
    _refusal(_arguments(output, driving=str(folder / "faceless.mp4")), capfd)
    assert output.read_bytes() == b"earlier"


def test_the_driving_video_is_not_overwritten(folder: Path, pipeline: FakePipeline, capfd) -> None:
    driving = folder / "faceless.mp4"
    before = driving.read_bytes()
    assert "--output" in _refusal(_arguments(driving, driving=str(driving)), capfd)
    assert driving.read_bytes() == before


def test_an_interrupt_is_one_line_and_130(
    pipeline: FakePipeline, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capfd
) -> None:
    def interrupt(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(pipeline, "animate", interrupt)
    assert main(_arguments(tmp_path / "out.mp4")) == 130
    assert capfd.readouterr().err == "durian: interrupted\n"
    assert list(tmp_path.iterdir()) == []


def test_a_defect_of_the_program_keeps_its_traceback(
    pipeline: FakePipeline, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(pipeline, "animate", fail)
    with pytest.raises(ZeroDivisionError):
        main(_arguments(tmp_path / "out.mp4"))


def test_train_passes_its_options_on(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capfd) -> None:
    calls: list[tuple[Path, dict[str, Any]]] = []

    def run(config: Path, **options: Any) -> Path:
        calls.append((config, options))
        return tmp_path / "checkpoint"

    monkeypatch.setattr("durian.training.run.train", run)
    assert main(["train", "run.yaml"]) == 0
    options = ["--fresh", "--output", str(tmp_path), "--steps", "3", "--minutes", "1.5"]
    assert main(["train", "run.yaml", *options]) == 0
    assert calls == [
        (Path("run.yaml"), {"output": None, "fresh": False, "steps": None, "minutes": None}),
        (Path("run.yaml"), {"output": tmp_path, "fresh": True, "steps": 3, "minutes": 1.5}),
    ]
    assert str(tmp_path / "checkpoint") in capfd.readouterr().out


@pytest.mark.parametrize("text", [None, "", "preset: huge", "{"])
def test_train_refuses_unusable_configurations(text: str | None, tmp_path: Path, capfd) -> None:
    config = tmp_path / "run.yaml"
    if text is not None:
        config.write_text(text)
    assert "run.yaml" in _refusal(["train", str(config), "--output", str(tmp_path / "run")], capfd)
    assert not (tmp_path / "run").exists()


def test_demo_writes_three_videos_and_a_sheet(pipeline: FakePipeline, tmp_path: Path, capfd) -> None:
    output = tmp_path / "demo"
    assert (
        main(["demo", "--output", str(output), "--frames", "4", "--steps", "5", "--cache-interval", "2"]) == 0
    )
    captured = capfd.readouterr()
    assert captured.err == ""
    videos = {"hair.mp4", "hair_and_glasses.mp4", "hair_to_hair.mp4"}
    assert {path.name for path in output.iterdir()} == videos | {"sheet.png"}
    for path in output.iterdir():
        assert str(path) in captured.out
    assert "durian animate" in captured.out
    worn = [list(call["inputs"].attributes) for call in pipeline.calls]
    assert worn == [["hair"], ["hair", "glasses"], ["hair"]]
    assert [call["interpolate_to"] is None for call in pipeline.calls] == [True, True, False]
    np.testing.assert_allclose(pipeline.calls[2]["interpolation"], [0, 1 / 3, 2 / 3, 1], atol=1e-6)
    assert [(call["num_inference_steps"], call["cache_interval"]) for call in pipeline.calls] == [(5, 2)] * 3
    with Image.open(output / "sheet.png") as sheet:
        colours = np.asarray(sheet.convert("RGB")).reshape(-1, 3)
    # Six moments in three rows of the fake's frames, which are half red.
    assert (np.abs(colours - (200.0, 30.0, 30.0)).max(1) < 3).sum() > 18 * 0.4 * 160**2


def test_demo_that_fails_leaves_no_results(
    pipeline: FakePipeline, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capfd
) -> None:
    animate = pipeline.animate

    def second_fails(*arguments: Any, **options: Any) -> np.ndarray:
        if pipeline.calls:
            raise DurianError("out of luck")
        return animate(*arguments, **options)

    monkeypatch.setattr(pipeline, "animate", second_fails)
    assert "out of luck" in _refusal(["demo", "--output", str(tmp_path / "demo"), "--frames", "2"], capfd)
    assert list(tmp_path.iterdir()) == []


def test_demo_needs_a_folder_it_can_make(pipeline: FakePipeline, tmp_path: Path, capfd) -> None:
    (tmp_path / "file").touch()
    assert "nowhere" in _refusal(["demo", "--output", str(tmp_path / "nowhere" / "demo")], capfd)
    assert "file" in _refusal(["demo", "--output", str(tmp_path / "file")], capfd)
    assert pipeline.calls == []


@pytest.fixture(scope="module")
def cases(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two synthetic cases of 32 pixels."""
    from durian.synth.benchmark import write_benchmark

    folder = tmp_path_factory.mktemp("cases")
    write_benchmark(folder, ["single"], limit=2, size=32, samples=1)
    return folder


def test_evaluate_writes_a_report_prints_a_table_and_compares(cases: Path, tmp_path: Path, capfd) -> None:
    out = tmp_path / "report"
    command = ["evaluate", "cases", str(cases), "--checkpoint", "none", "--limit", "2", "--out", str(out)]
    assert main([*command, "--workers", "1"]) == 0
    captured = capfd.readouterr()
    assert captured.err == ""
    report = json.loads((out / "report.json").read_text("utf-8"))
    assert len(report["cases"]) == 2
    assert {method["kind"] for method in report["methods"].values()} == {"baseline", "truth"}
    for method in ("warp_paste", "copy_portrait"):
        (line,) = [
            line
            for line in captured.out.splitlines()
            if "all (2)" in line and method.replace("_", " ") in line
        ]
        assert f"{report['table']['all'][method]['psnr']['mean']:.2f}" in line
    assert str(out / "index.html") in captured.out
    with Image.open(out / "sheet.png") as picture:
        assert picture.format == "PNG"

    assert main(["evaluate", "compare", str(out), str(out)]) == 0
    assert "warp paste" in capfd.readouterr().out
    page = tmp_path / "comparison.md"
    assert main(["evaluate", "compare", str(out), str(out / "report.json"), "--out", str(page)]) == 0
    assert "warp paste" in page.read_text("utf-8")

    assert main(["evaluate", "contest", str(out), "--against", "warp_paste", "--group", "single, hair"]) == 0
    assert "| **warp paste** |" in capfd.readouterr().out
    assert "no method 'paste'" in _refusal(["evaluate", "contest", str(out), "--against", "paste"], capfd)


def test_a_broken_case_is_named_and_the_others_are_scored(cases: Path, tmp_path: Path, capfd) -> None:
    shutil.copytree(cases / "single", tmp_path / "cases")
    broken = sorted((tmp_path / "cases").iterdir())[0]
    (broken / "portrait.webp").write_bytes(b"no picture")
    out = tmp_path / "out"
    command = ["evaluate", "cases", str(tmp_path / "cases"), "--checkpoint", "none", "--out", str(out)]
    assert main([*command, "--no-media"]) == 0
    captured = capfd.readouterr()
    assert f"skipped: cases/{broken.name}: case {broken.name}: " in captured.err
    assert len(captured.err.splitlines()) == 1
    assert "all (1)" in captured.out


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ("cases {}/nowhere", "nowhere"),
        ("cases {}/out", "no case folders"),
        ("cases {} --limit 0", "--limit"),
        ("cases {cases} --split duo", "no split 'duo'"),
        ("cases {cases} --out {}/file", "is a file"),
        ("cases {cases} --out {}/out/a/b --weights clip", "write NAME="),
        ("cases {cases} --out {}/out/a/b --weights clip={}/nowhere", "clip"),
        ("cases {cases} --checkpoint a=mini --checkpoint a=mini", "'a' is there already"),
        ("cases {cases} --checkpoint {}/nowhere", "nowhere"),
        ("cases {cases} --aligner star", "unknown aligner"),
        ("cases {cases} --mask-noise 0.9", "mask noise"),
        ("self {}/out", "videos"),
        ("cross {}/nowhere", "nowhere"),
        ("compare {}/out {}/out", "report.json"),
        ("cases", "Missing argument"),
    ],
)
def test_evaluate_refuses_bad_input(options: str, expected: str, folder: Path, cases: Path, capfd) -> None:
    (folder / "file").touch()
    arguments = options.replace("{cases}", str(cases)).replace("{}", str(folder)).split()
    assert expected in _refusal(["evaluate", *arguments], capfd)
    assert not list((folder / "out").glob("**/report*"))


def test_evaluate_needs_to_know_what(capfd) -> None:
    assert "command" in _refusal(["evaluate"], capfd)
