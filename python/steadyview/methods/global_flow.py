"""GlobalFlowNet's way: low-pass global motion, a similarity path by QP, then residual smoothing."""

from dataclasses import replace

import numpy as np

from ..motion.global_motion import GlobalMotion
from ..options import StabilizeOptions
from ..path.box import smooth_paper
from ..path.residual import residual_margin, smooth_residual
from ..path.shake import shake_energy, shake_removed_db
from ..path.similarity import CameraPath, smooth_similarity
from ..path.sliding import SlidingPath

__all__ = ["global_flow", "global_flow_paper", "is_steady", "no_worse_than_source", "sliding_path"]

IDENTITY = np.array([1.0, 0.0, 0.0, 0.0])

#: A source that shakes less than this (RMS in pixels at a 640-pixel wide frame) counts as steady.
STEADY_RMS = 0.02


def global_flow(motion: GlobalMotion, options: StabilizeOptions) -> tuple[CameraPath, str]:
    """The camera path of `method="global_flow"`, and a note for the user (empty when all is well).

    Source: GlobalFlowNet (WACV 2023), stages 1 and 2; the path QP is ours (joint, exact corners).
    """
    sliding = sliding_path(options)
    if sliding is not None:
        while sliding.ready(motion):
            sliding.settle(motion)
        sliding.settle(motion, complete=True)
        return no_worse_than_source(motion, sliding.path())
    path = smooth_similarity(
        motion.similarity,
        motion.frame_size,
        options.crop_limit,
        times=motion.times,
        smooth=options.smooth,
        confidence=motion.confidence,
        shots=motion.shots,
        static=options.static,
        norm=options.norm,
        margin=residual_margin(motion, options.crop_limit) if options.residual else 0.0,
    )
    return _finish(motion, path, options)


def sliding_path(options: StabilizeOptions) -> SlidingPath | None:
    """The path of `global_flow` that is settled while the motion comes in.

    None where the path of a frame depends on the whole video: a tripod's, L1's long straight
    pieces, and the paper's.
    """
    if options.method != "global_flow" or options.static or options.norm != "l2":
        return None
    return SlidingPath(
        crop_limit=options.crop_limit,
        smooth=options.smooth,
        residual=options.residual,
    )


def global_flow_paper(motion: GlobalMotion, options: StabilizeOptions) -> tuple[CameraPath, str]:
    """The reproduced baseline, `method="global_flow_paper"`: the paper's own first stage.

    One box QP a parameter with bounds from the overlap; `smooth`, `static` and `norm` do not apply.

    Source: GlobalFlowNet (WACV 2023), stages 1 and 2, with the defects of its code mended.
    """
    path = smooth_paper(
        motion.similarity, motion.frame_size, options.crop_limit, shots=motion.shots
    )
    return _finish(motion, path, options)


def _finish(
    motion: GlobalMotion, path: CameraPath, options: StabilizeOptions
) -> tuple[CameraPath, str]:
    if options.residual:
        path = smooth_residual(motion, path)
    return no_worse_than_source(motion, path, options.static)


def is_steady(motion: GlobalMotion) -> bool:
    """Whether a video shakes so little that its frames are best left as they are."""
    width, _ = motion.frame_size
    shake = np.sqrt(shake_energy(motion.similarity, motion.times, motion.frame_size, motion.shots))
    return bool(shake < STEADY_RMS * width / 640)


def no_worse_than_source(
    motion: GlobalMotion, path: CameraPath, static: bool = False
) -> tuple[CameraPath, str]:
    """Only as much of a correction as helps: the whole, a part of it, or none, with a note.

    Judged by the similarity path. A part is a mix with the identity; the constraints are convex, so
    it has no border.
    """
    if is_steady(motion) and not static:
        return with_part(path, 0.0), "the video is steady already: its frames are left as they are"
    for part in (1.0, 0.75, 0.5, 0.25):
        mixed = with_part(path, part)
        removed = shake_removed_db(
            motion.similarity,
            mixed.source_from_output,
            motion.times,
            motion.frame_size,
            motion.shots,
        )
        if removed <= 0:
            continue
        if part < 1:
            note = f"only {part:.0%} of the correction is applied: more would shake more"
        elif path.status != "solved":
            note = (
                f"the path solver stopped early ({path.status}): the path may shake more than "
                "need be"
            )
        else:
            note = ""
        return mixed, note
    return with_part(path, 0.0), "no correction makes this video steadier: it is left as it is"


def with_part(path: CameraPath, part: float) -> CameraPath:
    """A part of a correction, from none (0) to the whole (1)."""
    if part == 1.0:
        return path
    mixed = part * path.source_from_output + (1 - part) * IDENTITY
    displacement = None
    if path.displacement is not None and part > 0:
        displacement = part * path.displacement
    return replace(
        path,
        source_from_output=mixed,
        kept=np.hypot(mixed[:, 0], mixed[:, 1]),
        displacement=displacement,
    )
