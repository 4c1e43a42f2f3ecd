#pragma once

#include <cstdint>

namespace steadyview {

// A quadratic programme over a chain of frames with `size` variables each:
//
//   minimise   1/2 x'Hx + q'x + sum_i weight_i |E_i x - e_i|      (the last term: optional L1
//   terms) subject to lower_t <= C_t x_t <= upper_t
//
// H couples a frame with at most `reach` frames before it, and so may an L1 term. Everything is
// plain row-major float64; infinities in the bounds are allowed.
struct ChainQp {
  int64_t frames = 0;
  int size = 0;                      // variables a frame, 1..8
  int reach = 0;                     // frames coupled backwards, 0..3
  int rows = 0;                      // inequality rows a frame, 0..64
  const double* hessian = nullptr;   // [frames][reach+1][size][size]: block k is H(t, t-k)
  const double* gradient = nullptr;  // [frames][size]
  const double* matrix = nullptr;    // [frames][rows][size], or [rows][size] when shared_matrix
  bool shared_matrix = false;
  const double* lower = nullptr;        // [frames][rows]
  const double* upper = nullptr;        // [frames][rows]
  int terms = 0;                        // L1 terms a frame, 0..32
  const double* term_matrix = nullptr;  // [frames][terms][reach+1][size]: k multiplies x_{t-k}
  const double* term_offset = nullptr;  // [frames][terms]: e
  const double* term_weight = nullptr;  // [frames][terms], >= 0
};

struct ChainQpOptions {
  int max_iterations = 100;
  // Stops when primal, dual residual (largest component) and duality gap are below
  // absolute + relative * (size of the terms they are made of).
  double absolute = 1e-8;
  double relative = 1e-9;
};

enum class ChainQpStatus { solved, max_iterations, stalled, invalid };

const char* status_name(ChainQpStatus status);

struct ChainQpResult {
  ChainQpStatus status = ChainQpStatus::invalid;
  int iterations = 0;
  double primal = 0;     // largest violation of an inequality
  double dual = 0;       // largest component of the gradient of the Lagrangian
  double gap = 0;        // sum of slack times multiplier
  double objective = 0;  // of the primal point
};

// Primal-dual interior point method (Mehrotra's predictor and corrector) on the block-banded normal
// equations: O(frames) time and memory. `x` [frames][size] is the starting point on entry and the
// solution on return. `multipliers` (may be null) [frames][rows], of upper minus lower bounds: read
// for a warm start when `warm`, always written. Never throws for a problem without solution.
ChainQpResult solve(const ChainQp& problem, const ChainQpOptions& options, double* x,
                    double* multipliers = nullptr, bool warm = false);

}  // namespace steadyview
