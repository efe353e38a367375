"""Pictures and videos on disk: what users have in, and the animation out."""

from durian.media.checks import check_output, check_writable
from durian.media.images import read_image, read_mask
from durian.media.reader import VideoReader
from durian.media.writer import write_video
from durian.provenance import GENERATED_COMMENT

__all__ = [
    "GENERATED_COMMENT",
    "VideoReader",
    "check_output",
    "check_writable",
    "read_image",
    "read_mask",
    "write_video",
]
