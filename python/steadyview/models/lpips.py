"""LPIPS: distance of two pictures in the features of AlexNet or VGG-16, weighted by people.

Source:
    Zhang, Isola, Efros, Shechtman and Wang, "The Unreasonable Effectiveness of Deep Features as a
    Perceptual Metric", CVPR 2018; version 0.1 of its weights.
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch.nn import functional

from ..errors import InputError
from .weights import State, default_device, read_state, take

__all__ = ["Lpips"]

_WHAT = "lpips"
_SHIFT = (-0.030, -0.088, -0.188)
_SCALE = (0.458, 0.448, 0.450)


@dataclass(frozen=True)
class _Net:
    """A backbone as torchvision numbers its layers.

    Attributes:
        blocks: convolutions (index, kernel, stride, padding), each followed by a ReLU; a block's
            output is compared.
        pooled: before which blocks the largest of `window` by `window` is taken, every second one.
    """

    name: str
    blocks: tuple[tuple[tuple[int, int, int, int], ...], ...]
    pooled: tuple[int, ...]
    window: int


_ALEX = _Net(
    "AlexNet", (((0, 11, 4, 2),), ((3, 5, 1, 2),), ((6, 3, 1, 1),), ((8, 3, 1, 1),),
                ((10, 3, 1, 1),)), (1, 2), 3,
)  # fmt: skip
_VGG = _Net(
    "VGG-16",
    tuple(
        tuple((index, 3, 1, 1) for index in block)
        for block in ((0, 2), (5, 7), (10, 12, 14), (17, 19, 21), (24, 26, 28))
    ),
    (1, 2, 3, 4),
    2,
)


class Lpips:
    """LPIPS v0.1 with the user's weights.

    Args:
        files: the lin layers (`alex.pth`, `vgg.pth` of lpips v0.1: `lin0.model.1.weight` …) and the
            backbone as torchvision saves it (`features.0.weight` …; alexnet or vgg16), in one file
            or two; or one file with the state of the whole `lpips.LPIPS` (`net.slice1.0.weight`).
        device: where it runs; None: the GPU where there is one.

    Raises:
        InputError: weights are missing, or do not fit together.
    """

    def __init__(
        self, files: Sequence[str | os.PathLike[str]], device: torch.device | None = None
    ) -> None:
        state = {_plain(name): tensor for name, tensor in read_state(files, _is_wanted).items()}
        self.device = device or default_device()
        self._net = _ALEX if "features.3.weight" in state else _VGG
        if "features.1.weight" in state:
            raise InputError("lpips: the backbone must be alexnet or vgg16 without normalisation")
        self._weights, self._lins = self._layers(state)
        self._shift, self._scale = (
            torch.tensor(values, device=self.device)[:, None, None] for values in (_SHIFT, _SCALE)
        )

    def _layers(self, state: State) -> tuple[State, list[torch.Tensor]]:
        weights: State = {}
        lins = []
        channels = 3
        for number, block in enumerate(self._net.blocks):
            for index, kernel, _, _ in block:
                name = f"features.{index}"
                shape = (-1, channels, kernel, kernel)
                weight = take(state, f"{name}.weight", shape, f"{_WHAT} ({self._net.name})")
                channels = int(weight.shape[0])
                bias = take(state, f"{name}.bias", (channels,), f"{_WHAT} ({self._net.name})")
                weights[f"{index}.weight"] = weight.to(self.device)
                weights[f"{index}.bias"] = bias.to(self.device)
            shape = (1, channels, 1, 1)
            lin = take(state, f"lin{number}.model.1.weight", shape, f"{_WHAT} ({self._net.name})")
            lins.append(lin.to(self.device))
        return weights, lins

    @torch.inference_mode()
    def __call__(self, first: torch.Tensor, second: torch.Tensor) -> torch.Tensor:
        """Distances `(N,)`, 0 for equal pictures.

        Args:
            first, second: `(N, 3, H, W)` RGB, float in [0, 1], at least 64 pixels high and wide.

        Raises:
            InputError: they are smaller, or of two shapes.
        """
        if first.shape != second.shape or min(first.shape[2:]) < 64:
            sizes = " and ".join("x".join(map(str, image.shape)) for image in (first, second))
            raise InputError(f"lpips: two pictures of at least 64x64 are needed, got {sizes}")
        total = torch.zeros(len(first), device=self.device)
        pairs = zip(self._features(first), self._features(second), self._lins, strict=True)
        for a, b, lin in pairs:
            difference = (_unit(a) - _unit(b)) ** 2
            total += functional.conv2d(difference, lin).mean(dim=(1, 2, 3))
        return total

    def _features(self, images: torch.Tensor) -> list[torch.Tensor]:
        x = (2 * images.to(self.device) - 1 - self._shift) / self._scale
        outputs = []
        for number, block in enumerate(self._net.blocks):
            if number in self._net.pooled:
                x = functional.max_pool2d(x, self._net.window, 2)
            for index, _, stride, padding in block:
                x = functional.conv2d(
                    x, self._weights[f"{index}.weight"], self._weights[f"{index}.bias"], stride,
                    padding,
                ).relu()  # fmt: skip
            outputs.append(x)
        return outputs


def _unit(features: torch.Tensor) -> torch.Tensor:
    """Every pixel's features to length one."""
    return features / (features.square().sum(dim=1, keepdim=True).sqrt() + 1e-10)


def _is_wanted(name: str) -> bool:
    return re.match(r"(features\.|net\.slice\d\.|lins?\.?\d\.model\.)", name) is not None


def _plain(name: str) -> str:
    """The name in torchvision's and lpips v0.1's way, whichever file it is from."""
    name = re.sub(r"^net\.slice\d\.", "features.", name)
    return re.sub(r"^lins\.(\d)\.", r"lin\1.", name)
