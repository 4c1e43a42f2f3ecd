"""A set of 3-D Gaussians: what is drawn, read, written and fitted."""

import math
import os
import re
import tempfile
from collections.abc import Iterable, Iterator, MutableMapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from torch import Tensor

from steadyview import ops
from steadyview.errors import InputError, OutputError
from steadyview.scene.columns import Columns, harmonic_of_color
from steadyview.scene.formats import read_columns, write_columns

__all__ = ["Gaussians", "read_gaussian_sequence", "write_gaussian_sequence"]


@dataclass(frozen=True, repr=False, eq=False)
class Gaussians:
    """N Gaussians in the world, with harmonics of degree d, K = (d + 1)^2.

    What is stored is what files hold and what is optimised; `scales` and `opacities` are what is
    drawn.

    Attributes:
        means: `(N, 3)` centres, scene units.
        quaternions: `(N, 4)` rotations w x y z, of any length but 0.
        log_scales: `(N, 3)` natural logarithms of the standard deviations along the axes.
        opacity_logits: `(N,)`: opacity = 1 / (1 + exp(-logit)).
        harmonics: `(N, K, 3)`: colour = 0.5 + the sum over the harmonics, at least 0.
    """

    means: Tensor
    quaternions: Tensor
    log_scales: Tensor
    opacity_logits: Tensor
    harmonics: Tensor

    def __post_init__(self) -> None:
        N = self.means.shape[0] if self.means.dim() else 0
        shapes = {
            "means": (N, 3), "quaternions": (N, 4), "log_scales": (N, 3), "opacity_logits": (N,),
        }  # fmt: skip
        for name, shape in shapes.items():
            if tuple(getattr(self, name).shape) != shape:
                got = tuple(getattr(self, name).shape)
                raise ValueError(f"{name} must be {shape}, got {got}")
        got = tuple(self.harmonics.shape)
        if len(got) != 3 or got[::2] != (N, 3) or got[1] not in (1, 4, 9, 16, 25):
            raise ValueError(f"harmonics must be ({N}, 1 | 4 | 9 | 16 | 25, 3), got {got}")
        kinds = {(x.dtype, x.device) for x in self._tensors()}
        if len(kinds) > 1 or not self.means.is_floating_point():
            names = ", ".join(sorted(f"{kind} on {device}" for kind, device in kinds))
            raise ValueError(f"all must have one floating dtype and one device, got {names}")

    def __len__(self) -> int:
        return self.means.shape[0]

    def __repr__(self) -> str:
        return f"Gaussians({len(self)}, sh_degree={self.sh_degree}, device={self.device})"

    def __getitem__(self, index: Any) -> "Gaussians":
        """Some of them: a slice, a mask `(N,)` or a list of indices."""
        if isinstance(index, int):
            raise TypeError(
                "index must be a slice, a mask or indices; a single one is a[i : i + 1]"
            )
        return Gaussians(*(x[index] for x in self._tensors()))

    @property
    def device(self) -> torch.device:
        return self.means.device

    @property
    def sh_degree(self) -> int:
        return math.isqrt(self.harmonics.shape[1]) - 1

    @property
    def scales(self) -> Tensor:
        """`(N, 3)` standard deviations along the axes, scene units."""
        return self.log_scales.exp()

    @property
    def opacities(self) -> Tensor:
        """`(N,)` in (0, 1)."""
        return self.opacity_logits.sigmoid()

    def to(self, *args: Any, **kwargs: Any) -> "Gaussians":
        """Another device or dtype, as `torch.Tensor.to`."""
        return Gaussians(*(x.to(*args, **kwargs) for x in self._tensors()))

    def detach(self) -> "Gaussians":
        return Gaussians(*(x.detach() for x in self._tensors()))

    @staticmethod
    def cat(sets: Sequence["Gaussians"]) -> "Gaussians":
        """One set of several; missing harmonics of higher degrees are 0."""
        most = max(x.harmonics.shape[1] for x in sets)
        columns = zip(*(x._with_harmonics(most)._tensors() for x in sets), strict=True)
        return Gaussians(*(torch.cat(column) for column in columns))

    @staticmethod
    def from_points(
        points: Any, colors: Any, *, sh_degree: int = 3, opacity: float = 0.1
    ) -> "Gaussians":
        """A first guess from coloured points: round, as wide as the points are apart.

        Args:
            points: `(N, 3)`, array or tensor.
            colors: `(N, 3)` floating in [0, 1], or uint8.
            sh_degree: 0 to 4, of the harmonics, which begin without view dependence.
            opacity: of all, in (0, 1).

        Returns:
            float32 on the CPU. The scale is the root mean square distance to the three nearest
            other points.

        Raises:
            ValueError: a wrong shape or value.

        Source: Kerbl et al., 3-D Gaussian splatting (2023), section 5.1 and its code.
        """
        positions, rgb = (torch.as_tensor(x).detach().cpu().numpy() for x in (points, colors))
        positions = np.ascontiguousarray(positions, np.float32)
        if positions.ndim != 2 or positions.shape[1] != 3 or rgb.shape != positions.shape:
            raise ValueError(
                f"points and colors must both be (N, 3), got {positions.shape} and {rgb.shape}"
            )
        if not 0 < opacity < 1 or sh_degree not in range(5):
            raise ValueError(
                f"opacity must be in (0, 1) and sh_degree 0 to 4, got {opacity} and {sh_degree}"
            )
        if not np.isfinite(positions).all():
            raise ValueError("points must be finite")
        if rgb.dtype == np.uint8:
            rgb = rgb / 255
        # False for nan, too. Images may have colours a little above 1.
        elif rgb.dtype.kind != "f" or not ((rgb >= -1e-5) & (rgb <= 1 + 1e-5)).all():
            low, high = (rgb.min(), rgb.max()) if rgb.size else (0, 0)
            raise ValueError(
                f"colors must be floating in [0, 1], or uint8, got {rgb.dtype} from {low} to {high}"
            )
        N = len(positions)
        harmonics = np.zeros((N, (sh_degree + 1) ** 2, 3), np.float32)
        harmonics[:, 0] = harmonic_of_color(rgb)
        quaternions = np.zeros((N, 4), np.float32)
        quaternions[:, 0] = 1
        columns = Columns(
            positions,
            quaternions,
            np.repeat(np.log(_spacing(positions))[:, None], 3, 1),
            np.full(N, math.log(opacity / (1 - opacity)), np.float32),
            harmonics,
        )
        return Gaussians._of_columns(columns)

    @staticmethod
    def read(path: str | os.PathLike) -> "Gaussians":
        """Reads PLY (the usual one, or SuperSplat's compressed; also ASCII), .splat and .spz.

        Returns:
            float32 on the CPU, in the axes of PLY; .spz is turned into them.

        Raises:
            InputError: the file cannot be read, is in none of the formats, truncated, or has not
                all that a Gaussian needs.
        """
        return Gaussians._of_columns(read_columns(path))

    def write(self, path: str | os.PathLike, *, overwrite: bool = False) -> None:
        """Writes .ply (keeps everything), .splat (no view dependence) or .spz (8 bits a number).

        Raises:
            OutputError: an unknown suffix, the file exists, it cannot be written, or the format
                cannot hold what is to be written; nothing is left behind.
        """
        columns = (x.detach().to("cpu", torch.float32).numpy() for x in self._tensors())
        write_columns(path, Columns(*columns), overwrite)

    def rasterize(
        self, viewmats: Any, Ks: Any, width: int, height: int, **options: Any
    ) -> tuple[Tensor, Tensor, MutableMapping[str, Any]]:
        """Draws the set; differentiable by its tensors and by the cameras.

        Args:
            viewmats: `(C, 4, 4)` camera from world, arrays or tensors, as `Ks`.
            Ks: `(C, 3, 3)`, in pixels.
            width, height: of the images.
            options: of `steadyview.ops.rasterization`, such as `backgrounds` or `render_mode`;
                `sh_degree` may be lower than the set's.

        Returns:
            Images `(C, height, width, X)`, alphas `(C, height, width, 1)`, and what else
            `steadyview.ops.rasterization` returns.

        Raises:
            ValueError: an argument has the wrong shape or value.
        """
        options = {"sh_degree": self.sh_degree, "packed": False, **options}
        return ops.rasterization(
            self.means, self.quaternions, self.scales, self.opacities, self.harmonics,
            self._like(viewmats), self._like(Ks), width, height, **options,
        )  # fmt: skip

    def render(
        self,
        viewmat: Any,
        K: Any,
        width: int,
        height: int,
        *,
        background: Sequence[float] | Tensor | None = None,
        **options: Any,
    ) -> Tensor:
        """Images as seen by one or more cameras; `rasterize` returns more.

        Args:
            viewmat: `(4, 4)` or `(C, 4, 4)` camera from world, array or tensor, as `K`.
            K: `(3, 3)` or `(C, 3, 3)`, in pixels.
            width, height: of the images.
            background: the colour behind, `(3,)`; black when None.
            options: as for `rasterize`.

        Returns:
            `(height, width, 3)`, or `(C, height, width, 3)` for `(C, 4, 4)`; other channels with
            another `render_mode`. Colours may exceed 1.

        Raises:
            ValueError: an argument has the wrong shape or value.
        """
        viewmats, Ks = self._like(viewmat), self._like(K)
        single = viewmats.dim() == 2
        if single:
            viewmats = viewmats[None]
        C = viewmats.shape[0]
        if background is not None:
            options["backgrounds"] = self._like(background).expand(C, -1)
        Ks = Ks.expand(C, 3, 3)
        images = self.rasterize(viewmats, Ks, width, height, **options)[0]
        return images[0] if single else images

    def _tensors(self) -> tuple[Tensor, ...]:
        return tuple(getattr(self, field.name) for field in fields(self))

    def _like(self, values: Any) -> Tensor:
        return torch.as_tensor(values, dtype=self.means.dtype, device=self.device)

    def _with_harmonics(self, count: int) -> "Gaussians":
        more = self.harmonics.new_zeros((len(self), count - self.harmonics.shape[1], 3))
        return replace(self, harmonics=torch.cat([self.harmonics, more], 1))

    @staticmethod
    def _of_columns(columns: Columns) -> "Gaussians":
        return Gaussians(*(torch.tensor(values) for values in columns))


def write_gaussian_sequence(
    sets: Iterable[Gaussians], folder: str | os.PathLike, *, overwrite: bool = False
) -> int:
    """Writes a set that changes with time: frame_00000.ply and on, which SuperSplat plays.

    Args:
        sets: one for each time, of any number of Gaussians.
        folder: made when it is missing.
        overwrite: replace a sequence that is there, also where it is longer.

    Returns:
        The number of files. Until all are written, what was there stays.

    Raises:
        OutputError: the folder has a sequence already, or cannot be written.
    """
    folder = Path(folder)
    old = _frames(folder, "frame_*.ply")
    if old and not overwrite:
        raise OutputError(f"{folder}: has a sequence already; overwrite=True replaces it")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        temporary = tempfile.TemporaryDirectory(prefix=".frames_", dir=folder)
    except OSError as error:
        raise OutputError(f"{folder}: cannot be made or written ({error.strerror})") from error
    # All are written before the first takes its place: `sets` may raise, or read the old ones.
    with temporary as part:
        names = []
        for index, gaussians in enumerate(sets):
            names.append(f"frame_{index:05d}.ply")
            gaussians.write(Path(part, names[-1]))
        try:
            for name in names:
                os.replace(Path(part, name), folder / name)
            for path in old:
                if path.name not in names:
                    path.unlink()
        except OSError as error:
            raise OutputError(f"{folder}: cannot be written ({error.strerror})") from error
    return len(names)


def read_gaussian_sequence(folder: str | os.PathLike) -> Iterator[Gaussians]:
    """Reads a sequence of PLY files one by one, in the order of the numbers in their names.

    Raises:
        InputError: the folder has none, or a file cannot be read.
    """
    frames = _frames(Path(folder), "*.ply")
    if not frames:
        raise InputError(f"{folder}: has no files such as frame_00000.ply")
    return (Gaussians.read(path) for path in frames)


def _frames(folder: Path, pattern: str) -> list[Path]:
    numbered = []
    for path in folder.glob(pattern):
        if found := re.search(r"(\d+)(\.compressed)?\.ply$", path.name):
            numbered.append((int(found[1]), path.name, path))
    return [path for *_, path in sorted(numbered)]


def _spacing(points: np.ndarray) -> np.ndarray:
    """`(N,)`: root mean square distance to the three nearest others, never 0."""
    count = min(4, len(points))
    if count < 2:
        return np.ones(len(points), np.float32)
    index = cv2.flann.Index(points, {"algorithm": 4, "leaf_max_size": 10})  # one exact k-d tree
    _, squares = index.knnSearch(points, count, params={"checks": -1})
    spacing = np.sqrt(squares[:, 1:].mean(1))
    apart = spacing[spacing > 0]
    smallest = 1e-3 * np.median(apart) if apart.size else 1.0
    return np.maximum(spacing, smallest).astype(np.float32)
