"""Video in and out. PyAV is imported when a video is first opened."""

from typing import Any

from .info import Frame, PixelFormat, VideoInfo

__all__ = ["Frame", "PixelFormat", "VideoInfo", "VideoWriter", "open_video"]


def __getattr__(name: str) -> Any:
    if name == "open_video":
        from .reader import open_video

        return open_video
    if name == "VideoWriter":
        from .writer import VideoWriter

        return VideoWriter
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
