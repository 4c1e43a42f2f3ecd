"""Small sets of Gaussians for the tests of scene."""

import numpy as np
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from steadyview.scene.columns import Columns


def columns(count=20, degree=1, seed=0):
    """What a trained scene has: sizes of every order, unit quaternions, harmonics below 1."""
    draw = np.random.default_rng(seed)
    quaternions = draw.normal(size=(count, 4))
    values = (
        draw.normal(size=(count, 3)) * 3,
        quaternions / np.linalg.norm(quaternions, axis=1, keepdims=True),
        draw.uniform(-6, 1, (count, 3)),
        draw.uniform(-4, 4, count),
        draw.uniform(-0.9, 0.9, (count, (degree + 1) ** 2, 3)),
    )
    return Columns(*(value.astype(np.float32) for value in values))


@st.composite
def any_columns(draw):
    """Any float32 numbers, NaN and infinity too."""
    count, coefficients = draw(st.integers(0, 5)), draw(st.sampled_from([1, 4, 9, 16, 25]))
    shapes = ((3,), (4,), (3,), (), (coefficients, 3))
    numbers = st.floats(width=32)
    return Columns(
        *(draw(arrays.arrays(np.float32, (count, *shape), elements=numbers)) for shape in shapes)
    )


def assert_same(result, expected):
    for name, got, wanted in zip(Columns._fields, result, expected, strict=True):
        assert got.dtype == np.float32, name
        assert got.flags.c_contiguous, name
        np.testing.assert_array_equal(got, wanted, err_msg=name)


def rotations(quaternions):
    """Matrices, by SciPy."""
    from scipy.spatial.transform import Rotation

    return Rotation.from_quat(np.asarray(quaternions)[:, [1, 2, 3, 0]]).as_matrix()
