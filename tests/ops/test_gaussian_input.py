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
    values["viewmats"] = torch.zeros_like(values["viewmats"])
    image, alphas, _ = ops.rasterization(**values, width=WIDTH, height=HEIGHT)
    assert torch.equal(image, values["backgrounds"].expand_as(image))
    assert alphas.sum() == 0
    values["colors"] = torch.zeros((60, 4, 3), dtype=torch.float64)
    with pytest.raises(ValueError, match="viewmats must be invertible"):
        ops.rasterization(**values, width=WIDTH, height=HEIGHT, sh_degree=1)
    values["Ks"] = torch.zeros_like(values["Ks"])
    values["colors"] = torch.zeros((60, 3), dtype=torch.float64)
    image, _, _ = ops.rasterization(**values, width=WIDTH, height=HEIGHT)
    assert torch.isfinite(image).all()


LIST_BAD = {
    "tile_size": ({"tile_size": 33}, "tile_size must be in"),
    "grid": ({"isect_offsets": lambda x: x[:, 1:]}, "isect_offsets must be"),
    "integers": ({"flatten_ids": lambda x: x.long()}, "flatten_ids must be"),
    "ids": ({"flatten_ids": lambda x: x + 60}, "flatten_ids must be in"),
    "negative": ({"flatten_ids": lambda x: x - 1}, "flatten_ids must be in"),
    "falling": ({"isect_offsets": lambda x: x.flip(-1)}, "isect_offsets must rise"),
    "images": ({"means2d": lambda x: x[0]}, "must be of the same images"),
    "conics": ({"conics": lambda x: x[..., :2]}, "conics must be|invalid for input"),
    "masks": ({"masks": lambda x: x[:, 1:]}, "masks must be"),
    "backgrounds": ({"backgrounds": lambda x: x[:, :2]}, "backgrounds must be|invalid for input"),
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
    with pytest.raises((ValueError, RuntimeError), match=message):
        ops.rasterize_to_pixels(**arguments)


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
