import os
import subprocess
import sys

import numpy as np
import pytest
from tests.ops.stereo_scenes import PLANES, camera, scene, sweep
from tests.reference import plane_sweep as slow

pytestmark = pytest.mark.needs_torch


@pytest.mark.parametrize("cost", ["census", "zncc"])
@pytest.mark.parametrize("paths", [0, 4, 8])
def test_matches_the_reference(torch, ops, cost, paths):
    images, views, ks, _ = scene((27, 19))
    planes = PLANES[::2]
    options = {"cost": cost, "paths": paths, "step_penalty": 5, "jump_penalty": 41}
    ours = sweep(torch, ops, images, views, ks, planes, keep=2, **options)
    depth, confidence, valid = slow.plane_sweep(images, views, ks, planes, keep=2, **options)
    # A coordinate in float32 may round to another 1/128 or grey value: a bit of a few windows.
    close = np.isclose(ours.depth.numpy(), depth, rtol=1e-5)
    assert close.mean() > 0.98
    assert np.isclose(ours.confidence.numpy(), confidence, atol=1e-5).mean() > 0.98
    assert (ours.valid.numpy() == valid).mean() > 0.98


@pytest.mark.parametrize("cost", ["census", "zncc"])
def test_matches_the_reference_exactly_at_whole_pixels(torch, ops, cost):
    # Shifts by whole pixels: nothing is interpolated, so nothing is rounded.
    random = np.random.default_rng(3)
    image = random.integers(0, 256, (17, 33)).astype(np.uint8)
    image[:, 20:] //= 16  # and a part with few grey levels
    images = np.stack([image, np.roll(image, -4, 1), np.roll(image, 8, 1)])
    ks = np.stack([np.array([[20.0, 0, 16], [0, 20, 8], [0, 0, 1]])] * 3)
    views = np.stack([camera(), camera(1.0), camera(-2.0)])
    planes = 20 / np.array([12.0, 10, 8, 6, 5, 4, 3, 2, 1])
    for keep in (1, 2):
        ours = sweep(torch, ops, images, views, ks, planes, keep=keep, cost=cost)
        theirs = slow.plane_sweep(images, views, ks, planes, keep=keep, cost=cost)
        np.testing.assert_allclose(ours.depth.numpy(), theirs[0], rtol=1e-6)
        np.testing.assert_allclose(ours.confidence.numpy(), theirs[1], atol=1e-5)
        np.testing.assert_array_equal(ours.valid.numpy(), theirs[2])
    assert torch.isclose(ours.depth[4:-4, 8:18], torch.tensor(5.0), rtol=0.1).all()  # plane 4


@pytest.mark.parametrize("cost", ["census", "zncc"])
def test_depth_of_a_rendered_scene(torch, ops, cost):
    images, views, ks, truth = scene((160, 120))
    result = sweep(torch, ops, images, views, ks, 1 / np.linspace(1 / 3, 1 / 12, 64), cost=cost)
    error = np.abs(result.depth.numpy() / truth - 1)
    valid = result.valid.numpy()
    assert valid.mean() > 0.85
    # Planes are 1.3 to 4 % apart here; refinement places depth between them.
    assert np.median(error[valid]) < 0.012
    assert (error[valid] < 0.05).mean() > 0.94
    # The rectangle hides the wall: best-half keeps what some sources see.
    assert (error < 0.05).mean() > 0.92
    # Confident pixels are better.
    order = np.argsort(-result.confidence.numpy().ravel())
    bad = (error > 0.05).ravel()[order]
    assert bad[: len(bad) // 2].mean() <= bad[len(bad) // 2 :].mean()


def test_best_half_of_the_sources_stands_occlusion(torch, ops):
    images, views, ks, truth = scene((160, 120), baseline=0.4)
    wrong = []
    for keep in (2, 4):
        result = sweep(torch, ops, images, views, ks, PLANES, keep=keep)
        wrong.append((np.abs(result.depth.numpy() / truth - 1) > 0.1).mean())
    assert wrong[0] < wrong[1]


def test_refinement_beats_the_planes(torch, ops):
    images, views, ks, truth = scene((160, 120))
    planes = PLANES[::2]
    result = sweep(torch, ops, images, views, ks, planes)
    valid = result.valid.numpy()
    depth, truth = result.depth.numpy()[valid], truth[valid]
    nearest = planes[np.abs(1 / depth[..., None] - 1 / planes).argmin(-1)]
    refined, coarse = (np.median(np.abs(1 / d - 1 / truth)) for d in (depth, nearest))
    assert refined < 0.75 * coarse


def test_exposure_does_not_matter_to_census(torch, ops):
    images, views, ks, _ = scene((64, 48))
    expected = sweep(torch, ops, images // 2 * 2, views, ks, PLANES)
    images[1:] = images[1:] // 2 * 2
    images[0] = images[0] // 2 + 30  # monotonic: the same census, up to what SGM sees of edges
    result = sweep(torch, ops, images, views, ks, PLANES, paths=0)
    plain = sweep(torch, ops, images // 2 * 2, views, ks, PLANES, paths=0)
    assert expected.depth.shape == result.depth.shape
    assert (result.depth == plain.depth).float().mean() > 0.6


def beside(torch, count, shift, size=(160, 90)):
    """Cameras of a row of views, each `shift` to the right of the one before."""
    views = torch.eye(4).repeat(count, 1, 1)
    views[:, 0, 3] = -shift * torch.arange(count)
    k = torch.tensor([[150.0, 0, size[0] / 2], [0, 150, size[1] / 2], [0, 0, 1]])
    return views, k.repeat(count, 1, 1)


@pytest.mark.parametrize("cost", ["census", "zncc"])
@pytest.mark.parametrize("paths", [0, 4, 8])
@pytest.mark.parametrize("sources", [1, 2, 4])
def test_nothing_is_valid_in_a_blank_picture_seen_from_one_side(torch, ops, cost, paths, sources):
    views, ks = beside(torch, 1 + sources, 0.3)
    blank = torch.full((1 + sources, 1, 90, 160), 0.5)
    planes = ops.inverse_depth_planes(2, 25, 40)
    result = ops.plane_sweep(blank[0], blank[1:], views, ks, planes, cost=cost, paths=paths)
    assert not result.valid.any()
    assert not result.confidence.any()


def test_on_a_blank_wall_only_the_poster_is_valid_in_every_frame(torch, ops):
    views, ks = beside(torch, 5, 0.2)
    wall = torch.full((1, 90, 220), 0.5)
    wall[:, 35:55, 90:120] = torch.rand(1, 20, 30, generator=torch.Generator().manual_seed(0))
    frames = torch.stack([wall[:, :, 10 * t : 10 * t + 160] for t in range(5)])  # depth 3
    video = ops.sweep_video(frames, views, ks, ops.inverse_depth_planes(2, 25, 64))
    for t in range(5):
        assert video.valid[t, 35:55, 90 - 10 * t : 120 - 10 * t].float().mean() > 0.9
        assert video.valid[t, :20].float().mean() < 0.1
    assert torch.isclose(video.depth[video.valid], torch.tensor(3.0), rtol=0.05).all()
    # The rest of its rows has that depth, as a guess.
    assert torch.isclose(video.depth[2, 40:50], torch.tensor(3.0), rtol=0.05).all()


@pytest.mark.parametrize("cost", ["census", "zncc"])
@pytest.mark.parametrize("sources", [1, 2])
@pytest.mark.parametrize("slope", [0, 0.3, 2])
def test_hardly_anything_is_valid_on_a_noisy_ramp_seen_from_one_side(
    torch, ops, cost, sources, slope
):
    # Grey values that change at an even pace, and noise. A quarter was valid once, all wrong.
    views, ks = beside(torch, 1 + sources, 0.3)
    random = np.random.default_rng(0)
    x = np.arange(160) + 9 * np.arange(1 + sources)[:, None, None]  # depth 5
    ramp = 30 + slope * x / 2 + random.normal(0, 1.5, (1 + sources, 90, 160))
    frames = torch.from_numpy(ramp.clip(0, 255).round().astype(np.uint8))[:, None]
    planes = ops.inverse_depth_planes(2, 25, 64)
    result = ops.plane_sweep(frames[0], frames[1:], views, ks, planes, cost=cost)
    assert result.valid.float().mean() < 0.05
    assert result.confidence.quantile(0.5) < 0.25


@pytest.mark.parametrize("cost", ["census", "zncc"])
def test_confidence_is_the_chance_to_be_right(torch, ops, cost):
    images, views, ks, truth = scene((160, 120))
    random = np.random.default_rng(0)
    right, confidence = [], []
    for noise in (0, 6, 12, 25, 50):
        noisy = (images + random.normal(0, noise, images.shape)).clip(0, 255).astype(np.uint8)
        result = sweep(torch, ops, noisy, views, ks, PLANES, cost=cost)
        right.append(np.abs(result.depth.numpy() / truth - 1) < 0.05)
        confidence.append(result.confidence.numpy())
    right, confidence = np.stack(right), np.stack(confidence)
    for level in (0.2, 0.4, 0.6, 0.8):
        assert right[confidence > level].mean() > level
        here = (confidence > level - 0.1) & (confidence < level + 0.1)
        assert abs(right[here].mean() - level) < 0.2


def test_the_same_camera_gives_no_depth(torch, ops):
    images, views, ks, _ = scene((40, 30))
    same = np.stack([images[0]] * 3)
    result = sweep(torch, ops, same, views[[0, 0, 0]], ks[:3], PLANES)
    assert not result.valid.any()
    assert not result.confidence.any()


def test_only_relative_cameras_matter(torch, ops):
    images, views, ks, _ = scene((40, 30))
    world = camera(3.0, -2.0, 1.0, 0.7)
    expected = sweep(torch, ops, images, views, ks, PLANES)
    result = sweep(torch, ops, images, views @ world, ks, PLANES)
    # Another rounding of the maps: a coordinate may fall into another 1/128.
    assert torch.isclose(result.depth, expected.depth, rtol=1e-4).float().mean() > 0.99
    scaled = views.copy()
    scaled[:, :3, 3] *= 7
    result = sweep(torch, ops, images, scaled, ks, 7 * PLANES)
    assert torch.isclose(result.depth, 7 * expected.depth, rtol=1e-4).float().mean() > 0.99


def test_last_rows_may_be_rounded(torch, ops):
    images, views, ks, _ = scene((40, 30))
    expected = sweep(torch, ops, images, views, ks, PLANES)
    views[:, 3] += 1e-6
    result = sweep(torch, ops, images, views, ks, PLANES)
    assert torch.equal(result.depth, expected.depth)


def test_order_of_planes_and_sources(torch, ops):
    images, views, ks, _ = scene((40, 30))
    expected = sweep(torch, ops, images, views, ks, PLANES)
    order = [0, 3, 1, 4, 2]
    result = sweep(torch, ops, images[order], views[order], ks[order], PLANES)
    for a, b in zip(result, expected, strict=True):
        assert torch.equal(a, b)
    # Falling instead of rising: only ties are decided otherwise.
    result = sweep(torch, ops, images, views, ks, PLANES[::-1].copy())
    assert torch.isclose(result.depth, expected.depth, rtol=1e-5).float().mean() > 0.97


def test_sources_behind_or_far_away_are_not_seen(torch, ops):
    images, views, ks, _ = scene((40, 30))
    expected = sweep(torch, ops, images[:3], views[:3], ks[:3], PLANES, keep=1)
    views[3] = camera(turn=np.pi)  # looks the other way
    views[4] = camera(x=1e6)
    result = sweep(torch, ops, images, views, ks, PLANES, keep=1)
    for a, b in zip(result, expected, strict=True):
        assert torch.equal(a, b)
    result = sweep(torch, ops, images[[0, 3, 4]], views[[0, 3, 4]], ks[:3], PLANES)
    assert not result.depth.any()
    assert not result.confidence.any()
    assert not result.valid.any()


def test_strips_bound_the_memory(torch, ops):
    random = np.random.default_rng(0)
    image = random.integers(0, 256, (300, 300)).astype(np.uint8)
    images = np.stack([image, np.roll(image, -3, 1)])
    views = np.stack([camera(), camera(1.0)])
    ks = np.stack([np.array([[30.0, 0, 150], [0, 30, 150], [0, 0, 1]])] * 2)
    planes = 1 / np.linspace(1 / 5, 1 / 30, 24)
    whole = sweep(torch, ops, images, views, ks, planes)
    strips = sweep(torch, ops, images, views, ks, planes, memory_mib=1)  # 64 rows and 64
    # Lines are cut 32 rows away: a few costs change a little. Planes are 7 % apart and more.
    same = torch.isclose(whole.depth, strips.depth, rtol=0.01)
    assert (same | ~whole.valid).float().mean() > 0.998
    assert (whole.valid == strips.valid).float().mean() > 0.99


@pytest.mark.parametrize("size", [(1, 1), (1, 9), (9, 1), (2, 3), (130, 5)])
@pytest.mark.parametrize("cost", ["census", "zncc"])
def test_small_pictures(torch, ops, size, cost):
    images, views, ks, _ = scene(size, offsets=(1, 2))
    for planes in (PLANES[:1], PLANES[:2], PLANES[:3], PLANES):
        ours = sweep(torch, ops, images, views, ks, planes, cost=cost)
        depth, confidence, _ = slow.plane_sweep(images, views, ks, planes, cost=cost)
        assert np.isclose(ours.depth.numpy(), depth, rtol=1e-5).mean() > 0.9
        assert np.isclose(ours.confidence.numpy(), confidence, atol=1e-5).mean() > 0.9


def test_threads_and_instruction_sets_do_not_matter(torch, ops, tmp_path):
    images, views, ks, _ = scene((150, 70))
    before = torch.get_num_threads()
    try:
        results = []
        for threads in (1, 2, 5):
            torch.set_num_threads(threads)
            for cost in ("census", "zncc"):
                results.append(sweep(torch, ops, images, views, ks, PLANES, cost=cost))
    finally:
        torch.set_num_threads(before)
    for i, result in enumerate(results):
        assert all(torch.equal(a, b) for a, b in zip(result, results[i % 2], strict=True))
    np.savez(tmp_path / "in.npz", images=images, views=views, ks=ks, planes=PLANES)
    code = (
        "import sys, numpy as np, torch; from steadyview.ops.stereo import plane_sweep\n"
        "d = np.load(sys.argv[1]); t = {k: torch.from_numpy(d[k]) for k in d}\n"
        "i = t['images'][:, None]\n"
        "out = [x.numpy() for c in ('census', 'zncc') for x in\n"
        "       plane_sweep(i[0], i[1:], t['views'], t['ks'], t['planes'], cost=c)]\n"
        "np.savez(sys.argv[2], *out)"
    )
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "STEADYVIEW_ISA": "baseline"}
    output = tmp_path / "out.npz"
    subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "in.npz"), str(output)], env=env, check=True
    )
    with np.load(output) as theirs:
        ours = [part for result in results[:2] for part in result]
        for i, part in enumerate(ours):
            np.testing.assert_array_equal(part.numpy(), theirs[f"arr_{i}"])


def test_video_takes_neighbours_in_time(torch, ops):
    images, views, ks, _ = scene((40, 30))
    order = [1, 2, 0, 3, 4]  # in time: offsets -2, -1, 0, 1, 2
    frames, views, ks = torch.as_tensor(images[order])[:, None], views[order], ks[order]
    cameras = torch.as_tensor(views), torch.as_tensor(ks)
    planes = torch.as_tensor(PLANES)
    video = ops.sweep_video(frames, *cameras, planes)
    assert video.depth.shape == (5, 30, 40)
    for t, views_of_t in ((2, [2, 0, 1, 3, 4]), (0, [0, 1, 2])):
        alone = ops.plane_sweep(
            frames[t], frames[views_of_t[1:]], *(c[views_of_t] for c in cameras), planes
        )
        assert torch.equal(video.depth[t], alone.depth)
        assert torch.equal(video.valid[t], alone.valid)
    single = ops.sweep_video(frames[:1], *(c[:1] for c in cameras), planes)
    assert not single.valid.any()
    with pytest.raises(ValueError, match="offsets must be different and not 0"):
        ops.sweep_video(frames, *cameras, planes, offsets=(0, 1))
    with pytest.raises(ValueError, match=r"Ks must be \(5, 3, 3\)"):
        ops.sweep_video(frames, cameras[0], cameras[1][:2], planes)


@pytest.mark.needs_cuda
@pytest.mark.parametrize("cost", ["census", "zncc"])
@pytest.mark.parametrize("paths", [0, 8])
def test_cuda_agrees_with_the_cpu(torch, ops, cost, paths):
    images, views, ks, _ = scene((80, 60))
    frames = torch.as_tensor(images)[:, None]
    cameras = torch.as_tensor(views), torch.as_tensor(ks), torch.as_tensor(PLANES)
    results = []
    for device in ("cpu", "cuda"):
        on = frames.to(device)
        results.append(ops.plane_sweep(on[0], on[1:], *cameras, cost=cost, paths=paths))
    for ours, theirs in zip(*results, strict=True):
        assert torch.isclose(ours.float(), theirs.cpu().float(), rtol=1e-4).float().mean() > 0.99
