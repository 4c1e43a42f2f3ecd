"""The stabilisers we measure ourselves against, as shell commands with one encoder setting."""

from __future__ import annotations

import shlex
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from machine import ROOT

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


def ours(crop_limit: float, options: str = "", program: str = "steadyview") -> Tool:
    """steadyview's command line with a crop limit."""
    return Tool(
        "steadyview",
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
    program = ROOT / "build" / "peers" / "opencv_two_pass"
    if not program.exists() or program.stat().st_mtime < code.stat().st_mtime:
        program.parent.mkdir(parents=True, exist_ok=True)
        libraries = ["-lopencv_videostab", "-lopencv_imgproc", "-lopencv_core"]
        compiler = ["g++", "-O2", "-std=c++17", str(code), "-o", str(program)]
        built = subprocess.run(
            [*compiler, *flags.stdout.split(), *libraries],
            capture_output=True,
            text=True,
            check=False,
        )
        if built.returncode != 0:
            return f"does not compile: {built.stderr[-300:]}"
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
