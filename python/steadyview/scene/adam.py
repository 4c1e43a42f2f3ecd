"""The optimiser of a fit (C++ room `gaussians`): Adam in one pass over each parameter."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from steadyview.ops._library import extension

__all__ = ["Adam", "shade"]

BETA1, BETA2, EPSILON = 0.9, 0.999, 1e-15


def shade(harmonics: Tensor, means: Tensor, centre: Sequence[float], degree: int) -> Tensor:
    """Colours `(N, 3)` of Gaussians seen from a point: harmonics + 0.5, at least 0.

    Args:
        harmonics: `(N, K, 3)`, float32 as all.
        means: `(N, 3)`.
        centre: the point.
        degree: of the harmonics that are used, 0 to 4.

    Returns:
        Without gradients: `Adam.step_harmonics` makes them.
    """
    colors: Tensor = extension.shade_gaussians(harmonics.detach(), means.detach(), centre, degree)
    return colors


class Adam(torch.optim.Optimizer):
    """As `torch.optim.Adam`, and a group may have two learning rates.

    Every group has one parameter, float32 and contiguous, with a row a Gaussian. `lr` is the
    learning rate of its first `head` numbers of a row (all of them when None), `tail_lr` that of
    the others. The state has the names of torch's: exp_avg, exp_avg_sq and step.

    Args:
        groups: dictionaries of "params" (one), "name", "lr", and "head" and "tail_lr" if need be.

    Source: Kingma and Ba, Adam (2015), algorithm 1.
    """

    def __init__(self, groups: list[dict[str, Any]]) -> None:
        super().__init__(groups, {"head": None, "tail_lr": 0.0})

    @torch.no_grad()
    def step(self, closure: Any = None, *, seen: Tensor | None = None) -> None:  # type: ignore[override]
        """One step by the gradients that there are.

        Args:
            closure: not used.
            seen: `(N,)` bool: rows where it is false stay as they are, moments and all, instead
                of drifting on.
        """
        for group in self.param_groups:
            (values,) = group["params"]
            if values.grad is None:
                continue
            width = values[0].numel() if len(values) else 0
            extension.adam_step(
                values.detach(), values.grad.contiguous(), *self._moments(values), seen,
                width if group["head"] is None else group["head"], *self._rates(group),
            )  # fmt: skip

    @torch.no_grad()
    def step_harmonics(
        self,
        harmonics: Tensor,
        means: Tensor,
        centre: Sequence[float],
        colors: Tensor,
        grad_colors: Tensor,
        degree: int,
        seen: Tensor | None = None,
    ) -> Tensor:
        """A step of spherical harmonics by the gradient of their colours.

        That by the harmonics, the largest array of all, is made and used piece by piece.

        Args:
            harmonics: `(N, K, 3)`, one of the parameters.
            means: `(N, 3)`, float32 as all.
            centre: of the camera.
            colors: `(N, 3)`, what `shade(harmonics, means, centre, degree)` gave.
            grad_colors: `(N, 3)`, the gradient by them.
            degree: as there.
            seen: as for `step`.

        Returns:
            `(N, 3)`, what follows from it for the means, by the harmonics as they were.
        """
        group = next(group for group in self.param_groups if group["params"][0] is harmonics)
        head = 3 * harmonics.shape[1] if group["head"] is None else group["head"]
        moments = self._moments(harmonics)
        gradient: Tensor = extension.harmonics_adam_step(
            harmonics.detach(), means.detach(), centre, colors.detach(), grad_colors, *moments,
            seen, degree, head, *self._rates(group),
        )  # fmt: skip
        return gradient

    def _moments(self, values: Tensor) -> tuple[Tensor, Tensor]:
        """Counts a step."""
        state = self.state[values]
        if not state:
            state.update(
                step=0, exp_avg=torch.zeros_like(values), exp_avg_sq=torch.zeros_like(values)
            )
        state["step"] += 1
        return state["exp_avg"], state["exp_avg_sq"]

    def _rates(self, group: dict[str, Any]) -> tuple[Any, ...]:
        step = self.state[group["params"][0]]["step"]
        return group["lr"], group["tail_lr"], BETA1, BETA2, EPSILON, step
