"""Features of short clips, for FVD, by the user's TorchScript of I3D.

Source:
    Unterthiner et al., "Towards Accurate Generative Models of Video: A New Metric & Challenges",
    2018; the TorchScript file and its call are those of StyleGAN-V, which later work uses.
"""

from __future__ import annotations

import os

import numpy as np
import torch

from ..errors import InputError
from .weights import default_device, load_script

__all__ = ["VideoFeatures"]


class VideoFeatures:
    """Clips to features.

    Args:
        file: TorchScript called as `module(clips, rescale=True, resize=True,
            return_features=True)` with clips `(N, 3, T, H, W)` float of 0 to 255, which returns
            `(N, features)`: I3D on Kinetics-400 (`i3d_torchscript.pt`) before its softmax.
        device: where it runs; None: the GPU where there is one.

    Raises:
        InputError: the file is missing or is no TorchScript archive.
    """

    def __init__(self, file: str | os.PathLike[str], device: torch.device | None = None) -> None:
        self.device = device or default_device()
        self._file = file
        self._module = load_script(file, self.device)

    def __call__(self, clip: np.ndarray) -> np.ndarray:
        """Features `(k,)` float64 of one clip `(T, H, W, 3)` uint8 RGB.

        Raises:
            InputError: the module does not take it, or gives something else.
        """
        given = torch.from_numpy(clip).to(self.device).permute(3, 0, 1, 2)[None].float()
        try:
            with torch.inference_mode():
                found = self._module(given, rescale=True, resize=True, return_features=True)
            features = found.double().cpu().numpy().reshape(1, -1)[0]
        except (RuntimeError, TypeError, ValueError, AttributeError) as error:
            raise InputError(
                f"{self._file}: must take (clips, rescale=True, resize=True, return_features=True) "
                f"with clips Nx3xTxHxW and return features: {str(error).strip()[-200:]}"
            ) from error
        return np.asarray(features)
