"""Copying the other streams of a video (audio, subtitles, data …) packet by packet."""

import errno
import io
from collections.abc import Iterator
from contextlib import suppress
from fractions import Fraction
from typing import Any

import av
from av.error import FFmpegError

from .probe import main_video_stream, reason

__all__ = ["StreamCopier", "start_shift"]

# Written by muxers about the old streams; no longer true in the new file.
_STALE = ("_statistics", "bps", "duration", "number_of_", "encoder", "vendor_id", "rotate")
_STALE_CONTAINER = ("major_brand", "minor_version", "compatible_brands", "encoder")

# Not the packet's fault, but the output's.
_DISK_ERRORS = (
    errno.ENOSPC,
    errno.EIO,
    errno.EFBIG,
    errno.EDQUOT,
    errno.EROFS,
    errno.EPIPE,
    errno.EACCES,
)


def start_shift(container: Any) -> Fraction:
    """Seconds to take from all time stamps: the start of a broadcast recording's clock, else 0.

    Transport streams start at any time of their sender's clock. In other containers the start
    is meant (a delayed picture), and is kept.
    """
    broadcast = any(name in container.format.name for name in ("mpegts", "mpeg", "vob"))
    if broadcast and container.start_time:
        return Fraction(container.start_time, av.time_base)
    return Fraction(0)


def kept_metadata(metadata: dict[str, str]) -> dict[str, str]:
    """A stream's metadata without what described the old encoding."""
    return {k: v for k, v in metadata.items() if not k.lower().startswith(_STALE)}


class StreamCopier:
    """Copies all streams but the main video from a file to an output container.

    Streams that the container cannot hold are left out, with a line in `notes`.

    Args:
        path: the file to copy from.
        output: an `av` output container whose header is not written yet.
        video: the output's video stream; gets the source's metadata.
    """

    def __init__(self, path: str, output: Any, video: Any) -> None:
        self.notes: list[str] = []
        self._output = output
        self._source: Any = av.open(path, metadata_errors="replace")
        self._shift = start_shift(self._source)
        self._main = main_video_stream(self._source)
        self._streams: dict[int, Any] = {}
        self._dropped: dict[int, int] = {}
        self._next: Any = None
        self._hidden: dict[int, Any] = {}
        self._copy_metadata(video)
        for stream in self._source.streams:
            if self._main is not None and stream.index == self._main.index:
                stream.discard = av.stream.Discard.all
            else:
                self._add(stream)
        copied = [self._source.streams[index] for index in self._streams]
        self._packets = self._demux(copied) if copied else iter(())

    @property
    def shift(self) -> Fraction:
        """Seconds taken from every time stamp of the source."""
        return self._shift

    def close(self) -> None:
        self._packets = iter(())
        self._source.close()

    def _copy_metadata(self, video: Any) -> None:
        for key, value in self._source.metadata.items():
            if key.lower() not in _STALE_CONTAINER:
                self._output.metadata[key] = value
        if self._main is not None:
            video.metadata.update(kept_metadata(self._main.metadata))
            video.disposition = self._main.disposition
        chapters = self._source.chapters()
        if chapters:
            for chapter in chapters:
                ticks = round(self._shift / chapter["time_base"])
                chapter["start"] -= ticks
                chapter["end"] -= ticks
            with suppress(FFmpegError, ValueError):
                self._output.set_chapters(chapters)

    def _add(self, stream: Any) -> None:
        kind = stream.type
        name = stream.codec_context.name if stream.codec_context else "unknown codec"
        if not _can_hold(self._output.format.name, stream):
            stream.discard = av.stream.Discard.all
            if stream.metadata.get("timecode") is None or kind != "data":
                container = self._output.format.name
                self.notes.append(
                    f"{kind} stream {stream.index} ({name}) left out: {container} cannot hold it"
                )
            return
        copy = _add_copy(self._output, stream)
        copy.metadata.update(kept_metadata(stream.metadata))
        copy.disposition = stream.disposition
        if kind != "attachment":  # those are in the header, without packets
            self._streams[stream.index] = copy

    def _demux(self, streams: list[Any]) -> Iterator[Any]:
        for _ in range(50):  # reading goes on behind damaged places
            try:
                yield from self._source.demux(streams)
                return
            except FFmpegError as error:
                self.notes.append(f"copied streams: unreadable data skipped ({reason(error)})")
        self.notes.append("copied streams: gave up reading after 50 errors")

    def pump(self, until: float | None) -> None:
        """Copies the packets due up to a time in seconds of the output; None: all that are left."""
        while True:
            packet = self._next or next(self._packets, None)
            self._next = None
            if packet is None:
                return
            if packet.size == 0 and packet.dts is None:  # marks the end
                continue
            if until is not None and self._seconds(packet) > until:
                self._next = packet
                return
            # What an edit list hides: containers without one would play it. The last such packet
            # stays, for a decoder needs it to start (AAC).
            if packet.is_discard and packet.stream.type == "audio":
                self._hidden[packet.stream.index] = packet
                continue
            hidden = self._hidden.pop(packet.stream.index, None)
            if hidden is not None:
                self._mux(hidden)
            self._mux(packet)

    def _seconds(self, packet: Any) -> float:
        stamp = packet.dts if packet.dts is not None else packet.pts
        return float(stamp * packet.time_base - self._shift) if stamp is not None else 0.0

    def _mux(self, packet: Any) -> None:
        index = packet.stream.index
        if packet.dts is None:
            packet.dts = packet.pts
        ticks = round(self._shift / packet.time_base)
        if ticks and packet.pts is not None:
            packet.pts -= ticks
        if ticks and packet.dts is not None:
            packet.dts -= ticks
        packet.stream = self._streams[index]
        try:
            self._output.mux_one(packet)
        except (FFmpegError, ValueError) as error:
            if getattr(error, "errno", None) in _DISK_ERRORS:
                raise
            if not self._dropped.get(index):  # say it once a stream
                self.notes.append(f"stream {index}: damaged packets left out ({reason(error)})")
            self._dropped[index] = self._dropped.get(index, 0) + 1


def _add_copy(output: Any, stream: Any) -> Any:
    return output.add_stream_from_template(stream, opaque=True)


def _can_hold(format_name: str, stream: Any) -> bool:
    """Whether a container takes a stream: tried out in memory, which is cheaper than tables."""
    probe: Any = None
    try:
        probe = av.open(io.BytesIO(), "w", format=format_name)
        _add_copy(probe, stream)
        probe.start_encoding()
        return True
    except (FFmpegError, ValueError, OSError, RuntimeError):
        return False
    finally:
        if probe is not None:
            with suppress(FFmpegError, ValueError, OSError):
                probe.close()
