"""Whole pictures from interlaced video."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import cast

import av
import av.error
import av.filter


def deinterlaced(frames: Iterable[av.VideoFrame]) -> Iterator[av.VideoFrame]:
    """Hand progressive frames on as they are, from the first interlaced one on through FFmpeg's bwdif.

    The filter touches only frames that say they are interlaced, and keeps their number and times.
    """
    graph, kind = None, None
    for frame in frames:
        if graph is None and not frame.interlaced_frame:
            yield frame
            continue
        if graph is None or kind != _kind(frame):
            if graph is not None:
                yield from _finish(graph)
            graph, kind = _graph(frame), _kind(frame)
        graph.push(frame)
        yield from _pull(graph)
    if graph is not None:
        yield from _finish(graph)


def _kind(frame: av.VideoFrame) -> tuple[int, int, str]:
    return frame.width, frame.height, frame.format.name


def _graph(frame: av.VideoFrame) -> av.filter.Graph:
    graph = av.filter.Graph()
    source = graph.add_buffer(
        width=frame.width, height=frame.height, format=frame.format, time_base=frame.time_base
    )
    graph.link_nodes(source, graph.add("bwdif", "mode=send_frame:deint=interlaced"), graph.add("buffersink"))
    graph.configure()
    return graph


def _pull(graph: av.filter.Graph) -> Iterator[av.VideoFrame]:
    while True:
        try:
            yield cast(av.VideoFrame, graph.pull())
        except (av.error.BlockingIOError, av.error.EOFError):
            return


def _finish(graph: av.filter.Graph) -> Iterator[av.VideoFrame]:
    graph.push(None)
    yield from _pull(graph)
