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

template <int N>
ChainQpResult pick_reach(const ChainQp& qp, const ChainQpOptions& options, double* x,
                         double* multipliers, bool warm) {
  return qp.reach <= 2 ? run<N, 2>(qp, options, x, multipliers, warm)
                       : run<N, 3>(qp, options, x, multipliers, warm);
}

}  // namespace

ChainQpResult solve_chain(const ChainQp& qp, const ChainQpOptions& options, double* x,
                          double* multipliers, bool warm) {
  switch (qp.size) {
    case 1:
      return pick_reach<1>(qp, options, x, multipliers, warm);
    case 2:
      return pick_reach<2>(qp, options, x, multipliers, warm);
    case 3:
      return pick_reach<3>(qp, options, x, multipliers, warm);
    case 4:
      return pick_reach<4>(qp, options, x, multipliers, warm);
    case 5:
      return pick_reach<5>(qp, options, x, multipliers, warm);
    case 6:
      return pick_reach<6>(qp, options, x, multipliers, warm);
    case 7:
      return pick_reach<7>(qp, options, x, multipliers, warm);
    default:
      return pick_reach<8>(qp, options, x, multipliers, warm);
  }
}

}  // namespace STEADYVIEW_ISA
}  // namespace steadyview
