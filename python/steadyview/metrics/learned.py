"""Scores that networks give, with weights that the user brings: LPIPS, CLIP, aesthetic, DOVER, FVD.

steadyview ships none of these weights and downloads none. torch is imported only when weights are
given.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence, Sized
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import InputError, OptionError
from ..video.convert import rgb_of
from ..video.info import Frame, VideoInfo
from ..video.reader import open_video
from .alignment import common_view, match_views
from .frechet import frechet_distance
from .pairing import name_of, pair_videos
from .tracking import Array, VideoSource, limited_luma

if TYPE_CHECKING:
    from ..models.clip import AestheticHead, ImageTower
    from ..models.dover import Dover, DoverScore
    from ..models.lpips import Lpips
    from ..models.video_features import VideoFeatures

__all__ = [
    "LEARNED",
    "LearnedModels",
    "LearnedScores",
    "load_learned",
    "measure_learned",
    "video_features",
    "weights_of",
]

#: The scores, and the files each needs.
LEARNED = {
    "lpips": "the lin layers of lpips v0.1 (alex.pth, vgg.pth) and torchvision's alexnet or vgg16",
    "clip": "OpenAI's CLIP vision transformer (ViT-L-14.pt, or its safetensors of transformers)",
    "aesthetic": "LAION's head on CLIP features, and that CLIP unless clip= is given too",
    "dover": "a TorchScript of DOVER's two backbones and heads",
    "fvd": "a TorchScript of I3D (i3d_torchscript.pt)",
}

EVERY = 5  # frames: the pictures that are compared, as VS3R's script does
WINDOW = 16  # frames of a clip that I3D is shown

Weights = Mapping[str, str | os.PathLike[str] | Sequence[str | os.PathLike[str]]]


def weights_of(given: Iterable[str]) -> dict[str, list[str]]:
    """`NAME=FILE` texts to files by score; a name may come more than once.

    Raises:
        OptionError: an unknown name, or no file.
    """
    files: dict[str, list[str]] = {}
    for text in given:
        name, _, file = text.partition("=")
        if name not in LEARNED:
            names = ", ".join(LEARNED)
            raise OptionError(f"weights must be NAME=FILE, NAME one of {names}; got {text!r}")
        if not file:
            raise OptionError(
                f"weights: {name} needs {LEARNED[name]}, as {name}=FILE; steadyview ships no "
                "weights and downloads none"
            )
        files.setdefault(name, []).append(file)
    return files


@dataclass(frozen=True)
class LearnedModels:
    """Networks that are ready; None where no weights were given. From `load_learned`."""

    lpips: Lpips | None = None
    clip: ImageTower | None = None
    aesthetic: AestheticHead | None = None
    dover: Dover | None = None
    fvd: VideoFeatures | None = None
    asked: frozenset[str] = field(default=frozenset())


def load_learned(weights: Weights) -> LearnedModels:
    """Networks for the scores whose weights are given.

    Args:
        weights: a file, or several, for each score of `LEARNED` that is wanted.

    Raises:
        OptionError: an unknown score, no file, or torch is not installed.
        InputError: a file is missing, or its weights do not fit.
    """
    files: dict[str, list[str]] = {}
    for name, given in weights.items():
        paths = [given] if isinstance(given, str | os.PathLike) else list(given)
        files |= weights_of([f"{name}={os.fspath(path)}" for path in paths] or [name])
    if not files:
        return LearnedModels()
    try:
        import torch  # noqa: F401
    except ImportError as error:
        raise OptionError(
            f"weights: {', '.join(files)} needs torch: pip install 'steadyview[torch]'"
        ) from error
    from ..models.clip import AestheticHead, ImageTower, is_head, is_tower
    from ..models.dover import Dover
    from ..models.lpips import Lpips
    from ..models.video_features import VideoFeatures
    from ..models.weights import read_state

    tower = head = None
    if "clip" in files:
        tower = ImageTower(read_state(files["clip"], is_tower))
    if "aesthetic" in files:
        state = read_state(files["aesthetic"], lambda name: is_head(name) or is_tower(name))
        own = {name: tensor for name, tensor in state.items() if is_tower(name)}
        if own or tower is None:
            tower = ImageTower(own)
        head = AestheticHead({n: t for n, t in state.items() if is_head(n)}, tower.features)
    return LearnedModels(
        lpips=Lpips(files["lpips"]) if "lpips" in files else None,
        clip=tower,
        aesthetic=head,
        dover=Dover(_one(files["dover"], "dover")) if "dover" in files else None,
        fvd=VideoFeatures(_one(files["fvd"], "fvd")) if "fvd" in files else None,
        asked=frozenset(files),
    )


def _one(files: list[str], name: str) -> str:
    if len(files) != 1:
        raise OptionError(f"weights: {name} takes one file, got {', '.join(files)}")
    return files[0]


@dataclass(frozen=True)
class LearnedScores:
    """What the networks say; None where their weights were not given.

    Attributes:
        frames: `(k,)` indices of the paired frames that were compared.
        lpips: `(k,)` LPIPS of result and source in their common view; nan where none was found.
        truth_lpips: the same with the true steady video.
        clip: `(k,)` cosine of the CLIP features of result and source.
        aesthetic, aesthetic_source: `(k,)` ratings of the frames of each, about 1 to 10.
        dover, dover_source: of each.
        fvd: Frechet distance of the I3D features of clips of 16 frames, to the true steady video,
            or to the source without one; nan where either has less than two such clips.
        fvd_clips: clips of (reference, result).
    """

    frames: Array
    lpips: Array | None = None
    truth_lpips: Array | None = None
    clip: Array | None = None
    aesthetic: Array | None = None
    aesthetic_source: Array | None = None
    dover: DoverScore | None = None
    dover_source: DoverScore | None = None
    fvd: float | None = None
    fvd_clips: tuple[int, int] = (0, 0)

    def to_dict(self) -> dict[str, Any]:
        """The scalar values that were measured, ready for JSON."""
        record: dict[str, Any] = {}
        series = (
            ("lpips", self.lpips),
            ("truth_lpips", self.truth_lpips),
            ("clip_similarity", self.clip),
            ("aesthetic", self.aesthetic),
            ("source_aesthetic", self.aesthetic_source),
        )
        for name, values in series:
            if values is not None:
                known = values[np.isfinite(values)]
                record[name] = float(known.mean()) if len(known) else None
        if self.lpips is not None and np.isfinite(self.lpips).any():
            record["worst_lpips_frame"] = int(self.frames[np.nanargmax(self.lpips)])
        if self.clip is not None and len(self.clip):
            record["worst_clip_frame"] = int(self.frames[np.argmin(self.clip)])
        for name, score in (("dover", self.dover), ("source_dover", self.dover_source)):
            if score is not None:
                record[f"{name}_technical"] = score.technical
                record[f"{name}_aesthetic"] = score.aesthetic
                record[f"{name}_overall"] = score.overall
        if self.fvd is not None:
            record["fvd"] = self.fvd if np.isfinite(self.fvd) else None
            record["fvd_clips"] = min(self.fvd_clips)
        return record


def measure_learned(
    source: VideoSource,
    result: VideoSource,
    models: LearnedModels,
    truth: VideoSource | None = None,
) -> LearnedScores:
    """All scores that `models` can give. Every score is a pass of its own over the videos.

    Args:
        source, result: files, or lists of frames; paired by time.
        models: from `load_learned`.
        truth: the true steady video, where there is one: the reference of `truth_lpips` and `fvd`.

    Raises:
        InputError: a file is missing or holds no video, no frames pair up, or a TorchScript module
            does not do what it should.
    """
    found: dict[str, Any] = {"frames": np.zeros(0, int)}
    if models.lpips is not None or models.clip is not None:
        found |= _compare_pictures(source, result, models)
    if models.lpips is not None and truth is not None:
        alone = LearnedModels(lpips=models.lpips)
        found["truth_lpips"] = _compare_pictures(truth, result, alone)["lpips"]
    if models.dover is not None:
        for name, video in (("dover", result), ("dover_source", source)):
            found[name] = _dover(video, models.dover)
    if models.fvd is not None:
        sets = [video_features(v, models.fvd) for v in (source if truth is None else truth, result)]
        found["fvd_clips"] = (len(sets[0]), len(sets[1]))
        found["fvd"] = frechet_distance(*sets) if min(map(len, sets)) > 1 else float("nan")
    return LearnedScores(**found)


@dataclass(frozen=True)
class _Picture:
    """One frame, converted when asked."""

    frame: Frame
    info: VideoInfo
    time: float

    @property
    def rgb(self) -> Array:
        return rgb_of(self.frame, self.info)

    @property
    def luma(self) -> Array:
        return limited_luma(self.frame, self.info)


def _pictures(video: Any) -> Iterator[_Picture]:
    with open_video(video) as reader:
        for frame in reader:
            yield _Picture(frame, reader.info, frame.time)


def _compare_pictures(
    source: VideoSource, result: VideoSource, models: LearnedModels
) -> dict[str, Any]:
    """Series of every fifth pair of frames."""
    frames: list[int] = []
    rows: dict[str, list[float]] = {}
    index = -1
    for first, second in pair_videos(source, result, _pictures):
        if first is None or second is None:
            continue
        index += 1
        if index % EVERY:
            continue
        frames.append(index)
        pair = first.rgb, second.rgb
        values: dict[str, float] = {}
        if models.lpips is not None:
            link = match_views(first.luma, second.luma)
            values["lpips"] = _lpips(*pair, link, models.lpips)
        if models.clip is not None:
            values |= _clip(*pair, models)
        for name, value in values.items():
            rows.setdefault(name, []).append(value)
    if not frames:
        raise InputError(f"result: {name_of(result)} has no frame in common with {name_of(source)}")
    return {"frames": np.array(frames), **{name: np.array(v) for name, v in rows.items()}}


def _lpips(source: Array, result: Array, link: Array | None, model: Lpips) -> float:
    import torch

    if link is None:
        return float("nan")
    laid, shown = common_view(source, result, link)
    if min(laid.shape[:2]) < 64:
        return float("nan")
    pair = [torch.from_numpy(p.transpose(2, 0, 1)[None] / np.float32(255)) for p in (laid, shown)]
    return float(model(*pair))


def _clip(source: Array, result: Array, models: LearnedModels) -> dict[str, float]:
    import torch

    assert models.clip is not None
    first, second = (
        models.clip(torch.from_numpy(picture.transpose(2, 0, 1)[None].copy()))
        for picture in (source, result)
    )
    values = {}
    if "clip" in models.asked:
        values["clip"] = float((first * second).sum())
    if models.aesthetic is not None:
        values["aesthetic"] = float(models.aesthetic(second))
        values["aesthetic_source"] = float(models.aesthetic(first))
    return values


def _dover(video: VideoSource, model: Dover) -> DoverScore:
    # Not by what a file promises: frames that never come would be rated as black ones.
    count = len(video) if isinstance(video, Sized) and not isinstance(video, str) else None
    if count is None:
        count = sum(1 for _ in _pictures(video))
    if not count:
        raise InputError(f"{name_of(video)}: holds no frame")
    return model((picture.rgb for picture in _pictures(video)), count)


def video_features(video: VideoSource, model: VideoFeatures) -> Array:
    """`(n, k)` I3D features of a video's successive clips of 16 frames; the rest is left out.

    FVD of a data set: `frechet_distance` of the features of all references, stacked, and those of
    all results.
    """
    rows: list[Array] = []
    clip: list[Array] = []
    for picture in _pictures(video):
        clip.append(picture.rgb)
        if len(clip) == WINDOW:
            rows.append(model(np.stack(clip)))
            clip = []
    return np.array(rows).reshape(len(rows), -1)
