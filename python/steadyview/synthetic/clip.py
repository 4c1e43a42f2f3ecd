"""Renders a clip and writes it with its truth."""

from __future__ import annotations

import hashlib
import json
import math
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import IO, Any

import cv2
import numpy as np

from ..errors import InputError, OptionError, OutputError
from ..files import atomic_file
from ..video.info import Frame, VideoInfo, pixel_format
from ..video.writer import VideoWriter
from .camera import Camera, Keep, View
from .layers import LayeredView
from .panorama import PanoramaView
from .scenes import SCENES, Scene, Splats

__all__ = ["SyntheticClip", "make_clip", "truth_of"]

#: Raised when the same scene comes out otherwise than before: clips that are kept are made again.
_GENERATOR = 2

_SPLAT_SUFFIXES = (".ply", ".splat", ".spz")


@dataclass(frozen=True)
class SyntheticClip:
    """A clip and its truth, on disk.

    Attributes:
        shaky, steady: the two videos (lossless, yuv420p).
        truth: an `.npz` file: `K` (3, 3); `shaky_viewmats` and `steady_viewmats` (N, 4, 4), world
            to camera, in the middle of the exposure and of the frame; `steady_from_shaky`
            (N, 3, 3), homographies of uncentred pixels, exact for the farthest layer, and in a
            panorama or among Gaussians for what is infinitely far; `depth` (N, H, W) float16 of
            the shaky frames, scene units, infinite where nothing is; `moving` (N, H, W) bool;
            `times` (N,) seconds; `settings`, a digest of what the clip was made from; `sizes`, of
            the shaky and the steady file in bytes. Where layers are partly transparent, depth and
            `moving` are of the nearest one that covers more than half; among Gaussians, depth is
            the mean that the renderer expects.
    """

    shaky: Path
    steady: Path
    truth: Path


def make_clip(
    scene: Scene | str,
    folder: str | Path,
    *,
    size: tuple[int, int] = (480, 270),
    seconds: float = 3.0,
    reuse: bool = False,
) -> SyntheticClip:
    """Renders a scene; the same arguments give the same bytes of truth and the same pictures.

    Args:
        scene: one of `SCENES` by name, a file of Gaussians (.ply, .splat, .spz), or a scene of your
            own.
        folder: is made; gets `shaky.mkv`, `steady.mkv` and `truth.npz`. Those of an earlier clip
            are replaced.
        size: (width, height) in pixels, even.
        seconds: length.
        reuse: keep the clip that is there already, if it was made whole and from the same.

    Raises:
        OptionError: an unknown scene, a size, length or setting that cannot be, or a scene of
            Gaussians where torch is missing.
        InputError: a picture or a file of Gaussians cannot be read.
        OutputError: the files cannot be written, or videos are there that are no earlier clip.
    """
    scene = _scene_of(scene)
    size, count = _checked(scene, size, seconds)
    clip = clip_in(folder)
    settings = _settings(scene, size, count)
    if reuse and _is_made(clip, settings):
        return clip
    stage = _Stage(scene, size, seconds)
    begun = clip.truth.with_name(".unfinished")  # what a killed run left is ours as well
    try:
        begun.parent.mkdir(parents=True, exist_ok=True)
        for video in (clip.shaky, clip.steady):
            if video.exists() and not clip.truth.exists() and not begun.exists():
                raise OutputError(f"{video}: exists, and make_clip did not make it")
        begun.touch()
        clip.truth.unlink(missing_ok=True)  # written last: where it is, all of the clip is
    except OutputError:
        raise
    except OSError as error:
        raise OutputError(f"{folder}: cannot be written ({error.strerror})") from error
    times = np.arange(count) / scene.frame_rate
    _write(clip.steady, stage.frames(times, shaken=False), scene, size)
    with atomic_file(clip.truth) as file:
        _write_shaky(clip, file, stage, times, settings)
    begun.unlink(missing_ok=True)
    return clip


def clip_in(folder: str | Path) -> SyntheticClip:
    """The files that `make_clip` makes in a folder."""
    folder = Path(folder)
    return SyntheticClip(folder / "shaky.mkv", folder / "steady.mkv", folder / "truth.npz")


def _checked(scene: Scene, size: Any, seconds: Any) -> tuple[tuple[int, int], int]:
    """The size, and the number of frames.

    Raises:
        OptionError: one of them, or a setting of the scene, cannot be.
    """
    whole = isinstance(size, tuple | list) and len(size) == 2 and all(map(_is_whole, size))
    if not whole or min(size) < 16 or size[0] % 2 or size[1] % 2:
        raise OptionError(
            f"size must be (width, height), whole, even and at least 16, got {size!r}"
        )
    if not _is_whole(scene.frame_rate) or scene.frame_rate < 1:
        raise OptionError(f"frame_rate must be a whole number above 0, got {scene.frame_rate!r}")
    if not _is_whole(scene.seed) or scene.seed < 0:
        raise OptionError(f"seed must be a whole number of at least 0, got {scene.seed!r}")
    for name in ("noise", "brightness", "blur", "rolling_shutter"):
        value = getattr(scene, name)
        if not _is_finite(value) or value < 0:
            raise OptionError(f"{name} must be a number of at least 0, got {value!r}")
    if not _is_finite(seconds) or round(seconds * scene.frame_rate) < 1:
        raise OptionError(f"seconds must be a number, of at least one frame, got {seconds!r}")
    return (int(size[0]), int(size[1])), round(seconds * scene.frame_rate)


def _is_whole(value: Any) -> bool:
    return isinstance(value, int | np.integer) and not isinstance(value, bool)


def _is_finite(value: Any) -> bool:
    return isinstance(value, int | float | np.number) and math.isfinite(value)


def _scene_of(scene: Scene | str) -> Scene:
    if isinstance(scene, Scene):
        return scene
    if scene in SCENES:
        return SCENES[scene]
    path = Path(scene)
    if path.suffix.lower() in _SPLAT_SUFFIXES:
        return Scene(
            path.stem, splats=Splats(path), travel=(0.4, 0.0, 0.6), shake=(0.4, 0.4, 0.3, 15.0)
        )
    raise OptionError(
        f"scene must be one of {', '.join(SCENES)}, or a file ({', '.join(_SPLAT_SUFFIXES)}), "
        f"got {str(scene)!r}"
    )


def _settings(scene: Scene, size: tuple[int, int], count: int) -> str:
    """A digest of everything that a clip depends on, the files that it shows included."""
    total = hashlib.sha256(json.dumps([_GENERATOR, repr(scene), size, count]).encode())
    for path in scene.files:
        try:
            total.update(hashlib.sha256(Path(path).read_bytes()).digest())
        except OSError as error:
            raise InputError(f"{path}: cannot be read ({error.strerror})") from error
    return total.hexdigest()[:16]


def _is_made(clip: SyntheticClip, settings: str) -> bool:
    try:
        with np.load(clip.truth) as truth:
            same = str(truth["settings"]) == settings
            return same and np.array_equal(truth["sizes"], _sizes(clip))
    except (OSError, ValueError, KeyError, zipfile.BadZipFile):
        return False


def _sizes(clip: SyntheticClip) -> np.ndarray:
    return np.array([video.stat().st_size for video in (clip.shaky, clip.steady)], np.int64)


def _write_shaky(
    clip: SyntheticClip, truth: IO[bytes], stage: _Stage, times: np.ndarray, settings: str
) -> None:
    """The shaky video and all of the truth; depth goes to the disk frame by frame."""
    shape = (len(times), *stage.size[::-1])
    camera = stage.camera
    smooth, shaky = camera.poses(times, shaken=False), camera.poses(times, shaken=True)
    relation = stage.view.homographies(shaky, smooth)
    arrays = {
        "settings": np.array(settings),
        "K": camera.K,
        "shaky_viewmats": shaky,
        "steady_viewmats": smooth,
        "steady_from_shaky": relation / relation[:, 2:, 2:],
        "times": times,
    }
    masks: list[bytes] = []  # the archive takes one array at a time; packed they are small
    with zipfile.ZipFile(truth, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, array in arrays.items():
            with _member(archive, name, array.shape, array.dtype) as member:
                member.write(array.tobytes())
        with _member(archive, "depth", shape, np.dtype(np.float16)) as member:

            def keep(depth: np.ndarray, moving: np.ndarray) -> None:
                member.write(depth.astype(np.float16).tobytes())
                masks.append(zlib.compress(moving.tobytes(), 1))

            _write(clip.shaky, stage.frames(times, shaken=True, keep=keep), stage.scene, stage.size)
        with _member(archive, "moving", shape, np.dtype(bool)) as member:
            for mask in masks:
                member.write(zlib.decompress(mask))
        sizes = _sizes(clip)
        with _member(archive, "sizes", sizes.shape, sizes.dtype) as member:
            member.write(sizes.tobytes())


def _member(
    archive: zipfile.ZipFile, name: str, shape: tuple[int, ...], dtype: np.dtype
) -> IO[bytes]:
    """An array of an .npz file, to which its bytes are still to be written, in C order."""
    member = archive.open(f"{name}.npy", "w", force_zip64=True)
    header = {"descr": np.lib.format.dtype_to_descr(dtype), "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(member, header)
    return member


def _view_of(scene: Scene, camera: Camera, seconds: float) -> View:
    kinds = [bool(scene.layers), scene.panorama is not None, scene.splats is not None]
    if sum(kinds) != 1:
        raise OptionError("scene must have layers, a panorama or splats, and only one of them")
    if scene.panorama is not None:
        return PanoramaView(scene.panorama, camera)
    if scene.splats is None:
        return LayeredView(scene, camera)
    try:
        from .splats import SplatView
    except ImportError as error:
        raise OptionError(f"scene {scene.name} is of Gaussians: {error}") from error
    return SplatView(scene.splats, camera, seconds)


class _Stage:
    """Films one scene at one size."""

    def __init__(self, scene: Scene, size: tuple[int, int], seconds: float) -> None:
        self.scene, self.size = scene, size
        self.camera = Camera(scene, size)
        self.view = _view_of(scene, self.camera, seconds)

    def frames(
        self, times: np.ndarray, *, shaken: bool, keep: Keep | None = None
    ) -> Iterator[np.ndarray]:
        """Frames `(H, W, 3)` float32, Y, Cb and Cr, exposed around these times.

        Layers are laid over each other, and light is gathered, as well in these as in RGB.
        """
        random = np.random.default_rng(self.scene.seed + (1000 if shaken else 2000))
        step = 1 / self.scene.frame_rate
        exposures = 5 if self.scene.blur and shaken else 1
        for time in times:
            total = np.zeros((*self.size[::-1], 3), np.float32)
            for k in range(exposures):
                moment = time + ((k + 0.5) / exposures - 0.5) * self.scene.blur * step
                viewmats = self.camera.row_poses(moment, shaken=shaken)
                middle = k == exposures // 2
                total += self.view.picture(moment, viewmats, keep if middle else None)
            picture = total / exposures * self.scene.brightness
            if self.scene.noise:
                noise = random.normal(0, self.scene.noise, picture.shape[:2])
                picture[..., 0] += noise.astype(np.float32)
            yield picture


def _write(path: Path, frames: Iterator[np.ndarray], scene: Scene, size: tuple[int, int]) -> None:
    width, height = size
    info = VideoInfo(
        source=scene.name,
        width=width,
        height=height,
        format=pixel_format("yuv420p"),
        frame_rate=Fraction(scene.frame_rate),
        time_base=Fraction(1, 1000 * scene.frame_rate),
    )
    with VideoWriter(path, info, codec="ffv1", overwrite=True) as writer:
        for index, picture in enumerate(frames):
            # Limited range, as nearly all video is.
            luma = np.rint(16 + np.clip(picture[..., 0], 0, 255) * (219 / 255)).astype(np.uint8)
            quarter = cv2.resize(
                picture[..., 1:], (width // 2, height // 2), interpolation=cv2.INTER_AREA
            )
            chroma = np.clip(np.rint(128 + quarter * (224 / 255)), 16, 240).astype(np.uint8)
            planes = (luma, *(np.ascontiguousarray(c) for c in np.moveaxis(chroma, 2, 0)))
            time = index / scene.frame_rate
            writer.write(Frame(planes, 1000 * index, time, index, 1000))


def truth_of(clip: SyntheticClip) -> dict[str, Any]:
    """The arrays of a clip's truth."""
    with np.load(clip.truth) as file:
        return dict(file)
