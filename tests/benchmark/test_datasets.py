"""Folders as they are found on disks, and the clips in them."""

from pathlib import Path

import pytest

from steadyview.benchmark import find_clips
from steadyview.errors import InputError, OptionError


def layout(folder: Path, *names: str) -> Path:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    return folder


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        (
            ("Regular/0.avi", "Regular/1.avi", "Crowd/0.avi", "Crowd/0_stable.avi", "notes.txt"),
            [("Crowd", "Crowd_0"), ("Regular", "Regular_0"), ("Regular", "Regular_1")],
        ),
        (
            ("stable/1.avi", "unstable/1.avi", "unstable/2.avi"),
            [("DeepStab", "1"), ("DeepStab", "2")],
        ),
        (("a.mp4", "night/b.mov", "night/c.png"), [("night", "night_b"), ("set", "a")]),
        (("a.mp4", "a.mov", "b.mp4"), [("set", "a.mov"), ("set", "a.mp4"), ("set", "b")]),
    ],
)
def test_layouts_are_recognised(
    tmp_path: Path, files: tuple[str, ...], expected: list[tuple[str, str]]
) -> None:
    folder = layout(tmp_path / "set", *files)
    clips = find_clips(str(folder), tmp_path)
    assert [(clip.category, clip.name) for clip in clips] == expected


def test_deepstab_pairs_and_selfies(tmp_path: Path) -> None:
    folder = layout(tmp_path / "d", "stable/1.avi", "unstable/1.avi", "unstable/2.avi")
    first, second = find_clips(str(folder), tmp_path)
    assert first.steady == folder / "stable" / "1.avi"
    assert second.steady is None
    assert not first.aligned
    folder = layout(tmp_path / "s", "anna/1.mp4", "ben/1.mp4")
    clips = find_clips(str(folder), tmp_path, layout="selfie")
    assert [clip.name for clip in clips] == ["anna_1", "ben_1"]
    assert {clip.category for clip in clips} == {"Selfie"}


def test_datasets_that_are_none(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="nowhere"):
        find_clips(str(tmp_path / "nowhere"), tmp_path)
    with pytest.raises(InputError, match="no clips"):
        find_clips(str(tmp_path), tmp_path)
    layout(tmp_path, "a.mp4")
    with pytest.raises(InputError, match="'b'"):
        find_clips(str(tmp_path), tmp_path, only="b")
    with pytest.raises(OptionError, match="layout"):
        find_clips(str(tmp_path), tmp_path, layout="moon")
    with pytest.raises(InputError, match="unstable"):
        find_clips(str(tmp_path), tmp_path, layout="deepstab")


def names(folder: Path, layout: str = "auto", only: str = "") -> list[tuple[str, str]]:
    clips = find_clips(str(folder), folder, layout=layout, only=only)
    return [(clip.category, clip.name) for clip in clips]


@pytest.mark.parametrize(
    ("kind", "files", "expected"),
    [
        ("selfie", ("anna/1.mp4", "anna_1.mp4"), ["anna/1.mp4", "anna_1.mp4"]),
        ("folder", ("night_b.mp4", "night/b.mp4"), ["night/b.mp4", "night_b.mp4"]),
        ("folder", ("a.mp4", "a.mov", "a.mp4.mp4"), ["a.mov", "a.mp4", "a.mp4.mp4"]),
        ("deepstab", ("stable/1.avi", "unstable/1.avi", "unstable/1.mov"),
         ["unstable/1.avi", "unstable/1.mov"]),
    ],
)  # fmt: skip
def test_no_two_clips_share_a_name(
    tmp_path: Path, kind: str, files: tuple[str, ...], expected: list[str]
) -> None:
    folder = layout(tmp_path / "night", *files)
    found = names(folder, kind)
    assert [name for _, name in found] == expected
    assert names(folder, kind, only=found[0][1]) == found[:1]  # the same when seen alone


def test_pairs_leave_no_doubt(tmp_path: Path) -> None:
    files = ("unstable/1.avi", "unstable/1.mov", "unstable/2.avi", "stable/1.mov", "stable/2.mp4")
    clips = find_clips(str(layout(tmp_path / "d", *files)), tmp_path)
    assert [clip.steady and clip.steady.name for clip in clips] == ["2.mp4", None, "1.mov"]


@pytest.mark.parametrize("kind", ["folder", "selfie", "nus", "deepstab"])
def test_what_is_no_clip_of_the_dataset(tmp_path: Path, kind: str) -> None:
    """macOS's leftovers, hidden files, and the output of a benchmark."""
    inner = {"nus": "Crowd/", "deepstab": "unstable/"}.get(kind, "in/")
    files = [f"{inner}a.MTS", f"{inner}._a.MTS", f"__MACOSX/{inner}._a.mp4", "__MACOSX/b.mp4"]
    files += [".hidden/c.mp4", "out/videos/d.mp4", "out/e.mp4", "stable/f.txt", "videos/g.mp4"]
    folder = layout(tmp_path / "set", *files)
    for output in (folder, folder / "out"):
        (output / "manifest.json").write_text('{"steadyview_benchmark": 3}')
    assert len(names(folder, kind)) == 1


@pytest.mark.parametrize("suffix", ["wmv", "m2ts", "mpeg", "3gp", "FLV"])
def test_suffixes(tmp_path: Path, suffix: str) -> None:
    assert names(layout(tmp_path / "set", f"a.{suffix}")) == [("set", "a")]


def test_names_of_any_bytes(tmp_path: Path) -> None:
    try:
        folder = layout(tmp_path / "set", "a\udcff.mp4")
    except OSError:
        pytest.skip("this disk takes UTF-8 only")
    assert names(folder) == [("set", "a\\xff")]
