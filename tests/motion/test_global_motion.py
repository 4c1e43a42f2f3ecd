"""Motion measured on synthetic clips whose motion is known, and on frames without any."""

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


def texture(seed: int, size: tuple[int, int] = (1200, 900)) -> np.ndarray:
    """A picture with detail at all scales, like a real one."""
    rng = np.random.default_rng(seed)
    picture = np.zeros((size[1], size[0]), np.float32)
    for sigma in (2, 4, 8, 16, 32):
        noise = cv2.GaussianBlur(rng.normal(size=picture.shape).astype(np.float32), (0, 0), sigma)
        picture += noise / noise.std()
    return np.clip(128 + 22 * picture, 0, 255).astype(np.uint8)


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
