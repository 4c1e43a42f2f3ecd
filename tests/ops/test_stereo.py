import os
import subprocess
import sys

import numpy as np
import pytest
from tests.reference import plane_sweep as slow

pytestmark = pytest.mark.needs_torch


@pytest.fixture
def stereo(torch):
    from steadyview.ops import stereo

    return stereo


def noise(points, seed):
    """A smooth random texture of world points (..., 2): waves up to 0.9 cycles a unit."""
    random = np.random.default_rng(seed)
    value = np.zeros(points.shape[:-1])
    for _ in range(40):
        wave = random.uniform(-1, 1, 2) * 2 * np.pi * 0.9
        value += np.sin(points @ wave + random.uniform(0, 2 * np.pi))
    return value


def camera(x=0.0, y=0.0, z=0.0, turn=0.0):
    """World to camera of a camera at (x, y, z), turned about the vertical (radians)."""
    view = np.eye(4)
    view[:3, :3] = [[np.cos(turn), 0, -np.sin(turn)], [0, 1, 0], [np.sin(turn), 0, np.cos(turn)]]
    view[:3, 3] = -view[:3, :3] @ (x, y, z)
    return view


def render(view, k, size, box=(-1.0, 0.5, -0.8, 0.7), near=4.0, far=8.0, slope=0.15):
    """A textured rectangle at z = near before a slanted wall: grey picture, exact depth along z."""
    width, height = size
    y, x = np.mgrid[:height, :width] + 0.5
    rays = np.stack((x, y, np.ones_like(x)), -1) @ np.linalg.inv(k).T @ view[:3, :3]
    centre = -view[:3, :3].T @ view[:3, 3]
    # Wall: z = far + slope * x; rectangle: z = near.
    wall = (far + slope * centre[0] - centre[2]) / (rays[..., 2] - slope * rays[..., 0])
    front = (near - centre[2]) / rays[..., 2]
    at_wall, at_front = (centre + rays * t[..., None] for t in (wall, front))
    inside = (at_front[..., 0] > box[0]) & (at_front[..., 0] < box[1])
    inside &= (at_front[..., 1] > box[2]) & (at_front[..., 1] < box[3])
    value = np.where(inside, noise(1.6 * at_front[..., :2], 1), noise(at_wall[..., :2], 2))
    point = np.where(inside[..., None], at_front, at_wall)
    depth = point @ view[2, :3] + view[2, 3]
    return np.clip(128 + 22 * value, 0, 255).astype(np.uint8), depth


def scene(size=(64, 48), offsets=(-2, -1, 1, 2), baseline=0.25, focal=1.1):
    """Pictures (1 + S, H, W), cameras and the reference's exact depth. Cameras also turn."""
    k = np.array([[focal * size[0], 0, size[0] / 2], [0, focal * size[0], size[1] / 2], [0, 0, 1]])
    views = [camera()]
    views += [camera(baseline * o, 0.03 * o, 0.05 * o, 0.01 * o) for o in offsets]
    rendered = [render(view, k, size) for view in views]
    images = np.stack([image for image, _ in rendered])
    return images, np.stack(views), np.stack([k] * len(views)), rendered[0][1]


def sweep(torch, stereo, images, views, ks, depths, **options):
    images = torch.as_tensor(images)[:, None]
    cameras = torch.as_tensor(views), torch.as_tensor(ks)
    depths = torch.as_tensor(np.asarray(depths))
    return stereo.plane_sweep(images[0], images[1:], *cameras, depths, **options)


PLANES = 1 / np.linspace(1 / 3, 1 / 12, 32)


@pytest.mark.parametrize("cost", ["census", "zncc"])
@pytest.mark.parametrize("paths", [0, 4, 8])
def test_matches_the_reference(torch, stereo, cost, paths):
    images, views, ks, _ = scene((27, 19))
    planes = PLANES[::2]
    options = {"cost": cost, "paths": paths, "step_penalty": 5, "jump_penalty": 41}
    ours = sweep(torch, stereo, images, views, ks, planes, keep=2, **options)
    depth, confidence, valid = slow.plane_sweep(images, views, ks, planes, keep=2, **options)
    # A coordinate in float32 may round to another 1/128 or grey value: a bit of a few windows.
    close = np.isclose(ours.depth.numpy(), depth, rtol=1e-5)
    assert close.mean() > 0.98
    assert np.isclose(ours.confidence.numpy(), confidence, atol=1e-5).mean() > 0.98
    assert (ours.valid.numpy() == valid).mean() > 0.98


@pytest.mark.parametrize("cost", ["census", "zncc"])
def test_matches_the_reference_exactly_at_whole_pixels(torch, stereo, cost):
    # Shifts by whole pixels: nothing is interpolated, so nothing is rounded.
    random = np.random.default_rng(3)
    image = random.integers(0, 256, (17, 33)).astype(np.uint8)
    image[:, 20:] //= 16  # and a part with few grey levels
    images = np.stack([image, np.roll(image, -4, 1), np.roll(image, 8, 1)])
    ks = np.stack([np.array([[20.0, 0, 16], [0, 20, 8], [0, 0, 1]])] * 3)
    views = np.stack([camera(), camera(1.0), camera(-2.0)])
    planes = 20 / np.array([12.0, 10, 8, 6, 5, 4, 3, 2, 1])
    for keep in (1, 2):
        ours = sweep(torch, stereo, images, views, ks, planes, keep=keep, cost=cost)
        theirs = slow.plane_sweep(images, views, ks, planes, keep=keep, cost=cost)
        np.testing.assert_allclose(ours.depth.numpy(), theirs[0], rtol=1e-6)
        np.testing.assert_allclose(ours.confidence.numpy(), theirs[1], atol=1e-5)
        np.testing.assert_array_equal(ours.valid.numpy(), theirs[2])
    assert torch.isclose(ours.depth[4:-4, 8:18], torch.tensor(5.0), rtol=0.1).all()  # plane 4


@pytest.mark.parametrize("cost", ["census", "zncc"])
def test_depth_of_a_rendered_scene(torch, stereo, cost):
    images, views, ks, truth = scene((160, 120))
    result = sweep(torch, stereo, images, views, ks, 1 / np.linspace(1 / 3, 1 / 12, 64), cost=cost)
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


def test_best_half_of_the_sources_stands_occlusion(torch, stereo):
    images, views, ks, truth = scene((160, 120), baseline=0.4)
    wrong = []
    for keep in (2, 4):
        result = sweep(torch, stereo, images, views, ks, PLANES, keep=keep)
        wrong.append((np.abs(result.depth.numpy() / truth - 1) > 0.1).mean())
    assert wrong[0] < wrong[1]


def test_refinement_beats_the_planes(torch, stereo):
    images, views, ks, truth = scene((160, 120))
    planes = PLANES[::2]
    result = sweep(torch, stereo, images, views, ks, planes)
    valid = result.valid.numpy()
    depth, truth = result.depth.numpy()[valid], truth[valid]
    nearest = planes[np.abs(1 / depth[..., None] - 1 / planes).argmin(-1)]
    refined, coarse = (np.median(np.abs(1 / d - 1 / truth)) for d in (depth, nearest))
    assert refined < 0.75 * coarse


def test_exposure_does_not_matter_to_census(torch, stereo):
    images, views, ks, _ = scene((64, 48))
    expected = sweep(torch, stereo, images // 2 * 2, views, ks, PLANES)
    images[1:] = images[1:] // 2 * 2
    images[0] = images[0] // 2 + 30  # monotonic: the same census, up to what SGM sees of edges
    result = sweep(torch, stereo, images, views, ks, PLANES, paths=0)
    plain = sweep(torch, stereo, images // 2 * 2, views, ks, PLANES, paths=0)
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
def test_nothing_is_valid_in_a_blank_picture_seen_from_one_side(
    torch, stereo, cost, paths, sources
):
    views, ks = beside(torch, 1 + sources, 0.3)
    blank = torch.full((1 + sources, 1, 90, 160), 0.5)
    planes = stereo.inverse_depth_planes(2, 25, 40)
    result = stereo.plane_sweep(blank[0], blank[1:], views, ks, planes, cost=cost, paths=paths)
    assert not result.valid.any()
    assert not result.confidence.any()


def test_on_a_blank_wall_only_the_poster_is_valid_in_every_frame(torch, stereo):
    views, ks = beside(torch, 5, 0.2)
    wall = torch.full((1, 90, 220), 0.5)
    wall[:, 35:55, 90:120] = torch.rand(1, 20, 30, generator=torch.Generator().manual_seed(0))
    frames = torch.stack([wall[:, :, 10 * t : 10 * t + 160] for t in range(5)])  # depth 3
    video = stereo.sweep_video(frames, views, ks, stereo.inverse_depth_planes(2, 25, 64))
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
    torch, stereo, cost, sources, slope
):
    # Grey values that change at an even pace, and noise. A quarter was valid once, all wrong.
    views, ks = beside(torch, 1 + sources, 0.3)
    random = np.random.default_rng(0)
    x = np.arange(160) + 9 * np.arange(1 + sources)[:, None, None]  # depth 5
    ramp = 30 + slope * x / 2 + random.normal(0, 1.5, (1 + sources, 90, 160))
    frames = torch.from_numpy(ramp.clip(0, 255).round().astype(np.uint8))[:, None]
    planes = stereo.inverse_depth_planes(2, 25, 64)
    result = stereo.plane_sweep(frames[0], frames[1:], views, ks, planes, cost=cost)
    assert result.valid.float().mean() < 0.05
    assert result.confidence.quantile(0.5) < 0.25


@pytest.mark.parametrize("cost", ["census", "zncc"])
def test_confidence_is_the_chance_to_be_right(torch, stereo, cost):
    images, views, ks, truth = scene((160, 120))
    random = np.random.default_rng(0)
    right, confidence = [], []
    for noise in (0, 6, 12, 25, 50):
        noisy = (images + random.normal(0, noise, images.shape)).clip(0, 255).astype(np.uint8)
        result = sweep(torch, stereo, noisy, views, ks, PLANES, cost=cost)
        right.append(np.abs(result.depth.numpy() / truth - 1) < 0.05)
        confidence.append(result.confidence.numpy())
    right, confidence = np.stack(right), np.stack(confidence)
    for level in (0.2, 0.4, 0.6, 0.8):
        assert right[confidence > level].mean() > level
        here = (confidence > level - 0.1) & (confidence < level + 0.1)
        assert abs(right[here].mean() - level) < 0.2


def test_the_same_camera_gives_no_depth(torch, stereo):
    images, views, ks, _ = scene((40, 30))
    same = np.stack([images[0]] * 3)
    result = sweep(torch, stereo, same, views[[0, 0, 0]], ks[:3], PLANES)
    assert not result.valid.any()
    assert not result.confidence.any()


def test_only_relative_cameras_matter(torch, stereo):
    images, views, ks, _ = scene((40, 30))
    world = camera(3.0, -2.0, 1.0, 0.7)
    expected = sweep(torch, stereo, images, views, ks, PLANES)
    result = sweep(torch, stereo, images, views @ world, ks, PLANES)
    # Another rounding of the maps: a coordinate may fall into another 1/128.
    assert torch.isclose(result.depth, expected.depth, rtol=1e-4).float().mean() > 0.99
    scaled = views.copy()
    scaled[:, :3, 3] *= 7
    result = sweep(torch, stereo, images, scaled, ks, 7 * PLANES)
    assert torch.isclose(result.depth, 7 * expected.depth, rtol=1e-4).float().mean() > 0.99


def test_last_rows_may_be_rounded(torch, stereo):
    images, views, ks, _ = scene((40, 30))
    expected = sweep(torch, stereo, images, views, ks, PLANES)
    views[:, 3] += 1e-6
    result = sweep(torch, stereo, images, views, ks, PLANES)
    assert torch.equal(result.depth, expected.depth)


def test_order_of_planes_and_sources(torch, stereo):
    images, views, ks, _ = scene((40, 30))
    expected = sweep(torch, stereo, images, views, ks, PLANES)
    order = [0, 3, 1, 4, 2]
    result = sweep(torch, stereo, images[order], views[order], ks[order], PLANES)
    for a, b in zip(result, expected, strict=True):
        assert torch.equal(a, b)
    # Falling instead of rising: only ties are decided otherwise.
    result = sweep(torch, stereo, images, views, ks, PLANES[::-1].copy())
    assert torch.isclose(result.depth, expected.depth, rtol=1e-5).float().mean() > 0.97


def test_sources_behind_or_far_away_are_not_seen(torch, stereo):
    images, views, ks, _ = scene((40, 30))
    expected = sweep(torch, stereo, images[:3], views[:3], ks[:3], PLANES, keep=1)
    views[3] = camera(turn=np.pi)  # looks the other way
    views[4] = camera(x=1e6)
    result = sweep(torch, stereo, images, views, ks, PLANES, keep=1)
    for a, b in zip(result, expected, strict=True):
        assert torch.equal(a, b)
    result = sweep(torch, stereo, images[[0, 3, 4]], views[[0, 3, 4]], ks[:3], PLANES)
    assert not result.depth.any()
    assert not result.confidence.any()
    assert not result.valid.any()


def test_strips_bound_the_memory(torch, stereo):
    random = np.random.default_rng(0)
    image = random.integers(0, 256, (300, 300)).astype(np.uint8)
    images = np.stack([image, np.roll(image, -3, 1)])
    views = np.stack([camera(), camera(1.0)])
    ks = np.stack([np.array([[30.0, 0, 150], [0, 30, 150], [0, 0, 1]])] * 2)
    planes = 1 / np.linspace(1 / 5, 1 / 30, 24)
    whole = sweep(torch, stereo, images, views, ks, planes)
    strips = sweep(torch, stereo, images, views, ks, planes, memory_mib=1)  # 64 rows and 64
    # Lines are cut 32 rows away: a few costs change a little. Planes are 7 % apart and more.
    same = torch.isclose(whole.depth, strips.depth, rtol=0.01)
    assert (same | ~whole.valid).float().mean() > 0.998
    assert (whole.valid == strips.valid).float().mean() > 0.99


@pytest.mark.parametrize("size", [(1, 1), (1, 9), (9, 1), (2, 3), (130, 5)])
@pytest.mark.parametrize("cost", ["census", "zncc"])
def test_small_pictures(torch, stereo, size, cost):
    images, views, ks, _ = scene(size, offsets=(1, 2))
    for planes in (PLANES[:1], PLANES[:2], PLANES[:3], PLANES):
        ours = sweep(torch, stereo, images, views, ks, planes, cost=cost)
        depth, confidence, _ = slow.plane_sweep(images, views, ks, planes, cost=cost)
        assert np.isclose(ours.depth.numpy(), depth, rtol=1e-5).mean() > 0.9
        assert np.isclose(ours.confidence.numpy(), confidence, atol=1e-5).mean() > 0.9


def test_batches_types_and_layouts(torch, stereo):
    images, views, ks, _ = scene((40, 30))
    other = images[:, ::-1].copy()
    batch = torch.as_tensor(np.stack((images, other)))[:, :, None]
    cameras = [torch.as_tensor(np.stack((x, x))) for x in (views, ks)]
    planes = torch.as_tensor(PLANES)
    both = stereo.plane_sweep(batch[:, 0], batch[:, 1:], *cameras, planes)
    for n, one in enumerate((images, other)):
        alone = sweep(torch, stereo, one, views, ks, PLANES)
        for a, b in zip(both, alone, strict=True):
            assert torch.equal(a[n], b)
    floats = (batch.double() / 255).to(torch.float32).expand(-1, -1, 3, -1, -1)
    for dtype in (torch.float32, torch.float64):
        coloured = floats.to(dtype)
        result = stereo.plane_sweep(coloured[:, 0], coloured[:, 1:], *cameras, planes)
        assert torch.equal(result.depth, both.depth)
    swapped = batch.transpose(3, 4).contiguous().transpose(3, 4)
    result = stereo.plane_sweep(swapped[:, 0], swapped[:, 1:], *cameras, planes)
    assert torch.equal(result.depth, both.depth)
    empty = stereo.plane_sweep(batch[:0, 0], batch[:0, 1:], *(c[:0] for c in cameras), planes)
    assert empty.depth.shape == (0, 30, 40)


def test_threads_and_instruction_sets_do_not_matter(torch, stereo, tmp_path):
    images, views, ks, _ = scene((150, 70))
    before = torch.get_num_threads()
    try:
        results = []
        for threads in (1, 2, 5):
            torch.set_num_threads(threads)
            for cost in ("census", "zncc"):
                results.append(sweep(torch, stereo, images, views, ks, PLANES, cost=cost))
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


def test_video_takes_neighbours_in_time(torch, stereo):
    images, views, ks, _ = scene((40, 30))
    order = [1, 2, 0, 3, 4]  # in time: offsets -2, -1, 0, 1, 2
    frames, views, ks = torch.as_tensor(images[order])[:, None], views[order], ks[order]
    cameras = torch.as_tensor(views), torch.as_tensor(ks)
    planes = torch.as_tensor(PLANES)
    video = stereo.sweep_video(frames, *cameras, planes)
    assert video.depth.shape == (5, 30, 40)
    for t, views_of_t in ((2, [2, 0, 1, 3, 4]), (0, [0, 1, 2])):
        alone = stereo.plane_sweep(
            frames[t], frames[views_of_t[1:]], *(c[views_of_t] for c in cameras), planes
        )
        assert torch.equal(video.depth[t], alone.depth)
        assert torch.equal(video.valid[t], alone.valid)
    single = stereo.sweep_video(frames[:1], *(c[:1] for c in cameras), planes)
    assert not single.valid.any()
    with pytest.raises(ValueError, match="offsets must be different and not 0"):
        stereo.sweep_video(frames, *cameras, planes, offsets=(0, 1))
    with pytest.raises(ValueError, match=r"Ks must be \(5, 3, 3\)"):
        stereo.sweep_video(frames, cameras[0], cameras[1][:2], planes)


def test_opcheck_and_compile(torch, stereo):
    images, views, ks, _ = scene((20, 12), offsets=(-1, 1))
    images = torch.as_tensor(images)[None, :, None]
    arguments = (
        images[:, 0], images[:, 1:], torch.as_tensor(views)[None], torch.as_tensor(ks)[None],
        torch.as_tensor(PLANES)[None], 0, 1, 8, 8, 60, 0.02, 1 << 24,
    )  # fmt: skip
    torch.library.opcheck(torch.ops.steadyview.plane_sweep, arguments)

    def depth(reference, sources):
        return stereo.plane_sweep(reference, sources, *arguments[2:5]).depth * 2

    compiled = torch.compile(depth, fullgraph=True, backend="aot_eager")
    assert torch.equal(compiled(*arguments[:2]), depth(*arguments[:2]))


def test_docstring_example(torch, stereo):
    import doctest

    failed, tried = doctest.testmod(stereo, extraglobs={"torch": torch})
    assert (failed, tried) == (0, 8)


def test_planes(torch, stereo):
    planes = stereo.inverse_depth_planes(1, 4, 4)
    torch.testing.assert_close(1 / planes, torch.tensor([1, 0.75, 0.5, 0.25], dtype=torch.float64))
    for bad in ((0, 1), (2, 1), (-1, 1), (1, float("inf")), (1, float("nan"))):
        with pytest.raises(ValueError, match="near and far must be"):
            stereo.inverse_depth_planes(*bad)
    with pytest.raises(ValueError, match="count must be at least 2"):
        stereo.inverse_depth_planes(1, 2, 1)


def test_bad_arguments_name_themselves(torch, stereo):
    images, views, ks, _ = scene((20, 12), offsets=(-1, 1))
    frames = torch.as_tensor(images)[:, None]
    good = {
        "reference": frames[0], "sources": frames[1:], "viewmats": torch.as_tensor(views),
        "Ks": torch.as_tensor(ks), "depths": torch.as_tensor(PLANES),
    }  # fmt: skip

    def fails(match, **changes):
        with pytest.raises(ValueError, match=match):
            stereo.plane_sweep(**{**good, **changes})

    def changed(name, index, value):
        copy = good[name].clone()
        copy[index] = value
        return {name: copy}

    floats = frames.float() / 255
    broken = floats.clone()
    broken[0, 0, 3, 4] = torch.nan
    fails("reference must be finite", reference=broken[0], sources=floats[1:])
    fails(r"reference must be .* in \[0, 1\]", reference=255 * floats[0], sources=255 * floats[1:])
    fails(r"sources must be .* in \[0, 1\]", reference=floats[0], sources=floats[1:] - 1)
    broken[2, 0, 3, 4] = torch.inf
    fails("sources must be finite", reference=floats[0], sources=broken[1:])
    fails("sources must be .*Byte.* got Float", sources=floats[1:])
    fails("reference must be uint8 or floating", reference=frames[0].int())
    fails("reference must have 1 or 3 channels", reference=frames[0].expand(2, -1, -1))
    fails("reference must be", reference=frames[0, 0])
    fails("reference must have pixels", reference=frames[0, :, :0], sources=frames[1:, :, :0])
    fails("sources must be", sources=frames[1:, :, :5])
    fails("sources must be", sources=frames[1])
    fails("sources must be 1 to 64 pictures, got 0", sources=frames[1:1])
    fails("viewmats must be", viewmats=good["viewmats"][:2])
    fails("Ks must be", Ks=good["Ks"][:, :2])
    for change in (
        changed("viewmats", (1, 0, 0), torch.nan),
        changed("viewmats", (1, 0, slice(None, 3)), 0),
        changed("viewmats", (0, slice(None, 3), 2), 0),
        changed("viewmats", (2, 3, 3), 2),
        changed("Ks", (0, 0, 0), 0),
        changed("Ks", (2, 1), 0),
        changed("Ks", (1, 0, 2), torch.inf),
    ):
        fails("viewmats and Ks must be finite and invertible", **change)
    for value in (0, -1, torch.inf, torch.nan):
        fails("depths must be positive and finite", **changed("depths", 5, value))
    fails("depths must rise or fall", **changed("depths", 5, 100.0))
    fails("depths must", depths=torch.tensor([2.0, 2.0]))
    fails("depths must be 1 to 1024 planes", depths=good["depths"][:0])
    fails("depths must be", depths=good["depths"][None, None])
    fails("cost must be one of census, zncc", cost="ssd")
    fails("keep must be 1 to 16", keep=0)
    fails("paths must be 0, 4 or 8", paths=5)
    fails("step_penalty must be 0 to 180", step_penalty=-1)
    fails("jump_penalty must be 32 to 180", jump_penalty=3)
    fails("least_confidence must be at least 0", least_confidence=-1.0)
    fails("memory_mib must be at least 1", memory_mib=0)


def test_arguments_must_be_tensors_of_real_numbers(torch, stereo):
    images, views, ks, _ = scene((20, 12), offsets=(-1, 1))
    pictures = torch.as_tensor(images)[:, None]
    good = {
        "reference": pictures[0], "sources": pictures[1:], "viewmats": torch.as_tensor(views),
        "Ks": torch.as_tensor(ks), "depths": torch.as_tensor(PLANES),
    }  # fmt: skip
    for name, value in good.items():
        with pytest.raises(TypeError, match=f"{name} must be a torch.Tensor, got ndarray"):
            stereo.plane_sweep(**{**good, name: value.numpy()})
    with pytest.raises(TypeError, match=r"frames must be a torch.Tensor"):
        stereo.sweep_video(images, good["viewmats"], good["Ks"], good["depths"])
    with pytest.raises(ValueError, match=r"reference must be real, got torch.complex64"):
        stereo.plane_sweep(**{**good, "reference": pictures[0] * (1 + 0j)})


def test_results_do_not_ask_for_gradients(torch, stereo):
    images, views, ks, _ = scene((20, 12), offsets=(-1, 1))
    pictures, *cameras = (
        torch.as_tensor(x).float().requires_grad_() for x in (images[:, None] / 255, views, ks)
    )
    result = stereo.plane_sweep(pictures[0], pictures[1:], *cameras, torch.as_tensor(PLANES))
    assert not any(part.requires_grad for part in result)


@pytest.mark.parametrize("count", [0, 1])
def test_a_clip_without_neighbours_is_checked(torch, stereo, count):
    images, views, ks, _ = scene((20, 12), offsets=(-1, 1))
    clip = [torch.as_tensor(x)[:count] for x in (images[:, None], views, ks)]
    planes = torch.as_tensor(PLANES)
    assert not stereo.sweep_video(*clip, planes).valid.any()
    with pytest.raises(TypeError, match="foo"):
        stereo.sweep_video(*clip, planes, foo=1)
    with pytest.raises(ValueError, match="paths must be 0, 4 or 8"):
        stereo.sweep_video(*clip, planes, paths=3)
    with pytest.raises(ValueError, match="depths must be"):
        stereo.sweep_video(*clip, planes[None, None])


@pytest.mark.needs_cuda
@pytest.mark.parametrize("cost", ["census", "zncc"])
@pytest.mark.parametrize("paths", [0, 8])
def test_cuda_agrees_with_the_cpu(torch, stereo, cost, paths):
    images, views, ks, _ = scene((80, 60))
    frames = torch.as_tensor(images)[:, None]
    cameras = torch.as_tensor(views), torch.as_tensor(ks), torch.as_tensor(PLANES)
    results = []
    for device in ("cpu", "cuda"):
        on = frames.to(device)
        results.append(stereo.plane_sweep(on[0], on[1:], *cameras, cost=cost, paths=paths))
    for ours, theirs in zip(*results, strict=True):
        assert torch.isclose(ours.float(), theirs.cpu().float(), rtol=1e-4).float().mean() > 0.99
