"""From prepared inputs to frames."""

from durian.pipeline.durian import AnimationOptions, DurianOutput, DurianPipeline, StreamOptions
from durian.pipeline.windows import Windows

__all__ = ["AnimationOptions", "DurianOutput", "DurianPipeline", "StreamOptions", "Windows"]
