#pragma once

#include <cstdint>

#include "trajectory/qp.h"

namespace steadyview {

// The smooth camera path of one shot. Where an output frame looks, B_t = (a, b, tx, ty), is chosen
// so that the *composed* path is smooth. With F_t the motion of frame t to t+1,
//
//   R_t = F_t B_t - B_{t+1}            px: how far the output's corners move against the scene
//   V_t = R_t / dt_t                   px/s
//   A_t = (V_{t+1} - V_t) / mean dt    px/s^2
//   J_t = (A_{t+1} - A_t) / dt_{t+1}   px/s^3
//
// are linear in B. R_t is B_{t+1} (S_t - identity) for the output's own motion S_t = B_{t+1}^-1 F_t
// B_t, so a constant S has A = J = 0 whatever it is (pan, roll, zoom). Variables are
// u = (r a, r b, tx, ty), r half the frame's diagonal: |u| is then the root mean square
// displacement of the four corners, in pixels. The cost is the integral over time of
//
//   hold (b, t terms)^2 + zoom (a term)^2 + w1 |V|^2 + w2 |A|^2 + w3 |J|^2      (l2)
//   the same pulls, and w1 |V|_1 + w2 |A|_1 + w3 |J|_1                          (l1)
//
// under: all four corners of the output at least `margin` inside the source, a >= crop_limit.
// An interval dt below a quarter of the median one is taken for a fault of the timestamps and
// counts as the median: the cost has dt^-6, and a pair of frames 0.1 ms apart would drown all
// others.
struct CameraPathProblem {
  int64_t frames = 0;
  const double* motion = nullptr;      // [frames-1][4] similarity t -> t+1, centred (a, b, tx, ty)
  const double* times = nullptr;       // [frames] seconds, increasing
  const double* confidence = nullptr;  // [frames-1] weight of a transition in (0, 1], or null
  double width = 0, height = 0;        // px
  double crop_limit = 0.8;             // smallest a
  double margin = 0;                   // px
  double hold = 1, zoom = 1;           // pull of (b, tx, ty) and of a to no correction
  double weight[3] = {0, 0, 0};        // w1, w2, w3, in s^2, s^4, s^6 (l1: s, s^2, s^3)
  bool l1 = false;
  // The first rows of the path when they are settled already: a window that slides along a video
  // goes on from them. They come back as they were given, and count as allowed.
  const double* settled = nullptr;  // [settled_frames][4]
  int64_t settled_frames = 0;
};

struct CameraPathResult {
  ChainQpStatus status = ChainQpStatus::solved;
  int iterations = 0;
  double violation = 0;  // px, of the path that is returned
  double primal = 0, dual = 0, gap = 0;
};

// `path` [frames][4] rows (a, b, tx, ty); with `warm` it is the starting point. The path that is
// returned satisfies the constraints whatever the status; only where the margin leaves no room for
// crop_limit it is centred, at the limit, and the status is invalid.
CameraPathResult solve_camera_path(const CameraPathProblem& problem, const ChainQpOptions& options,
                                   double* path, bool warm = false);

}  // namespace steadyview
