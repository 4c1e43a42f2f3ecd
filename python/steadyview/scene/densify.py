"""Where Gaussians are added and removed while a set is fitted: the field's default strategy."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

import torch
from torch import Tensor

from steadyview.errors import OptionError
from steadyview.ops._library import extension
from steadyview.ops._splat_rows import in_view

__all__ = ["DensityControl", "DensityOptions", "rotate"]

SPLIT_SHRINK = 1.6  # of the scales when one becomes two
RESET_FACTOR = 2.0  # opacities are lowered to this multiple of `prune_opacity`


@dataclass(frozen=True)
class DensityOptions:
    """When to clone, split and remove Gaussians; the defaults are those of a run of 30,000 steps.

    Attributes:
        start, stop, every: steps between which, and how often, the set is refined.
        reset_every: how often opacities are lowered, so that what is not needed vanishes; 0 never.
        grow_gradient: mean length of the gradient by the position on the image, in units of half
            the image's size, above which a Gaussian is cloned or split.
        grow_scale: size below which it is cloned, above which it is split, times the extent.
        prune_opacity: what is fainter is removed; below 0.5, and above 0 unless `reset_every` is 0.
        prune_scale: what is larger is removed after the first reset, times the extent.
        absgrad: use the sum of the absolute gradients of the pixels, which do not cancel out; a
            larger `grow_gradient` such as 0.0008 belongs to it.
        revised_opacity: halves of a split together are as opaque as the whole was.
        most: no more Gaussians than this; those with the largest gradients go first.

    Source: Kerbl et al., 3-D Gaussian splatting (2023), section 5.2; gsplat's DefaultStrategy;
        AbsGS (2024) for `absgrad`; Bulò et al., Revising densification (2024).
    """

    start: int = 500
    stop: int = 15_000
    every: int = 100
    reset_every: int = 3000
    grow_gradient: float = 0.0002
    grow_scale: float = 0.01
    prune_opacity: float = 0.005
    prune_scale: float = 0.1
    absgrad: bool = False
    revised_opacity: bool = False
    most: int = 1_000_000

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if not isinstance(value, bool) and not (math.isfinite(value) and value >= 0):
                raise OptionError(f"{field.name} must not be negative, got {value!r}")
        if self.every < 1 or not self.prune_opacity < 0.5:
            raise OptionError(
                "every must be at least 1 and prune_opacity below 0.5, got "
                f"{self.every} and {self.prune_opacity}"
            )
        if self.reset_every and not self.prune_opacity:
            raise OptionError(
                "prune_opacity must be above 0 where opacities are lowered to twice of it "
                f"(reset_every={self.reset_every}), got 0"
            )

    @classmethod
    def for_steps(cls, steps: int, **given: Any) -> "DensityOptions":
        """A schedule for a run of so many steps: refined from a tenth to a half of them.

        Short runs have no time to settle after many refinements, nor to recover from lowered
        opacities: below 6000 steps those stay.
        """
        schedule = {
            "start": min(500, steps // 10),
            "stop": min(15_000, steps // 2),
            "every": max(50, min(100, steps // 20)),
            "reset_every": 3000 if steps >= 6000 else 0,
        }
        return cls(**{**schedule, **given})


class DensityControl:
    """Gathers gradients and refines a set that an optimiser holds.

    Use: `watch` between forward and backward, `observe` after backward, `refine` after the
    optimiser's step.

    Args:
        options: what to do when.
        extent: size of the scene, scene units: lengths are measured in it.
        generator: on the CPU, for the places of split Gaussians.
    """

    def __init__(
        self, options: DensityOptions, extent: float, generator: torch.Generator | None = None
    ) -> None:
        self.options = options
        self.extent = extent
        self.generator = generator
        self._gradients: Tensor | None = None  # (N,) sums of lengths
        self._seen: Tensor | None = None  # (N,) how often

    def active(self, step: int) -> bool:
        """Whether gradients of this step are wanted."""
        return step < self.options.stop

    def watch(self, meta: Mapping[str, Any]) -> None:
        """Keeps the gradients by the positions on the image."""
        meta["means2d"].retain_grad()

    @torch.no_grad()
    def observe(self, meta: Mapping[str, Any]) -> None:
        """Adds the gradients of one backward pass.

        Args:
            meta: of `rasterization(..., packed=False, absgrad=options.absgrad)`.
        """
        means2d = meta["means2d"]
        gradient = means2d.absgrad if self.options.absgrad else means2d.grad
        if self._gradients is None or self._seen is None:
            self._gradients = torch.zeros_like(gradient[0, :, 0])
            self._seen = torch.zeros_like(gradient[0, :, 0])
        scale_x, scale_y = (0.5 * meta[size] * meta["n_cameras"] for size in ("width", "height"))
        if gradient.is_cpu and gradient.dtype == torch.float32:
            extension.gather_gradients(
                gradient.contiguous(), meta["radii"], scale_x, scale_y, self._gradients, self._seen
            )
            return
        x, y = gradient.unbind(-1)  # (C, N)
        self._gradients += torch.hypot(scale_x * x, scale_y * y).sum(0)  # 0 of what is not seen
        self._seen += in_view(meta["radii"]).sum(0)

    @torch.no_grad()
    def refine(
        self, step: int, parameters: dict[str, Tensor], optimizer: torch.optim.Optimizer
    ) -> bool:
        """Clones, splits and removes when it is time to; replaces the tensors in both arguments.

        Args:
            step: from 0.
            parameters: "means", "quaternions", "log_scales", "opacity_logits" and others with one
                row a Gaussian; each the only one of its group in the optimiser, which is Adam.
            optimizer: holds them.

        Returns:
            Whether the set has changed.
        """
        options = self.options
        if step >= options.stop:
            return False
        due = step > options.start and step % options.every == 0 and self._gradients is not None
        if due:
            self._rebuild(step, parameters, optimizer)
        reset = bool(options.reset_every) and step > 0 and step % options.reset_every == 0
        if reset:
            lower_opacities(parameters, optimizer, RESET_FACTOR * options.prune_opacity)
        return due or reset

    def _rebuild(
        self, step: int, parameters: dict[str, Tensor], optimizer: torch.optim.Optimizer
    ) -> None:
        clone, split = self._growing(parameters["log_scales"])
        keep = ~split & ~self._useless(step, parameters)
        rows = (keep.nonzero()[:, 0], clone.nonzero()[:, 0], split.nonzero()[:, 0].repeat(2))
        offsets = self._offsets(parameters, rows[2])
        pairs = slice(len(rows[0]) + len(rows[1]), None)

        def change(name: str, value: Tensor) -> Tensor:
            value = value[torch.cat(rows)]
            if name == "means":
                value[pairs] += offsets
            elif name == "log_scales":
                value[pairs] -= math.log(SPLIT_SHRINK)
            elif name == "opacity_logits" and self.options.revised_opacity:
                value[pairs] = torch.special.logit(1 - (1 - value[pairs].sigmoid()).sqrt())
            return value

        _replace(parameters, optimizer, change, rows[0], sum(map(len, rows)))
        # The halves of what is too large or too faint go at the next refinement.
        self._gradients = self._seen = None

    def _growing(self, log_scales: Tensor) -> tuple[Tensor, Tensor]:
        """Masks of what is cloned and what is split."""
        options = self.options
        assert self._gradients is not None
        assert self._seen is not None
        gradients = self._gradients / self._seen.clamp(min=1)
        growing = gradients > options.grow_gradient
        room = max(0, options.most - len(gradients))
        if int(growing.sum()) > room:
            best = torch.where(growing, gradients, -1).topk(room).indices
            growing = torch.zeros_like(growing)
            growing[best] = True
        small = log_scales.exp().amax(1) <= options.grow_scale * self.extent
        return growing & small, growing & ~small

    def _useless(self, step: int, parameters: dict[str, Tensor]) -> Tensor:
        options = self.options
        useless = parameters["opacity_logits"].sigmoid() < options.prune_opacity
        if options.reset_every and step > options.reset_every:
            size = parameters["log_scales"].exp().amax(1)
            useless |= size > options.prune_scale * self.extent
        return useless

    def _offsets(self, parameters: dict[str, Tensor], rows: Tensor) -> Tensor:
        """Places within the Gaussians, drawn from themselves."""
        scales = parameters["log_scales"][rows].exp()
        draw = torch.randn(scales.shape, generator=self.generator, dtype=scales.dtype)
        return rotate(parameters["quaternions"][rows], scales * draw.to(scales.device))


@torch.no_grad()
def lower_opacities(
    parameters: dict[str, Tensor], optimizer: torch.optim.Optimizer, most: float
) -> None:
    """No opacity stays above `most`; the optimiser forgets what it knew of them."""
    limit = math.log(most / (1 - most))
    everything = torch.arange(0, device=parameters["means"].device)
    logits = {"opacity_logits": parameters["opacity_logits"]}
    count = len(logits["opacity_logits"])
    _replace(logits, optimizer, lambda _, value: value.clamp(max=limit), everything, count)
    parameters.update(logits)


def _replace(
    parameters: dict[str, Tensor],
    optimizer: torch.optim.Optimizer,
    change: Any,
    kept: Tensor,
    count: int,
) -> None:
    """New tensors of `count` rows; Adam's moments of rows `kept` come first, the others are 0."""
    groups = {id(group["params"][0]): group for group in optimizer.param_groups}
    for name, old in parameters.items():
        new = change(name, old.detach()).requires_grad_(old.requires_grad)
        parameters[name] = new
        if id(old) not in groups:
            continue
        groups[id(old)]["params"] = [new]
        state = optimizer.state.pop(old, {})
        for key, value in state.items():
            if isinstance(value, Tensor) and value.shape == old.shape:
                state[key] = value.new_zeros((count, *value.shape[1:]))
                state[key][: len(kept)] = value[kept]
        optimizer.state[new] = state


def rotate(quaternions: Tensor, vectors: Tensor) -> Tensor:
    """`(N, 3)` vectors turned by `(N, 4)` quaternions w x y z."""
    unit = torch.nn.functional.normalize(quaternions, dim=1)
    real, axis = unit[:, :1], unit[:, 1:]
    twice = 2 * torch.linalg.cross(axis, vectors)
    return vectors + real * twice + torch.linalg.cross(axis, twice)
