"""The paper's protocols on a folder of ordinary videos: self- and cross-attribute transfer."""

from durian.evaluation.videos.clip import VideoClip, find_videos
from durian.evaluation.videos.trials import cross_trials, self_trials

__all__ = ["VideoClip", "cross_trials", "find_videos", "self_trials"]
