import math

import pytest

from steadyview.errors import OptionError
from steadyview.options import PRESETS, StabilizeOptions


def test_defaults_are_valid_and_round_trip() -> None:
    options = StabilizeOptions()
    assert StabilizeOptions(**options.to_dict()) == options


@pytest.mark.parametrize("preset", list(PRESETS))
def test_presets_are_valid_and_yield_to_what_is_given(preset: str) -> None:
    options = StabilizeOptions.make(preset, crop_limit=0.5, smooth=None)
    assert options.crop_limit == 0.5
    expected = PRESETS[preset].get("smooth", StabilizeOptions().smooth)
    assert options.smooth == expected


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("crop_limit", math.nan),
        ("crop_limit", 0),
        ("crop_limit", 1.01),
        ("crop_limit", "0.8"),
        ("smooth", -1),
        ("smooth", math.inf),
        ("method", "magic"),
        ("interpolation", "nearest"),
        ("norm", "l3"),
        ("crf", -1),
        ("threads", True),
        ("preset", "boat"),
        ("colour", "red"),
    ],
)
def test_a_bad_option_is_named_with_what_was_got(name: str, value: object) -> None:
    with pytest.raises(OptionError, match=name) as error:
        StabilizeOptions.make(**{name: value})  # type: ignore[arg-type]
    assert repr(value) in str(error.value) or name == "colour"
