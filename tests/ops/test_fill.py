import numpy as np
import pytest
from tests.reference.fill import fill

pytestmark = pytest.mark.needs_torch


@pytest.fixture
def fill_holes(torch):
    from steadyview.ops import fill_holes

    return fill_holes


def random_holes(torch, size, share, seed=0):
    return torch.rand(size, generator=torch.Generator().manual_seed(seed)) < share


@pytest.mark.parametrize("gap", [0, 3])
@pytest.mark.parametrize("with_depth", [False, True])
@pytest.mark.parametrize("size", [(1, 1), (1, 7), (7, 1), (5, 6), (16, 16), (33, 17)])
def test_known_pixels_stay_and_values_stay_in_range(torch, fill_holes, size, with_depth, gap):
    image = torch.rand(2, 3, *size, generator=torch.Generator().manual_seed(1))
    holes = random_holes(torch, (2, *size), 0.4)
    holes[:, 0, 0] = False
    depth = 1 + image[:, 0] if with_depth else None
    result = fill_holes(image, holes, depth=depth, gap=gap)
    kept = ~holes[:, None].expand_as(image)
    assert torch.equal(result[kept], image[kept])
    for n in range(2):
        known = image[n][:, ~holes[n]]
        # Averages of known values: a few roundings at each of the levels.
        assert (result[n].amin((1, 2)) >= known.amin(1) - 1e-5).all()
        assert (result[n].amax((1, 2)) <= known.amax(1) + 1e-5).all()
    assert torch.equal(fill_holes(image, torch.zeros_like(holes)), image)


@pytest.mark.parametrize("gap", [0, 3])
@pytest.mark.parametrize("with_depth", [False, True])
@pytest.mark.parametrize("size", [(1, 9), (13, 1), (2, 2), (12, 17), (37, 22)])
def test_matches_the_reference(torch, fill_holes, size, with_depth, gap):
    random = np.random.default_rng(size[0] + gap)
    image = random.random((2, 3, *size))
    depth = 1 + random.random((2, *size)) if with_depth else None
    holes = random.random((2, *size)) < [[[0.3]], [[0.9]]]  # small ones, and large ones
    holes[:, size[0] // 3 :, size[1] // 2 :] = True
    image[0, 1, 0, 0] = np.nan
    if depth is not None:
        depth[:, 0, size[1] // 2] = 0
    given = [torch.from_numpy(a) if a is not None else None for a in (image, holes, depth)]
    result = fill_holes(given[0], given[1], depth=given[2], gap=gap)
    single = fill_holes(
        given[0].float(), given[1], depth=None if depth is None else given[2].float(), gap=gap
    )
    for n in range(2):
        expected = fill(image[n], holes[n], None if depth is None else depth[n], gap)
        np.testing.assert_allclose(result[n].numpy(), expected, atol=1e-12)
        if not with_depth:  # whose thresholds one rounding may cross
            np.testing.assert_allclose(single[n].numpy(), expected, atol=1e-5)


def test_constants_and_symmetry(torch, fill_holes):
    image = torch.full((1, 2, 40, 31), 0.25)
    holes = random_holes(torch, (1, 40, 31), 0.97)
    assert torch.allclose(fill_holes(image, holes), image)
    generator = torch.Generator().manual_seed(2)
    image = torch.rand(1, 1, 32, 32, generator=generator)
    holes = random_holes(torch, (1, 32, 32), 0.5)
    result = fill_holes(image, holes, gap=2)
    mirrored = fill_holes(image.flip(2), holes.flip(1), gap=2).flip(2)
    torch.testing.assert_close(result, mirrored)


def test_small_holes_in_smooth_pictures(torch, fill_holes):
    y, x = np.mgrid[:48, :64] / 16
    image = torch.from_numpy(np.sin(x) * np.cos(y))[None, None]
    holes = random_holes(torch, (1, 48, 64), 0.3)
    error = (fill_holes(image, holes) - image).abs()[0][holes]
    # Slope up to 1/16 a pixel; most holes have a known pixel within 2.
    assert error.mean() < 1 / 16
    lines = torch.zeros_like(holes)
    lines[:, :, 10:12] = True
    through = (fill_holes(image, lines, gap=2) - image).abs()[0][lines]
    # Linear over 3 px, along a diagonal 4.3: at most 18 / 8 of the second derivative, 1 / 16^2.
    assert through.max() < 18 / 8 / 256
    assert through.max() < (fill_holes(image, lines) - image).abs()[0][lines].max()


def test_gaps_keep_edges(torch, fill_holes):
    image = torch.zeros(1, 1, 20, 20)
    image[..., 10:, :] = 1  # an edge along x, crossed by a vertical gap
    holes = torch.zeros(1, 20, 20, dtype=torch.bool)
    holes[..., 9:11] = True
    assert torch.equal(fill_holes(image, holes, gap=2), image)
    blurred = fill_holes(image, holes)
    assert ((blurred > 0.01) & (blurred < 0.99)).any()
    wide = holes.clone()
    wide[..., 8:12] = True
    assert torch.equal(fill_holes(image, wide, gap=3), fill_holes(image, wide))  # wider than gap


@pytest.mark.parametrize("gap", [0, 9])
def test_uncovered_background_is_filled_from_the_background(torch, fill_holes, gap):
    image = torch.zeros(1, 1, 32, 40)
    depth = torch.full((1, 32, 40), 5.0)
    image[..., :12] = 1  # foreground left, its hole, background right
    depth[..., :12] = 2
    holes = torch.zeros(1, 32, 40, dtype=torch.bool)
    holes[..., 12:19] = True
    filled = fill_holes(image, holes, depth=depth, gap=gap)
    assert torch.equal(filled[..., 12:], torch.zeros(1, 1, 32, 28))
    mixed = fill_holes(image, holes, gap=gap)
    assert mixed[..., 12:19].max() > 0.3


def test_not_finite_is_a_hole(torch, fill_holes):
    image = torch.full((1, 2, 9, 9), 0.5)
    image[0, 0, 3, 3] = torch.nan
    image[0, 1, 5, 5] = torch.inf
    none = torch.zeros(1, 9, 9, dtype=torch.bool)
    assert torch.equal(fill_holes(image, none), torch.full_like(image, 0.5))
    depth = torch.full((1, 9, 9), torch.nan)
    depth[0, 0, 0] = -1
    assert torch.isfinite(fill_holes(image, none, depth=depth, gap=1)).all()
    nothing = fill_holes(image, ~none)
    assert not nothing.any()
    assert fill_holes(image[:0], none[:0]).shape == (0, 2, 9, 9)
    assert fill_holes(image[..., :0], none[..., :0]).shape == (1, 2, 9, 0)


def test_gradients_and_compile(torch, fill_holes):
    image = torch.rand(2, 2, 9, 7, dtype=torch.float64, requires_grad=True)
    holes = random_holes(torch, (2, 9, 7), 0.4)
    holes[:, 2:6, 3:6] = True
    depth = torch.rand(2, 9, 7, dtype=torch.float64) + 1
    for z in (None, depth):
        for gap in (0, 2):
            assert torch.autograd.gradcheck(
                lambda i, z=z, gap=gap: fill_holes(i, holes, depth=z, gap=gap), image
            )
    one = image[:, :, :1, :1]
    assert torch.autograd.gradcheck(lambda i: fill_holes(i, holes[:, :1, :1]), one)
    operator = torch.ops.steadyview.fill_holes
    for z in (None, depth):
        torch.library.opcheck(operator, (image, holes, z, 2))
    torch.library.opcheck(
        torch.ops.steadyview.fill_holes_backward, (image.detach(), image.detach(), holes, None, 2)
    )
    compiled = torch.compile(fill_holes, fullgraph=True, backend="eager")
    assert torch.equal(compiled(image, holes), fill_holes(image, holes))


def test_types_and_strides(torch, fill_holes):
    image = torch.rand(1, 3, 20, 30, generator=torch.Generator().manual_seed(0))
    holes = random_holes(torch, (1, 20, 30), 0.5)
    depth = 1 + image[:, 0]
    expected = fill_holes(image, holes, depth=depth, gap=2)
    across = fill_holes(
        image.mT.contiguous().mT, holes.mT.contiguous().mT, depth=depth.double(), gap=2
    )
    assert torch.equal(across, expected)
    for dtype in (torch.float16, torch.bfloat16):
        half = fill_holes(image.to(dtype), holes, depth=depth, gap=2)
        assert half.dtype == dtype
        # Two roundings, of the known pixels and of the result; lines may be chosen otherwise.
        assert (half.float() - fill_holes(image.to(dtype).float(), holes, depth=depth, gap=2)).abs(
        ).max() <= torch.finfo(dtype).eps  # fmt: skip


def test_does_not_depend_on_threads_or_batch(torch, fill_holes):
    image = torch.rand(3, 2, 70, 90, generator=torch.Generator().manual_seed(0))
    holes = random_holes(torch, (3, 70, 90), 0.6)
    holes[1, 10:40, 20:70] = True
    depth = 1 + image[:, 0]
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        expected = fill_holes(image, holes, depth=depth, gap=3)
        torch.set_num_threads(4)
        assert torch.equal(fill_holes(image, holes, depth=depth, gap=3), expected)
    finally:
        torch.set_num_threads(threads)
    for n in range(3):
        alone = fill_holes(image[n : n + 1], holes[n : n + 1], depth=depth[n : n + 1], gap=3)
        assert torch.equal(alone[0], expected[n])


def test_holes_at_the_border_are_not_filled_from_afar(torch, fill_holes):
    """Ground that comes nearer downwards, sky above it, and nothing in a strip at the side."""
    image = torch.zeros(1, 1, 64, 48)
    image[..., :20, :] = 1  # the sky
    depth = torch.full((1, 64, 48), 100.0)
    depth[:, 20:] = (40 / (torch.arange(20, 64) - 18.0))[:, None]
    holes = torch.zeros(1, 64, 48, dtype=torch.bool)
    holes[..., :6] = True
    filled = fill_holes(image, holes, depth=depth)
    assert (filled[0, 0, :11] > 0.95).all()
    assert (filled[0, 0, 29:] < 0.05).all()


def test_docstring_example(torch, fill_holes):
    import doctest

    from steadyview.ops import fill

    assert doctest.testmod(fill, extraglobs={"torch": torch}) == (0, 2)


def test_bad_arguments_name_themselves(torch, fill_holes):
    image, holes = torch.zeros(1, 3, 4, 5), torch.zeros(1, 4, 5, dtype=torch.bool)
    with pytest.raises(ValueError, match="image must be"):
        fill_holes(image[0], holes)
    with pytest.raises(ValueError, match="image must be float32 or float64, got Byte"):
        fill_holes(image.byte(), holes)
    with pytest.raises(ValueError, match="holes must be"):
        fill_holes(image, holes.float())
    with pytest.raises(ValueError, match="holes must be"):
        fill_holes(image, holes[:, 1:])
    with pytest.raises(ValueError, match="depth must be"):
        fill_holes(image, holes, depth=image)
    with pytest.raises(ValueError, match="gap must be at least 0, got -1"):
        fill_holes(image, holes, gap=-1)
    with pytest.raises(TypeError, match=r"gap must be a whole number, got 1\.5"):
        fill_holes(image, holes, gap=1.5)
    for name, arguments in {
        "image": (image.numpy(), holes),
        "holes": (image, holes.numpy()),
    }.items():
        with pytest.raises(TypeError, match=rf"{name} must be a torch\.Tensor, got ndarray"):
            fill_holes(*arguments)
