"""Which frames and pixels DOVER's views hold."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from reference.networks import TinyDover, TinyI3d, save_script  # noqa: E402
from steadyview.errors import InputError  # noqa: E402
from steadyview.models.dover import (  # noqa: E402
    Dover,
    aesthetic_frames,
    fragments,
    technical_frames,
)
from steadyview.models.video_features import VideoFeatures  # noqa: E402


@pytest.mark.parametrize("count", [1, 7, 60, 300])
def test_frames_of_both_views(count):
    technical = technical_frames(count, np.random.default_rng(0))
    aesthetic = aesthetic_frames(count, np.random.default_rng(0))
    assert technical.shape == (3, 32)
    assert aesthetic.shape == (32,)
    assert min(technical.min(), aesthetic.min()) >= 0
    assert max(technical.max(), aesthetic.max()) < count
    if count == 300:
        assert (np.diff(technical, axis=1) == 2).all()
        assert (technical // 100 == [[0], [1], [2]]).all()
        assert (aesthetic // 9 == np.arange(32)).all()


def test_fragments_are_patches_of_their_cells():
    y, x = np.mgrid[:350, :700]
    frame = np.stack([y // 50, x // 100, (y + x) % 256], -1).astype(np.uint8)  # cells of 50 x 100
    picture = fragments(frame, np.random.default_rng(0).random((7, 7, 2)))
    rows, columns = np.mgrid[:224, :224] // 32
    np.testing.assert_array_equal(picture[..., 0], rows)
    np.testing.assert_array_equal(picture[..., 1], columns)
    steps = picture[:31, 1:32, 2].astype(int) - picture[:31, :31, 2]
    assert ((steps == 1) | (steps == -255)).all()  # pixels as they are
    assert fragments(frame[:100, :150], np.zeros((7, 7, 2))).shape == (224, 224, 3)


def test_scores_are_fused_as_published(tmp_path):
    save_script(TinyDover(), tmp_path / "dover.pt")
    dover = Dover(tmp_path / "dover.pt")
    frames = [np.full((240, 320, 3), 120, np.uint8)] * 40
    score = dover(iter(frames), 40)
    mean, deviation = np.array([123.675, 116.28, 103.53]), np.array([58.395, 57.12, 57.375])
    raw = float(((120 - mean) / deviation).mean()) / 100
    a, t = (raw + 0.08285) / 0.03774, (raw - 0.1107) / 0.07355
    wanted = [1 / (1 + np.exp(-value)) for value in (t, a, 0.6104 * t + 0.3896 * a)]
    assert [score.technical, score.aesthetic, score.overall] == pytest.approx(wanted, rel=1e-4)
    assert dover(iter(frames), 40) == score


def test_other_modules_are_refused(tmp_path):
    save_script(TinyI3d(), tmp_path / "i3d.pt")
    frames = [np.zeros((240, 320, 3), np.uint8)] * 2
    with pytest.raises(InputError, match=r"i3d\.pt: must be called with"):
        Dover(tmp_path / "i3d.pt")(iter(frames), 2)
    save_script(TinyDover(), tmp_path / "dover.pt")
    with pytest.raises(InputError, match=r"dover\.pt: must take"):
        VideoFeatures(tmp_path / "dover.pt")(np.zeros((16, 32, 32, 3), np.uint8))
    torch.save({"weight": torch.zeros(1)}, tmp_path / "state.pt")
    with pytest.raises(InputError, match="no TorchScript"):
        Dover(tmp_path / "state.pt")


def test_frames_that_never_come_are_not_rated_as_black_ones(tmp_path):
    save_script(TinyDover(), tmp_path / "dover.pt")
    dover = Dover(tmp_path / "dover.pt")
    frames = [np.full((240, 320, 3), 120, np.uint8)] * 40
    with pytest.raises(InputError, match="frames must be 400, got only 40"):
        dover(iter(frames), 400)
    with pytest.raises(InputError, match="count must be at least 1"):
        dover(iter([]), 0)
