"""The frame of every report: one HTML file that needs no network and no library."""

import contextlib
import html
import importlib.metadata
import json
import os
import platform
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from .. import __version__
from ..errors import OutputError
from ..files import atomic_text

__all__ = ["page", "versions", "write_page"]


def page(
    title: str,
    heading: str,
    subtitle: str,
    sections: Sequence[str],
    manifest: dict[str, Any],
    footer: str,
    scripts: Sequence[str] = ("page.js",),
) -> str:
    """A whole page.

    Args:
        title, heading: plain text.
        subtitle, sections, footer: HTML.
        manifest: what made the page, kept inside it as JSON.
        scripts: files of this folder.
    """
    folder = Path(__file__).parent
    facts = json.dumps(manifest, indent=1, default=str, allow_nan=False).replace("<", "\\u003c")
    code = "\n".join((folder / name).read_text(encoding="utf-8") for name in scripts)
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{html.escape(title)}</title>
<style>{(folder / "page.css").read_text(encoding="utf-8")}</style>
</head>
<body><main>
<h1>{html.escape(heading)}</h1>
<p class="soft path">{subtitle}</p>
{"".join(sections)}
<footer>steadyview {__version__}. {footer}</footer>
<script type="application/json" id="manifest">{facts}</script>
<script>{code}</script>
</main></body>
</html>
"""


def write_page(text: str, output: str | os.PathLike, *, overwrite: bool) -> Path:
    """Writes a page, whole or not at all.

    Raises:
        OutputError: the file exists or cannot be written; nothing is left behind.
    """
    target = Path(output)
    if target.exists() and not overwrite:
        raise OutputError(f"{target}: exists already; allow overwriting or choose another name")
    atomic_text(target, text)
    return target


def versions() -> dict[str, str]:
    """What a page was made with."""
    found = {"steadyview": __version__, "Python": platform.python_version()}
    for name in ("numpy", "av", "opencv-python-headless", "opencv-python"):
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            found[name] = importlib.metadata.version(name)
    return found
