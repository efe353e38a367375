"""From prepared inputs to frames."""

from durian.pipeline.durian import DurianOutput, DurianPipeline

__all__ = ["DurianOutput", "DurianPipeline"]
