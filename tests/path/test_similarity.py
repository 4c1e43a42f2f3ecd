"""smooth_similarity: always inside the source, fixed points, arguments."""

import numpy as np
import pytest
from tests.reference.camera import SIZE, outside, shaky_motion

from steadyview.errors import OptionError
from steadyview.path.similarity import smooth_similarity


@pytest.mark.parametrize("frames", [1, 2, 3, 4, 5, 60])
@pytest.mark.parametrize("norm", ["l2"])
def test_stays_inside(frames, norm):
    path = smooth_similarity(shaky_motion(frames), SIZE, 0.8, norm=norm)
    assert path.status == "solved"
    assert path.source_from_output.shape == (frames, 4)
    assert outside(path.source_from_output, SIZE) <= 1e-9
    assert path.source_from_output[:, 0].min() >= 0.8 - 1e-12


def test_static_video_is_left_as_it_is():
    path = smooth_similarity(np.tile([1.0, 0, 0, 0], (50, 1)), SIZE)
    assert (path.source_from_output == [1, 0, 0, 0]).all()


def test_steady_pan_is_left_as_it_is():
    path = smooth_similarity(np.tile([1.0, 0, 7.5, -2], (50, 1)), SIZE)
    assert (path.source_from_output == [1, 0, 0, 0]).all()


@pytest.mark.parametrize(
    ("change", "names"),
    [
        ({"crop_limit": 0}, "crop_limit"),
        ({"crop_limit": 1.1}, "crop_limit"),
        ({"crop_limit": float("nan")}, "crop_limit"),
        ({"motions": np.ones((5, 3))}, "motions"),
        ({"motions": np.full((5, 4), np.nan)}, "motions"),
        ({"times": [0, 1, 2, 2, 3, 4]}, "times"),
        ({"times": [0, 1, 2]}, "times"),
        ({"smooth": 0}, "smooth"),
        ({"shots": (0, 9)}, "shots"),
        ({"shots": (1,)}, "shots"),
        ({"confidence": [1, 2, 3]}, "confidence"),
        ({"confidence": [1, 1, 1, 1, 2]}, "confidence"),
        ({"norm": "l3"}, "norm"),
        ({"margin": -1}, "margin"),
        ({"margin": 100}, "margin"),
        ({"shares": (0, 0, 0)}, "shares"),
        ({"frame_size": (0, 5)}, "frame_size"),
    ],
)
def test_bad_argument_is_named(change, names):
    arguments = {"motions": shaky_motion(6), "frame_size": SIZE, **change}
    with pytest.raises(OptionError, match=names):
        smooth_similarity(**arguments)
