"""Camera-path QPs: ours against PIQP, Clarabel and OSQP at the same accuracy, in the same run.

    python benchmarks/path.py [--quick] [--json FILE] [--repeats N] [--frames T ...] [--kind K ...]

Two problems, both with exact differences of the composed path and all corners inside at crop 0.8:
"affine" has 6 affine parameters a frame and D1, D2, D3 terms 1 : 10 : 100 (the joint problem of the
published comparison), "similarity" has 4 and is what `smooth_similarity` solves by default. Motions
are synthetic handheld shake, and those of the example clip (repeated to and fro for longer videos).
Limit: 5 times faster than the fastest peer, violation <= 1e-9 px. Every solver uses one thread. The
fastest peer runs as often as ours, in turn with it; one that is slow or does not get there runs
once, and Clarabel and OSQP are stopped at a time limit (their status says so).
"""

import argparse
import functools
import json
import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import clarabel
import cv2
import numpy as np
import osqp
import piqp
from scipy import sparse

from machine import machine_facts
from steadyview import _core
from steadyview.motion.global_motion import estimate_motion
from steadyview.path import smooth_similarity

SIZE = (640, 360)
RADIUS = math.hypot(*SIZE) / 2
CROP = 0.8
LIMIT = 5.0
VIOLATION = 1e-9
#: Seconds until a solver that can be stopped is; --quick takes a tenth.
TIME_LIMIT = {"clarabel": 60.0, "osqp": 5.0}
#: A peer that took longer than a second, and this much longer than the fastest, is not run again.
SLOW = 1.5


def synthetic_motion(frames: int) -> np.ndarray:
    rng = np.random.default_rng(0)
    t = np.arange(frames) / 30
    angle, zoom = 2e-3 * rng.normal(size=frames), 5e-4 * rng.normal(size=frames)
    x = 3 * rng.normal(size=frames) + 8 * np.sin(13 * t) + 60 * np.sin(1.2 * t)
    y = 3 * rng.normal(size=frames) + 5 * np.sin(19 * t)
    linear = np.exp(np.diff(zoom) + 1j * np.diff(angle))
    return np.stack([linear.real, linear.imag, np.diff(x), np.diff(y)], axis=1)


@functools.cache
def example_motion() -> np.ndarray:
    """Similarity motion of the example clip, in pixels of SIZE."""
    clip = cv2.VideoCapture(str(Path(__file__).parent.parent / "examples" / "handheld.mp4"))
    lumas = []
    while (got := clip.read())[0]:
        lumas.append(cv2.cvtColor(got[1], cv2.COLOR_BGR2GRAY))
    size = lumas[0].shape[::-1]
    motion = estimate_motion(((v, t / 30) for t, v in enumerate(lumas)), size).similarity
    motion[:, 2:] *= SIZE[0] / size[0]
    return motion


def real_motion(frames: int) -> np.ndarray:
    """The example clip's, forwards and backwards in turn."""
    forward = example_motion()
    linear = forward[:, 0] + 1j * forward[:, 1]
    shift = -(forward[:, 2] + 1j * forward[:, 3]) / linear
    back = np.stack([(1 / linear).real, (1 / linear).imag, shift.real, shift.imag], axis=1)[::-1]
    turns = [forward if i % 2 == 0 else back for i in range((frames - 2) // len(forward) + 1)]
    return np.concatenate(turns)[: frames - 1]


def chain(motion: np.ndarray, kind: str) -> dict[str, np.ndarray]:
    """The problem as blocks (csrc/trajectory/qp.h), in pixels of corner displacement."""
    frames, n = len(motion) + 1, 6 if kind == "affine" else 4
    a, b, x, y = motion.T
    turn = np.array([[a, -b], [b, a]]).transpose(2, 0, 1)
    f = np.zeros((frames - 1, n, n))
    for i in range(0, n, 2):
        f[:, i : i + 2, i : i + 2] = turn
    offset = np.zeros((frames - 1, n))
    offset[:, -2:] = np.stack([x, y], axis=1)
    # D_k at frame t: sum_j e[j][t] u[t + j] + c[t]
    e, c = [f, np.broadcast_to(-np.eye(n), f.shape)], offset
    hessian, gradient = np.zeros((frames, 4, n, n)), np.zeros((frames, n))
    weights = (1, 10, 100) if kind == "affine" else (0, 0, 1)
    for order, weight in enumerate(weights, start=1):
        if order > 1:
            e = [
                (e[j - 1][1:] if j else 0) - (e[j][:-1] if j < order else 0)
                for j in range(order + 1)
            ]
            c = np.diff(c, axis=0)
        rows = frames - order
        for i in range(order + 1):
            gradient[i : i + rows] += 2 * weight * np.einsum("tij,ti->tj", e[i], c)
            for j in range(i + 1):
                hessian[i : i + rows, i - j] += 2 * weight * np.einsum("tik,til->tkl", e[i], e[j])
    half = np.array(SIZE) / 2
    if kind == "affine":
        corners = [(sx * half[0] * CROP, sy * half[1] * CROP) for sx in (-1, 1) for sy in (-1, 1)]
        matrix = np.zeros((12, 6))
        for i, (px, py) in enumerate(corners):
            matrix[2 * i] = [px / RADIUS, 0, py / RADIUS, 0, 1, 0]
            matrix[2 * i + 1] = [0, px / RADIUS, 0, py / RADIUS, 0, 1]
        matrix[8:, :4] = np.eye(4)
        upper = np.concatenate([np.tile(half, 4), np.array([1.1, 0.1, 0.1, 1.1]) * RADIUS])
        lower = np.concatenate([-np.tile(half, 4), np.array([0.9, -0.1, -0.1, 0.9]) * RADIUS])
        start = np.array([RADIUS, 0, 0, RADIUS, 0, 0])
    else:
        hold = 1 / ((math.sqrt(2) - 1) * 30**6)  # time constant of a second at 30 frames/s
        pull = 2 * hold * np.array([0.02, 1, 1, 1])
        hessian[:, 0] += np.diag(pull)
        gradient[:, 0] -= pull[0] * RADIUS
        matrix = np.zeros((9, 4))
        lower, upper = np.full(9, -np.inf), np.full(9, np.inf)
        row = 0
        for axis in (0, 1):
            for side in (-1, 1):
                for other in (-1, 1):
                    matrix[row, :2] = side * half[axis], other * half[1 - axis]
                    matrix[row, :2] /= RADIUS
                    matrix[row, 2 + axis] = 1
                    (lower if side < 0 else upper)[row] = side * half[axis]
                    row += 1
        matrix[8, 0], lower[8] = 1, CROP * RADIUS
        start = np.array([0.9 * RADIUS, 0, 0, 0])
    tile = [np.tile(v, (frames, 1)) for v in (lower, upper, start)]
    return {
        "hessian": hessian,
        "gradient": gradient,
        "matrix": matrix,
        "lower": tile[0],
        "upper": tile[1],
        "start": tile[2],
    }


def written_out(p: dict[str, np.ndarray]) -> dict:
    """The same as sparse matrices; the upper triangle of the Hessian."""
    frames, _, n, _ = p["hessian"].shape
    i, j = np.meshgrid(np.arange(n), np.arange(n), indexing="ij")
    rows, cols, values = [], [], []
    for k in range(4):
        t = np.arange(k, frames)[:, None, None]
        rows.append(np.broadcast_to((t - k) * n + j, (frames - k, n, n)).ravel())
        cols.append(np.broadcast_to(t * n + i, (frames - k, n, n)).ravel())
        values.append(p["hessian"][k:, k].ravel())
    flat = [np.concatenate(v) for v in (values, rows, cols)]
    upper = sparse.triu(sparse.csc_matrix((flat[0], (flat[1], flat[2])), (frames * n,) * 2))
    upper.eliminate_zeros()
    g = sparse.csc_matrix(sparse.kron(sparse.eye(frames), p["matrix"]))
    return {
        "frames": frames,
        "upper": sparse.csc_matrix(upper),
        "full": sparse.csc_matrix(upper + sparse.triu(upper, 1).T),
        "q": p["gradient"].ravel(),
        "g": g,
        "l": p["lower"].ravel(),
        "u": p["upper"].ravel(),
    }


def ours(p: dict[str, np.ndarray], _: dict) -> tuple[np.ndarray, int, str]:
    frames, reach, n, _ = p["hessian"].shape
    none = np.zeros((frames, 0))
    x, _, info = _core.solve_chain_qp(
        **p,
        term_matrix=none.reshape(frames, 0, reach, n),
        term_offset=none,
        term_weight=none,
    )
    return x.ravel(), info["iterations"], info["status"]


def with_piqp(kkt: piqp.KKTSolver) -> Callable:
    def solve(_: dict, s: dict) -> tuple[np.ndarray, int, str]:
        solver = piqp.SparseSolver()
        solver.settings.kkt_solver = kkt
        solver.settings.eps_abs, solver.settings.eps_rel = 1e-8, 1e-9
        # P must be upper triangular or full; the bounds' infinities are understood.
        solver.setup(s["full"], s["q"], None, None, s["g"], s["l"], s["u"])
        status = solver.solve()
        return solver.result.x, solver.result.info.iter, str(status).split(".")[-1]

    return solve


def with_clarabel(
    _: dict, s: dict, limit: float = TIME_LIMIT["clarabel"]
) -> tuple[np.ndarray, int, str]:
    below, above = np.isfinite(s["l"]), np.isfinite(s["u"])
    a = sparse.vstack([s["g"][above], -s["g"][below]], format="csc")
    b = np.concatenate([s["u"][above], -s["l"][below]])
    settings = clarabel.DefaultSettings()
    settings.verbose, settings.max_threads, settings.time_limit = False, 1, limit
    settings.tol_gap_abs = settings.tol_gap_rel = settings.tol_feas = 1e-8
    cones = [clarabel.NonnegativeConeT(len(b))]
    result = clarabel.DefaultSolver(s["upper"], s["q"], a, b, cones, settings).solve()
    return np.array(result.x), result.iterations, str(result.status)


def with_osqp(_: dict, s: dict, limit: float = TIME_LIMIT["osqp"]) -> tuple[np.ndarray, int, str]:
    solver = osqp.OSQP()
    solver.setup(
        s["upper"],
        s["q"],
        s["g"],
        s["l"],
        s["u"],
        eps_abs=1e-8,
        eps_rel=1e-8,
        max_iter=200_000,
        time_limit=limit,
        verbose=False,
        polishing=True,
    )
    result = solver.solve(raise_error=False)
    x = np.array(result.x, dtype=np.float64)
    return x, result.info.iter, result.info.status


OURS = "steadyview"
SOLVERS: dict[str, Callable] = {
    OURS: ours,
    "piqp multistage": with_piqp(piqp.KKTSolver.sparse_multistage),
    "piqp sparse": with_piqp(piqp.KKTSolver.sparse_ldlt),
    "clarabel": with_clarabel,
    "osqp": with_osqp,
}
PEERS = [name for name in SOLVERS if name != OURS]


def solved(answer: tuple[np.ndarray, int, str]) -> bool:
    """At the accuracy asked for: not Clarabel's AlmostSolved, nor at a limit of time."""
    return answer[2] in ("solved", "Solved", "PIQP_SOLVED")


def compare(
    kind: str, footage: str, motion: np.ndarray, repeats: int, hurry: float = 1.0
) -> list[dict]:
    """All solvers on one problem, interleaved; the fastest run of each counts."""
    p = chain(motion, kind)
    s = written_out(p)
    wall: dict[str, list[float]] = {name: [] for name in SOLVERS}
    cpu: dict[str, list[float]] = {name: [] for name in SOLVERS}
    answers: dict[str, tuple[np.ndarray, int, str]] = {}
    for round_ in range(repeats):
        for name, solve in SOLVERS.items():
            if round_ and name != OURS:
                fastest = min((min(wall[n]) for n in PEERS if solved(answers[n])), default=0)
                if not solved(answers[name]) or min(wall[name]) > max(1, SLOW * fastest):
                    continue
            limit = {"limit": hurry * TIME_LIMIT[name]} if name in TIME_LIMIT else {}
            start, start_cpu = time.perf_counter(), time.process_time()
            answers[name] = solve(p, s, **limit)
            wall[name].append(time.perf_counter() - start)
            cpu[name].append(time.process_time() - start_cpu)
    rows = [
        {
            "problem": kind,
            "footage": footage,
            "solver": name,
            "ms": 1e3 * min(wall[name]),
            "cpu_ms": 1e3 * min(cpu[name]),
            "runs": len(wall[name]),
            **quality(s, *answers[name]),
        }
        for name in SOLVERS
    ]
    best = rows[0]
    for row in rows:
        row["us_per_frame"] = 1e3 * row["ms"] / row["frames"]
        row["times_ours"] = row["ms"] / best["ms"]
        off = abs(row["objective"] - best["objective"])
        row["objective_difference"] = off / (1 + abs(best["objective"]))
    peers = [row for row in rows[1:] if solved(answers[row["solver"]])]
    for key, clock in (("fastest_peer_over_ours", "ms"), ("fastest_peer_over_ours_cpu", "cpu_ms")):
        best[key] = min((row[clock] for row in peers), default=math.inf) / best[clock]
    return rows


def quality(s: dict, x: np.ndarray, iterations: int, status: str) -> dict:
    z = s["g"] @ x
    return {
        "frames": s["frames"],
        "iterations": int(iterations),
        "status": status,
        "violation": float(max(np.max(s["l"] - z), np.max(z - s["u"]), 0)),
        "objective": float(0.5 * x @ (s["full"] @ x) + s["q"] @ x),
    }


def whole_call(frames: int, motion: np.ndarray, repeats: int) -> dict:
    """`smooth_similarity` as the product calls it, building the problem included."""
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        path = smooth_similarity(motion, SIZE, CROP)
        times.append(time.perf_counter() - start)
    return {
        "frames": frames,
        "ms": 1e3 * min(times),
        "iterations": path.iterations,
        "status": path.status,
        "violation": path.violation,
    }


def show(rows: list[dict]) -> None:
    first = rows[0]
    print(f"\n{first['problem']}, {first['footage']}, {first['frames']:,} frames")
    for r in rows:
        print(
            f"  {r['solver']:16} {r['ms']:10.2f} ms  {r['times_ours']:7.1f}x  "
            f"{r['iterations']:6} iterations  violation {r['violation']:.1e}  "
            f"objective off by {r['objective_difference']:.1e}  {r['status']} ({r['runs']} runs)"
        )
    print(
        f"  fastest peer that solves it / ours: {first['fastest_peer_over_ours']:.1f} "
        f"(of processor time {first['fastest_peer_over_ours_cpu']:.1f}; limit {LIMIT:g})",
        flush=True,
    )


def summarise(rows: list[dict]) -> None:
    """Growth with length, and what is below the limit."""
    print("\nours: us a frame (times faster than the fastest peer)")
    mine = [r for r in rows if r["solver"] == OURS]
    for kind, footage in dict.fromkeys((r["problem"], r["footage"]) for r in mine):
        line = [
            f"{r['frames']:,}: {r['us_per_frame']:.1f} ({r['fastest_peer_over_ours']:.1f}x)"
            for r in mine
            if (r["problem"], r["footage"]) == (kind, footage)
        ]
        print(f"  {kind:10} {footage:9} " + "   ".join(line))
    misses = [
        r
        for r in mine
        if r["fastest_peer_over_ours"] < LIMIT
        or r["violation"] > VIOLATION
        or r["status"] != "solved"
    ]
    for r in misses:
        print(f"  MISSED: {r['problem']}, {r['footage']}, {r['frames']:,} frames")
    if not misses:
        print(f"  every one at least {LIMIT:g}x, and no violation above {VIOLATION:g}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="300 and 1,800 frames only")
    parser.add_argument("--json", type=Path, help="where to write the figures")
    parser.add_argument("--repeats", type=int, default=5, help="runs; 3 at 10,000 frames and more")
    parser.add_argument("--frames", type=int, nargs="+", default=[300, 1_800, 10_000, 100_000])
    kinds = ("affine", "similarity")
    parser.add_argument("--kind", nargs="+", choices=kinds, default=kinds, help="which problems")
    options = parser.parse_args()
    result: dict[str, Any] = {
        "machine": machine_facts(),
        "limit": LIMIT,
        "solvers": [],
        "smooth_similarity": [],
    }
    for frames in [300, 1_800] if options.quick else options.frames:
        repeats = options.repeats if frames < 10_000 else min(options.repeats, 3)
        for footage, make in (("synthetic", synthetic_motion), ("real", real_motion)):
            motion = make(frames)
            for kind in options.kind:
                rows = compare(kind, footage, motion, repeats, 0.1 if options.quick else 1.0)
                result["solvers"] += rows
                show(rows)
            call = whole_call(frames, motion, repeats)
            result["smooth_similarity"].append({"footage": footage, **call})
            print(f"  smooth_similarity: {call['ms']:.2f} ms, {call['iterations']} iterations")
            if options.json:  # as it goes: the longest chains take minutes
                options.json.write_text(json.dumps(result, indent=1) + "\n")
    summarise(result["solvers"])


if __name__ == "__main__":
    main()
