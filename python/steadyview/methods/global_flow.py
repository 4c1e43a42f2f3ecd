"""GlobalFlowNet's way: low-pass global motion, a similarity path by QP, then residual smoothing."""

from dataclasses import replace

import numpy as np

from ..motion.global_motion import GlobalMotion
from ..options import StabilizeOptions
from ..path.box import smooth_paper
from ..path.residual import smooth_residual, wobble_rms
from ..path.shake import shake_energy, shake_removed_db
from ..path.similarity import CameraPath, smooth_similarity

__all__ = ["global_flow", "global_flow_paper", "no_worse_than_source"]

IDENTITY = np.array([1.0, 0.0, 0.0, 0.0])

#: Where corners touch the border there is no room to displace; at most this part of the long side
#: is kept free for it.
RESIDUAL_MARGIN = 0.006

#: A source that shakes less than this (RMS in pixels at a 640-pixel wide frame) counts as steady.
STEADY_RMS = 0.02


def global_flow(motion: GlobalMotion, options: StabilizeOptions) -> tuple[CameraPath, str]:
    """The camera path of `method="global_flow"`, and a note for the user (empty when all is well).

    Source: GlobalFlowNet (WACV 2023), stages 1 and 2; the path QP is ours (joint, exact corners).
    """
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
        margin=_residual_margin(motion, options) if options.residual else 0.0,
    )
    return _finish(motion, path, options)


def _residual_margin(motion: GlobalMotion, options: StabilizeOptions) -> float:
    """Pixels that the path leaves free for the residual stage: what it will use, within reason."""
    width, height = motion.frame_size
    room = min(width, height) * (1 - options.crop_limit) / 2
    return min(3 * wobble_rms(motion), RESIDUAL_MARGIN * max(width, height), room / 10)


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
    path, note = no_worse_than_source(motion, path, options.static)
    if options.residual and not note:
        path = smooth_residual(motion, path)
    if path.status != "solved" and not note:
        note = (
            f"the path solver stopped early ({path.status}): the path may shake more than need be"
        )
    return path, note


def no_worse_than_source(
    motion: GlobalMotion, path: CameraPath, static: bool = False
) -> tuple[CameraPath, str]:
    """Only as much of a correction as helps: the whole, a part of it, or none, with a note.

    Judged by the similarity path. A part is a mix with the identity; the corner constraints are
    convex, so it has no border.
    """
    width, _ = motion.frame_size
    shake = np.sqrt(shake_energy(motion.similarity, motion.times, motion.frame_size, motion.shots))
    if shake < STEADY_RMS * width / 640 and not static:
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
        if removed > 0:
            note = f"only {part:.0%} of the correction is applied: more would shake more"
            return mixed, "" if part == 1.0 else note
    return with_part(path, 0.0), "no correction makes this video steadier: it is left as it is"


def with_part(path: CameraPath, part: float) -> CameraPath:
    if part == 1.0:
        return path
    mixed = part * path.source_from_output + (1 - part) * IDENTITY
    return replace(path, source_from_output=mixed, kept=np.hypot(mixed[:, 0], mixed[:, 1]))
