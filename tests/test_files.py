"""Files are whole or absent; names tell them apart."""

import os
import stat
from pathlib import Path

import pytest

from steadyview.errors import OutputError
from steadyview.files import atomic_text, distinct_names


def test_text_has_normal_permissions_and_leaves_nothing_beside(tmp_path: Path) -> None:
    target = tmp_path / ("ä" * 100 + ".json")
    umask = os.umask(0o022)
    try:
        atomic_text(target, "first")
        atomic_text(target, "ß")
    finally:
        os.umask(umask)
    assert target.read_text(encoding="utf-8") == "ß"
    assert stat.S_IMODE(target.stat().st_mode) == 0o644
    assert list(tmp_path.iterdir()) == [target]


@pytest.mark.parametrize("error", [KeyboardInterrupt, OSError(28, "No space left on device")])
def test_failure_keeps_what_was_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: BaseException
) -> None:
    target = tmp_path / "page.html"
    target.write_text("before")

    def fail(*_: object) -> None:
        raise error

    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises((KeyboardInterrupt, OutputError)):
        atomic_text(target, "after")
    assert [path.read_text() for path in tmp_path.iterdir()] == ["before"]


@pytest.mark.parametrize(
    ("paths", "suffixes", "names"),
    [
        (["in/a.mp4", "out/b.mp4"], True, ["a.mp4", "b.mp4"]),
        (["in/a.mp4", "out/a.mp4"], True, ["in/a.mp4", "out/a.mp4"]),
        (["in/a.mp4", "out/b.mkv"], False, ["a", "b"]),
        (["in/a.mp4", "out/a.mkv"], False, ["a.mp4", "a.mkv"]),
        (["/x/1/a.mp4", "/x/2/a.mp4", "a.mp4"], False, ["1/a.mp4", "2/a.mp4", "a.mp4"]),
        (["a.mp4", "a.mp4", "", ""], True, ["a.mp4", "a.mp4 (2)", "frames", "frames (2)"]),
        (["a", "a", "a (2)"], True, ["a", "a (2)", "a (2) (2)"]),
        ([], True, []),
    ],
)
def test_names_tell_videos_apart(paths: list[str], suffixes: bool, names: list[str]) -> None:
    assert distinct_names(paths, suffixes=suffixes) == names
