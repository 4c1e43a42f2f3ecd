"""Datasets as lists of clips: folders as their publishers laid them out, and our own with truth."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from ..errors import InputError, OptionError
from ..synthetic import SCENES, make_clip

__all__ = ["LAYOUTS", "Clip", "find_clips"]

VIDEO_SUFFIXES = {".mp4", ".mov", ".mkv", ".avi", ".webm", ".m4v", ".mpg", ".ts"}

#: Categories of NUS (Liu et al., "Bundled Camera Paths for Video Stabilization", 2013).
NUS_CATEGORIES = ("Regular", "QuickRotation", "Zooming", "Parallax", "Crowd", "Running")


@dataclass(frozen=True)
class Clip:
    """One clip of a dataset.

    Attributes:
        name: unique within the dataset.
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
    tell: Callable[[str], None] = lambda text: None,
) -> list[Clip]:
    """The clips of a dataset, by category and name.

    Args:
        dataset: a folder, or "synthetic".
        cache: where the synthetic clips are made.
        layout: one of `LAYOUTS`; "auto" recognises DeepStab and NUS by their folders' names.
        only: only clips whose category/name holds this text.
        tell: called with what is being made, and what is left out and why.

    Raises:
        InputError: no such folder, or no clips in it.
        OptionError: an unknown layout.
    """
    if layout != "auto" and layout not in LAYOUTS:
        raise OptionError(f"layout must be auto, {', '.join(LAYOUTS)}, got {layout!r}")
    if dataset == "synthetic":
        clips = _synthetic([name for name in SCENES if only in f"synthetic/{name}"], cache, tell)
        return _checked(clips, dataset, only)
    folder = Path(dataset)
    if not folder.is_dir():
        raise InputError(f'dataset: {dataset} is neither a folder nor "synthetic"')
    found = LAYOUTS[_layout_of(folder) if layout == "auto" else layout](folder)
    return _checked(
        [clip for clip in found if only in f"{clip.category}/{clip.name}"], dataset, only
    )


def _synthetic(names: list[str], cache: Path, tell: Callable[[str], None]) -> list[Clip]:
    """Renders what is not there yet; scenes that cannot be had here are left out."""
    clips = []
    for name in names:
        tell(f"synthetic/{name}")
        try:
            made = make_clip(name, cache / name, reuse=True)
        except OptionError as error:  # Gaussians without torch
            tell(f"synthetic/{name} is left out: {error}")
        else:
            seed = SCENES[name].seed
            clips.append(Clip(name, "synthetic", made.shaky, made.steady, True, seed))
    return clips


def _checked(clips: list[Clip], dataset: str, only: str) -> list[Clip]:
    if not clips:
        raise InputError(f"dataset: no clips in {dataset}" + (f" with {only!r}" if only else ""))
    many = Counter((clip.category, clip.name) for clip in clips)  # a.mp4 beside a.mkv
    clips = [
        replace(clip, name=f"{clip.name}{clip.source.suffix}")
        if many[clip.category, clip.name] > 1
        else clip
        for clip in clips
    ]
    return sorted(clips, key=lambda clip: (clip.category, clip.name))


def _layout_of(folder: Path) -> str:
    names = {entry.name.lower() for entry in folder.iterdir() if entry.is_dir()}
    if {"stable", "unstable"} <= names:
        return "deepstab"
    if len(names & {category.lower() for category in NUS_CATEGORIES}) >= 2:
        return "nus"
    return "folder"


def _videos(folder: Path) -> list[Path]:
    return sorted(f for f in folder.iterdir() if f.suffix.lower() in VIDEO_SUFFIXES and f.is_file())


def _nus(folder: Path) -> list[Clip]:
    """`<category>/<number>.avi`; results that others left beside them are not clips."""
    return [
        Clip(f"{category.name}_{video.stem}", category.name, video)
        for category in sorted(folder.iterdir())
        if category.name.lower() in {name.lower() for name in NUS_CATEGORIES}
        for video in _videos(category)
        if not video.stem.lower().endswith(("_stable", "_result", "_output"))
    ]


def _deepstab(folder: Path) -> list[Clip]:
    """`unstable/<number>.avi` and `stable/<number>.avi`, filmed side by side by two cameras."""
    sides = {entry.name.lower(): entry for entry in folder.iterdir() if entry.is_dir()}
    if not {"stable", "unstable"} <= set(sides):
        raise InputError(f"dataset: {folder} has no folders stable and unstable")
    steady = {video.stem: video for video in _videos(sides["stable"])}
    return [
        Clip(video.stem, "DeepStab", video, steady.get(video.stem))
        for video in _videos(sides["unstable"])
    ]


def _selfie(folder: Path) -> list[Clip]:
    """One folder of videos, or one folder a person (Yu and Ramamoorthi, 2018)."""
    return [
        Clip("_".join(video.relative_to(folder).with_suffix("").parts), "Selfie", video)
        for video in sorted(folder.rglob("*"))
        if video.suffix.lower() in VIDEO_SUFFIXES and video.is_file()
    ]


def _plain(folder: Path) -> list[Clip]:
    """Videos in the folder, and in its folders, which then are the categories."""
    clips = [Clip(video.stem, folder.resolve().name, video) for video in _videos(folder)]
    for category in sorted(entry for entry in folder.iterdir() if entry.is_dir()):
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
