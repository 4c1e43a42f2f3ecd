import pytest
from tests.ops.gaussian_scenes import HEIGHT, WIDTH, scene
from tests.reference.gaussians import harmonic

pytestmark = pytest.mark.needs_torch


@pytest.mark.parametrize("degree", range(5))
def test_harmonics(torch, ops, degree):
    generator = torch.Generator().manual_seed(degree)
    dirs = torch.randn((21, 3), generator=generator, dtype=torch.float64, requires_grad=True)
    coeffs = torch.randn((21, 25, 3), generator=generator, dtype=torch.float64)
    coeffs.requires_grad_()
    unit = (dirs / dirs.norm(dim=-1, keepdim=True)).T
    basis = [harmonic(n, m, unit) for n in range(degree + 1) for m in range(-n, n + 1)]
    expected = (torch.stack(basis, 1)[..., None] * coeffs[:, : len(basis)]).sum(1)
    result = ops.spherical_harmonics(degree, dirs, coeffs)
    torch.testing.assert_close(result, expected, rtol=0, atol=1e-12)
    single = ops.spherical_harmonics(degree, dirs.float(), coeffs.float())
    torch.testing.assert_close(single.double(), expected, rtol=0, atol=2e-5)
    weights = torch.randn(result.shape, generator=generator, dtype=torch.float64)
    if degree == 0:
        weights = weights + 0 * dirs  # so that both depend on it
    theirs = torch.autograd.grad((expected * weights).sum(), (dirs, coeffs), retain_graph=True)
    mine = torch.autograd.grad((result * weights).sum(), (dirs, coeffs))
    torch.testing.assert_close(mine, theirs, rtol=0, atol=1e-12)
    masks = torch.arange(21) % 3 > 0
    masked = ops.spherical_harmonics(degree, dirs, coeffs, masks)
    assert torch.equal(masked, torch.where(masks[:, None], result, 0.0))


def test_projection_alone(torch, ops):
    values = scene(torch)
    names = ("quats", "scales", "viewmats", "Ks")
    rest = [values[name] for name in names]
    radii, *others, none = ops.fully_fused_projection(values["means"], None, *rest, WIDTH, HEIGHT)
    assert none is None
    _, _, meta = ops.rasterization(**values, width=WIDTH, height=HEIGHT, packed=False)
    seen = (meta["radii"] > 0).all(-1)
    for key, result in zip(("means2d", "depths", "conics"), others, strict=True):
        assert torch.equal(result[seen], meta[key][seen])
    assert (radii >= meta["radii"]).all()  # without opacities they are those of opacity 1
