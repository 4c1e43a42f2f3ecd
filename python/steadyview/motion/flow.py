"""Dense optical flow between two frames, behind one interface."""

from typing import Any, Protocol

import cv2
import numpy as np

__all__ = ["DisFlow", "FlowEstimator", "check_flow"]


class FlowEstimator(Protocol):
    """Anything that estimates dense flow between two grey frames.

    The frames handed in are reduced ones (about 320 pixels wide), 8-bit, dense.
    """

    def flow(self, previous_luma: np.ndarray, luma: np.ndarray) -> np.ndarray | None:
        """Flow `(h, w, 2)` float32 in pixels from the previous frame to this one, x then y.

        None when the estimator cannot work at this size; the motion is then refined from rest.
        """
        ...


class DisFlow:
    """OpenCV's dense inverse search, tuned for global motion rather than for sharp edges.

    Args:
        finest_scale: pyramid level at which the search ends; each costs four times the next. None
            takes the one that is 80 to 160 pixels wide.
        patch_stride: pixels between the patches' centres (patches are 8 pixels wide).
        iterations: gradient descent steps a patch.

    Source: Kroeger et al., Fast Optical Flow using Dense Inverse Search, ECCV 2016.
    """

    #: Smaller and longer frames have too few patches for a pyramid: OpenCV crashes on some.
    SMALLEST = 32
    LONGEST_ASPECT = 8
    FINEST_WIDTH = 80

    def __init__(
        self, finest_scale: int | None = None, patch_stride: int = 4, iterations: int = 6
    ) -> None:
        self._finest_scale = finest_scale
        self._dis: Any = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_ULTRAFAST)
        self._dis.setPatchStride(patch_stride)
        self._dis.setGradientDescentIterations(iterations)

    def flow(self, previous_luma: np.ndarray, luma: np.ndarray) -> np.ndarray | None:
        short, long = sorted(luma.shape)
        if short < self.SMALLEST or long > self.LONGEST_ASPECT * short:
            return None
        finest = self._finest_scale
        if finest is None:
            finest = max(0, int(np.log2(long / self.FINEST_WIDTH)))
        self._dis.setFinestScale(finest)
        flow: np.ndarray = self._dis.calc(previous_luma, luma, None)
        return flow


def check_flow(flow: np.ndarray, shape: tuple[int, ...], name: str) -> None:
    """Raises ValueError unless `flow` is finite flow of a frame of this shape."""
    wanted = f"{name}.flow must return None or {(*shape, 2)} of finite float32"
    if not isinstance(flow, np.ndarray):
        raise ValueError(f"{wanted}, got {type(flow).__name__}")
    if flow.shape != (*shape, 2) or not np.issubdtype(flow.dtype, np.floating):
        raise ValueError(f"{wanted}, got {flow.shape} of {flow.dtype}")
    if not np.isfinite(flow).all():
        raise ValueError(f"{wanted}, got {np.count_nonzero(~np.isfinite(flow))} others")
