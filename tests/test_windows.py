"""Windows over a stream of frames: what is seen, what is given out, and when."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import chain

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from durian.errors import DurianError
from durian.pipeline.windows import Windows, slide


@st.composite
def windows(draw) -> Windows:
    length = draw(st.integers(1, 20))
    stride = draw(st.integers(1, length))
    return Windows(length, stride, draw(st.integers(0, length - stride)), draw(st.booleans()))


@settings(max_examples=100, deadline=None)
@given(frames=st.integers(0, 90), cut=windows(), data=st.data())
def test_every_frame_comes_out_once_in_order_and_in_time(frames: int, cut: Windows, data):
    grouped = data.draw(st.booleans())
    shift = 0 if grouped else data.draw(st.integers(0, cut.stride))
    taken, seen = 0, []

    def source() -> Iterator[int]:
        nonlocal taken
        for index in range(frames):
            taken += 1
            yield index

    def process(window: Sequence[int]) -> list[Tensor]:
        seen.append(list(window))
        return [torch.tensor(float(index)) for index in window]

    read = chain.from_iterable(cut.batches(source())) if grouped else source()
    made = chain.from_iterable(slide(read, process, cut, torch.lerp, shift))
    for expected, (frame, result) in enumerate(made):
        assert frame == expected
        assert result.item() == pytest.approx(frame)  # the weights of a cross-fade sum to 1
        assert taken - 1 - frame <= cut.delay
    assert taken == frames
    if frames:
        assert expected == frames - 1
        assert len(seen) == cut.count(frames, shift)
    for window in seen:
        assert window == list(range(window[0], window[-1] + 1))
        # Only the windows that grow at the begin are shorter, and those of a video shorter than one.
        assert len(window) == cut.length or window[0] == 0
        if not cut.grows:
            assert len(window) == min(cut.length, frames)


def test_seams_fade_from_one_window_to_the_next():
    calls = iter(range(10))

    def process(window: Sequence[int]) -> list[Tensor]:
        call = float(next(calls))
        return [torch.tensor(call)] * len(window)

    made = list(slide(range(28), process, Windows(16, 12, 4), torch.lerp))
    assert [len(ready) for ready in made] == [12, 12, 4]
    results = torch.stack([result for _, result in chain.from_iterable(made)])
    assert (results[:12] == 0).all()
    assert (results[16:] == 1).all()
    assert (results[11:17].diff() > 0).all()
    assert results[12:16].flip(0).tolist() == pytest.approx((1 - results[12:16]).tolist())


def test_windows_that_cannot_be_are_refused():
    with pytest.raises(DurianError, match="stride"):
        Windows(8, 6, 4)
    assert Windows().within(8) == Windows(8, 4, 4)
    assert Windows().within(32) == Windows()
    assert Windows(8, 4, 0, grows=True).within(2) == Windows(2, 2, 0, grows=True)
