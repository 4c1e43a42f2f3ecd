"""Images of planes, and the planes' homographies."""

import numpy as np
import pytest
from tests.ops.projection_scenes import CAMERAS, homographies, intrinsics, rig
from tests.reference import multiplane as reference

pytestmark = pytest.mark.needs_torch


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_render_matches_the_reference(torch, ops, dtype):
    planes = torch.from_numpy(np.random.default_rng(0).random((2, 4, 3, 9, 11)))
    planes, matrix = planes.to(getattr(torch, dtype)), homographies(torch, 2, 3, 4)
    image, alpha = ops.multiplane_render(planes, matrix, output_size=(12, 8))
    single, single_alpha = ops.multiplane_render(planes, matrix[:, 1], output_size=(12, 8))
    assert torch.equal(single, image[:, 1])
    assert torch.equal(single_alpha, alpha[:, 1])
    atol = 2e-6 if dtype == "float32" else 1e-12  # float32: a dozen roundings of numbers up to 1
    for n in range(2):
        for v in range(3):
            expected = reference.render(planes[n].double().numpy(), matrix[n, v].numpy(), (12, 8))
            np.testing.assert_allclose(image[n, v].numpy(), expected[0], rtol=0, atol=atol)
            np.testing.assert_allclose(alpha[n, v, 0].numpy(), expected[1], rtol=0, atol=atol)


def test_render_agrees_with_grid_sample(torch, ops):
    """A composite of tensor operations."""
    planes, matrix = torch.rand(1, 5, 4, 20, 30).double(), homographies(torch, 1, 1, 5)
    image, alpha = ops.multiplane_render(planes, matrix)
    y, x = torch.meshgrid(torch.arange(20.0) + 0.5, torch.arange(30.0) + 0.5, indexing="ij")
    q = torch.stack((x, y, torch.ones_like(x)), -1).double() @ matrix[0, 0].mT[:, None]
    grid = 2 * q[..., :2] / q[..., 2:] / torch.tensor([30.0, 20.0]) - 1
    layers = torch.nn.functional.grid_sample(planes[0], grid, align_corners=False)
    expected = torch.zeros(4, 20, 30).double()
    for layer in layers:
        a = layer[3:]
        expected = a * torch.cat((layer[:3], torch.ones_like(a))) + (1 - a) * expected
    torch.testing.assert_close(torch.cat((image, alpha), 2)[0, 0], expected, rtol=0, atol=1e-12)


def test_render_of_opaque_identity_is_exact(torch, ops):
    planes = torch.rand(2, 3, 4, 7, 5)
    planes[:, -1, -1] = 1
    image, alpha = ops.multiplane_render(planes, torch.eye(3).expand(2, 3, 3, 3))
    assert torch.equal(image, planes[:, -1, :-1])
    assert (alpha == 1).all()
    behind = -torch.eye(3).expand(2, 3, 3, 3)  # w < 0
    assert (ops.multiplane_render(planes, behind)[1] == 0).all()
    empty = ops.multiplane_render(planes[:, :0], torch.zeros(2, 0, 3, 3))
    assert (empty[0] == 0).all()
    assert empty[0].shape == (2, 3, 7, 5)
    assert ops.multiplane_render(planes[:0], torch.zeros(0, 3, 3, 3))[0].shape == (0, 3, 7, 5)
    nan = ops.multiplane_render(planes, torch.full((2, 3, 3, 3), torch.nan))
    assert (nan[1] == 0).all()


def test_render_follows_the_cameras(torch, ops):
    """Points of planes before a turned camera, projected one by one."""
    K, target = intrinsics(torch, 40, 40) * torch.tensor([5, 5, 1.0])[:, None], rig(torch, "turned")
    K[0, :2, 2] = 20
    depths = torch.tensor([6.0, 3.0])
    matrix = ops.plane_homographies(depths, torch.eye(4)[None], K, target).numpy()
    K = K[0].double().numpy()
    for d, z in enumerate(depths.tolist()):
        for u, v in ((3.0, 7.0), (20.0, 20.0), (35.5, 1.25)):
            point = CAMERAS["turned"] @ (*(z * np.linalg.inv(K) @ (u, v, 1)), 1)
            q = K @ point[:3]
            back = matrix[0, 0, d] @ (q / q[2])
            assert back[2] > 0
            np.testing.assert_allclose(back[:2] / back[2], (u, v), atol=1e-9)


def test_render_gradients(torch, ops):
    planes = torch.from_numpy(np.random.default_rng(1).random((2, 3, 3, 4, 5)))
    matrix = homographies(torch, 2, 2, 3)
    # The slopes jump where a point crosses a pixel's centre: stay away from it.
    y, x = torch.meshgrid(torch.arange(4.0) + 0.5, torch.arange(5.0) + 0.5, indexing="ij")
    q = torch.stack((x, y, torch.ones_like(x)), -1).double() @ matrix.mT[..., None, :, :]
    points = q[..., :2] / q[..., 2:] - 0.5
    assert (points - points.round()).abs().min() > 1e-5

    def render(planes, matrix):
        return torch.cat(ops.multiplane_render(planes, matrix), -3)

    inputs = planes.requires_grad_(), matrix.requires_grad_()
    assert torch.autograd.gradcheck(render, inputs, eps=1e-6, atol=1e-6)


def test_plane_homographies_are_differentiable(torch, ops):
    depths = torch.tensor([2.0, 4.0], dtype=torch.float64, requires_grad=True)
    target, eye = rig(torch, "turned")[:, :3].requires_grad_(), torch.eye(4).double()[None]
    K = intrinsics(torch, 4, 4).double()

    def homographies(depths, rows):
        return ops.plane_homographies(depths, eye, K, torch.cat((rows, eye[:, 3:]), 1))

    assert torch.autograd.gradcheck(homographies, (depths, target))


def test_bad_planes_name_themselves(torch, ops):
    planes, matrix = torch.rand(2, 3, 4, 5, 6), torch.eye(3).expand(2, 3, 3, 3)
    with pytest.raises(ValueError, match="planes must be"):
        ops.multiplane_render(planes[0], matrix)
    with pytest.raises(ValueError, match="planes must be float32 or float64"):
        ops.multiplane_render(planes.half(), matrix)
    with pytest.raises(ValueError, match="planes must have alpha"):
        ops.multiplane_render(planes[:, :, :0], matrix)
    with pytest.raises(ValueError, match="source_from_output must be"):
        ops.multiplane_render(planes, matrix[:, :2])
    with pytest.raises(ValueError, match="output_size must be"):
        ops.multiplane_render(planes, matrix, output_size=(3, -1))
    eye, K = torch.eye(4)[None], torch.eye(3)[None]
    with pytest.raises(ValueError, match="depths must be"):
        ops.plane_homographies(torch.ones(2, 2), eye, K, eye)
