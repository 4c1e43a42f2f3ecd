"""The optimiser of a fit (C++ room `gaussians`): Adam in one pass over each parameter."""

from typing import Any

import torch
from torch import Tensor

from steadyview.ops._library import extension

__all__ = ["Adam"]

BETA1, BETA2, EPSILON = 0.9, 0.999, 1e-15


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
            state = self.state[values]
            if not state:
                state.update(
                    step=0, exp_avg=torch.zeros_like(values), exp_avg_sq=torch.zeros_like(values)
                )
            state["step"] += 1
            width = values[0].numel() if len(values) else 0
            extension.adam_step(
                values.detach(), values.grad.contiguous(), state["exp_avg"], state["exp_avg_sq"],
                seen, width if group["head"] is None else group["head"], group["lr"],
                group["tail_lr"], BETA1, BETA2, EPSILON, state["step"],
            )  # fmt: skip
