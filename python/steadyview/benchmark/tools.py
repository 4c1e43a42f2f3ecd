"""Stabilisers as shell commands: ours, the ones people use, and whatever command is given.

All encode alike, so that a table compares stabilisers and not encoders.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ..errors import OptionError
from ..methods import METHODS
from ..options import StabilizeOptions

__all__ = [
    "FFMPEG", "PEERS", "TRANSCODE", "VIDSTAB", "VIDSTAB_30", "Tool", "opencv_two_pass", "ours",
    "quality_peers", "tools_of",
]  # fmt: skip

ENCODER = "-c:v libx264 -preset veryfast -crf 18 -pix_fmt yuv420p"
OURS_ENCODER = "--codec libx264 --encoder-preset veryfast --crf 18"
FFMPEG = "ffmpeg -hide_banner -loglevel error -nostdin -y"


@dataclass(frozen=True)
class Tool:
    """A program that turns one video into another.

    Attributes:
        name: short name for tables.
        template: shell command with {source} and {result}; may leave files in its folder.
        remark: what a reader of the table should know.
    """

    name: str
    template: str
    remark: str = ""

    def command(self, source: Path, result: Path) -> str:
        return self.template.format(
            source=shlex.quote(str(source.resolve())), result=shlex.quote(str(result.resolve()))
        )


TRANSCODE = Tool(
    "transcode",
    f"{FFMPEG} -i {{source}} {ENCODER} -c:a copy {{result}}",
    "the limit: no stabilising",
)


def _vidstab(name: str, transform: str, remark: str) -> Tool:
    detect = f"{FFMPEG} -i {{source}} -vf vidstabdetect=result=motion.trf -f null -"
    apply = (
        f"{FFMPEG} -i {{source}} -vf vidstabtransform=input=motion.trf{transform} "
        f"{ENCODER} -c:a copy {{result}}"
    )
    return Tool(name, f"{detect} && {apply}", remark)


VIDSTAB = _vidstab("vidstab", "", "two passes, ffmpeg's defaults")
VIDSTAB_30 = _vidstab(
    "vidstab-30", ":smoothing=30:optzoom=1:interpol=bicubic", "smoothing 30, bicubic, static zoom"
)


OWN = f"{shlex.quote(sys.executable)} -m steadyview"
PEERS = ("vidstab", "vidstab-30", "opencv-2pass")


def ours(
    crop_limit: float, options: str = "", program: str = OWN, name: str = "steadyview"
) -> Tool:
    """steadyview's command line with a crop limit."""
    return Tool(
        name,
        f"{program} stabilize {{source}} -o {{result}} --crop-limit {crop_limit:.4f} "
        f"{OURS_ENCODER} --overwrite --quiet --json {options}",
    )


def opencv_two_pass() -> Tool | str:
    """OpenCV's TwoPassStabilizer, compiled on the spot; or the reason why it cannot be had."""
    if not shutil.which("pkg-config") or not shutil.which("g++"):
        return "g++ or pkg-config is missing"
    flags = subprocess.run(
        ["pkg-config", "--cflags", "opencv4"], capture_output=True, text=True, check=False
    )
    if flags.returncode != 0:
        return "OpenCV's C++ headers are missing (Debian: libopencv-dev)"
    code = Path(__file__).with_name("opencv_two_pass.cpp")
    program = Path(tempfile.gettempdir()) / f"steadyview_opencv_two_pass_{os.getuid()}"
    if not program.exists() or program.stat().st_mtime < code.stat().st_mtime:
        made = program.with_name(f"{program.name}.{os.getpid()}")  # never half a program
        libraries = ["-lopencv_videostab", "-lopencv_imgproc", "-lopencv_core"]
        compiler = ["g++", "-O2", "-std=c++17", str(code), "-o", str(made)]
        built = subprocess.run(
            [*compiler, *flags.stdout.split(), *libraries],
            capture_output=True,
            text=True,
            check=False,
        )
        if built.returncode != 0:
            return f"does not compile: {built.stderr[-300:]}"
        made.replace(program)
    encode = f"{FFMPEG} -f yuv4mpegpipe -i - {ENCODER} {{result}}"
    return Tool(
        "opencv-2pass",
        f"{shlex.quote(str(program))} {{source}} | {encode}",
        "TwoPassStabilizer, similarity, radius 15; crops instead of zooming, drops the audio",
    )


def quality_peers() -> tuple[list[Tool], dict[str, str]]:
    """Peers that run here, and why others do not."""
    opencv = opencv_two_pass()
    if isinstance(opencv, str):
        return [VIDSTAB, VIDSTAB_30], {"opencv-2pass": opencv}
    return [VIDSTAB, VIDSTAB_30, opencv], {}


def tools_of(names: Sequence[str], crop_limit: float, options: str = "") -> list[Tool]:
    """Tools by name, in order.

    Args:
        names: methods of steadyview ("global_flow" …), peers ("vidstab", "vidstab-30",
            "opencv-2pass"), "transcode" (not stabilised), or `NAME=COMMAND` with `{in}` and `{out}`
            in the command, for any other stabiliser.
        crop_limit: of steadyview's methods.
        options: further options of steadyview's command line.

    Raises:
        OptionError: an unknown name, one given twice, or a peer that cannot be had here, and why;
            a crop limit that cannot be.
    """
    StabilizeOptions(crop_limit=crop_limit)  # told before anything runs
    tools: list[Tool] = []
    for name in names:
        tool = _tool_of(name, crop_limit, options)
        if any(tool.name == other.name for other in tools):
            raise OptionError(f"methods: {tool.name} is given twice")
        tools.append(tool)
    return tools


def _tool_of(name: str, crop_limit: float, options: str) -> Tool:
    if "=" in name:
        short, template = name.split("=", 1)
        if not short.isidentifier() and not short.replace("-", "_").isidentifier():
            raise OptionError(f"methods: {short!r} is no plain name")
        for placeholder in ("{in}", "{out}"):
            if placeholder not in template:
                raise OptionError(f"methods: the command of {short} has no {placeholder}")
        template = re.sub(r"""(["'])(\{in\}|\{out\})\1""", r"\2", template)  # they are quoted below
        escaped = template.replace("{in}", "\0").replace("{out}", "\1")
        escaped = escaped.replace("{", "{{").replace("}", "}}")
        return Tool(short, escaped.replace("\0", "{source}").replace("\1", "{result}"))
    if name in METHODS:
        return ours(crop_limit, f"--method {name} {options}", name=name)
    if name in ("vidstab", "vidstab-30", "transcode"):
        if not shutil.which("ffmpeg"):
            raise OptionError(f"methods: {name} needs ffmpeg, which is not installed")
        return {tool.name: tool for tool in (VIDSTAB, VIDSTAB_30, TRANSCODE)}[name]
    if name == "opencv-2pass":
        tool = opencv_two_pass()
        if isinstance(tool, str):
            raise OptionError(f"methods: opencv-2pass: {tool}")
        return tool
    known = ", ".join((*METHODS, *PEERS, "transcode"))
    raise OptionError(
        f"methods: {name!r} is unknown; known: {known}, or NAME='command {{in}} {{out}}'"
    )
