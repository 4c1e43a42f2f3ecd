"""The optimiser against torch's."""

import math

import pytest

pytestmark = pytest.mark.needs_torch


def parameter(torch, *shape):
    value = torch.randn(shape, generator=torch.Generator().manual_seed(len(shape)))
    return value.requires_grad_()


# Flat, rows longer than a pattern of learning rates, and ends that fill no vector.
@pytest.mark.parametrize("shape", [(1,), (70_001,), (1001, 16, 3), (37, 1), (3, 2500), (0, 3)])
@pytest.mark.parametrize("head", [None, 3])
def test_steps_are_those_of_torch(torch, shape, head) -> None:
    from steadyview.scene.adam import Adam

    values = parameter(torch, *shape)
    double = values.detach().double()
    width = math.prod(shape[1:])
    rates = torch.full((shape[0], width), 0.02, dtype=torch.float64)
    rates[:, width if head is None else head :] = 0.005
    optimizer = Adam([{"params": [values], "lr": 0.02, "head": head, "tail_lr": 0.005}])
    mean, square = torch.zeros_like(double), torch.zeros_like(double)
    for step in (1, 2, 3):
        gradient = torch.sin(double * step)
        values.grad = gradient.float()
        optimizer.step()
        mean = 0.9 * mean + 0.1 * gradient
        square = 0.999 * square + 0.001 * gradient**2
        change = mean / (1 - 0.9**step) / ((square / (1 - 0.999**step)).sqrt() + 1e-15)
        double = double - rates.reshape(shape) * change
    # Steps of 0.02 at most, each good to some roundings, and a gradient rounded to float32.
    torch.testing.assert_close(values.detach().double(), double, rtol=1e-6, atol=1e-6)


def test_one_rate_is_torchs_adam(torch) -> None:
    from steadyview.scene.adam import Adam

    ours, theirs = parameter(torch, 500, 4), parameter(torch, 500, 4)
    optimizers = [Adam([{"params": [ours], "lr": 1e-2}]), torch.optim.Adam([theirs], 1e-2)]
    for step in range(5):
        for values, optimizer in zip((ours, theirs), optimizers, strict=True):
            values.grad = torch.cos(theirs.detach() + step)
            optimizer.step()
    torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-6)


def test_rows_that_are_not_seen_stay(torch) -> None:
    from steadyview.scene.adam import Adam

    values = parameter(torch, 90, 4, 3)
    before = values.detach().clone()
    optimizer = Adam([{"params": [values], "lr": 0.1, "head": 3, "tail_lr": 0.01}])
    seen = torch.arange(90) % 3 == 0
    values.grad = torch.ones_like(values)
    optimizer.step(seen=seen)
    assert torch.equal(values[~seen], before[~seen])
    assert not optimizer.state[values]["exp_avg"][~seen].any()
    torch.testing.assert_close(values[seen][:, 0], before[seen][:, 0] - 0.1)
    torch.testing.assert_close(values[seen][:, 1:], before[seen][:, 1:] - 0.01)


def test_what_does_not_fit_is_named(torch) -> None:
    from steadyview.scene.adam import Adam

    values = parameter(torch, 9, 3)
    optimizer = Adam([{"params": [values], "lr": 0.1}])
    values.grad = torch.ones_like(values)
    with pytest.raises(ValueError, match="seen"):
        optimizer.step(seen=torch.ones(8, dtype=torch.bool))
    halves = values.detach().half().requires_grad_()
    halves.grad = torch.ones_like(halves)
    with pytest.raises((TypeError, ValueError), match="values"):
        Adam([{"params": [halves], "lr": 0.1}]).step()


# With more terms than are used, and rows that fill no block.
@pytest.mark.parametrize(
    ("count", "terms", "degree"), [(1, 1, 0), (70, 16, 3), (2101, 16, 1), (131, 25, 4)]
)
def test_harmonics_step_by_the_gradient_of_their_colours(torch, count, terms, degree) -> None:
    from steadyview import ops
    from steadyview.scene.adam import Adam, shade

    ours, theirs = parameter(torch, count, terms, 3), parameter(torch, count, terms, 3)
    means, by_colors = parameter(torch, count, 3), torch.cos(parameter(torch, count, 3, 1))
    centre = [0.5, -1.0, 2.0]
    seen = torch.arange(count) % 3 > 0
    optimizers = [
        Adam([{"params": [x], "lr": 0.02, "head": 3, "tail_lr": 0.005}]) for x in (ours, theirs)
    ]
    for mask in (None, None, seen):
        by_colors = torch.sin(by_colors.detach()).squeeze(-1)
        colors = shade(ours, means, centre, degree)
        found = optimizers[0].step_harmonics(ours, means, centre, colors, by_colors, degree, mask)
        theirs.grad = means.grad = None
        directions = means - torch.tensor(centre)
        expected = (ops.spherical_harmonics(degree, directions, theirs) + 0.5).clamp(min=0)
        assert 0 < int((expected == 0).sum()) < expected.numel() or count == 1
        torch.testing.assert_close(colors, expected.detach(), rtol=1e-5, atol=1e-5)
        expected.backward(by_colors)
        optimizers[1].step(seen=mask)
        torch.testing.assert_close(found, means.grad, rtol=1e-5, atol=1e-5)
        torch.testing.assert_close(ours, theirs, rtol=1e-6, atol=1e-6)
    for name in ("exp_avg", "exp_avg_sq"):
        moments = [x.state[y][name] for x, y in zip(optimizers, (ours, theirs), strict=True)]
        torch.testing.assert_close(*moments, rtol=1e-5, atol=1e-7)


def test_harmonics_of_another_shape_are_named(torch) -> None:
    from steadyview.scene.adam import Adam

    harmonics = parameter(torch, 9, 4, 3)
    optimizer = Adam([{"params": [harmonics], "lr": 0.1}])
    grad, centre = torch.ones(9, 3), [0.0, 0.0, 0.0]
    with pytest.raises(ValueError, match="degree"):
        optimizer.step_harmonics(harmonics, grad, centre, grad, grad, 2)
    with pytest.raises(ValueError, match="means"):
        optimizer.step_harmonics(harmonics, grad[1:], centre, grad, grad, 1)
    with pytest.raises(ValueError, match=r"harmonics_adam_step: colors"):
        optimizer.step_harmonics(harmonics, grad, centre, grad[1:], grad, 1)
    with pytest.raises(ValueError, match="grad_colors"):
        optimizer.step_harmonics(harmonics, grad, centre, grad, grad.double(), 1)
