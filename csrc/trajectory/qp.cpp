#include "trajectory/qp.h"

#include <algorithm>
#include <cmath>

#include "common/isa.h"

namespace steadyview {

#define STEADYVIEW_VARIANT(isa)                                                          \
  namespace isa {                                                                        \
  ChainQpResult solve_chain(const ChainQp& qp, const ChainQpOptions& options, double* x, \
                            double* multipliers, bool warm);                             \
  }
STEADYVIEW_VARIANT(baseline)
#if defined(__x86_64__)
STEADYVIEW_VARIANT(avx2)
STEADYVIEW_VARIANT(avx512)
#endif
#undef STEADYVIEW_VARIANT

namespace {

bool finite(const double* values, int64_t count) {
  // 0 * inf and 0 * nan are nan. Eight sums, for the sake of speed.
  double sums[8] = {};
  int64_t i = 0;
  for (; i + 8 <= count; i += 8)
    for (int j = 0; j < 8; ++j) sums[j] += 0 * values[i + j];
  for (; i < count; ++i) sums[0] += 0 * values[i];
  return std::all_of(sums, sums + 8, [](double sum) { return sum == 0; });
}

bool valid(const ChainQp& qp, const double* x) {
  if (qp.frames < 0 || qp.size < 1 || qp.size > 8 || qp.reach < 0 || qp.reach > 3) return false;
  if (qp.rows < 0 || qp.rows > 64 || qp.terms < 0 || qp.terms > 32) return false;
  const int64_t frames = qp.frames, size = qp.size, reach = qp.reach + 1;
  if (!finite(qp.hessian, frames * reach * size * size) || !finite(qp.gradient, frames * size) ||
      !finite(x, frames * size) ||
      !finite(qp.matrix, (qp.shared_matrix ? 1 : frames) * qp.rows * size) ||
      !finite(qp.term_matrix, frames * qp.terms * reach * size) ||
      !finite(qp.term_offset, frames * qp.terms) || !finite(qp.term_weight, frames * qp.terms))
    return false;
  for (int64_t i = 0; i < frames * qp.rows; ++i)
    if (!(qp.lower[i] <= qp.upper[i]) || qp.lower[i] == INFINITY || qp.upper[i] == -INFINITY)
      return false;
  for (int64_t i = 0; i < frames * qp.terms; ++i)
    if (qp.term_weight[i] < 0) return false;
  return true;
}

}  // namespace

const char* status_name(ChainQpStatus status) {
  switch (status) {
    case ChainQpStatus::solved:
      return "solved";
    case ChainQpStatus::max_iterations:
      return "max_iterations";
    case ChainQpStatus::stalled:
      return "stalled";
    default:
      return "invalid";
  }
}

ChainQpResult solve(const ChainQp& qp, const ChainQpOptions& options, double* x,
                    double* multipliers, bool warm) {
  ChainQpResult result;
  if (!valid(qp, x)) return result;
  if (qp.frames == 0) {
    result.status = ChainQpStatus::solved;
    return result;
  }
  return STEADYVIEW_FOR_ISA(steadyview, solve_chain(qp, options, x, multipliers, warm));
}

}  // namespace steadyview
