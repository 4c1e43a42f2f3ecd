"""Datasets as lists of clips: folders as their publishers laid them out, and our own with truth."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from ..errors import InputError, OptionError
from ..synthetic import SCENES, make_clip
from ..synthetic.clip import clip_in

__all__ = ["LAYOUTS", "Clip", "find_clips"]

VIDEO_SUFFIXES = {
    ".3gp", ".avi", ".flv", ".m2ts", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".mts",
    ".ts", ".webm", ".wmv",
}  # fmt: skip

#: Categories of NUS (Liu et al., "Bundled Camera Paths for Video Stabilization", 2013).
NUS_CATEGORIES = ("Regular", "QuickRotation", "Zooming", "Parallax", "Crowd", "Running")


@dataclass(frozen=True)
class Clip:
    """One clip of a dataset.

    Attributes:
        name: unique within its category.
        category: for the table; results are averaged within it first.
        source: the shaky video.
        steady: a steady video of the same scene, if the dataset has one.
        aligned: whether `steady` shows what a perfect stabiliser of the source would: then PSNR and
            SSIM mean something (synthetic clips). DeepStab's comes from a second camera.
        seed: of the random numbers it was made with (synthetic clips).
    """

    name: str
    category: str
    source: Path
    steady: Path | None = None
    aligned: bool = False
    seed: int | None = None


def find_clips(
    dataset: str,
    cache: Path,
    *,
    layout: str = "auto",
    only: str = "",
    make: bool = True,
    tell: Callable[[str], None] = lambda text: None,
) -> list[Clip]:
    """The clips of a dataset, by category and name.

    Args:
        dataset: a folder, or "synthetic".
        cache: where the synthetic clips are made.
        layout: one of `LAYOUTS`; "auto" recognises DeepStab and NUS by their folders' names.
        only: only clips whose category/name holds this text.
        make: make synthetic clips; otherwise only those that are there already are given.
        tell: called with what is being made, and what is left out and why.

    Raises:
        InputError: no such folder, or no clips in it.
        OptionError: an unknown layout.
    """
    if layout != "auto" and layout not in LAYOUTS:
        raise OptionError(f"layout must be auto, {', '.join(LAYOUTS)}, got {layout!r}")
    if dataset == "synthetic":
        names = [name for name in SCENES if only in f"synthetic/{name}"]
        clips = _synthetic(names, cache.resolve(), tell) if make else _made(names, cache.resolve())
    else:
        folder = Path(dataset).resolve()  # a worker elsewhere has another working folder
        if not folder.is_dir():
            raise InputError(f'dataset: {dataset} is neither a folder nor "synthetic"')
        try:
            found = LAYOUTS[_layout_of(folder) if layout == "auto" else layout](folder)
        except OSError as error:
            raise InputError(f"dataset: cannot read {dataset}: {error}") from error
        clips = _named(found, folder)
    clips = [clip for clip in clips if only in f"{clip.category}/{clip.name}"]
    if not clips:
        raise InputError(f"dataset: no clips in {dataset}" + (f" with {only!r}" if only else ""))
    return sorted(clips, key=lambda clip: (clip.category, clip.name))


def _synthetic(names: list[str], cache: Path, tell: Callable[[str], None]) -> list[Clip]:
    """Renders what is not there yet; scenes that cannot be had here are left out."""
    clips = []
    for name in names:
        tell(f"synthetic/{name}")
        try:
            make_clip(name, cache / name, reuse=True)
        except OptionError as error:  # Gaussians without torch
            tell(f"synthetic/{name} is left out: {error}")
        else:
            clips += _made([name], cache)
    return clips


def _made(names: list[str], cache: Path) -> list[Clip]:
    clips = []
    for name in names:
        clip = clip_in(cache / name)
        if clip.truth.exists():
            seed = SCENES[name].seed
            clips.append(Clip(name, "synthetic", clip.shaky, clip.steady, True, seed))
    return clips


def _named(clips: list[Clip], folder: Path) -> list[Clip]:
    """Clips that would share a name (a.mp4 beside a.mkv) get the path of their file instead."""
    clips = [
        replace(clip, category=_readable(clip.category), name=_readable(clip.name))
        for clip in clips
    ]
    while True:  # a path may be another's name
        many = Counter((clip.category, clip.name) for clip in clips)
        named = [
            replace(clip, name=_readable(clip.source.relative_to(folder).as_posix()))
            if many[clip.category, clip.name] > 1
            else clip
            for clip in clips
        ]
        if named == clips:
            return clips
        clips = named


def _readable(name: str) -> str:
    """Names on a disk may hold any bytes; tables may not."""
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def _layout_of(folder: Path) -> str:
    names = {entry.name.lower() for entry in _folders(folder)}
    if {"stable", "unstable"} <= names:
        return "deepstab"
    if len(names & {category.lower() for category in NUS_CATEGORIES}) >= 2:
        return "nus"
    return "folder"


def _entries(folder: Path) -> list[Path]:
    """What is in a folder, without hidden files, macOS's leftovers and what benchmarks wrote."""
    hidden = ("__MACOSX", *(("records", "synthetic", "videos") if _is_output(folder) else ()))
    return sorted(
        entry
        for entry in folder.iterdir()
        if not entry.name.startswith(".") and entry.name not in hidden and not _is_output(entry)
    )


def _is_output(folder: Path) -> bool:
    try:
        return '"steadyview_benchmark"' in (folder / "manifest.json").read_text(errors="replace")
    except OSError:
        return False


def _videos(folder: Path) -> list[Path]:
    return [f for f in _entries(folder) if f.suffix.lower() in VIDEO_SUFFIXES and f.is_file()]


def _folders(folder: Path) -> list[Path]:
    return [entry for entry in _entries(folder) if entry.is_dir()]


def _nus(folder: Path) -> list[Clip]:
    """`<category>/<number>.avi`; results that others left beside them are not clips."""
    return [
        Clip(f"{category.name}_{video.stem}", category.name, video)
        for category in _folders(folder)
        if category.name.lower() in {name.lower() for name in NUS_CATEGORIES}
        for video in _videos(category)
        if not video.stem.lower().endswith(("_stable", "_result", "_output"))
    ]


def _deepstab(folder: Path) -> list[Clip]:
    """`unstable/<number>.avi` and `stable/<number>.avi`, filmed side by side by two cameras."""
    sides = {entry.name.lower(): entry for entry in _folders(folder)}
    if not {"stable", "unstable"} <= set(sides):
        raise InputError(f"dataset: {folder} has no folders stable and unstable")
    steady, shaky = _videos(sides["stable"]), _videos(sides["unstable"])
    stems = Counter(video.stem for video in shaky)

    def partner(video: Path) -> Path | None:
        """The one of the same name; suffixes may differ where that leaves no doubt."""
        alike = [other for other in steady if other.stem == video.stem]
        same = [other for other in alike if other.name == video.name]
        if not same and stems[video.stem] == len(alike) == 1:
            return alike[0]
        return same[0] if same else None

    return [Clip(video.stem, "DeepStab", video, partner(video)) for video in shaky]


def _selfie(folder: Path) -> list[Clip]:
    """One folder of videos, or one folder a person (Yu and Ramamoorthi, 2018)."""

    def within(inner: Path) -> list[Path]:
        return _videos(inner) + [video for below in _folders(inner) for video in within(below)]

    return [
        Clip("_".join(video.relative_to(folder).with_suffix("").parts), "Selfie", video)
        for video in within(folder)
    ]


def _plain(folder: Path) -> list[Clip]:
    """Videos in the folder, and in its folders, which then are the categories."""
    clips = [Clip(video.stem, folder.name, video) for video in _videos(folder)]
    for category in _folders(folder):
        clips += [
            Clip(f"{category.name}_{video.stem}", category.name, video)
            for video in _videos(category)
        ]
    return clips


LAYOUTS: dict[str, Callable[[Path], list[Clip]]] = {
    "nus": _nus,
    "deepstab": _deepstab,
    "selfie": _selfie,
    "folder": _plain,
}
