"""Cloning, splitting, removing: what stays, what is new, what the optimiser remembers."""

import math

import pytest

from steadyview.errors import OptionError

pytestmark = pytest.mark.needs_torch


@pytest.fixture
def densify(torch):
    from steadyview.scene import densify

    return densify


def held(torch, scales, opacities):
    """Parameters in an optimiser that has made one step: moments are 0.1 of the gradients."""
    count = len(scales)
    parameters = {
        "means": torch.arange(3.0 * count).reshape(count, 3),
        "quaternions": torch.tensor([[1.0, 0, 0, 0]]).repeat(count, 1),
        "log_scales": torch.tensor(scales)[:, None].repeat(1, 3).log(),
        "opacity_logits": torch.tensor(opacities).logit(),
        "harmonics": torch.arange(1.0 * count)[:, None, None].repeat(1, 1, 3),
    }
    parameters = {name: value.requires_grad_() for name, value in parameters.items()}
    optimizer = torch.optim.Adam([{"params": [x], "lr": 0.0} for x in parameters.values()])
    for value in parameters.values():
        row = torch.arange(1.0, count + 1).reshape(-1, *[1] * (value.dim() - 1))
        value.grad = row.expand_as(value).clone()
    optimizer.step()
    return parameters, optimizer


def observed(torch, control, gradients, width=200, height=100):
    """As after a backward pass with these lengths of gradients."""
    means2d = torch.zeros((1, len(gradients), 2), requires_grad=True)
    means2d.grad = torch.zeros((1, len(gradients), 2))
    means2d.grad[0, :, 0] = torch.tensor(gradients) / (width / 2)
    radii = torch.ones((1, len(gradients), 2), dtype=torch.int32)
    control.observe(
        {"means2d": means2d, "radii": radii, "width": width, "height": height, "n_cameras": 1}
    )


def test_small_ones_are_cloned_large_ones_split_faint_ones_removed(densify, torch) -> None:
    # quiet, small and moving, large and moving, faint, faint but large and moving
    parameters, optimizer = held(torch, [0.5, 0.005, 0.5, 0.5, 0.5], [0.5, 0.6, 0.7, 0.001, 0.001])
    control = densify.DensityControl(
        densify.DensityOptions(), 1.0, torch.Generator().manual_seed(0)
    )
    observed(torch, control, [1e-4, 3e-4, 3e-4, 1e-4, 3e-4])
    before = {name: value.detach().clone() for name, value in parameters.items()}
    assert not control.refine(550, parameters, optimizer)  # not a hundredth step
    assert not control.refine(400, parameters, optimizer)  # too early
    assert control.refine(600, parameters, optimizer)

    origin = parameters["harmonics"][:, 0, 0].tolist()
    assert origin == [0, 1, 1, 2, 4, 2, 4]  # kept, cloned, first and second halves
    for name in ("means", "log_scales", "opacity_logits"):
        torch.testing.assert_close(parameters[name][:3], before[name][[0, 1, 1]])
    torch.testing.assert_close(
        parameters["log_scales"][3:], torch.full((4, 3), math.log(0.5 / 1.6))
    )
    moved = parameters["means"][[3, 5]] - before["means"][2]
    assert bool((moved.abs() > 0).all())
    assert float(moved.detach().abs().max()) < 5 * 0.5

    for group, (name, value) in zip(optimizer.param_groups, parameters.items(), strict=True):
        assert group["params"][0] is value
        assert value.requires_grad
        moment = optimizer.state[value]["exp_avg"]
        assert moment.shape == value.shape, name
        rows = moment.flatten(1)[:, 0] if moment.dim() > 1 else moment
        torch.testing.assert_close(rows, torch.tensor([0.1, 0.2, 0, 0, 0, 0, 0]))
    assert len(optimizer.state) == len(parameters)


def test_halves_are_drawn_from_the_whole(densify, torch) -> None:
    """Their places have its covariance."""
    count = 4000
    parameters, optimizer = held(torch, [1.0] * count, [0.5] * count)
    turn = torch.tensor([math.cos(0.3), 0, 0, math.sin(0.3)])
    with torch.no_grad():
        parameters["means"].zero_()
        parameters["quaternions"].copy_(2 * turn)  # of any length
        parameters["log_scales"].copy_(torch.tensor([2.0, 1, 0.1]).log())
    options = densify.DensityOptions(revised_opacity=True)
    control = densify.DensityControl(options, 1.0, torch.Generator().manual_seed(1))
    observed(torch, control, [1.0] * count)
    control.refine(600, parameters, optimizer)
    means = parameters["means"].detach()
    assert len(means) == 2 * count
    c, s = math.cos(0.6), math.sin(0.6)
    axes = torch.tensor([[c, -s, 0], [s, c, 0], [0, 0, 1]])
    expected = axes @ torch.diag(torch.tensor([4.0, 1, 0.01])) @ axes.T
    # The covariance of 8000 draws: relative error sqrt(2 / 8000) = 0.016 of its largest entry.
    torch.testing.assert_close(torch.cov(means.T), expected, atol=5 * 0.016 * 4, rtol=0)
    opacity = parameters["opacity_logits"].sigmoid()
    torch.testing.assert_close(1 - (1 - opacity) ** 2, torch.full((2 * count,), 0.5))


def test_gradients_are_averaged_over_the_views_that_see(densify, torch) -> None:
    parameters, optimizer = held(torch, [0.005, 0.005], [0.5, 0.5])
    control = densify.DensityControl(densify.DensityOptions(), 1.0)
    observed(torch, control, [3e-4, 3e-4])
    means2d = torch.zeros((1, 2, 2), requires_grad=True)
    means2d.grad = torch.zeros((1, 2, 2))
    radii = torch.tensor([[[3, 3], [0, 0]]], dtype=torch.int32)  # the second is not seen
    control.observe({"means2d": means2d, "radii": radii, "width": 9, "height": 9, "n_cameras": 1})
    control.refine(600, parameters, optimizer)
    assert parameters["harmonics"][:, 0, 0].tolist() == [0, 1, 1]


def test_lengths_are_those_of_torch(densify, torch) -> None:
    control = densify.DensityControl(densify.DensityOptions(), 1.0)
    draw = torch.Generator().manual_seed(0)
    expected, seen = torch.zeros(9001), torch.zeros(9001)
    for _ in range(2):
        means2d = torch.zeros((3, 9001, 2), requires_grad=True)
        means2d.grad = torch.randn((3, 9001, 2), generator=draw)
        radii = torch.randint(0, 3, (3, 9001, 2), generator=draw, dtype=torch.int32)
        control.observe(
            {"means2d": means2d, "radii": radii, "width": 64, "height": 48, "n_cameras": 3}
        )
        scaled = means2d.grad * torch.tensor([96.0, 72.0])
        expected += scaled.norm(dim=-1).sum(0)
        seen += (radii > 0).all(-1).sum(0)
    torch.testing.assert_close(control._gradients, expected)
    assert torch.equal(control._seen, seen)


def test_absolute_gradients_are_used_when_asked(densify, torch) -> None:
    parameters, optimizer = held(torch, [0.005], [0.5])
    control = densify.DensityControl(densify.DensityOptions(absgrad=True), 1.0)
    means2d = torch.zeros((1, 1, 2), requires_grad=True)
    means2d.grad, means2d.absgrad = torch.zeros(1, 1, 2), torch.ones(1, 1, 2)
    radii = torch.ones((1, 1, 2), dtype=torch.int32)
    control.observe({"means2d": means2d, "radii": radii, "width": 9, "height": 9, "n_cameras": 1})
    control.refine(600, parameters, optimizer)
    assert len(parameters["means"]) == 2


def test_no_more_than_allowed(densify, torch) -> None:
    parameters, optimizer = held(torch, [0.005] * 6, [0.5] * 6)
    control = densify.DensityControl(densify.DensityOptions(most=8), 1.0)
    observed(torch, control, [1.0, 5, 2, 4, 3, 6])
    control.refine(600, parameters, optimizer)
    assert parameters["harmonics"][6:, 0, 0].tolist() == [1, 5]
    observed(torch, control, [1.0] * 8)
    control.refine(700, parameters, optimizer)
    assert len(parameters["means"]) == 8


def test_opacities_are_lowered_and_then_large_ones_removed(densify, torch) -> None:
    parameters, optimizer = held(torch, [0.5, 0.05], [0.9, 0.004])
    control = densify.DensityControl(densify.DensityOptions(), 1.0)
    assert control.refine(3000, parameters, optimizer)
    torch.testing.assert_close(parameters["opacity_logits"].sigmoid(), torch.tensor([0.01, 0.004]))
    moment = optimizer.state[parameters["opacity_logits"]]["exp_avg"]
    assert not moment.any()
    assert optimizer.state[parameters["means"]]["exp_avg"].any()
    observed(torch, control, [0.0, 0.0])
    assert control.refine(3100, parameters, optimizer)
    assert len(parameters["means"]) == 0  # one too large, one too faint


def test_options_are_checked(densify) -> None:
    with pytest.raises(OptionError, match="grow_scale"):
        densify.DensityOptions(grow_scale=-1)
    with pytest.raises(OptionError, match="every"):
        densify.DensityOptions(every=0)
    short = densify.DensityOptions.for_steps(300, absgrad=True)
    assert short.stop == 150
    assert not short.reset_every
    assert short.absgrad
    assert densify.DensityOptions.for_steps(30_000) == densify.DensityOptions()


def test_opacities_are_not_lowered_to_nothing() -> None:
    pytest.importorskip("torch")
    from steadyview.scene.densify import DensityOptions

    with pytest.raises(OptionError, match="prune_opacity must be above 0"):
        DensityOptions(prune_opacity=0)
    DensityOptions(prune_opacity=0, reset_every=0)
