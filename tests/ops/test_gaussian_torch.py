import os
import subprocess
import sys

import pytest
from tests.ops.gaussian_scenes import scene

pytestmark = pytest.mark.needs_torch


@pytest.mark.parametrize("channels", [1, 3])
def test_threads_do_not_matter(torch, ops, channels):
    values = scene(torch, 5000, channels=channels, dtype=torch.float32)
    values = {k: v.requires_grad_() for k, v in values.items()}
    results = []
    threads = torch.get_num_threads()
    for count in (1, 2, 3):
        torch.set_num_threads(count)
        image, alphas, _ = ops.rasterization(**values, width=300, height=200, packed=False)
        grads = torch.autograd.grad(image.square().sum() + alphas.sum(), list(values.values()))
        results.append((image, alphas, *grads))
    torch.set_num_threads(threads)
    for other in results[1:]:
        assert all(torch.equal(a, b) for a, b in zip(results[0], other, strict=True))


def test_the_default_device_does_not_matter(torch, ops):
    """Nothing is made on the default device instead of the inputs' one."""
    values = {k: v.requires_grad_() for k, v in scene(torch, dtype=torch.float32).items()}
    end = values["viewmats"].detach().clone()
    end[:, 0, 3] += 0.1
    shutter = {"rolling_shutter": "ROLLING_TOP_TO_BOTTOM", "viewmats_rs": end}

    def run(packed, **options):
        image, alphas, meta = ops.rasterization(
            **values, width=70, height=45, packed=packed, absgrad=True, **options
        )
        grads = torch.autograd.grad(image.sum() + alphas.sum(), list(values.values()))
        return [image, alphas, *grads, meta["isect_ids"], meta["isect_offsets"]]

    for options in ({"packed": True}, {"packed": False}, {"packed": True, **shutter}):
        expected = run(**options)
        with torch.device("meta"):
            result = run(**options)
        for mine, theirs in zip(result, expected, strict=True):
            assert mine.device == theirs.device
            assert torch.equal(mine, theirs)


PROGRAM = """
import sys, torch
sys.path.insert(0, sys.argv[1])
from steadyview.ops import rasterization
from tests.ops.gaussian_scenes import scene
values = {k: v.requires_grad_() for k, v in scene(torch, 300, dtype=torch.float32).items()}
image, alphas, _ = rasterization(**values, width=70, height=45)
grads = torch.autograd.grad((image * image).sum() + alphas.sum(), list(values.values()))
torch.save([image.detach(), alphas.detach(), *grads], sys.argv[2])
"""


def test_instruction_sets_agree(torch, ops, tmp_path):
    results = []
    values = {k: v.requires_grad_() for k, v in scene(torch, 300, dtype=torch.float32).items()}
    image, alphas, _ = ops.rasterization(**values, width=70, height=45)
    loss = (image * image).sum() + alphas.sum()
    best = [image, alphas, *torch.autograd.grad(loss, list(values.values()))]
    root = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    for isa in ("baseline", "avx2"):
        path = tmp_path / f"{isa}.pt"
        subprocess.run(
            [sys.executable, "-c", PROGRAM, root, str(path)], check=True,
            env={**os.environ, "STEADYVIEW_ISA": isa},
        )  # fmt: skip
        results.append(torch.load(path))
    for other in results:
        for mine, theirs in zip(other, best, strict=True):
            # Roundings differ; a pixel of the 300 splats' may cross a border.
            torch.testing.assert_close(mine, theirs, rtol=0, atol=2e-3 * theirs.abs().max().item())


def test_opcheck(torch, ops):
    values = scene(torch, count=6)
    means, quats, scales, opacities, colors, viewmats, Ks, backgrounds = (
        v.requires_grad_() for v in values.values()
    )
    library = torch.ops.steadyview
    for compensate in (False, True):
        arguments = (means, quats, scales, opacities, viewmats, Ks, 20, 15, 0.3, 0.01, 1e10, 0.0)
        torch.library.opcheck(library.project_gaussians, (*arguments, compensate, 0))
    means2d, depths, conics, _, radii, _ = library.project_gaussians(
        *(x.detach() for x in (means, quats, scales, opacities, viewmats, Ks)),
        20, 15, 0.3, 0.01, 1e10, 0.0, False, 0,
    )  # fmt: skip
    dirs = torch.randn((6, 3), dtype=torch.float64, requires_grad=True)
    coeffs = torch.randn((6, 9, 3), dtype=torch.float64, requires_grad=True)
    torch.library.opcheck(library.evaluate_harmonics, (dirs, coeffs, None, 2))
    first = torch.tensor([0, 6])
    for absolute in (None, torch.zeros((6, 2), dtype=torch.float64, requires_grad=True)):
        torch.library.opcheck(
            library.rasterize_gaussians,
            (means2d[0].requires_grad_(), absolute, conics[0].requires_grad_(), colors, opacities,
             depths[0], radii[0], backgrounds, first, None, None, None, 16, 20, 15),
        )  # fmt: skip
    _, ids, splats = ops.isect_tiles(means2d.detach(), radii, depths, 16, 2, 1)
    offsets = ops.isect_offset_encode(ids, 1, 2, 1)
    torch.library.opcheck(
        library.rasterize_gaussians,
        (means2d[0].requires_grad_(), None, conics[0].requires_grad_(), colors, opacities, None,
         None, backgrounds, None, offsets, splats, None, 16, 20, 15),
    )  # fmt: skip
    torch.library.opcheck(
        library.find_gaussian_contributors,
        (means2d[0].detach(), conics[0].detach(), opacities.detach(),
         torch.ones((1, 15, 20), dtype=torch.float64), offsets, splats, 16, 0, 9),
    )  # fmt: skip


def test_a_second_derivative_raises(torch, ops):
    """Of every operator: silently it would be 0."""
    names = torch._C._dispatch_get_registrations_for_dispatch_key("CPU")
    names = [n for n in names if n.startswith("steadyview::") and n.endswith("_backward")]
    assert len(names) >= 8
    for name in names:
        assert torch._C._dispatch_has_kernel_for_dispatch_key(name, "Autograd"), name
    values = {k: v.requires_grad_() for k, v in scene(torch, count=8).items()}
    image, _, _ = ops.rasterization(**values, width=20, height=15)
    (first,) = torch.autograd.grad(image.square().sum(), values["means"], create_graph=True)
    with pytest.raises(RuntimeError, match="project_gaussians is not differentiable twice"):
        first.sum().backward()
    direction = torch.randn((3, 3), requires_grad=True)
    coefficients = torch.randn((3, 4, 3), requires_grad=True)
    colors = ops.spherical_harmonics(1, direction, coefficients).square().sum()
    (first,) = torch.autograd.grad(colors, direction, create_graph=True)
    with pytest.raises(RuntimeError, match="evaluate_harmonics is not differentiable twice"):
        torch.autograd.grad(first.sum(), coefficients)


def test_compiles_in_one_graph(torch, ops):
    values = {k: v.requires_grad_() for k, v in scene(torch, count=8).items()}

    def loss(values):
        image, alphas, _ = ops.rasterization(**values, width=20, height=15, packed=False)
        image[:, 3:5] = 0
        return image.square().sum() + alphas.sum()

    compiled = torch.compile(loss, fullgraph=True, backend="aot_eager")
    expected, result = loss(values), compiled(values)
    torch.testing.assert_close(result, expected)
    leaves = [values["means"], values["viewmats"]]
    torch.testing.assert_close(
        torch.autograd.grad(result, leaves), torch.autograd.grad(expected, leaves)
    )


def test_a_compiled_graph_keeps_no_splats(torch, ops):
    """There is no backward pass that would take them: they would stay with the image."""
    values = {k: v.requires_grad_() for k, v in scene(torch, count=8).items()}

    def draw(values):
        return ops.rasterization(**values, width=20, height=15, packed=False)[:2]

    for image in torch.compile(draw, fullgraph=True, backend="aot_eager")(values):
        assert image.requires_grad
        assert not vars(image)
