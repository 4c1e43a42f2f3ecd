"""The truth that is written is the truth of what is rendered."""

import tracemalloc
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from steadyview.errors import InputError, OptionError, OutputError
from steadyview.synthetic import SCENES, Layer, Scene, make_clip, truth_of
from steadyview.synthetic.layers import LayeredView
from steadyview.video.reader import open_video

SIZE = (160, 96)


def luma(path: Path) -> np.ndarray:
    with open_video(path) as reader:
        return np.array([np.array(frame.planes[0]) for frame in reader], np.float32)


def warped(image: np.ndarray, output_from_input: np.ndarray) -> np.ndarray:
    """By a homography of uncentred pixels: OpenCV's indices lie half a pixel off."""
    half = np.array([[1, 0, 0.5], [0, 1, 0.5], [0, 0, 1.0]])
    matrix = np.linalg.inv(half) @ output_from_input @ half
    return cv2.warpPerspective(image, matrix, SIZE, flags=cv2.INTER_CUBIC)


def test_the_homographies_take_the_shaky_frames_to_the_steady_ones(tmp_path: Path) -> None:
    clip = make_clip("walk", tmp_path, size=SIZE, seconds=0.5)
    shaky, steady, truth = luma(clip.shaky), luma(clip.steady), truth_of(clip)
    assert len(shaky) == len(steady) == len(truth["times"]) == 15
    inner = (slice(16, -16), slice(24, -24))
    left = [
        np.abs(warped(a, h) - b)[inner].mean()
        for a, b, h in zip(shaky, steady, truth["steady_from_shaky"], strict=True)
    ]
    before = [np.abs(a - b)[inner].mean() for a, b in zip(shaky, steady, strict=True)]
    assert np.mean(before) > 8
    assert np.mean(left) < 2.5  # sampled twice, at a pixel a texel


TWO = (Layer(10.0), Layer(4.0, (-0.4, 0.0), (1.0, 1.0)))
SLANTED = (Layer(10.0), Layer(6.0, (0.3, 0.1), (1.6, 1.2), slope=(1.0, -0.8)))
LEAVES = (Layer(10.0), Layer(5.0, (0.0, 0.0), (1.8, 1.1), cutout=True))


@pytest.mark.parametrize("layers", [TWO, SLANTED, LEAVES])
def test_depth_and_poses_take_one_frame_to_another(
    tmp_path: Path, layers: tuple[Layer, ...]
) -> None:
    """Two layers: each pixel is moved by its own depth."""
    scene = Scene("two", layers, travel=(3.0, 0.0, 1.0))
    clip = make_clip(scene, tmp_path, size=SIZE, seconds=0.5)
    frames, truth = luma(clip.shaky), truth_of(clip)
    a, b = 2, 12
    x, y = np.meshgrid(np.arange(SIZE[0]) + 0.5, np.arange(SIZE[1]) + 0.5)
    depth = truth["depth"][b].astype(np.float64)
    rays = np.linalg.inv(truth["K"]) @ np.stack([x, y, np.ones_like(x)]).reshape(3, -1)
    points = np.vstack([rays * depth.ravel(), np.ones(x.size)])
    other = (truth["shaky_viewmats"][a] @ np.linalg.inv(truth["shaky_viewmats"][b]) @ points)[:3]
    seen = truth["K"] @ other
    at = (seen[:2] / seen[2]).reshape(2, *x.shape).astype(np.float32) - 0.5
    found = cv2.remap(frames[a], at[0], at[1], cv2.INTER_CUBIC)
    inside = (at[0] > 2) & (at[0] < SIZE[0] - 3) & (at[1] > 2) & (at[1] < SIZE[1] - 3)
    # Compared away from the front layer's edges, which hide and uncover.
    there = cv2.remap(truth["depth"][a].astype(np.float32), at[0], at[1], cv2.INTER_NEAREST)
    inside &= np.abs(there - seen[2].reshape(x.shape)) < 0.1
    assert inside.mean() > 0.6
    assert np.median(np.abs(found - frames[b])[inside]) < 3
    assert np.median(np.abs(frames[a] - frames[b])[inside]) > 8


def test_moving_objects_are_marked(tmp_path: Path) -> None:
    clip = make_clip("crowd", tmp_path, size=SIZE, seconds=0.4)
    truth = truth_of(clip)
    moving, depth = truth["moving"], truth["depth"]
    assert moving.shape == depth.shape == (12, SIZE[1], SIZE[0])
    np.testing.assert_array_equal(moving, depth < 7)
    assert 0.05 < moving.mean() < 0.5


@pytest.mark.parametrize("switch", ["rolling_shutter", "blur", "noise"])
def test_switches_change_the_shaky_frames_only_where_they_should(
    tmp_path: Path, switch: str
) -> None:
    plain = replace(SCENES["still_hand"], shake=(3.0, 3.0, 2.0, 0.0))
    changed = replace(plain, **{switch: {"noise": 8.0}.get(switch, 0.8)})
    first = make_clip(plain, tmp_path / "a", size=SIZE, seconds=0.3)
    second = make_clip(changed, tmp_path / "b", size=SIZE, seconds=0.3)
    assert np.abs(luma(first.shaky) - luma(second.shaky)).mean() > 1
    same = np.array_equal(luma(first.steady), luma(second.steady))
    assert same == (switch != "noise")
    np.testing.assert_array_equal(
        truth_of(first)["shaky_viewmats"], truth_of(second)["shaky_viewmats"]
    )


def test_it_is_the_same_every_time(tmp_path: Path) -> None:
    first = make_clip("everything", tmp_path / "a", size=(96, 64), seconds=0.1)
    second = make_clip("everything", tmp_path / "b", size=(96, 64), seconds=0.1)
    np.testing.assert_array_equal(luma(first.shaky), luma(second.shaky))
    assert first.truth.read_bytes() == second.truth.read_bytes()


def test_a_picture_can_be_filmed(tmp_path: Path) -> None:
    picture = np.zeros((300, 500), np.uint8)
    picture[:, 250:] = 200
    cv2.imwrite(str(tmp_path / "halves.png"), picture)
    scene = Scene("halves", (Layer(10.0, picture=tmp_path / "halves.png"),), shake=(0, 0, 0, 0))
    clip = make_clip(scene, tmp_path, size=SIZE, seconds=0.1)
    frame = luma(clip.shaky)[0]
    assert frame[:, :70].max() < 20
    assert frame[:, 90:].min() > 180
    broken = replace(scene, layers=(Layer(10.0, picture=tmp_path / "none.png"),))
    with pytest.raises(InputError, match=r"none\.png"):
        make_clip(broken, tmp_path, size=SIZE)


def test_a_dozen_scenes() -> None:
    assert len(SCENES) >= 12


def colours(path: Path) -> np.ndarray:
    with open_video(path) as reader:
        return reader.to_rgb(next(iter(reader))).astype(int)


def test_scenes_are_coloured_and_one_is_a_photograph(tmp_path: Path) -> None:
    made = colours(make_clip("pan", tmp_path / "a", size=SIZE, seconds=0.1).steady)
    assert np.ptp(made, axis=2).mean() > 8
    photo = colours(make_clip("photograph", tmp_path / "b", size=(320, 180), seconds=0.1).steady)
    sky, hedge = photo[5:15, 150:200].mean((0, 1)), photo[140:, :30].mean((0, 1))
    assert sky[2] > sky[0] > 150  # blue and bright
    assert hedge[1] > hedge[2]


def test_leaves_hide_what_is_behind_them(tmp_path: Path) -> None:
    truth = truth_of(make_clip("garden", tmp_path, size=SIZE, seconds=0.2))
    depth = truth["depth"][0].astype(float)
    for front in (9.0, 6.0, 4.0, 3.0):
        assert (np.abs(depth - front) < 0.2).mean() > 0.01
    ground = depth[-1, 40:60]
    assert ground.max() < 9  # nearer than the horizon
    with pytest.raises(OptionError, match="slope"):
        make_clip(
            Scene("behind", (Layer(10.0), Layer(2.0, size=(2.0, 2.0), slope=(9.0, 0.0)))), tmp_path
        )


@pytest.mark.parametrize(
    "given",
    [
        {"scene": "moon"}, {"size": (161, 96)}, {"size": (8, 8)}, {"size": (64.0, 48.0)},
        {"size": "64x48"}, {"size": (64, 48, 3)}, {"size": None}, {"seconds": 0.0},
        {"seconds": float("nan")}, {"seconds": float("inf")}, {"seconds": "3"},
    ],
)  # fmt: skip
def test_what_cannot_be(tmp_path: Path, given: dict) -> None:
    with pytest.raises(OptionError, match=next(iter(given))):
        make_clip(**{"scene": "pan", "folder": tmp_path, **given})


@pytest.mark.parametrize(
    "given",
    [
        {"frame_rate": 29.97}, {"frame_rate": 0}, {"frame_rate": "30"}, {"noise": -1.0},
        {"noise": float("nan")}, {"brightness": -1.0}, {"blur": -0.1}, {"rolling_shutter": "1"},
        {"seed": -1},
    ],
)  # fmt: skip
def test_scenes_that_cannot_be(tmp_path: Path, given: dict) -> None:
    with pytest.raises(OptionError, match=f"^{next(iter(given))} must be"):
        make_clip(Scene("none", **given), tmp_path, size=SIZE, seconds=0.1)


@pytest.mark.parametrize("name", ["shaky.mkv", "steady.mkv"])
def test_others_videos_are_not_written_over(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"a holiday")
    with pytest.raises(OutputError, match=f"{name}: exists"):
        make_clip("pan", tmp_path, size=SIZE, seconds=0.1)
    assert [f.name for f in tmp_path.iterdir()] == [name]
    assert (tmp_path / name).read_bytes() == b"a holiday"


def test_leaves_of_a_few_pixels(tmp_path: Path) -> None:
    """Smaller than the coarsest pattern of their holes."""
    scene = Scene("tiny", (Layer(10.0), Layer(5.0, size=(0.5, 0.5), cutout=True)))
    truth = truth_of(make_clip(scene, tmp_path, size=(28, 16), seconds=0.1))
    assert truth["depth"].shape == (3, 16, 28)
    assert np.isfinite(truth["depth"]).all()


def test_truth_is_there_only_when_all_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A clip that is made again and fails halfway is not taken for a whole one."""
    make_clip("crowd", tmp_path, size=SIZE, seconds=0.1)
    assert sorted(f.name for f in tmp_path.iterdir()) == ["shaky.mkv", "steady.mkv", "truth.npz"]
    render, left = LayeredView.picture, [3 + 2]

    def breaks(*given: object) -> np.ndarray:
        left[0] -= 1
        if left[0] < 0:
            raise OSError(28, "No space left on device")
        return render(*given)

    monkeypatch.setattr(LayeredView, "picture", breaks)
    with pytest.raises(OutputError, match=r"cannot be written .*No space left"):
        make_clip("crowd", tmp_path, size=SIZE, seconds=0.1)
    assert not [f.name for f in tmp_path.iterdir() if "truth" in f.name]
    monkeypatch.undo()
    make_clip("crowd", tmp_path, size=SIZE, seconds=0.1)  # what it left is written over
    assert sorted(f.name for f in tmp_path.iterdir()) == ["shaky.mkv", "steady.mkv", "truth.npz"]
    with pytest.raises(OutputError, match="cannot be written"):
        make_clip("crowd", tmp_path / "shaky.mkv" / "below", size=SIZE, seconds=0.1)


def test_memory_does_not_grow_with_the_clip(tmp_path: Path) -> None:
    peaks = []
    for frames in (4, 64):
        tracemalloc.start()
        make_clip("still_hand", tmp_path, size=SIZE, seconds=frames / 30)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    frame = SIZE[0] * SIZE[1] * 4  # depth as it is rendered
    assert peaks[1] - peaks[0] < 10 * frame


def test_what_is_there_is_kept_only_if_it_is_whole_and_the_same(tmp_path: Path) -> None:
    def make(scene: Scene | str = "pan", seconds: float = 0.1) -> int:
        clip = make_clip(scene, tmp_path / "c", size=(64, 48), seconds=seconds, reuse=True)
        return clip.shaky.stat().st_mtime_ns, clip.truth.stat().st_mtime_ns

    first = make()
    assert make() == first
    for spoil in (
        lambda folder: (folder / "truth.npz").write_bytes(b"PK half an archive"),
        lambda folder: np.savez(folder / "truth.npz", K=np.eye(3)),  # of an older version
        lambda folder: (folder / "shaky.mkv").unlink(),
        lambda folder: (folder / "shaky.mkv").write_bytes(b"short"),
        lambda folder: (folder / "steady.mkv").unlink(),
    ):
        before = make()
        spoil(tmp_path / "c")
        again = make()
        assert again[1] != before[1]
        assert make() == again
    assert make(seconds=0.2) != again
    assert make(replace(SCENES["pan"], seed=99), 0.2) != make("pan", 0.2)


def test_a_changed_picture_is_another_clip(tmp_path: Path) -> None:
    path = tmp_path / "wall.png"
    scene = Scene("wall", (Layer(10.0, picture=path),))
    found = []
    for value in (40, 200):
        cv2.imwrite(str(path), np.full((60, 100), value, np.uint8))
        clip = make_clip(scene, tmp_path / "c", size=(64, 48), seconds=0.1, reuse=True)
        found.append(luma(clip.steady).mean())
    assert found[1] - found[0] > 100


def test_a_scene_is_of_one_kind(tmp_path: Path) -> None:
    both = Scene("both", (Layer(10.0),), panorama=__file__)
    with pytest.raises(OptionError, match="only one of them"):
        make_clip(both, tmp_path)
