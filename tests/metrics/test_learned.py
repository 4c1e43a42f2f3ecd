"""Learned scores end to end, with tiny networks of the published layouts."""

import json
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from scipy import linalg

import videos
from steadyview.errors import InputError, OptionError
from steadyview.metrics import frechet_distance, load_learned
from steadyview.metrics.learned import weights_of


@pytest.mark.parametrize(("first", "second", "size"), [(40, 60, 5), (4, 3, 7), (2, 30, 6)])
def test_frechet_distance_is_its_closed_form(first, second, size):
    random = np.random.default_rng(size)
    a = random.normal(size=(first, size)) @ random.normal(size=(size, size))
    b = random.normal(size=(second, size)) @ random.normal(size=(size, size)) + 1
    one, two = np.cov(a, rowvar=False), np.cov(b, rowvar=False)
    # The root of a singular product is not unique to scipy: its eigenvalues are what counts.
    roots = np.sqrt(np.abs(linalg.eigvals(one @ two)))
    if min(first, second) > size:
        np.testing.assert_allclose(roots.sum(), np.trace(linalg.sqrtm(one @ two)).real)
    wanted = ((a.mean(0) - b.mean(0)) ** 2).sum() + np.trace(one) + np.trace(two) - 2 * roots.sum()
    assert frechet_distance(a, b) == pytest.approx(wanted, rel=1e-6)
    assert frechet_distance(a, a) == pytest.approx(0, abs=1e-9 * np.trace(one))
    assert frechet_distance(a, a + 2) == pytest.approx(4 * size, rel=1e-9)


def test_frechet_distance_of_known_normals():
    """Of diagonal covariances: the squared differences of means and deviations."""
    a = np.array([[1.0, 0], [-1, 0], [0, 2], [0, -2]])
    b = a * [3, 1] + [1, 0]
    deviations = a.std(0, ddof=1), b.std(0, ddof=1)
    wanted = 1 + ((deviations[0] - deviations[1]) ** 2).sum()
    assert frechet_distance(a, b) == pytest.approx(wanted, rel=1e-12)
    with pytest.raises(InputError, match="1x2 and 4x2"):
        frechet_distance(a[:1], b)


def test_names_of_weights():
    given = weights_of(["lpips=a.pth", "lpips=b=c.pth", "fvd=x.pt"])
    assert given == {"lpips": ["a.pth", "b=c.pth"], "fvd": ["x.pt"]}
    with pytest.raises(OptionError, match=r"lpips, clip.*got 'ssim=a'"):
        weights_of(["ssim=a"])
    with pytest.raises(OptionError, match=r"dover needs a TorchScript.*ships no weights"):
        weights_of(["dover"])
    with pytest.raises(OptionError, match="fvd needs"):
        load_learned({"fvd": []})
    assert load_learned({}).lpips is None


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    torch = pytest.importorskip("torch")
    from reference import networks

    folder = tmp_path_factory.mktemp("weights")
    features = networks.backbone("alex")
    torch.save(networks.lin_state(features, "alex"), folder / "alex.pth")
    state = {f"features.{name}": value for name, value in features.state_dict().items()}
    torch.save(state, folder / "alexnet.pth")
    torch.save(networks.openai_state(networks.ClipTower()), folder / "clip.pt")
    torch.save(networks.aesthetic_state(), folder / "head.pth")
    networks.save_script(networks.TinyDover(), folder / "dover.pt")
    networks.save_script(networks.TinyI3d(), folder / "i3d.pt")
    return {
        "lpips": [folder / "alex.pth", folder / "alexnet.pth"],
        "clip": folder / "clip.pt",
        "aesthetic": folder / "head.pth",
        "dover": folder / "dover.pt",
        "fvd": folder / "i3d.pt",
    }


@pytest.fixture(scope="module")
def clips(tmp_path_factory):
    folder = tmp_path_factory.mktemp("clips")
    clip = videos.shaky_clip(40, (160, 120))
    source = videos.write_clip(folder / "a.mp4", clip)
    other = videos.write_clip(folder / "b.mp4", replace(clip, frames=255 - clip.frames))
    return source, other


def test_scores_of_a_video_with_itself_and_another(weights, clips):
    from steadyview import evaluate

    found = evaluate(clips[0], [clips[0], clips[1]], weights=weights, truth=clips[0])
    same, other = found.records
    assert same["lpips"] < 1e-4
    assert same["truth_lpips"] < 1e-4
    assert same["clip_similarity"] == pytest.approx(1, abs=1e-5)
    assert same["fvd"] == pytest.approx(0, abs=1e-6)
    assert same["fvd_clips"] == 2
    assert same["aesthetic"] == same["source_aesthetic"]
    assert same["dover_overall"] == same["source_dover_overall"]
    assert other["clip_similarity"] < 1
    assert other["fvd"] > 10
    assert 0 <= other["dover_technical"] <= 1
    assert other["worst_clip_frame"] % 5 == 0
    assert found.qualities[0].learned.frames.tolist() == list(range(0, 40, 5))
    shown = found.to_html()
    assert "CLIP similarity" in shown
    assert "FVD" in found.table().text()


def test_torch_is_imported_for_weights_alone(clips):
    script = (
        "import sys, steadyview\n"
        f"steadyview.evaluate({str(clips[0])!r}, {str(clips[0])!r}).to_html()\n"
        "sys.exit('torch' in sys.modules)\n"
    )
    assert subprocess.run([sys.executable, "-c", script]).returncode == 0


def test_command(weights, clips, capfd, monkeypatch):
    from steadyview.cli import main

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["steadyview", *map(str, arguments)])
        with pytest.raises(SystemExit) as stop:
            main()
        return stop.value.code or 0, *capfd.readouterr()

    files = [f"--weights=lpips={path}" for path in weights["lpips"]]
    code, out, err = run("evaluate", *clips, *files, f"--weights=fvd={weights['fvd']}", "--json")
    assert code == 0, err
    record = json.loads(out)
    assert record["fvd"] > 10
    assert "lpips" in record
    assert "clip_similarity" not in record
    folder = clips[0].parent
    code, out, err = run(
        "benchmark", folder, "--methods", "", "--command", "copy=cp {in} {out}", "--only", "/a",
        "-o", folder / "out", "--json", f"--weights=fvd={weights['fvd']}",
    )  # fmt: skip
    assert code == 0, err
    assert json.loads(out)[0]["fvd"] == pytest.approx(0, abs=1e-6)
    code, out, err = run("evaluate", *clips, "--weights", "clip")
    assert code == 2
    assert "downloads none" in err
    code, out, err = run("evaluate", *clips, "--weights", "clip=/nowhere/ViT.pt")
    assert code == 2
    assert "/nowhere/ViT.pt" in err


def test_dover_counts_the_frames_that_come(tmp_path):
    """An AVI that is cut off still promises all of its frames."""
    from steadyview.metrics.learned import _dover

    def model(frames, count):
        return count, sum(1 for _ in frames)

    whole = videos.write_video(tmp_path / "a.avi", 20, codec="mjpeg", pix_fmt="yuvj420p")
    cut = tmp_path / "cut.avi"
    cut.write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    count, came = _dover(cut, model)
    assert count == came < 20
    assert _dover(whole, model) == (20, 20)
    assert _dover([np.zeros((48, 64, 3), np.uint8)] * 7, model) == (7, 7)
