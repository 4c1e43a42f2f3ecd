"""Rendering of 2-D stabilised frames: planar YUV or RGB, resampled once, backwards."""

from collections.abc import Sequence

import numpy as np

from steadyview import _core
from steadyview.errors import OptionError
from steadyview.video.info import PixelFormat

__all__ = ["INTERPOLATIONS", "FrameWarper", "matrix_from_similarity", "warp_rgb"]

INTERPOLATIONS = ("bilinear", "bicubic", "catmull-rom", "lanczos3")
"""bicubic is OpenCV's and PyTorch's (a = -0.75); catmull-rom has a = -0.5 and rings less."""

# Where chroma samples lie, in luma pixels from the centre of the luma pixels they are shared by,
# as a fraction of the subsampling's half: -1 on the first pixel's centre, 0 between, 1 on the last.
_CHROMA_LOCATIONS = {
    "left": (-1, 0),
    "right": (1, 0),
    "center": (0, 0),
    "topleft": (-1, -1),
    "top": (0, -1),
    "bottomleft": (-1, 1),
    "bottom": (0, 1),
}


def matrix_from_similarity(
    similarity: Sequence[float] | np.ndarray,
    frame_size: tuple[int, int],
    output_size: tuple[int, int] | None = None,
) -> np.ndarray:
    """The 3x3 matrix of a centred similarity.

    Args:
        similarity: (a, b, tx, ty): the centred output point p shows the centred source point
            `[[a, -b], [b, a]] p + (tx, ty)`; a row of `CameraPath.source_from_output`.
        frame_size: (width, height) of the source frame in pixels.
        output_size: (width, height) of the output frame; the source's by default.

    Returns:
        `(3, 3)` float64, `source_from_output` for uncentred points: pixel (0, 0) covers
        [0, 1] x [0, 1].
    """
    a, b, tx, ty = (float(value) for value in similarity)
    source_x, source_y = frame_size[0] / 2, frame_size[1] / 2
    width, height = output_size or frame_size
    x, y = width / 2, height / 2
    return np.array(
        [
            [a, -b, tx + source_x - a * x + b * y],
            [b, a, ty + source_y - b * x - a * y],
            [0.0, 0.0, 1.0],
        ]
    )


class FrameWarper:
    """Warps frames of one size and format.

    The warp is backward: each output pixel looks up its source point
    `source_from_output @ (x, y, 1)`, moved by the displacement at (x, y), and interpolates there.
    Points are those of the luma plane with pixel (0, 0) covering [0, 1] x [0, 1]; chroma planes
    follow exactly. Beyond the source its edge is repeated. The identity is exact.

    Args:
        width, height: size of the source frames in pixels.
        format: planar format of source and output.
        interpolation: one of `INTERPOLATIONS`.
        chroma_location: where subsampled chroma lies, by FFmpeg's names: left (MPEG-2, H.264),
            center (JPEG, MPEG-1), topleft, top, bottomleft or bottom; and right, as in a frame
            turned by 180 degrees. It matters only along subsampled directions.
        output_size: (width, height) of the output; the source's by default.

    Raises:
        OptionError: unknown interpolation or chroma location, or a size below 1.
    """

    def __init__(
        self,
        width: int,
        height: int,
        format: PixelFormat,
        *,
        interpolation: str = "bicubic",
        chroma_location: str = "left",
        output_size: tuple[int, int] | None = None,
    ) -> None:
        if interpolation not in INTERPOLATIONS:
            allowed = ", ".join(INTERPOLATIONS)
            raise OptionError(f"interpolation must be one of {allowed}, got {interpolation!r}")
        if chroma_location not in _CHROMA_LOCATIONS:
            allowed = ", ".join(_CHROMA_LOCATIONS)
            raise OptionError(f"chroma_location must be one of {allowed}, got {chroma_location!r}")
        self.source_size = (width, height)
        self.output_size = output_size or (width, height)
        if min(*self.source_size, *self.output_size) < 1:
            raise OptionError(
                f"frame sizes must be at least 1, got {self.source_size} and {self.output_size}"
            )
        self.format = format
        self.interpolation = interpolation
        self._source_shapes = [format.plane_shape(i, width, height) for i in range(format.planes)]
        self._output_shapes = [
            format.plane_shape(i, *self.output_size) for i in range(format.planes)
        ]
        self._prepare_planes(_CHROMA_LOCATIONS[chroma_location])

    def _prepare_planes(self, location: tuple[int, int]) -> None:
        """Per plane: luma point = scale * plane point + offset, and where that is in the frame."""
        planes = self.format.planes
        self._luma_from_plane = np.tile(np.eye(3), (planes, 1, 1))
        self._plane_from_luma = np.tile(np.eye(3), (planes, 1, 1))
        self._bases = np.empty((planes, 2, 2))
        for plane in range(planes):
            for axis in range(2):
                step = 2.0 ** (self.format.chroma_shift[axis] if plane in (1, 2) else 0)
                offset = location[axis] * (step - 1) / 2
                self._luma_from_plane[plane, axis, axis] = step
                self._luma_from_plane[plane, axis, 2] = offset
                self._plane_from_luma[plane, axis, axis] = 1 / step
                self._plane_from_luma[plane, axis, 2] = -offset / step
                self._bases[plane, 0, axis] = step / self.output_size[axis]
                self._bases[plane, 1, axis] = offset / self.output_size[axis]
        self._plane_scale = self._plane_from_luma[:, [0, 1], [0, 1]]

    def warp(
        self,
        frame_planes: Sequence[np.ndarray],
        source_from_output: np.ndarray,
        displacement: np.ndarray | None = None,
        out: Sequence[np.ndarray] | None = None,
    ) -> tuple[np.ndarray, ...]:
        """Warps one frame.

        Args:
            frame_planes: the format's planes, `(rows, columns)` uint8 or uint16; rows may be
                strided.
            source_from_output: `(3, 3)` similarity, affine map or homography of luma points.
            displacement: `(2, K, K)` cosine coefficients in luma pixels, K <= 32, x then y, added
                to the source point: basis of `GlobalMotion.coefficients` over the output frame.
            out: planes to write to (may be the memory of an encoder's frame, not of the source);
                new arrays by default.

        Returns:
            The output planes: `out` when given.

        Raises:
            ValueError: a plane or the matrix has the wrong shape, dtype or strides, the matrix or
                the displacement is not finite, or the matrix has no point at the output's centre.
        """
        if out is None:
            out = [np.empty(shape, self.format.dtype) for shape in self._output_shapes]
        self._check_planes(frame_planes, self._source_shapes, "frame_planes")
        self._check_planes(out, self._output_shapes, "out")
        matrix = _normalised(source_from_output, self.output_size)
        matrices = self._plane_from_luma @ matrix @ self._luma_from_plane
        displacements = None
        if displacement is not None:
            coefficients = _checked_displacement(displacement)
            displacements = self._plane_scale[:, :, None, None] * coefficients
        _core.warp_planes(
            list(frame_planes),
            list(out),
            matrices,
            displacements,
            self._bases,
            INTERPOLATIONS.index(self.interpolation),
            (1 << self.format.depth) - 1,
        )
        return tuple(out)

    def _check_planes(
        self, planes: Sequence[np.ndarray], shapes: list[tuple[int, int]], name: str
    ) -> None:
        if [plane.shape for plane in planes] != shapes:
            got = [plane.shape for plane in planes]
            raise ValueError(f"{name} must have the shapes {shapes}, got {got}")


def _normalised(source_from_output: np.ndarray, output_size: tuple[int, int]) -> np.ndarray:
    """The matrix scaled so that w is 1 at the centre of the output."""
    matrix = np.asarray(source_from_output, dtype=np.float64)
    if matrix.shape != (3, 3) or not np.isfinite(matrix).all():
        raise ValueError(
            f"source_from_output must be 3x3 finite numbers, got shape {matrix.shape}: {matrix}"
        )
    if matrix[2, 0] == 0 and matrix[2, 1] == 0 and matrix[2, 2] == 1:
        return matrix
    w = matrix[2] @ (output_size[0] / 2, output_size[1] / 2, 1)
    if abs(w) <= 1e-12 * np.abs(matrix).max():
        raise ValueError(f"source_from_output sends the output's centre to infinity: {matrix}")
    return matrix / w


def _checked_displacement(displacement: np.ndarray) -> np.ndarray:
    coefficients = np.asarray(displacement, dtype=np.float64)
    shape = coefficients.shape
    if len(shape) != 3 or shape[0] != 2 or shape[1] != shape[2] or not 1 <= shape[1] <= 32:
        raise ValueError(f"displacement must be (2, K, K) with 1 <= K <= 32, got {shape}")
    if not np.isfinite(coefficients).all():
        raise ValueError("displacement must be finite, got NaN or infinity")
    return coefficients


def warp_rgb(
    image: np.ndarray,
    source_from_output: np.ndarray,
    displacement: np.ndarray | None = None,
    *,
    interpolation: str = "bicubic",
    output_size: tuple[int, int] | None = None,
) -> np.ndarray:
    """Warps an image whose channels lie last, as `FrameWarper` does.

    Args:
        image: `(H, W, C)` uint8, uint16, or float32 in [0, 1] (resampled with 16 bits).
        source_from_output: `(3, 3)` similarity, affine map or homography.
        displacement: `(2, K, K)` cosine coefficients in pixels, or None.
        interpolation: one of `INTERPOLATIONS`.
        output_size: (width, height) of the result; the image's by default.

    Returns:
        `(H', W', C)` of the image's dtype.

    Raises:
        TypeError: another dtype.
        ValueError: as `FrameWarper.warp`.
    """
    if image.ndim != 3:
        raise ValueError(f"image must be (H, W, C), got shape {image.shape}")
    if image.dtype not in (np.uint8, np.uint16, np.float32):
        raise TypeError(f"image must be uint8, uint16 or float32, got {image.dtype}")
    height, width, channels = image.shape
    samples = image
    if image.dtype == np.float32:
        samples = np.rint(np.clip(image, 0, 1) * 65535).astype(np.uint16)
    depth = 8 if image.dtype == np.uint8 else 16
    layout = PixelFormat("planar", channels, depth, (0, 0), is_rgb=True)
    warper = FrameWarper(
        width, height, layout, interpolation=interpolation, output_size=output_size
    )
    planes = warper.warp(
        tuple(np.ascontiguousarray(samples[:, :, c]) for c in range(channels)),
        source_from_output,
        displacement,
    )
    result = np.stack(planes, axis=2)
    return result / np.float32(65535) if image.dtype == np.float32 else result
