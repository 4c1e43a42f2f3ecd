"""Text files are whole or absent."""

import os
import stat
from pathlib import Path

import pytest

from steadyview.errors import OutputError
from steadyview.files import atomic_text


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
