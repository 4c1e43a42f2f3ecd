// One variant of the chain solver for each instruction set (see isa.h).
#pragma GCC diagnostic ignored "-Wpsabi"  // no vector type crosses a call: all is inlined
#include "trajectory/chain_solver.h"

namespace steadyview {
namespace STEADYVIEW_ISA {
namespace {

template <int N, int Reach>
ChainQpResult run(const ChainQp& qp, const ChainQpOptions& options, double* x, double* multipliers,
                  bool warm) {
  ChainSolver<N, Reach> solver(qp);
  return solver.run(qp, options, x, multipliers, warm);
}

}  // namespace

ChainQpResult solve_chain(const ChainQp& qp, const ChainQpOptions& options, double* x,
                          double* multipliers, bool warm) {
  // Few sizes, for the sake of compile time: variables that are missing are held at zero.
  if (qp.size == 1 && qp.reach <= 2) return run<1, 2>(qp, options, x, multipliers, warm);
  if (qp.size == 1) return run<1, 3>(qp, options, x, multipliers, warm);
  if (qp.size == 2) return run<2, 3>(qp, options, x, multipliers, warm);
  if (qp.size <= 4) return run<4, 3>(qp, options, x, multipliers, warm);
  if (qp.size <= 6) return run<6, 3>(qp, options, x, multipliers, warm);
  return run<8, 3>(qp, options, x, multipliers, warm);
}

}  // namespace STEADYVIEW_ISA
}  // namespace steadyview
