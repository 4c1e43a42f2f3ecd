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
