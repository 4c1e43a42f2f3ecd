"""Makes small videos for tests: ordinary, odd and broken ones, written with PyAV in milliseconds.

`shaky_clip` makes a textured scene seen by a camera that shakes in a known way; the `write_…`
functions write files. Nothing here uses steadyview, so that tests check it independently.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np

__all__ = [
    "ShakyClip",
    "corrupt_middle",
    "cut_by_edit_list",
    "motion_between",
    "move_index_to_front",
    "moving_texture",
    "read_planes",
    "shaky_clip",
    "texture",
    "truncate",
    "write_clip",
    "write_text_file",
    "write_video",
]


def texture(
    height: int, width: int, *, seed: int = 0, finest: float = 1.5, contrast: float = 1.0
) -> np.ndarray:
    """A grey picture with detail at all scales, no edges or repetition.

    Args:
        height, width: pixels.
        seed: of the random numbers.
        finest: standard deviation in pixels of the finest detail's blur.
        contrast: 1 uses most of the range, 0 is flat.

    Returns:
        `(height, width)` float32 in [0, 255], mean 128.
    """
    random = np.random.default_rng(seed)
    total = np.zeros((height, width), np.float32)
    sigma, weight = finest, 1.0
    while sigma < max(height, width) / 4:
        noise = random.standard_normal((height, width)).astype(np.float32)
        layer = cv2.GaussianBlur(noise, (0, 0), sigma, borderType=cv2.BORDER_REFLECT)
        total += weight * layer / layer.std()
        sigma, weight = sigma * 2, weight * 1.15
    total = (total - total.mean()) / total.std()
    return np.clip(128 + 45 * contrast * total, 0, 255).astype(np.float32)


@dataclass
class ShakyClip:
    """A scene seen by a shaking camera.

    Attributes:
        frames: `(N, H, W, 3)` uint8 RGB.
        motions: `(N-1, 4)` rows (a, b, tx, ty) in the convention of `GlobalMotion.similarity`:
            the centred point p of frame t is at `[[a, -b], [b, a]] p + (tx, ty)` in frame t+1.
        poses: `(N, 4)` rows in the same form: where frame t sees the centred scene point.
        times: `(N,)` seconds.
        objects: `(N, H, W)` bool, pixels of the moving object.
    """

    frames: np.ndarray
    motions: np.ndarray
    poses: np.ndarray
    times: np.ndarray
    objects: np.ndarray

    @property
    def grey(self) -> np.ndarray:
        """`(N, H, W)` uint8: the luma of the frames (BT.601)."""
        return np.stack([cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY) for frame in self.frames])


def shaky_clip(
    frames: int = 30,
    size: tuple[int, int] = (320, 240),
    *,
    fps: float = 30.0,
    shake: float = 4.0,
    rotation: float = 0.5,
    zoom: float = 0.004,
    pan: tuple[float, float] = (0.5, 0.0),
    moving_object: float = 0.0,
    brightness: float = 1.0,
    seed: int = 0,
) -> ShakyClip:
    """Frames of a textured scene under known similarity motions.

    Args:
        frames: how many.
        size: (width, height).
        fps: frames a second.
        shake: standard deviation of the position's jitter in pixels.
        rotation: the same of the roll, in degrees.
        zoom: the same of the logarithm of the scale.
        pan: steady motion of the camera in pixels a frame.
        moving_object: part of the frame that an object with a motion of its own covers, in [0, 1).
        brightness: factor on the picture; 0 is black.
        seed: of the random numbers.
    """
    width, height = size
    random = np.random.default_rng(seed)
    steps = np.arange(frames)
    jitter = random.standard_normal((frames, 4)) * (shake, shake, np.radians(rotation), zoom)
    jitter[0] = 0
    x = -(pan[0] * (steps - frames / 2)) + jitter[:, 0]
    y = -(pan[1] * (steps - frames / 2)) + jitter[:, 1]
    scale, roll = np.exp(jitter[:, 3]), jitter[:, 2]
    poses = np.stack([scale * np.cos(roll), scale * np.sin(roll), x, y], axis=1)
    reach = int(max(abs(pan[0]), abs(pan[1])) * frames / 2 + 5 * shake + 0.1 * max(size)) + 8
    scene_size = (width + 2 * reach, height + 2 * reach)
    scene = _coloured(scene_size, seed)
    side = int(np.sqrt(moving_object * width * height))
    sprite = _coloured((side, side), seed + 100) if side else scene
    pictures = np.empty((frames, height, width, 3), np.uint8)
    objects = np.zeros((frames, height, width), bool)
    for t, pose in enumerate(poses):
        picture = _seen(scene, pose, size)
        if side:
            left = int((width - side) * (0.5 + 0.4 * np.sin(0.15 * t)))
            top = int((height - side) * (0.5 + 0.4 * np.cos(0.11 * t)))
            picture[top : top + side, left : left + side] = sprite
            objects[t, top : top + side, left : left + side] = True
        pictures[t] = np.clip(np.rint(picture * brightness), 0, 255)
    motions = np.array([motion_between(a, b) for a, b in pairwise(poses)])
    return ShakyClip(pictures, motions.reshape(-1, 4), poses, steps / fps, objects)


def motion_between(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """The motion `second ∘ first⁻¹` of two similarities (a, b, tx, ty)."""
    z1, t1 = complex(first[0], first[1]), complex(first[2], first[3])
    z2, t2 = complex(second[0], second[1]), complex(second[2], second[3])
    z = z2 / z1
    t = t2 - z * t1
    return np.array([z.real, z.imag, t.real, t.imag])


def _coloured(size: tuple[int, int], seed: int) -> np.ndarray:
    width, height = size
    grey = texture(height, width, seed=seed)
    tint = texture(height, width, seed=seed + 1, finest=8.0)
    return np.stack([grey, 0.85 * grey + 0.15 * tint, 0.7 * grey + 0.3 * tint], axis=-1)


def _seen(scene: np.ndarray, pose: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """The scene by a pose, sampled by cubic interpolation."""
    width, height = size
    a, b, tx, ty = pose
    # OpenCV counts from pixel centres: centred point c is at index c + size / 2 - 0.5.
    out = np.array([width / 2 - 0.5, height / 2 - 0.5])
    middle = np.array([scene.shape[1] / 2 - 0.5, scene.shape[0] / 2 - 0.5])
    linear = np.array([[a, -b], [b, a]])
    shift = out + np.array([tx, ty]) - linear @ middle
    return cv2.warpAffine(
        scene,
        np.column_stack([linear, shift]),
        size,
        flags=cv2.INTER_CUBIC,
        borderMode=cv2.BORDER_REFLECT,
    )


def write_clip(path: Path, clip: ShakyClip, **more: Any) -> Path:
    """Writes a clip as a video at its own rate; `more` goes to `write_video`."""
    steps = np.diff(clip.times)
    fps = Fraction(1 / float(steps.mean())).limit_denominator(1001) if len(steps) else Fraction(30)
    return write_video(path, clip.frames, fps=fps, **more)


def write_video(
    path: Path,
    frames: Sequence[np.ndarray] | np.ndarray | int = 10,
    *,
    size: tuple[int, int] = (64, 48),
    fps: Fraction | int = 30,
    codec: str = "libx264",
    pix_fmt: str = "yuv420p",
    times: Sequence[float] | None = None,
    start: float = 0.0,
    time_base: Fraction | None = None,
    rotation: float = 0.0,
    matrix: Sequence[int] | None = None,
    color: dict[str, int] | None = None,
    sample_aspect_ratio: Fraction | None = None,
    b_frames: int = 0,
    lossless: bool = False,
    audio: float | None = None,
    audio_start: float = 0.0,
    subtitles: Sequence[tuple[float, float, str]] = (),
    subtitle_codec: str | None = None,
    attachment: bytes | None = None,
    metadata: dict[str, str] | None = None,
    options: dict[str, str] | None = None,
) -> Path:
    """Writes a video with PyAV.

    Args:
        path: its suffix says the container.
        frames: `(H, W, 3)` RGB arrays, or how many frames of a drifting texture to make.
        size: (width, height) of made frames.
        fps: frames a second.
        codec, pix_fmt: of the video.
        times: presentation time of each frame in seconds; None: constant rate.
        start: seconds added to all times of the video stream.
        time_base: of the stream; None: 1/fps, or 1/1000 for given times.
        rotation: degrees counter-clockwise to show the stored pixels turned by.
        matrix: display matrix of nine numbers instead of a rotation.
        color: color_range, color_primaries, color_trc, colorspace by FFmpeg's numbers.
        sample_aspect_ratio: of the pixels.
        b_frames: frames between references.
        lossless: encode without loss (x264).
        audio: seconds of a 440 Hz tone (AAC, or Opus in webm); None: no audio.
        audio_start: when the tone starts.
        subtitles: (start, end, text).
        subtitle_codec: ``mov_text`` or ``srt``; None: what the container takes.
        attachment: bytes of an attached file (mkv).
        metadata: of the container.
        options: private options of the encoder.
    """
    if isinstance(frames, int):
        frames = moving_texture(frames, size)
    unit = time_base or (Fraction(1, 1000) if times is not None or start else 1 / Fraction(fps))
    with av.open(str(path), "w") as out:
        out.metadata.update(metadata or {})
        settings = {"preset": "ultrafast", "qp": "0" if lossless else "12"}
        stream: Any = out.add_stream(codec, rate=fps, time_base=unit)
        height, width = (frames[0].shape[:2]) if len(frames) else (size[1], size[0])
        context = stream.codec_context
        context.width, context.height, context.pix_fmt = width, height, pix_fmt
        context.thread_count = 1
        context.options = {**(settings if codec == "libx264" else {}), **(options or {})}
        if codec == "libx264":
            context.options["bf"] = str(b_frames)
        for name, value in (color or {}).items():
            setattr(context, name, value)
        if sample_aspect_ratio is not None:
            context.sample_aspect_ratio = sample_aspect_ratio
        if rotation:
            stream.set_display_rotation(rotation)
        if matrix is not None:
            stream.set_display_matrix(matrix)
        sound = _add_tone(out, path) if audio is not None else None
        texts = None
        if subtitles:
            name = subtitle_codec or ("mov_text" if path.suffix in (".mp4", ".mov") else "srt")
            texts = out.add_stream(name)
            texts.codec_context.subtitle_header = _ASS_HEADER
        if attachment is not None:
            out.add_attachment("note.bin", "application/octet-stream", attachment)
        if not len(frames):
            out.start_encoding()
        for index, array in enumerate(frames):
            picture = av.VideoFrame.from_ndarray(np.ascontiguousarray(array), "rgb24")
            picture = _as_format(picture, pix_fmt, color or {})
            moment = times[index] if times is not None else index / Fraction(fps)
            picture.pts = round(
                (Fraction(moment).limit_denominator(10**6) + Fraction(start)) / unit
            )
            picture.time_base = unit
            out.mux(stream.encode(picture))
        out.mux(stream.encode(None))
        if sound is not None:
            _write_tone(out, sound, audio or 0.0, audio_start)
        for begin, end, text in subtitles:
            _write_text(out, texts, begin, end, text)
    return path


def moving_texture(frames: int, size: tuple[int, int]) -> list[np.ndarray]:
    """RGB frames of a texture that drifts by (2, 1) pixels a frame; each has its number in it."""
    width, height = size
    scene = texture(height + frames + 2, width + 2 * frames + 2, seed=3)
    pictures = []
    for t in range(frames):
        grey = scene[t : t + height, 2 * t : 2 * t + width].astype(np.uint8)
        picture = np.repeat(grey[..., None], 3, axis=2)
        picture[: height // 4, : width // 4] = (200, 80, 40)  # which corner is which
        picture[-height // 4 :, -width // 4 :] = (40, 80, 200)
        pictures.append(picture)
    return pictures


def _as_format(picture: Any, pix_fmt: str, color: dict[str, int]) -> Any:
    full = color.get("color_range") == 2 or pix_fmt.startswith(("gbr", "yuvj", "gray", "rgb"))
    return picture.reformat(
        format=pix_fmt,
        src_colorspace="ITU601",
        dst_colorspace="ITU601",
        src_color_range="JPEG",
        dst_color_range="JPEG" if full else "MPEG",
    )


def _add_tone(out: Any, path: Path) -> Any:
    opus = path.suffix == ".webm"
    stream = out.add_stream("libopus" if opus else "aac", rate=48000)
    stream.layout = "mono"
    return stream


def _write_tone(out: Any, stream: Any, seconds: float, start: float) -> None:
    rate, block = 48000, 960 if stream.codec_context.name == "libopus" else 1024
    samples = np.arange(round(seconds * rate))
    tone = (0.3 * np.sin(2 * np.pi * 440 * samples / rate)).astype(np.float32)
    for begin in range(0, len(tone), block):
        planar = stream.format.name == "fltp"
        array = tone[None, begin : begin + block]
        frame = av.AudioFrame.from_ndarray(array, format="fltp" if planar else "flt", layout="mono")
        frame.sample_rate = rate
        frame.pts = begin + round(start * rate)
        frame.time_base = Fraction(1, rate)
        out.mux(stream.encode(frame))
    out.mux(stream.encode(None))


_ASS_HEADER = b"""[Script Info]
ScriptType: v4.00+
[V4+ Styles]
Format: Name, Fontname, Fontsize
Style: Default,Arial,16
[Events]
Format: Layer, Start, End, Style, Text
"""


def _write_text(out: Any, stream: Any, begin: float, end: float, text: str) -> None:
    data = text.encode()
    if stream.codec_context.name == "mov_text":
        data = len(data).to_bytes(2, "big") + data
    packet = av.Packet(data)
    packet.stream = stream
    packet.time_base = Fraction(1, 1000)
    packet.pts = packet.dts = round(begin * 1000)
    packet.duration = round((end - begin) * 1000)
    out.mux(packet)


def truncate(path: Path, part: float = 0.5) -> Path:
    """Cuts a file off after a part of its bytes."""
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * part)])
    return path


def move_index_to_front(path: Path) -> Path:
    """Rewrites an mp4 with its index first, so that it can be read when cut off."""
    moved = path.with_suffix(".moved.mp4")
    with (
        av.open(str(path)) as source,
        av.open(str(moved), "w", container_options={"movflags": "+faststart"}) as out,
    ):
        stream = out.add_stream_from_template(source.streams.video[0], opaque=True)
        for packet in source.demux(source.streams.video[0]):
            if packet.dts is not None:
                packet.stream = stream
                out.mux(packet)
    moved.replace(path)
    return path


def cut_by_edit_list(path: Path, output: Path, start: float) -> Path:
    """Copies an mp4 so that its edit list hides what comes before `start` seconds."""
    with av.open(str(path)) as source, av.open(str(output), "w") as out:
        copies = {s.index: out.add_stream_from_template(s, opaque=True) for s in source.streams}
        for packet in source.demux():
            if packet.dts is None:
                continue
            shift = round(start / packet.time_base)
            packet.stream = copies[packet.stream.index]
            packet.pts -= shift
            packet.dts -= shift
            out.mux(packet)
    return output


def corrupt_middle(path: Path, part: float = 0.5, length: float = 0.1, *, seed: int = 0) -> Path:
    """Overwrites some of a file's bytes with noise, from a part of it on."""
    data = bytearray(path.read_bytes())
    begin, count = int(len(data) * part), int(len(data) * length)
    noise = np.random.default_rng(seed).integers(0, 256, count, dtype=np.uint8)
    data[begin : begin + count] = noise.tobytes()
    path.write_bytes(bytes(data))
    return path


def write_text_file(path: Path) -> Path:
    """Text under the name of a video."""
    path.write_text("This is not a video, whatever its name says.\n" * 20)
    return path


def read_planes(path: Path) -> tuple[list[np.ndarray], list[float]]:
    """RGB frames and presentation times of a file, by PyAV alone (stored orientation)."""
    frames, times = [], []
    with av.open(str(path)) as container:
        for frame in container.decode(video=0):
            frames.append(frame.to_ndarray(format="rgb24"))
            times.append(float(frame.pts * frame.time_base))
    return frames, times
