"""What was built, what is missing, and which command fixes it."""

import importlib
import importlib.metadata
import importlib.util
import os
import platform
import sys
from typing import Any

from . import __version__

__all__ = ["build_info", "describe"]

#: Encoders worth telling about, the default first.
ENCODERS = (
    "libx264",
    "libx265",
    "libsvtav1",
    "libaom-av1",
    "ffv1",
    "prores_ks",
    "h264_nvenc",
    "hevc_nvenc",
    "h264_vaapi",
    "h264_videotoolbox",
    "h264_qsv",
)

HARDWARE = ("_nvenc", "_vaapi", "_videotoolbox", "_qsv")

#: Optional package -> what it is for, and the extra that installs it.
OPTIONAL = {
    "torch": ("tensor operations (steadyview.ops)", "torch"),
    "matplotlib": ("result.plot()", "plot"),
    "ipywidgets": ("before/after slider in notebooks", "notebook"),
}


def build_info() -> dict[str, Any]:
    """What this installation consists of.

    Returns:
        A dictionary ready for JSON: "version", "python", "platform", "cpus", "core" (the NumPy
        kernels), "tensors" (the torch kernels), "packages", "encoders", "optional" and "problems",
        a list of (what is missing, what it means, the command that fixes it).
    """
    info: dict[str, Any] = {
        "version": __version__,
        "python": platform.python_version(),
        "platform": platform.platform(),
        "cpus": os.cpu_count(),
        "packages": {name: _version(name) for name in ("numpy", "av", "typer", "rich")},
        "core": _core_info(),
        "tensors": _tensor_info(),
    }
    info["packages"]["opencv"] = _opencv_version()
    info["ffmpeg"], info["encoders"] = _encoders()
    info["optional"] = {name: _version(name) for name in OPTIONAL}
    info["problems"] = _problems(info)
    return info


def _version(distribution: str) -> str | None:
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return None


def _core_info() -> dict[str, Any]:
    try:
        core = importlib.import_module("steadyview._core")
    except ImportError as error:
        return {"available": False, "error": str(error)}
    return {
        "available": True,
        "instruction_set": core.active_isa(),
        "threads": core.num_threads(),
        "compiler": core.compiler,
        "file": core.__file__,
    }


def _tensor_info() -> dict[str, Any]:
    """The extension `_C` needs torch to be loaded first, which takes a second."""
    if importlib.util.find_spec("steadyview._C") is None:
        return {"available": False, "error": "it was not built (no torch at build time)"}
    if _version("torch") is None:
        return {"available": False, "error": "torch is not installed"}
    try:
        importlib.import_module("torch")
        extension = importlib.import_module("steadyview._C")
    except (ImportError, OSError) as error:  # torch raises OSError when a library is missing
        return {"available": False, "error": " ".join(str(error).split())}
    return {
        "available": True,
        "built_with_torch": extension.torch_version,
        "torch": _version("torch"),
        "cuda_kernels": bool(extension.has_cuda),
        "cuda_device": bool(sys.modules["torch"].cuda.is_available()),
    }


def _opencv_version() -> str | None:
    try:
        return str(importlib.import_module("cv2").__version__)
    except ImportError:
        return None


def _encoders() -> tuple[str | None, dict[str, bool]]:
    try:
        av = importlib.import_module("av")
    except ImportError:
        return None, {}
    known = set(av.codec.codecs_available)
    found = {}
    for name in ENCODERS:
        try:
            found[name] = name in known and av.codec.Codec(name, "w") is not None
        except Exception:  # PyAV raises its own error for a decoder of that name
            found[name] = False
    return str(getattr(av, "ffmpeg_version_info", "")), found


def _problems(info: dict[str, Any]) -> list[dict[str, str]]:
    problems = []

    def add(missing: str, meaning: str, fix: str) -> None:
        problems.append({"missing": missing, "meaning": meaning, "fix": fix})

    tools = "in a checkout: pip install scikit-build-core pybind11 ninja cmake"
    build = "pip install --no-build-isolation ."
    rebuild = f"{tools} && {build}"
    if not info["core"]["available"]:
        add(f"steadyview._core ({info['core']['error']})", "nothing works", rebuild)
    if info["packages"]["av"] is None:
        add("av", "no video can be read or written", "pip install av")
    if info["packages"]["opencv"] is None:
        add("OpenCV", "motion cannot be measured", "pip install opencv-python-headless")
    tensors = info["tensors"]
    if not tensors["available"]:
        fix = f"{tools} torch && {build}" if info["optional"]["torch"] is None else rebuild
        add(f"steadyview._C ({tensors['error']})", "no tensor operations; the rest works", fix)
    else:
        if not _same_release(tensors["built_with_torch"], tensors["torch"]):
            add(
                f"steadyview._C for torch {tensors['torch']} (built with "
                f"{tensors['built_with_torch']})",
                "tensor operations may crash",
                rebuild,
            )
        if not tensors["cuda_kernels"]:
            add(
                "CUDA kernels",
                "tensor operations run on the CPU only",
                f"install nvcc, then {tools} && CMAKE_ARGS=-DSTEADYVIEW_CUDA=ON {build}",
            )
    for name, (purpose, extra) in OPTIONAL.items():
        if name != "torch" and info["optional"][name] is None:
            add(name, f"without it there is no {purpose}", f"pip install 'steadyview[{extra}]'")
    if info["encoders"] and not info["encoders"]["libx264"]:
        add("libx264", "the default codec cannot encode", "pip install --force-reinstall av")
    return problems


def _same_release(built: str, running: str | None) -> bool:
    return running is not None and built.split(".")[:2] == running.split(".")[:2]


def describe(info: dict[str, Any]) -> str:
    """`build_info()` as text for a person."""
    core, tensors = info["core"], info["tensors"]
    lines = [
        f"steadyview {info['version']}, Python {info['python']}, {info['platform']}",
        "",
        _line(
            "kernels",
            core["available"],
            f"{core.get('instruction_set')}, {core.get('threads')} threads, "
            f"compiler {core.get('compiler')}"
            if core["available"]
            else core["error"],
        ),
        _line(
            "tensor operations",
            tensors["available"],
            f"built with torch {tensors.get('built_with_torch')}, running {tensors.get('torch')}"
            if tensors["available"]
            else tensors["error"],
        ),
    ]
    if tensors["available"]:
        device = "a device is present" if tensors["cuda_device"] else "no device in this machine"
        lines.append(_line("CUDA kernels", tensors["cuda_kernels"], device))
    packages = {**info["packages"], **info["optional"]}
    lines += [_line(name, version is not None, version or "") for name, version in packages.items()]
    present = [name for name, found in info["encoders"].items() if found]
    software = [name for name in present if not name.endswith(HARDWARE)]
    hardware = [name for name in present if name.endswith(HARDWARE)]
    lines.append(_line("encoders", bool(software), ", ".join(software)))
    if hardware:
        lines.append(
            _line("hardware encoders", True, f"{', '.join(hardware)} (with such a device)")
        )
    if info["problems"]:
        lines += ["", "Missing:"]
        for problem in info["problems"]:
            lines.append(f"  {problem['missing']}: {problem['meaning']}")
            lines.append(f"    fix: {problem['fix']}")
    else:
        lines += ["", "Nothing is missing."]
    return "\n".join(lines)


def _line(name: str, good: bool, detail: str) -> str:
    return f"  {'yes' if good else 'no ':<4}{name:<20}{detail}".rstrip()
