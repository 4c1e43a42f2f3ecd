"""Motion measured on synthetic clips whose motion is known, and on frames without any."""

import functools
import itertools
import json

import cv2
import numpy as np
import pytest

from steadyview.errors import InputError, OutputError
from steadyview.motion.global_motion import GlobalMotion, MotionEstimator, estimate_motion
from steadyview.motion.lowpass import lowpass_flow, similarity_coefficients

SIZE = (320, 180)
FIELDS = (
    "times",
    "similarity",
    "homography",
    "coefficients",
    "confidence",
    "residual",
)


@functools.cache
def texture(seed: int, size: tuple[int, int] = (500, 340)) -> np.ndarray:
    """A picture with detail at all scales, like a real one."""
    rng = np.random.default_rng(seed)
    picture = np.zeros((size[1], size[0]), np.float32)
    for cell in (3, 6, 12, 24, 48):
        noise = rng.normal(size=(size[1] // cell, size[0] // cell)).astype(np.float32)
        picture += cv2.resize(noise, size, interpolation=cv2.INTER_CUBIC)
    return np.clip(128 + 24 * picture, 0, 255).astype(np.uint8)


def similarity_matrix(angle: float, log_scale: float, tx: float, ty: float) -> np.ndarray:
    a, b = np.exp(log_scale) * np.cos(angle), np.exp(log_scale) * np.sin(angle)
    return np.array([[a, -b, tx], [b, a, ty], [0, 0, 1]])


def look(
    picture: np.ndarray, world_from_frame: np.ndarray, size: tuple[int, int] = SIZE
) -> np.ndarray:
    """The frame that sees the picture through a centred transform, area-sampled at 2x."""
    (w, h), fine = size, 2
    to_centre = np.array([[1 / fine, 0, (0.5 / fine) - w / 2], [0, 1 / fine, 0.5 / fine - h / 2]])
    to_picture = np.array([[1, 0, picture.shape[1] / 2], [0, 1, picture.shape[0] / 2], [0, 0, 1]])
    matrix = to_picture @ world_from_frame @ np.vstack([to_centre, [0, 0, 1]])
    matrix[:2, 2] -= 0.5
    image = cv2.warpPerspective(
        picture, matrix, (w * fine, h * fine), flags=cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP
    )
    return cv2.resize(image, size, interpolation=cv2.INTER_AREA)


def shaky(count: int, seed: int = 0) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    return [
        similarity_matrix(*(rng.normal(size=4) * (0.006, 0.003, 2.5, 2.5))) for _ in range(count)
    ]


def between(poses: list[np.ndarray]) -> np.ndarray:
    pairs = itertools.pairwise(poses)
    return np.array([np.linalg.inv(after) @ before for before, after in pairs])


def measure(frames: list[np.ndarray], size: tuple[int, int] = SIZE, **options) -> GlobalMotion:
    return estimate_motion(((f, i / 30) for i, f in enumerate(frames)), size, **options)


def as_matrices(similarity: np.ndarray) -> np.ndarray:
    return np.array([[[a, -b, tx], [b, a, ty], [0, 0, 1]] for a, b, tx, ty in similarity])


def test_similarity_is_found_to_a_hundredth_of_a_pixel():
    poses = shaky(8)
    picture = texture(1)
    motion = measure([look(picture, pose) for pose in poses])
    error = as_matrices(motion.similarity) - between(poses)
    # 320 pixels wide, noise-free: 0.006 px and 2.4e-5 were the worst seen.
    assert np.abs(error[:, :2, 2]).max() < 0.015
    assert np.abs(error[:, :2, :2]).max() * 160 < 0.015
    assert (motion.confidence > 0.9).all()
    assert motion.shots == (0,)
    homography = motion.homography / motion.homography[:, 2:, 2:]
    assert np.abs(homography - between(poses))[:, :2, 2].max() < 0.03


def test_identical_frames_give_exactly_the_identity():
    frame = look(texture(2), np.eye(3))
    motion = measure([frame, frame.copy(), frame.copy()])
    assert (motion.similarity == (1, 0, 0, 0)).all()
    assert (motion.homography == np.eye(3)).all()
    assert (motion.coefficients == 0).all()
    assert (motion.confidence == 1).all()


def test_motion_file_round_trip_is_exact(tmp_path):
    picture = texture(1)
    motion = measure([look(picture, pose) for pose in shaky(3)])
    path = tmp_path / "motion.json"
    motion.save(path)
    loaded = GlobalMotion.load(path)
    for name in FIELDS:
        np.testing.assert_array_equal(getattr(loaded, name), getattr(motion, name), err_msg=name)
    assert (loaded.frame_size, loaded.shots) == (motion.frame_size, motion.shots)
    assert [p.name for p in tmp_path.iterdir()] == ["motion.json"]


def test_similarity_coefficients_are_the_projection_of_its_flow():
    similarity = np.array([1.01, 0.02, 3.0, -2.0])
    x, y = np.meshgrid(np.arange(640) + 0.5, np.arange(360) + 0.5)
    points = np.stack([x.ravel(), y.ravel()], 1)
    centred = points - (320, 180)
    a, b, tx, ty = similarity
    flow = np.stack([(a - 1) * centred[:, 0] - b * centred[:, 1] + tx,
                     b * centred[:, 0] + (a - 1) * centred[:, 1] + ty], 1)  # fmt: skip
    coefficients = similarity_coefficients(similarity, (640, 360), 5)
    left = (flow - lowpass_flow(coefficients, (640, 360), points)).reshape(360, 640, 2)
    for u in range(5):
        for v in range(5):
            basis = np.cos(np.pi * u * y / 360) * np.cos(np.pi * v * x / 640)
            # The midpoint sum differs from the integral by a part in width^2.
            assert np.abs((left * basis[..., None]).mean((0, 1))).max() < 1e-4


def test_estimator_rejects_bad_frames():
    estimator = MotionEstimator(SIZE)
    with pytest.raises(ValueError, match="luma"):
        estimator.add(np.zeros((10, 10), np.uint8), 0.0)
    with pytest.raises(ValueError, match="luma"):
        estimator.add(np.zeros((180, 320), np.float32), 0.0)
    estimator.add(np.zeros((180, 320), np.uint8), 0.0)
    with pytest.raises(ValueError, match="time"):
        estimator.add(np.zeros((180, 320), np.uint8), 0.0)


def test_bad_motion_files_are_named(tmp_path):
    path = tmp_path / "motion.json"
    picture = texture(1)
    measure([look(picture, pose) for pose in shaky(3)]).save(path)
    good = json.loads(path.read_text())

    def changed(edit) -> str:
        document = json.loads(json.dumps(good))
        edit(document)
        path.write_text(json.dumps(document))
        with pytest.raises(InputError) as caught:
            GlobalMotion.load(path)
        assert str(path) in str(caught.value)
        return str(caught.value)

    assert "steadyview_motion" in changed(lambda d: d.update(steadyview_motion=2))
    assert "frame_size" in changed(lambda d: d.pop("frame_size"))
    assert "frames[1].tx" in changed(lambda d: d["frames"][1].pop("tx"))
    assert "frames[0].a" in changed(lambda d: d["frames"][0].update(a=float("nan")))
    assert "frames[1].coefficients" in changed(lambda d: d["frames"][1]["coefficients"].pop())
    assert "frames[0].homography" in changed(lambda d: d["frames"][0].update(homography="no"))
    assert "frames[1].time" in changed(lambda d: d["frames"][1].update(time=-1))
    assert "confidence" in changed(lambda d: d["frames"][0].update(confidence=2))
    assert "shots" in changed(lambda d: d.update(shots=[1]))
    assert "frames" in changed(lambda d: d.update(frames=[]))
    path.write_text("not json")
    with pytest.raises(InputError, match="motion file"):
        GlobalMotion.load(path)
    with pytest.raises(InputError, match="cannot read"):
        GlobalMotion.load(tmp_path / "missing.json")
    motion = measure([look(picture, np.eye(3))] * 2)
    with pytest.raises(OutputError):
        motion.save(tmp_path / "no" / "motion.json")


def noisy(frames: list[np.ndarray], sigma: float) -> list[np.ndarray]:
    rng = np.random.default_rng(9)
    return [
        np.clip(np.round(f + rng.normal(size=f.shape) * sigma), 0, 255).astype(np.uint8)
        for f in frames
    ]


def test_noise_and_a_moving_object_are_ignored():
    poses, picture, thing = shaky(8, seed=3), texture(1), texture(5)
    frames = noisy([look(picture, pose) for pose in poses], 2)
    for i, frame in enumerate(frames):  # a fifth of the frame, 9 px a frame against the camera's 3
        frame[50:140, 20 + 9 * i : 150 + 9 * i] = thing[:90, :130]
    motion = measure(frames)
    error = as_matrices(motion.similarity) - between(poses)
    assert np.abs(error[:, :2, 2]).max() < 0.1
    assert (motion.confidence > 0.5).all()


def test_sixteen_bit_and_strided_frames_measure_the_same():
    poses, picture = shaky(4), texture(1)
    frames = [look(picture, pose) for pose in poses]
    reference = measure(frames)
    padded = [np.zeros((180, 400), np.uint8) for _ in frames]
    for wide, frame in zip(padded, frames, strict=True):
        wide[:, :320] = frame
    strided = measure([wide[:, :320] for wide in padded])
    np.testing.assert_array_equal(strided.similarity, reference.similarity)
    mirrored = measure([np.ascontiguousarray(f[:, ::-1])[:, ::-1] for f in frames])
    np.testing.assert_array_equal(mirrored.similarity, reference.similarity)
    deep = measure([f.astype(np.uint16) * 4 for f in frames])
    # The levels are rounded differently by a part in a thousand.
    np.testing.assert_allclose(deep.similarity, reference.similarity, atol=2e-3)


def test_cut_is_found_exactly_and_a_flash_is_none():
    poses = shaky(12)
    first = [look(texture(1), pose) for pose in poses]
    second = [look(texture(7), pose) for pose in poses]
    motion = measure(first[:7] + second[7:])
    assert motion.shots == (0, 7)
    assert motion.similarity[6].tolist() == [1, 0, 0, 0]
    assert motion.confidence[6] == 0
    assert not motion.coefficients[6].any()

    flashed = list(first)
    flashed[5] = np.clip(first[5] * 1.7 + 90.0, 0, 255).astype(np.uint8)
    assert measure(flashed).shots == (0,)
    exchanged = list(first)
    exchanged[5] = second[5]  # one foreign frame, like a glitch
    motion = measure(exchanged)
    assert motion.shots == (0,)
    across = as_matrices(motion.similarity[4:6])
    expected = between(poses)[5] @ between(poses)[4]
    # Bridged: the two transitions together are the measured motion, to first order in both.
    assert np.abs((across[1] @ across[0] - expected)[:2, 2]).max() < 0.2


def test_black_frames_are_bridged_and_blank_video_is_still():
    poses = shaky(10)
    frames = [look(texture(1), pose) for pose in poses]
    truth = measure(frames)
    frames[4] = np.full_like(frames[4], 16)
    frames[5] = frames[4].copy()
    motion = measure(frames)
    assert motion.shots == (0,)
    total = motion.similarity[3:6].sum(0)
    np.testing.assert_allclose(total, truth.similarity[3:6].sum(0), atol=0.1)
    np.testing.assert_array_equal(motion.similarity[6:], truth.similarity[6:])

    blank = measure([np.full((180, 320), 30 + i, np.uint8) for i in range(5)])
    assert (blank.similarity == (1, 0, 0, 0)).all()
    assert (blank.confidence == 0).all()
    noise = [np.random.default_rng(i).integers(0, 256, (180, 320), np.uint8) for i in range(5)]
    assert np.isfinite(measure(noise).similarity).all()


@pytest.mark.parametrize("blank_frames", [1, 3, 21])  # shorter and longer than what is bridged
def test_what_follows_a_blank_is_compared_with_what_was_before(blank_frames):
    poses = shaky(12)
    first = [look(texture(1), pose) for pose in poses]
    second = [look(texture(7), pose) for pose in poses]
    blank = [np.full_like(first[0], 16) for _ in range(blank_frames)]
    back = 6 + blank_frames
    motion = measure(first[:6] + blank + second[6:])
    assert motion.shots == (0, back)
    assert motion.similarity[back - 1].tolist() == [1, 0, 0, 0]
    assert motion.confidence[back - 1] == 0
    np.testing.assert_array_equal(motion.similarity[back:], measure(second[6:]).similarity)

    assert measure(first[:6] + blank + first[6:]).shots == (0,)
    moved = [look(texture(1), similarity_matrix(0.02, 0, 15, -8) @ pose) for pose in poses]
    assert measure(first[:6] + blank + moved[6:]).shots == (0,)
    # Blank at the start or the end, and a scene that begins one frame before the blank.
    assert measure(blank + first[:4]).shots == (0,)
    assert measure(first[:4] + blank).shots == (0,)
    alone = measure(first[:6] + second[6:7] + blank + second[6:])
    assert alone.shots == (0, 6)


@pytest.mark.parametrize(
    "size",
    [(1, 1), (2, 30), (16, 16), (33, 47), (400, 20), (20, 400), (480, 1), (4800, 5), (5, 4800)],
)
def test_odd_sizes_work(size):
    rng = np.random.default_rng(0)
    frames = [rng.integers(0, 256, size[::-1], np.uint8) for _ in range(3)]
    motion = measure(frames, size)
    assert motion.similarity.shape == (2, 4)
    assert np.isfinite(motion.coefficients).all()


def test_no_and_one_frame():
    assert measure([]).frames == 0
    motion = measure([np.zeros((180, 320), np.uint8)])
    assert (motion.frames, motion.similarity.shape, motion.shots) == (1, (0, 4), (0,))


def test_another_flow_estimator_is_used():
    class Nothing:
        calls = 0

        def flow(self, previous_luma, luma):
            Nothing.calls += 1
            return None

    step = 6 / 32  # OpenCV 4 warps by multiples of 1/32 px
    poses = [similarity_matrix(0, 0, step * i, 0) for i in range(3)]
    motion = measure([look(texture(1), pose) for pose in poses], flow=Nothing())
    assert Nothing.calls == 2
    np.testing.assert_allclose(motion.similarity[:, 2], -step, atol=0.02)


@pytest.mark.parametrize(
    ("wrong", "got"),
    [
        (lambda h, w: [[0.0, 0.0]], "list"),
        (lambda h, w: np.zeros((2, h, w), np.float32), r"\(2, 180, 320\)"),
        (lambda h, w: np.zeros((h // 2, w, 2), np.float32), r"\(90, 320, 2\)"),
        (lambda h, w: np.zeros((h, w, 2), np.int32), ".* of int32"),
        (lambda h, w: np.full((h, w, 2), np.nan, np.float32), "115200 others"),
    ],
)
def test_wrong_flow_is_named(wrong, got):
    class Faulty:
        def flow(self, previous_luma, luma):
            return wrong(*luma.shape)

    frames = [look(texture(1), pose) for pose in shaky(2)]
    with pytest.raises(ValueError, match=rf"Faulty\.flow must return .*\(180, 320, 2\).*got {got}"):
        measure(frames, flow=Faulty())
