"""Whether the camera rests while something that moves holds most of the texture.

A fit that weighs by texture follows a patterned box that is waved before a plain table. The table
still tells: moved along with the box, its creases no longer fit. So where the fit moves the
picture, each cell votes for that motion or for rest, whichever leaves less difference, and the
votes are counted by area in two rings along the frame's edge: objects are surrounded by the scene,
and what is written over a video's edge does not reach into the second.
"""

from typing import Any

import numpy as np

from .. import _core

__all__ = ["RestVote", "ring_votes"]

#: Frames are compared as soon as the picture has moved so far (px of a 480-pixel image, root mean
#: square), or after so many seconds if it has moved enough to tell at all.
TELLING = 2.0
WAIT = 0.25
LEAST = 0.3
#: Seconds from one vote to the next comparison, which bounds what votes cost; and while rest is out
#: of the question.
PAUSE = 0.1
LONG_PAUSE = 0.5
#: Texture (`AnalysisFrame::texture`) that a cell needs to have a vote. Shading tells nothing: the
#: lens's stays in place while the camera moves; and encoders leave noise in place.
TEXTURE = 0.06
#: A vote needs a difference in grey levels, and one hypothesis to leave this share of the other's.
GREY_LEVELS = 0.3
SHARE = 0.6
#: A cell does not rest if more is left than by a shift of so many pixels, and noise in grey levels.
SHIFT = 0.5
NOISE = 1.0
#: The picture's cells are gathered in so many blocks a side, of which the two outermost rings
#: count, each by itself. A block's voice is full from so many votes on.
BLOCKS = 8
VOICE = 4
#: Seconds over which votes are remembered.
MEMORY = 2.0
#: Votes for rest over votes against it, with a doubt added to both, from which rest is believed and
#: down to which it is kept, in both rings. Handheld clips reach 0.1, a moving car 0.2 (also with
#: text all along the edges), an animated film 0.33; a box waved before a still camera falls below
#: 0.5 one time in twenty.
BELIEVED = 0.45
KEPT = 0.3
DOUBT = 0.05
#: Votes for rest that are needed before it is believed, in shares of the outer ring.
EVIDENCE = 0.5
#: Share of the outer ring that votes against rest, twice in a row, when the camera sets off.
SETS_OFF = 0.6


class RestVote:
    """Votes for rest against the measured motion, remembered from frame to frame.

    Attributes:
        believed: the camera is held to rest.
        since: time of the first frame of this shot that votes compared, in seconds.

    Args:
        pair: what compares frames.
        size: (width, height) of the analysis image.
    """

    def __init__(self, pair: _core.PairEstimator, size: tuple[int, int]) -> None:
        self._pair, self._size = pair, size
        self.forget()

    def forget(self) -> None:
        """Begins anew, as in another shot."""
        self.believed = False
        self.since = np.inf  # when the first frame was compared
        self._rest, self._against = np.zeros(2), np.zeros(2)  # votes of the rings
        self._moves = False  # by the last vote
        self._voted: float | None = None  # when
        self._next = -np.inf  # time from which frames are compared again
        self._first: _core.AnalysisFrame | None = None
        self._start = 0.0

    def add(
        self,
        first: tuple[_core.AnalysisFrame, float],
        second: tuple[_core.AnalysisFrame, float],
        found: dict[str, Any],
    ) -> None:
        """Takes the motion measured from one frame and its time to the next and its time."""
        if self._first is None:
            if first[1] < self._next:
                return
            self._first, self._start = first
            self.since = min(self.since, self._start)
            self._similarity: np.ndarray = np.array([1.0, 0, 0, 0])
            self._coefficients = np.zeros_like(found["model_coefficients"])
        # Motions of a few pixels may be added.
        self._similarity = self._similarity + found["model_similarity"] - (1, 0, 0, 0)
        self._coefficients = self._coefficients + found["model_coefficients"]
        frame, time = second
        moved = self._moved()
        if moved < TELLING and time - self._start < WAIT:
            return
        if moved >= LEAST:
            self._vote(frame, time, min(moved / TELLING, 1.0) ** 2)
        self._first = None

    def _moved(self) -> float:
        """How far the similarity moves the picture: px of a 480-pixel image, root mean square."""
        a, b, tx, ty = self._similarity
        width, height = self._size
        turned = ((a - 1) ** 2 + b**2) * (width**2 + height**2) / 12
        return float(np.sqrt(tx**2 + ty**2 + turned)) * 480 / max(self._size)

    def _vote(self, frame: _core.AnalysisFrame, time: float, weight: float) -> None:
        still = (np.array([1.0, 0, 0, 0]), np.zeros_like(self._coefficients))
        under_rest, under_motion = (
            self._pair.differences(self._first, frame, *model, TEXTURE)
            for model in (still, (self._similarity, self._coefficients))
        )
        rest, against = ring_votes(under_rest, under_motion, frame.gradients())
        fade = 1.0 if self._voted is None else float(np.exp((self._voted - time) / MEMORY))
        self._voted = time
        self._rest = fade * self._rest + weight * rest
        self._against = fade * self._against + weight * against
        ratio = ((self._rest + DOUBT) / (self._against + DOUBT)).min()
        self._next = time + (PAUSE if ratio > KEPT / 2 else LONG_PAUSE)
        moves, self._moves = self._moves, bool(against[0] > SETS_OFF)
        if moves and self._moves:
            self.believed, self._rest = False, np.zeros(2)
            return
        enough = KEPT if self.believed else BELIEVED
        self.believed = bool(ratio > enough and self._rest[0] > EVIDENCE)


def ring_votes(
    under_rest: np.ndarray, under_motion: np.ndarray, gradients: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Votes for rest and votes against it, as shares of the two rings of blocks along the frame's
    edge, the outer one first.

    Against rest is a cell that moves along, and one that does neither. Rows and columns at the edge
    without any opinion, as the bars of a letterbox, are left out.

    Args:
        under_rest, under_motion: `(rows, columns)` mean absolute differences of the cells in grey
            levels; NaN where a cell has no vote.
        gradients: `(rows, columns)` root mean square gradients in grey levels a pixel.
    """
    informed = np.abs(np.nan_to_num(under_motion - under_rest)) > 0.02
    rows, columns = (np.flatnonzero(informed.any(axis)) for axis in (1, 0))
    if len(rows) == 0 or min(np.ptp(rows), np.ptp(columns)) < 2 * BLOCKS - 1:
        return np.zeros(2), np.zeros(2)
    picture = (slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1))
    rest, motion = under_rest[picture], under_motion[picture]
    fits = rest < SHIFT * gradients[picture] + NOISE
    against = _better(motion, rest) | (np.isfinite(rest) & ~fits)
    starts = [np.linspace(0, side, BLOCKS, endpoint=False).astype(int) for side in rest.shape]
    votes = [
        np.add.reduceat(np.add.reduceat(vote.astype(float), starts[0], 0), starts[1], 1)
        for vote in (_better(rest, motion) & fits, against)
    ]
    voices = np.maximum(votes[0] + votes[1], VOICE)
    edge = np.minimum(np.arange(BLOCKS), np.arange(BLOCKS)[::-1])
    ring = np.minimum.outer(edge, edge)
    share_for, share_against = (
        np.array([(vote / voices)[ring == depth].mean() for depth in (0, 1)]) for vote in votes
    )
    return share_for, share_against


def _better(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Cells in which a hypothesis leaves clearly less than the other; none that is not seen."""
    votes: np.ndarray = (other - one > GREY_LEVELS) & (one < SHARE * other)
    return votes
