"""The options of a stabilisation, checked in one place; the command line has the same defaults."""

import math
from dataclasses import asdict, dataclass
from typing import Any

from .errors import OptionError

__all__ = ["PRESETS", "StabilizeOptions"]

#: What each preset sets; an option given by hand wins over it.
PRESETS: dict[str, dict[str, Any]] = {
    "handheld": {},
    "walking": {"crop_limit": 0.75, "smooth": 1.5},
    "drone": {"crop_limit": 0.9, "smooth": 2.0},
    "tripod": {"static": True},
}

METHODS = ("global_flow", "global_flow_paper")
INTERPOLATIONS = ("bilinear", "bicubic", "lanczos3")


@dataclass(frozen=True)
class StabilizeOptions:
    """How to stabilise, and how to encode the result.

    Attributes:
        method: "global_flow" (similarity path by one joint QP, then residual smoothing) or
            "global_flow_paper" (GlobalFlowNet's own first stage: one box QP a parameter).
        crop_limit: smallest part of the frame's width and height that must be kept, in (0, 1].
        smooth: time constant of the smoothed path in seconds; more is steadier.
        static: tripod mode: the view stays put as long as the crop limit permits.
        norm: "l2", or "l1" for Grundmann's paths of constant, linear and parabolic pieces.
        interpolation: "bilinear", "bicubic" or "lanczos3".
        residual: smooth what a similarity cannot (rolling shutter, parallax) as well.
        codec: encoder by name, such as "libx264", "libx265", "libsvtav1", "ffv1", "prores"; None
            is the container's default: libx264, or AV1 in webm.
        crf: quality of the encoder, lower is better; None looks like the source: 18 for x264, 22
            for x265, 28 for AV1.
        encoder_preset: speed preset of the encoder.
        threads: threads of each stage (decoder, analysis, warp, encoder); 0 means one a processor.
        frame_rate: frames a second of images and arrays, 30 when None; files have their own.
    """

    method: str = "global_flow"
    crop_limit: float = 0.8
    smooth: float = 1.0
    static: bool = False
    norm: str = "l2"
    interpolation: str = "bicubic"
    residual: bool = True
    codec: str | None = None
    crf: float | None = None
    encoder_preset: str = "veryfast"
    threads: int = 0
    frame_rate: float | None = None

    def __post_init__(self) -> None:
        _one_of("method", self.method, METHODS)
        _one_of("norm", self.norm, ("l2", "l1"))
        _one_of("interpolation", self.interpolation, INTERPOLATIONS)
        _in_range("crop_limit", self.crop_limit, 0.1, 1.0)
        _in_range("smooth", self.smooth, 0.02, 60.0)
        if self.crf is not None:
            _in_range("crf", self.crf, 0.0, 63.0)
        if self.frame_rate is not None:
            _in_range("frame_rate", self.frame_rate, 0.01, 10000.0)
        _in_range("threads", self.threads, 0, 1024)

    @classmethod
    def make(cls, preset: str | None = None, **given: Any) -> "StabilizeOptions":
        """Options from a preset and what was given by hand; None means not given.

        Raises:
            OptionError: an unknown preset or option, or a value out of its range.
        """
        if preset is not None:
            _one_of("preset", preset, tuple(PRESETS))
        values = dict(PRESETS[preset]) if preset else {}
        values.update({name: value for name, value in given.items() if value is not None})
        unknown = sorted(set(values) - set(cls.__dataclass_fields__))
        if unknown:
            raise OptionError(
                f"unknown option {unknown[0]!r}; known: {', '.join(cls.__dataclass_fields__)}"
            )
        return cls(**values)

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


def _one_of(name: str, value: object, allowed: tuple[str, ...]) -> None:
    if value not in allowed:
        raise OptionError(f"{name} must be one of {', '.join(allowed)}, got {value!r}")


def _in_range(name: str, value: object, lowest: float, highest: float) -> None:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if not number or not math.isfinite(value) or not lowest <= value <= highest:  # type: ignore[arg-type, operator]
        raise OptionError(f"{name} must be between {lowest:g} and {highest:g}, got {value!r}")
