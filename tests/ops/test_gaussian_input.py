import pytest
from tests.ops.gaussian_scenes import HEIGHT, WIDTH, scene

pytestmark = pytest.mark.needs_torch


BAD = {
    "batches": ({"means": lambda x: x[None]}, "means must be"),
    "quats": ({"quats": lambda x: x[:, :3]}, "quats must be"),
    "scales": ({"scales": lambda x: x[1:]}, "scales must be"),
    "opacities": ({"opacities": lambda x: x[:, None]}, "opacities must be"),
    "colors": ({"colors": lambda x: x[1:]}, "colors must be"),
    "viewmats": ({"viewmats": lambda x: x[:, :3]}, "viewmats must be"),
    "Ks": ({"Ks": lambda x: x.repeat(2, 1, 1)}, "Ks must be"),
    "backgrounds": ({"backgrounds": lambda x: x[:, :2]}, "backgrounds must be"),
    "dtype": ({"scales": lambda x: x.float()}, "scales must be"),
    "integers": ({"means": lambda x: x.long()}, "means must be float32 or float64"),
    "width": ({"width": lambda x: 0}, "width and height must be"),
    "planes": ({"near_plane": lambda x: 2.0, "far_plane": lambda x: 1.0}, "near_plane must be"),
    "eps2d": ({"eps2d": lambda x: -1.0}, "eps2d must be"),
    "mode": ({"render_mode": lambda x: "RGBD"}, "render_mode must be one of"),
    "raster": ({"rasterize_mode": lambda x: "smooth"}, "rasterize_mode must be one of"),
    "model": ({"camera_model": lambda x: "ftheta"}, "camera_model must be one of"),
    "covars": ({"covars": lambda x: 1}, "covars is not supported"),
    "sparse": ({"sparse_grad": lambda x: True}, "sparse_grad is not supported"),
    "degree": ({"sh_degree": lambda x: 2}, "colors must be"),
    "no tiles": ({"tile_size": lambda x: 0}, "tile_size must be at least 1"),
    "negative tiles": ({"tile_size": lambda x: -16}, "tile_size must be at least 1"),
    "nan viewmats": ({"viewmats": lambda x: x * float("nan")}, "viewmats must be finite"),
    "inf viewmats": ({"viewmats": lambda x: x + float("inf")}, "viewmats must be finite"),
    "nan Ks": ({"Ks": lambda x: x * float("nan")}, "Ks must be finite"),
}


@pytest.mark.parametrize("name", ["means", "colors", "viewmats", "Ks", "backgrounds"])
def test_arrays_are_no_tensors(torch, ops, name):
    values = scene(torch)
    values[name] = values[name].numpy()
    with pytest.raises(TypeError, match=f"{name} must be a torch.Tensor, got ndarray"):
        ops.rasterization(**values, width=WIDTH, height=HEIGHT)


@pytest.mark.parametrize("name", BAD)
def test_bad_input(torch, ops, name):
    changes, message = BAD[name]
    arguments = {**scene(torch), "width": WIDTH, "height": HEIGHT}
    for key, change in changes.items():
        arguments[key] = change(arguments.get(key))
    with pytest.raises(ValueError, match=message):
        ops.rasterization(**arguments)


def test_singular_cameras(torch, ops):
    values = scene(torch)
    values["viewmats"][:, :3] = 0
    image, alphas, _ = ops.rasterization(**values, width=WIDTH, height=HEIGHT)
    assert torch.equal(image, values["backgrounds"].expand_as(image))
    assert alphas.sum() == 0
    values["colors"] = torch.zeros((60, 4, 3), dtype=torch.float64)
    with pytest.raises(ValueError, match="viewmats must be invertible"):
        ops.rasterization(**values, width=WIDTH, height=HEIGHT, sh_degree=1)


def test_cameras_that_would_not_be_looked_at_whole(torch, ops):
    """A transposed pose, the commonest mistake, and what a pinhole camera does not have."""
    options = {"width": WIDTH, "height": HEIGHT}
    values = scene(torch)
    views, Ks = values["viewmats"], values["Ks"]

    def bad(match, **changes):
        with pytest.raises(ValueError, match=match):
            ops.rasterization(**{**values, **changes}, **options)

    bad("viewmats must have the last row 0 0 0 1, .*transposed", viewmats=views.mT)
    shutter = {"rolling_shutter": "ROLLING_TOP_TO_BOTTOM", "viewmats_rs": views.mT}
    bad("viewmats_rs must have the last row 0 0 0 1", **shutter)
    for row, column, number, match in (
        (0, 0, -60.0, "focal lengths above 0"),
        (1, 1, 0.0, "focal lengths above 0"),
        (0, 1, 2.0, "Ks must be fx 0 cx"),
        (2, 0, 36.0, "Ks must be fx 0 cx"),
        (2, 2, 2.0, "Ks must be fx 0 cx"),
    ):
        K = Ks.clone()
        K[0, row, column] = number
        bad(match, Ks=K)
    bad("Ks must be fx 0 cx", Ks=Ks.mT)
    inverse = torch.linalg.inv(torch.linalg.inv(views.float()))  # has roundings
    inverse[:, 3, :3] += 1e-7
    float32 = {k: v.float() for k, v in values.items()}
    image, _, _ = ops.rasterization(**{**float32, "viewmats": inverse}, **options)
    expected, _, _ = ops.rasterization(**float32, **options)
    torch.testing.assert_close(image, expected, rtol=0, atol=1e-3)


LIST_BAD = {
    "tile_size": ({"tile_size": 33}, "tile_size must be in"),
    "grid": ({"isect_offsets": lambda x: x[:, 1:]}, "isect_offsets must be"),
    "integers": ({"flatten_ids": lambda x: x.long()}, "flatten_ids must be"),
    "ids": ({"flatten_ids": lambda x: x + 60}, "flatten_ids must be in"),
    "negative": ({"flatten_ids": lambda x: x - 1}, "flatten_ids must be in"),
    "falling": ({"isect_offsets": lambda x: x.flip(-1)}, "isect_offsets must rise"),
    "images": ({"means2d": lambda x: x[0]}, "must be of the same images"),
    "conics": ({"conics": lambda x: x[..., :2]}, "conics must be"),
    "transposed conics": ({"conics": lambda x: x.mT}, "conics must be"),
    "transposed opacities": ({"opacities": lambda x: x.mT}, "opacities must be"),
    "transposed colors": ({"colors": lambda x: x.mT}, "colors must be"),
    "colors of N": ({"colors": lambda x: x[0]}, "colors must be"),
    "transposed backgrounds": ({"backgrounds": lambda x: x.mT}, "backgrounds must be"),
    "packed": ({"packed": True}, "means2d must be"),
    "masks": ({"masks": lambda x: x[:, 1:]}, "masks must be"),
    "backgrounds": ({"backgrounds": lambda x: x[:, :2]}, "backgrounds must be"),
    "width": ({"image_width": 0}, "width and height must be"),
}


@pytest.mark.parametrize("name", LIST_BAD)
def test_bad_lists(torch, ops, name):
    changes, message = LIST_BAD[name]
    values = scene(torch)
    _, _, meta = ops.rasterization(**values, width=WIDTH, height=HEIGHT, packed=False)
    arguments = {
        **{k: meta[k] for k in ("means2d", "conics", "opacities", "isect_offsets", "flatten_ids")},
        "colors": values["colors"][None], "image_width": WIDTH, "image_height": HEIGHT,
        "tile_size": 16, "backgrounds": values["backgrounds"],
        "masks": torch.ones((1, 3, 5), dtype=torch.bool),
    }  # fmt: skip
    for key, change in changes.items():
        arguments[key] = change(arguments[key]) if callable(change) else change
    with pytest.raises(ValueError, match=message):
        ops.rasterize_to_pixels(**arguments)
    if name in ("images", "conics", "transposed conics", "transposed opacities"):
        for key in ("colors", "backgrounds", "masks"):
            del arguments[key]
        with pytest.raises(ValueError, match=message):
            ops.rasterize_to_indices_in_range(0, 9, torch.ones((1, HEIGHT, WIDTH)), **arguments)


def test_bad_intersections(torch, ops):
    means, radii = torch.zeros((4, 2)), torch.ones((4, 2), dtype=torch.int32)
    depths = torch.ones(4)
    for arguments, message in (
        ((means, radii[:3], depths, 16, 2, 2), "means2d and radii must be"),
        ((means, radii, depths[:3], 16, 2, 2), "depths must be"),
        ((means, radii, depths, 0, 2, 2), "must be at least 1"),
    ):
        with pytest.raises(ValueError, match=message):
            ops.isect_tiles(*arguments)
    with pytest.raises(ValueError, match="n_images and image_ids are needed"):
        ops.isect_tiles(means, radii, depths, 16, 2, 2, packed=True)
    for image_ids, message in (
        ([0, 0, 1, 2], "image_ids must be in"),
        ([-1, 0, 1, 1], "image_ids must be in"),
        ([0, 0, 1], "image_ids must be"),
    ):
        with pytest.raises(ValueError, match=message):
            ops.isect_tiles(
                means, radii, depths, 16, 2, 2, packed=True, n_images=2,
                image_ids=torch.tensor(image_ids),
            )  # fmt: skip
    means[0], means[1, 0] = float("nan"), float("inf")
    counts, _, _ = ops.isect_tiles(means, radii, depths, 16, 2, 2)
    assert counts.tolist() == [0, 0, 1, 1]


def test_huge_images_and_far_numbers(torch, ops):
    """Sizes and places that overflow 32 bits where they are multiplied."""
    values = scene(torch, dtype=torch.float32)
    values["means"][0] = 1e30
    values["scales"][1] = 1e30
    values["means"][2] = torch.tensor([0.0, 0.0, 1e-30])
    image, _, meta = ops.rasterization(**values, width=1, height=70000)
    assert image.shape == (1, 70000, 1, 3)
    assert torch.isfinite(image).all()
    assert meta["tile_height"] == 4375
    with pytest.raises(ValueError, match="width and height must be"):
        ops.rasterization(**values, width=1 << 21, height=1)


@pytest.mark.parametrize("size", [1e8, 1e9, 1e12, 1e20])
def test_splats_that_overflow_are_counted(torch, ops, size):
    """Of float32, the square of the area on the image."""
    values = scene(torch, 1, dtype=torch.float32)
    values["scales"][:] = size
    values["opacities"][:] = 0.9
    _, alphas, meta = ops.rasterization(**values, width=WIDTH, height=HEIGHT, packed=False)
    assert int(meta["invalid"]) == int(alphas.max() == 0)
    values["scales"][:] = 1e12
    with pytest.raises(ValueError, match="1 Gaussians have a number that is not finite"):
        ops.rasterization(**values, width=WIDTH, height=HEIGHT, strict=True)


def test_whole_numbers_and_what_is_invalid_are_named(torch, ops):
    values = scene(torch)
    for name, number in (("width", 40.5), ("height", "30"), ("tile_size", 16.0)):
        sizes = {"width": WIDTH, "height": HEIGHT, name: number}
        with pytest.raises(TypeError, match=f"{name} must be a whole number, got {number!r}"):
            ops.rasterization(**values, **sizes)
    with pytest.raises(TypeError, match="sh_degree must be a whole number"):
        ops.rasterization(**values, width=WIDTH, height=HEIGHT, sh_degree=2.5)
    for name, place, number, where in (
        ("means", (3, 1), float("nan"), "means"),
        ("colors", (4, 2), float("inf"), "colors"),
        ("quats", 5, 0.0, "rotation of length 0"),
    ):
        given = {key: value.clone() for key, value in values.items()}
        given["means"][3:6] = torch.tensor([0.0, 0.0, 3.0])  # in view
        given[name][place] = number
        with pytest.raises(ValueError, match=f"not finite: .*{where}"):
            ops.rasterization(**given, width=WIDTH, height=HEIGHT, strict=True)


@pytest.mark.parametrize("packed", [False, True])
def test_no_cameras(torch, ops, packed):
    values = scene(torch)
    for name in ("viewmats", "Ks", "backgrounds"):
        values[name] = values[name][:0]
    for degree in (None, 1):
        if degree is not None:
            values["colors"] = torch.zeros((60, 4, 3), dtype=torch.float64)
        image, alphas, _ = ops.rasterization(
            **values, width=WIDTH, height=HEIGHT, packed=packed, sh_degree=degree
        )
        assert image.shape == (0, HEIGHT, WIDTH, 3)
        assert alphas.shape == (0, HEIGHT, WIDTH, 1)


def test_a_pinhole_camera_sees_nothing_behind_it(torch, ops):
    values = scene(torch)
    values["means"][:, 2] = -values["means"][:, 2]
    values["viewmats"] = torch.eye(4, dtype=torch.float64)[None]
    _, alphas, _ = ops.rasterization(**values, width=WIDTH, height=HEIGHT, near_plane=-99.0)
    assert alphas.sum() == 0
