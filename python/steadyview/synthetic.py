"""Shaky clips with a true steady one: coloured planes at known depths before a known camera.

Real datasets have no true steady video. Here a camera flies along a smooth path, and along the same
path with a hand's shake on it, past a picture of layers; both are rendered, and every pose, depth,
mask and homography is written beside them.
"""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import IO, Any

import cv2
import numpy as np

from .errors import OptionError, OutputError
from .files import atomic_file
from .synthetic_scenes import SCENES, Layer, Scene
from .textures import holes, picture_of, texture_of
from .video.info import Frame, VideoInfo, pixel_format
from .video.writer import VideoWriter

__all__ = ["SCENES", "Layer", "Scene", "SyntheticClip", "make_clip", "truth_of"]

#: Grey of whatever no layer covers; the farthest layer is larger than any view.
_SKY = 128.0

#: Takes the depth `(H, W)` float32 of one frame, and what moves in it, `(H, W)` bool.
_Keep = Callable[[np.ndarray, np.ndarray], None]


@dataclass(frozen=True)
class SyntheticClip:
    """A clip and its truth, on disk.

    Attributes:
        shaky, steady: the two videos (lossless, yuv420p).
        truth: an `.npz` file: `K` (3, 3); `shaky_viewmats` and `steady_viewmats` (N, 4, 4), world
            to camera, in the middle of the exposure and of the frame; `steady_from_shaky`
            (N, 3, 3), homographies of uncentred pixels, exact for the farthest layer; `depth`
            (N, H, W) float16 of the shaky frames, scene units; `moving` (N, H, W) bool; `times`
            (N,) seconds. Where layers are partly transparent, depth and
            `moving` are of the nearest one that covers more than half.
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
) -> SyntheticClip:
    """Renders a scene; the same arguments give the same bytes of truth and the same pictures.

    Args:
        scene: one of `SCENES` by name, or a scene of your own.
        folder: is made; gets `shaky.mkv`, `steady.mkv` and `truth.npz`.
        size: (width, height) in pixels, even.
        seconds: length.

    Raises:
        OptionError: an unknown scene, or a size or length that cannot be.
        InputError: a layer's picture cannot be read.
        OutputError: the files cannot be written.
    """
    if isinstance(scene, str):
        if scene not in SCENES:
            raise OptionError(f"scene must be one of {', '.join(SCENES)}, got {scene!r}")
        scene = SCENES[scene]
    width, height = size
    if min(size) < 16 or width % 2 or height % 2:
        raise OptionError(f"size must be even and at least 16x16, got {width}x{height}")
    count = round(seconds * scene.frame_rate)
    if count < 1:
        raise OptionError(f"seconds must be at least one frame, got {seconds}")
    folder = Path(folder)
    clip = SyntheticClip(folder / "shaky.mkv", folder / "steady.mkv", folder / "truth.npz")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        clip.truth.unlink(missing_ok=True)  # written last: where it is, all of the clip is
    except OSError as error:
        raise OutputError(f"{folder}: cannot be written ({error.strerror})") from error
    stage = _Stage(scene, size)
    steady_scene = replace(scene, rolling_shutter=0.0, blur=0.0)
    times = np.arange(count) / scene.frame_rate
    _write(clip.steady, _Stage(steady_scene, size).frames(times, shaken=False), scene, size)
    with atomic_file(clip.truth) as file:
        _write_shaky(clip.shaky, file, stage, times)
    return clip


def _write_shaky(path: Path, truth: IO[bytes], stage: _Stage, times: np.ndarray) -> None:
    """The shaky video and all of the truth; depth goes to the disk frame by frame."""
    shape = (len(times), *stage.size[::-1])
    smooth, shaky = stage.poses(times, shaken=False), stage.poses(times, shaken=True)
    far = stage.layers[0]
    relation = [
        far.pixels_from_plane(stage.K, b, t) @ np.linalg.inv(far.pixels_from_plane(stage.K, a, t))
        for a, b, t in zip(shaky, smooth, times, strict=True)
    ]
    arrays = {
        "K": stage.K,
        "shaky_viewmats": shaky,
        "steady_viewmats": smooth,
        "steady_from_shaky": np.array([h / h[2, 2] for h in relation]),
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

            _write(path, stage.frames(times, shaken=True, keep=keep), stage.scene, stage.size)
        with _member(archive, "moving", shape, np.dtype(bool)) as member:
            for mask in masks:
                member.write(zlib.decompress(mask))


def _member(
    archive: zipfile.ZipFile, name: str, shape: tuple[int, ...], dtype: np.dtype
) -> IO[bytes]:
    """An array of an .npz file, to which its bytes are still to be written, in C order."""
    member = archive.open(f"{name}.npy", "w", force_zip64=True)
    header = {"descr": np.lib.format.dtype_to_descr(dtype), "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(member, header)
    return member


class _Plane:
    """A layer with its texture, and where it is."""

    def __init__(self, layer: Layer, half_view: float, focal: float, seed: int) -> None:
        self.layer = layer
        unit = half_view * layer.depth / focal  # scene units of half the view's width at its depth
        extent = layer.size or (5.0, 4.0)
        self.shape = np.array(extent) * unit  # scene units
        self.centre = np.array(layer.centre) * unit
        self.velocity = np.array(layer.velocity) * unit
        # A texel is a pixel where the layer is first seen nearest; more for what slopes there.
        ends = self.centre + self.shape / 2 * np.array([[-1, -1], [-1, 1], [1, -1], [1, 1]])
        nearest = (layer.depth + ends @ layer.slope).min()
        if nearest <= 0:
            raise OptionError(f"slope must leave the layer before the camera, got {layer.slope}")
        steeper = 1 + np.abs(layer.slope) * np.abs(ends).max(axis=0) / nearest
        columns, rows = (max(round(s), 8) for s in self.shape * steeper * focal / nearest)
        if layer.picture is None:
            self.texture = texture_of(rows, columns, seed, layer.contrast)
        else:
            self.texture = picture_of(layer.picture, rows, columns, layer.contrast)
        if layer.cutout:
            self.texture = np.dstack([self.texture, holes(rows, columns, seed)])
        self.texels = np.array([columns, rows])

    def pixels_from_plane(self, K: np.ndarray, viewmat: np.ndarray, time: float) -> np.ndarray:
        """Homography from the plane's (x, y), in scene units of the world, to pixels."""
        rotation, shift = viewmat[:3, :3], viewmat[:3, 3]
        right, down = self.layer.slope
        columns = [
            rotation[:, 0] + rotation[:, 2] * right,
            rotation[:, 1] + rotation[:, 2] * down,
            rotation[:, 2] * self.layer.depth + shift,
        ]
        return np.asarray(K @ np.stack(columns, axis=1))

    def box(
        self, to_pixels: np.ndarray, time: float, size: tuple[int, int]
    ) -> tuple[int, int, int, int]:
        """Rows and columns (from, to) that the layer can cover; `to_pixels` `(k, 3, 3)`."""
        width, height = size
        if self.layer.size is None:
            return 0, height, 0, width
        middle = self.centre + self.velocity * time
        signs = np.array([[-1, -1], [-1, 1], [1, -1], [1, 1]])
        corners = np.column_stack([middle + self.shape / 2 * signs, np.ones(4)])
        seen = corners @ to_pixels.transpose(0, 2, 1)
        if seen[..., 2].min() <= 0:  # reaches behind the camera
            return 0, height, 0, width
        places = (seen[..., :2] / seen[..., 2:]).reshape(-1, 2)
        first = np.clip(np.floor(places.min(axis=0)) - 1, 0, size).astype(int)
        last = np.clip(np.ceil(places.max(axis=0)) + 1, 0, size).astype(int)
        return int(first[1]), int(last[1]), int(first[0]), int(last[0])

    def texels_from_plane(self, time: float) -> np.ndarray:
        scale = self.texels / self.shape
        corner = self.centre + self.velocity * time - self.shape / 2
        return np.array(
            [[scale[0], 0, -scale[0] * corner[0]], [0, scale[1], -scale[1] * corner[1]], [0, 0, 1]]
        )


class _Stage:
    """Renders one scene at one size."""

    def __init__(self, scene: Scene, size: tuple[int, int]) -> None:
        self.scene, self.size = scene, size
        width, height = size
        focal = 0.9 * width
        self.K = np.array([[focal, 0, width / 2], [0, focal, height / 2], [0, 0, 1.0]])
        self.layers = [
            _Plane(layer, width / 2, focal, 100 * scene.seed + i)
            for i, layer in enumerate(scene.layers)
        ]
        self._shake = _Shake(scene)

    def poses(self, times: np.ndarray, *, shaken: bool) -> np.ndarray:
        """World-to-camera matrices `(n, 4, 4)` at these times in seconds."""
        scene = self.scene
        # The whole way takes four seconds: a pan's speed does not depend on the clip's length.
        way = times / 4
        turn = np.radians(scene.turn) * way[:, None]
        shift = np.array(scene.travel) * way[:, None]
        if shaken:
            angles, move = self._shake.at(times)
            turn, shift = turn + np.radians(angles), shift + move
        matrices = np.tile(np.eye(4), (len(times), 1, 1))
        for i, (pan, tilt, roll) in enumerate(turn):
            rotation = _rotation(2, roll) @ _rotation(0, tilt) @ _rotation(1, -pan)
            matrices[i, :3, :3] = rotation
            matrices[i, :3, 3] = -rotation @ shift[i]
        return matrices

    def frames(
        self,
        times: np.ndarray,
        *,
        shaken: bool,
        keep: _Keep | None = None,
    ) -> Iterator[np.ndarray]:
        """Frames `(H, W, 3)` float32, Y, Cb and Cr, exposed around these times.

        Layers are laid over each other, and light is gathered, as well in these as in RGB.
        """
        random = np.random.default_rng(self.scene.seed + (1000 if shaken else 2000))
        step = 1 / self.scene.frame_rate
        exposures = 5 if self.scene.blur else 1
        for time in times:
            total = np.zeros((*self.size[::-1], 3), np.float32)
            for k in range(exposures):
                offset = ((k + 0.5) / exposures - 0.5) * self.scene.blur * step
                middle = k == exposures // 2
                total += self._picture(time + offset, shaken, keep if middle else None)
            picture = total / exposures * self.scene.brightness
            if self.scene.noise:
                noise = random.normal(0, self.scene.noise, picture.shape[:2])
                picture[..., 0] += noise.astype(np.float32)
            yield picture

    def _picture(self, time: float, shaken: bool, keep: _Keep | None) -> np.ndarray:
        width, height = self.size
        rows = (np.arange(height) + 0.5) / height - 0.5  # of the read-out's time
        row_times = time + rows * self.scene.rolling_shutter / self.scene.frame_rate
        if self.scene.rolling_shutter:
            viewmats = self.poses(row_times, shaken=shaken)
        else:
            viewmats = self.poses(np.array([time]), shaken=shaken)
        x = (np.arange(width, dtype=np.float32) + 0.5)[None]
        y = (np.arange(height, dtype=np.float32) + 0.5)[:, None]
        picture = np.zeros((height, width, 3), np.float32)
        picture[..., 0] = _SKY
        depth = np.full((height, width), np.inf, np.float32)
        hidden = np.zeros((height, width), bool)
        for plane in self.layers:
            to_pixels = np.array([plane.pixels_from_plane(self.K, v, time) for v in viewmats])
            top, bottom, left, right = plane.box(to_pixels, time, self.size)
            if top >= bottom or left >= right:
                continue
            part = (slice(top, bottom), slice(left, right))
            from_pixels = np.linalg.inv(to_pixels)
            if len(from_pixels) > 1:
                from_pixels = from_pixels[top:bottom]
            u, v = x[:, left:right], y[top:bottom]
            closeness = _affine(from_pixels[:, 2], u, v)  # the last coordinate is 1 / depth
            texels = plane.texels_from_plane(time) @ from_pixels
            at_x = _affine(texels[:, 0], u, v) / closeness - np.float32(0.5)
            at_y = _affine(texels[:, 1], u, v) / closeness - np.float32(0.5)
            seen = cv2.remap(
                plane.texture, at_x, at_y, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT
            )
            inside = closeness > 0
            if plane.layer.size is not None:
                columns, lines = plane.texels - 0.5
                inside &= (at_x >= -0.5) & (at_y >= -0.5) & (at_x <= columns) & (at_y <= lines)
            if plane.layer.cutout:
                cover = np.where(inside, np.clip(seen[..., 3], 0, 1), np.float32(0))
                picture[part] += cover[..., None] * (seen[..., :3] - picture[part])
                inside = cover > 0.5
            else:
                np.copyto(picture[part], seen, where=inside[..., None])
            if keep is not None:
                depth[part][inside] = 1 / closeness[inside]
                hidden[part][inside] = plane.layer.velocity != (0.0, 0.0)
        if keep is not None:
            keep(depth, hidden)
        return picture


class _Shake:
    """A hand's shake: random sines in a band, weaker the faster, and a walker's steps."""

    def __init__(self, scene: Scene, sines: int = 24) -> None:
        random = np.random.default_rng(scene.seed)
        low, high = scene.band
        self._frequency = np.exp(random.uniform(np.log(low), np.log(high), (sines, 6)))
        self._phase = random.uniform(0, 2 * np.pi, (sines, 6))
        weight = 1 / self._frequency
        self._weight = weight / np.sqrt((weight**2).sum(axis=0) / 2)
        pan, tilt, roll, shift = scene.shake
        self._deviation = np.array([pan, tilt, roll, *[shift / 1000] * 3])
        self._walks = shift > 0

    def at(self, times: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Pan, tilt and roll `(n, 3)` in degrees, and shift `(n, 3)` in scene units."""
        waves = np.sin(2 * np.pi * self._frequency * times[:, None, None] + self._phase)
        moved = (waves * self._weight).sum(axis=1) * self._deviation
        if self._walks:
            moved[:, 4] += 1.4 * self._deviation[4] * np.sin(2 * np.pi * 1.9 * times)
        return moved[:, :3], moved[:, 3:]


def _affine(row: np.ndarray, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """`row` (1 or H, 3) times (x, y, 1): `(H, W)` float32."""
    a, b, c = row.astype(np.float32).T[:, :, None]
    return np.asarray(a * x + (b * y + c))


def _rotation(axis: int, angle: float) -> np.ndarray:
    """Turns by an angle in radians about the x, y or z axis."""
    a, b = [i for i in range(3) if i != axis]
    matrix = np.eye(3)
    matrix[a, a] = matrix[b, b] = np.cos(angle)
    matrix[a, b], matrix[b, a] = -np.sin(angle), np.sin(angle)
    return matrix


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
