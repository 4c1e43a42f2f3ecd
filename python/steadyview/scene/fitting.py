"""Fits Gaussians to photographs whose cameras are known."""

import math
import numbers
import time
from collections.abc import Callable, MutableMapping
from dataclasses import dataclass, field, fields
from typing import Any

import numpy as np
import torch
from torch import Tensor

from steadyview.errors import OptionError
from steadyview.ops._cameras import check_cameras
from steadyview.ops._splat_rows import in_view
from steadyview.ops.gaussians import rasterization
from steadyview.scene.adam import Adam, shade
from steadyview.scene.densify import DensityControl, DensityOptions
from steadyview.scene.gaussians import Gaussians
from steadyview.scene.interrupt import deferred_interrupt
from steadyview.scene.photometric import photometric_loss, psnr
from steadyview.scene.views import scene_extent, visible_points

__all__ = ["FitOptions", "FitResult", "fit_gaussians"]

ROUNDING = 1e-5  # what floating images may exceed [0, 1] by
LOWEST = {"steps": 1, "count": 1, "preview_every": 1, "sh_every": 1}  # of options; others 0
#: Called after a step with its number from 1, how many there are, the loss, and the Gaussians.
FitProgress = Callable[[int, int, float, int], None]
#: Called with the step and an image `(H, W, 3)` of uint8.
Preview = Callable[[int, np.ndarray], None]


@dataclass(frozen=True)
class FitOptions:
    """How to fit; the learning rates are the field's.

    Attributes:
        steps: each draws one image.
        count: Gaussians to begin with when none are given.
        sh_degree: of the harmonics, whatever `init` has; degrees that are 0 in it begin one after
            another.
        sh_every: steps between two degrees; None is 1000, or a tenth of the steps if that is less.
        ssim_weight: of 1 - SSIM; the rest is L1.
        background: colour behind everything, or None for a random one at each step, against which
            nothing can hide that should be opaque.
        lr_means: learning rate of the means, times the scene's extent; it falls to a hundredth.
        lr_log_scales, lr_quaternions, lr_opacity_logits, lr_harmonics: the others; harmonics above
            degree 0 have a twentieth of theirs.
        visible_adam: Adam changes only what the image shows, and its moments: what is not shown
            does not drift on, and steps are faster where that is most.
        antialiased: as `rasterize_mode` of the renderer.
        seed: of everything random.
        preview_every: steps between two previews.
        density: when Gaussians are added and removed; None is `DensityOptions.for_steps(steps)`.

    Source: Kerbl et al., 3-D Gaussian splatting (2023), and its code.
    """

    steps: int = 2000
    count: int = 20_000
    sh_degree: int = 3
    sh_every: int | None = None
    ssim_weight: float = 0.2
    background: tuple[float, float, float] | None = (0.0, 0.0, 0.0)
    lr_means: float = 1.6e-4
    lr_log_scales: float = 5e-3
    lr_quaternions: float = 1e-3
    lr_opacity_logits: float = 5e-2
    lr_harmonics: float = 2.5e-3
    visible_adam: bool = False
    antialiased: bool = False
    seed: int = 0
    preview_every: int = 100
    density: DensityOptions | None = None

    def __post_init__(self) -> None:
        for item in fields(self):
            value, least = getattr(self, item.name), LOWEST.get(item.name, 0)
            if item.name in ("background", "density") or (item.name, value) == ("sh_every", None):
                continue
            if isinstance(item.default, bool):
                good, wanted = isinstance(value, bool | np.bool_), "True or False"
            elif isinstance(item.default, float):
                good, wanted = isinstance(value, numbers.Real), f"a number of at least {least}"
            else:
                good = isinstance(value, numbers.Integral)
                wanted = f"a whole number of at least {least}"
            if not isinstance(item.default, bool):
                good = good and not isinstance(value, bool) and least <= value < math.inf
            if not good:
                raise OptionError(f"{item.name} must be {wanted}, got {value!r}")
        if self.background is not None:
            object.__setattr__(self, "background", _color(self.background))
        if self.sh_degree > 4 or self.ssim_weight > 1:
            raise OptionError(
                "sh_degree must be 0 to 4 and ssim_weight at most 1, got "
                f"{self.sh_degree} and {self.ssim_weight}"
            )

    @property
    def rasterize_mode(self) -> str:
        return "antialiased" if self.antialiased else "classic"


@dataclass(frozen=True)
class FitResult:
    """What a fit gave.

    Attributes:
        gaussians: the fitted set, on the device of the fit.
        losses: `(steps,)`, of those that were made.
        seconds: of the whole fit.
        extent: of the scene, which the learning rate of the means was measured in.
        options: of the fit.
        interrupted: it was stopped by Ctrl-C (or a KeyboardInterrupt of a callback).
    """

    gaussians: Gaussians
    losses: np.ndarray = field(repr=False)
    seconds: float
    extent: float
    options: FitOptions = field(repr=False)
    interrupted: bool = False

    def psnr(self, images: Any, viewmats: Any, Ks: Any, masks: Any = None) -> np.ndarray:
        """`(C,)` dB of the rendered views against images and masks as `fit_gaussians` takes
        them.

        The background is that of the fit, or black if that was random.
        """
        background = self.options.background or (0.0, 0.0, 0.0)
        photos = Photographs(images, viewmats, Ks, masks, self.gaussians.device)
        values = []
        with torch.no_grad():
            for index in range(len(photos)):
                target, mask = photos.target(index)
                view = self.gaussians.render(
                    photos.viewmats[index], photos.Ks[index], photos.width, photos.height,
                    background=background, rasterize_mode=self.options.rasterize_mode,
                )  # fmt: skip
                values.append(psnr(view, target, mask))
        return np.array(values)


def fit_gaussians(
    images: Any,
    viewmats: Any,
    Ks: Any,
    init: Gaussians | None = None,
    *,
    options: FitOptions | None = None,
    masks: Any = None,
    device: str | torch.device | None = None,
    progress: FitProgress | None = None,
    preview: Preview | None = None,
    **given: Any,
) -> FitResult:
    """Optimises Gaussians until they look like the photographs.

    Args:
        images: `(C, 3, H, W)` uint8, or floating in [0, 1]; array or tensor, as all.
        viewmats: `(C, 4, 4)` camera from world.
        Ks: `(C, 3, 3)`, in pixels.
        init: Gaussians to begin with, such as `Gaussians.from_points(points, colors)`; None draws
            `count` points at random in what the cameras see.
        options: all options; or give single ones (`steps=500`) instead.
        masks: `(C, H, W)` weights of the pixels, 0 for what is not to be explained; all 1 when
            None.
        device: where to compute; that of `init` when None, or of `images` if those are a tensor.
        progress: called after each step.
        preview: called with what the first camera sees (before black where `background` is None),
            every `preview_every` steps and at the end.

    Returns:
        The set, with losses and timing. On the CPU the same input gives the same result, whatever
        the number of threads. After Ctrl-C it is what there is then, marked as `interrupted`.

    Raises:
        ValueError: an input has the wrong shape, dtype or value, or no Gaussian is left.
        OptionError: an option is unknown or out of range.
    """
    options = _options(options, given)
    if device is None:
        device = init.device if init is not None else getattr(images, "device", "cpu")
    photos = Photographs(images, viewmats, Ks, masks, torch.device(device))
    generator = torch.Generator().manual_seed(options.seed)
    if init is None:
        points, colors = visible_points(
            photos.images, photos.viewmats, photos.Ks, options.count, generator
        )
        init = Gaussians.from_points(points, colors, sh_degree=options.sh_degree)
    if not len(init):
        raise ValueError("init must have at least one Gaussian")
    fit = _Fit(photos, init.detach().to(photos.device, torch.float32), options, generator)
    started = time.perf_counter()
    losses = list[float]()
    with deferred_interrupt() as interrupted:
        while len(losses) < options.steps and not interrupted():
            losses.append(fit.step(len(losses)))
            step, count = len(losses), len(fit.parameters["means"])
            if not count:
                raise ValueError(
                    f"no Gaussian is left after step {step}: all were fainter than prune_opacity "
                    "or larger than prune_scale (DensityOptions)"
                )
            try:
                if progress is not None:
                    progress(step, options.steps, losses[-1], count)
                shown = step % options.preview_every == 0 or step == options.steps
                if preview is not None and shown:
                    preview(step, fit.look())
            except KeyboardInterrupt:
                break
    seconds = time.perf_counter() - started
    return FitResult(
        fit.gaussians().detach(), np.array(losses), seconds, fit.extent, options,
        interrupted=len(losses) < options.steps,
    )  # fmt: skip


class Photographs:
    """Images with their cameras, checked; converted to floats one by one, when they are used."""

    def __init__(
        self, images: Any, viewmats: Any, Ks: Any, masks: Any, device: torch.device
    ) -> None:
        self.device = device
        self.images = torch.as_tensor(images)
        if self.images.dim() != 4 or self.images.shape[1] != 3 or not self.images.numel():
            raise ValueError(f"images must be (C, 3, H, W), got {tuple(self.images.shape)}")
        if self.images.dtype != torch.uint8 and not self.images.is_floating_point():
            raise ValueError(f"images must be uint8 or floating, got {self.images.dtype}")
        if self.images.is_floating_point():
            low, high = (float(value) for value in self.images.detach().aminmax())
            if not (low >= -ROUNDING and high <= 1 + ROUNDING):  # true for nan, too
                raise ValueError(f"floating images must be in [0, 1], got {low:g} to {high:g}")
        C, _, self.height, self.width = self.images.shape
        self._pixels = self.images.permute(0, 2, 3, 1).contiguous()
        self.images = self._pixels.permute(0, 3, 1, 2)  # does not keep the other order alive
        self.viewmats = self._numbers("viewmats", viewmats, (C, 4, 4))
        self.Ks = self._numbers("Ks", Ks, (C, 3, 3))
        check_cameras(viewmats=self.viewmats.double(), Ks=self.Ks.double())
        self.centres = torch.linalg.inv(self.viewmats)[:, :3, 3].tolist()
        self.masks = None
        if masks is not None:
            self.masks = self._numbers("masks", masks, (C, self.height, self.width))
            if (self.masks < 0).any():
                raise ValueError("masks must not be negative")

    def __len__(self) -> int:
        return self.images.shape[0]

    def target(self, index: int) -> tuple[Tensor, Tensor | None]:
        """`(H, W, 3)` in [0, 1], and the mask."""
        image = self._pixels[index].to(self.device)
        image = image / 255 if image.dtype == torch.uint8 else image.to(torch.float32)
        return image, None if self.masks is None else self.masks[index]

    def _numbers(self, name: str, values: Any, shape: tuple[int, ...]) -> Tensor:
        tensor = torch.as_tensor(values, dtype=torch.float32, device=self.device)
        if tuple(tensor.shape) != shape:
            raise ValueError(f"{name} must be {shape}, got {tuple(tensor.shape)}")
        if not tensor.isfinite().all():
            raise ValueError(f"{name} must be finite")
        return tensor


class _Fit:
    """Parameters, optimiser and refinement of one run."""

    def __init__(
        self, photos: Photographs, init: Gaussians, options: FitOptions, generator: torch.Generator
    ) -> None:
        self.photos, self.options, self.generator = photos, options, generator
        self.extent = scene_extent(photos.viewmats, init.means)
        wanted = (options.sh_degree + 1) ** 2
        missing = max(0, wanted - init.harmonics.shape[1])
        harmonics = torch.nn.functional.pad(init.harmonics, (0, 0, 0, missing))[:, :wanted]
        used = harmonics.abs().amax((0, 2)).nonzero().amax() if harmonics.any() else 0
        self.first_sh_degree = math.ceil(math.sqrt(int(used) + 1)) - 1
        self.parameters = {
            "means": init.means,
            "quaternions": init.quaternions,
            "log_scales": init.log_scales,
            "opacity_logits": init.opacity_logits,
            "harmonics": harmonics,
        }
        for name, value in self.parameters.items():
            self.parameters[name] = value.clone().requires_grad_()
        groups: list[dict[str, Any]] = [
            {"params": [value], "name": name, "lr": getattr(options, f"lr_{name}")}
            for name, value in self.parameters.items()
        ]
        groups[-1].update(head=3, tail_lr=options.lr_harmonics / 20)  # degree 0, and the others
        self.optimizer = Adam(groups)
        density = options.density or DensityOptions.for_steps(options.steps)
        self.control = DensityControl(density, self.extent, generator)
        self.order: list[int] = []

    def gaussians(self) -> Gaussians:
        return Gaussians(**self.parameters)

    @torch.enable_grad()
    def step(self, step: int) -> float:
        """One image forward and backward, and what follows from it."""
        options, control = self.options, self.control
        index = self._next_image()
        target, mask = self.photos.target(index)
        degree = self._sh_degree(step)
        # The harmonics' part of the graph is cut out: their gradient goes straight to Adam.
        means, harmonics = self.parameters["means"], self.parameters["harmonics"]
        centre = self.photos.centres[index]
        colors = shade(harmonics, means, centre, degree).requires_grad_()
        image, _, meta = self._draw(index, self._background(), colors, None)
        watching = control.active(step)
        if watching:
            control.watch(meta)
        loss = photometric_loss(image.squeeze(0), target, mask, options.ssim_weight)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        if watching:
            control.observe(meta)
        decay = 0.01 ** (step / options.steps)
        self.optimizer.param_groups[0]["lr"] = options.lr_means * self.extent * decay
        seen = in_view(meta["radii"][0]) if options.visible_adam else None
        assert colors.grad is not None
        assert means.grad is not None
        means.grad += self.optimizer.step_harmonics(
            harmonics, means, centre, colors, colors.grad, degree, seen
        )
        self.optimizer.step(seen=seen)
        control.refine(step, self.parameters, self.optimizer)
        return float(loss.detach())

    @torch.no_grad()
    def look(self) -> np.ndarray:
        """What the first camera sees, `(H, W, 3)` uint8, before black if backgrounds are random."""
        # Nothing is drawn from the generator: a fit with previews is the fit without.
        background = torch.tensor(
            [self.options.background or (0.0, 0.0, 0.0)], device=self.photos.device
        )
        harmonics = self.parameters["harmonics"]
        image, _, _ = self._draw(0, background, harmonics, self.options.sh_degree)
        return (image[0].clamp(0, 1) * 255).round().to(torch.uint8).cpu().numpy()

    def _draw(
        self, index: int, background: Tensor, colors: Tensor, sh_degree: int | None
    ) -> tuple[Tensor, Tensor, MutableMapping[str, Any]]:
        photos, gaussians = self.photos, self.gaussians()
        return rasterization(
            gaussians.means, gaussians.quaternions, gaussians.scales, gaussians.opacities, colors,
            photos.viewmats[index : index + 1], photos.Ks[index : index + 1], photos.width,
            photos.height, backgrounds=background, absgrad=self.control.options.absgrad,
            rasterize_mode=self.options.rasterize_mode, sh_degree=sh_degree, packed=False,
        )  # fmt: skip

    def _background(self) -> Tensor:
        if self.options.background is None:
            return torch.rand((1, 3), generator=self.generator).to(self.photos.device)
        return torch.tensor([self.options.background], device=self.photos.device)

    def _next_image(self) -> int:
        """All in random order, then again in another."""
        if not self.order:
            self.order = torch.randperm(len(self.photos), generator=self.generator).tolist()
        return self.order.pop()

    def _sh_degree(self, step: int) -> int:
        every = self.options.sh_every or max(1, min(1000, self.options.steps // 10))
        return min(self.first_sh_degree + step // every, self.options.sh_degree)


def _color(given: Any) -> tuple[float, float, float]:
    try:
        red, green, blue = (float(value) for value in given)
    except (TypeError, ValueError) as error:
        raise OptionError(f"background must be three numbers or None, got {given!r}") from error
    if not all(math.isfinite(value) for value in (red, green, blue)):
        raise OptionError(f"background must be finite, got {given!r}")
    return red, green, blue


def _options(options: FitOptions | None, given: dict[str, Any]) -> FitOptions:
    if options is not None and given:
        raise TypeError(f"give either options or {', '.join(given)}, not both")
    known = {item.name for item in fields(FitOptions)}
    if unknown := sorted(set(given) - known):
        raise OptionError(f"unknown option {unknown[0]!r}; known: {', '.join(sorted(known))}")
    return options or FitOptions(**given)
