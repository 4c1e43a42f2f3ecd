"""What all operators that project ask of cameras and depths."""

import pytest
from tests.ops.projection_scenes import rig, scene

pytestmark = pytest.mark.needs_torch


def camera_operators(ops, image, depth):
    return {
        "multiplane_project": lambda *cameras: ops.multiplane_project(image, depth, *cameras).image,
        "project_depth": lambda *cameras: ops.project_depth(image, depth, *cameras).image,
        "plane_homographies": lambda *cameras: ops.plane_homographies(depth[0, :3, 0], *cameras),
    }


@pytest.mark.parametrize("operator", ["multiplane_project", "project_depth", "plane_homographies"])
def test_bad_cameras_name_themselves(torch, ops, operator):
    image, depth, eye, K = scene(torch)
    operator = camera_operators(ops, image, depth)[operator]
    names = ("viewmats", "Ks", "target_viewmats", "target_Ks")
    good = (eye, K, rig(torch, "turned").float().expand(2, 1, 4, 4), K[:, None])
    assert operator(*good).isfinite().all()
    for k, name in enumerate(names):
        bad = []
        for at, value in ((1, torch.nan), (0, torch.inf), (slice(None), 0.0), (-1, 2.0)):
            matrix = good[k].clone()
            matrix[1, ..., at, :] = value
            bad.append(matrix)
        for matrix in bad if "view" in name else bad[:3]:
            with pytest.raises(ValueError, match=f"^{name} must be finite and invertible"):
                operator(*good[:k], matrix, *good[k + 1 :])
        with pytest.raises(ValueError, match=f"^{name} must be on"):
            operator(*good[:k], good[k].to("meta"), *good[k + 1 :])


@pytest.mark.parametrize("operator", ["multiplane_project", "project_depth", "plane_homographies"])
def test_cameras_need_not_be_rotations(torch, ops, operator):
    """The world's own scale and shear do not matter."""
    image, depth, eye, K = scene(torch)
    operator = camera_operators(ops, image, depth)[operator]
    target = rig(torch, "turned")
    world = torch.eye(4, dtype=torch.float64)
    world[:3] = torch.tensor([[2.0, 0.5, 0, 1], [0, 3, 0.25, -1], [0, 0, 0.5, 2]])
    expected = operator(eye, K, target)
    torch.testing.assert_close(operator(eye @ world.float(), K, target @ world), expected)


def test_depth_on_another_device(torch, ops):
    image, depth, eye, K = scene(torch)
    for operator in (ops.multiplane_project, ops.project_depth):
        with pytest.raises(ValueError, match="depth must be on cpu as image is, got meta"):
            operator(image, depth.to("meta"), eye, K, rig(torch, "turned"))
