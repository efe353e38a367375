"""Procedural portraits: people with exchangeable attributes, rendered with exact masks and landmarks."""

from durian.synth.model import build
from durian.synth.performance import FrameState, Performance, sample_performance
from durian.synth.person import Person, sample_person
from durian.synth.render import Rendered, render
from durian.synth.sequence import render_performance
from durian.synth.serialise import from_json, to_json

__all__ = [
    "FrameState",
    "Performance",
    "Person",
    "Rendered",
    "build",
    "from_json",
    "render",
    "render_performance",
    "sample_performance",
    "sample_person",
    "to_json",
]
