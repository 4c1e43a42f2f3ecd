#pragma once

// The interior-point iteration behind solve() of qp.h, for up to N variables a frame and one
// reach. Included once an instruction set by qp_kernel.cpp.
//
// Inequalities (inequalities.h) and L1 terms (l1_terms.h) are eliminated frame by frame, so that
// only the block-banded system in x is left to factor. An iteration is four passes over the frames,
// and each does all that can be done there, because a long chain waits for memory:
//   sweep     forwards   the last step; residuals; normal matrix, its factor, L^-1 of the right
//   side predict   backwards  the affine direction, and the corrector's right side correct forwards
//   L^-1 of it finish    backwards  the corrected direction, and how far it may go

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>

#include "trajectory/banded.h"
#include "trajectory/buffer.h"
#include "trajectory/inequalities.h"
#include "trajectory/l1_terms.h"
#include "trajectory/qp.h"

namespace steadyview {
namespace STEADYVIEW_ISA {

template <int N, int Reach>
class ChainSolver {
  static constexpr int P = padded(N);
  using V = Vec<P>;
  using System = Banded<N, Reach>;
  using Row = FactorRow<N, Reach>;
  using Lanes = Inequalities<N>;

 public:
  explicit ChainSolver(const ChainQp& qp)
      : T(qp.frames),
        S(qp.size),
        distant(T * (block + row) > int64_t{1} << 20),  // 8 MB
        hessian(T * block + P),
        factor(T * row),
        q(T * P),
        x(T * P),
        affine(T * P),
        dx(T * P),
        x_best(T * P),
        b(T * P),
        centre(T * P),
        lanes(qp),
        terms(qp) {
    load(qp);
  }

  ChainQpResult run(const ChainQp& qp, const ChainQpOptions& options, double* x_io,
                    double* multipliers, bool warm) {
    for (int64_t t = 0; t < T; ++t)
      for (int c = 0; c < S; ++c) x[t * P + c] = x_io[t * S + c];
    start(qp, warm ? multipliers : nullptr);
    ChainQpResult result, best_result;
    double best = infinity;
    double expected = best;  // dual residual after the last step, without rounding
    double alpha = 0;        // the last step, which is yet to be made
    int no_progress = 0;
    bool refining = false, cautious = false, last = false, x_is_best = false;
    for (int iteration = 0;; ++iteration) {
      last = last || iteration == options.max_iterations;
      last ? sweep<false>(alpha, x_is_best) : sweep<true>(alpha, x_is_best);
      result = now;
      result.iterations = iteration;
      if (!std::isfinite(now.primal + now.dual + now.gap + now.objective)) {
        result.status = ChainQpStatus::stalled;
        break;
      }
      const double primal_limit = options.absolute + options.relative * primal_size;
      const double dual_limit = options.absolute + options.relative * dual_size;
      const double gap_limit = options.absolute + options.relative * std::abs(now.objective);
      // Rounding in the normal equations shows in the dual residual, which should shrink with the
      // step: from then on each direction is refined once.
      refining = refining || (now.dual > 2 * expected && now.dual > 0.1 * dual_limit);
      if (now.primal <= primal_limit && now.dual <= dual_limit && now.gap <= gap_limit) {
        result.status = ChainQpStatus::solved;
        break;
      }
      const double merit = std::max({now.primal / (1 + primal_size), now.dual / (1 + dual_size),
                                     now.gap / (1 + std::abs(now.objective))});
      no_progress = merit < 0.9 * best ? 0 : no_progress + 1;
      x_is_best = merit < best;
      if (x_is_best) {
        best = merit;
        best_result = result;
      }
      if (no_progress > 12) {
        result.status = ChainQpStatus::stalled;
        break;
      }
      if (iteration == options.max_iterations) {
        result.status = ChainQpStatus::max_iterations;
        break;
      }
      if (last) sweep<true>(0, false);  // it was not the last
      const Reachable ahead = predict();
      const double reach_affine = std::min(1.0, ahead.part());
      const double mu = count > 0 ? now.gap / count : 0;
      const double after = now.gap + reach_affine * (ahead.linear + reach_affine * ahead.square);
      const double ratio = now.gap > 0 ? std::clamp(after / now.gap, 0.0, 1.0) : 0.0;
      // Not below what the wanted gap needs: slacks far smaller than that only add rounding.
      const double target =
          std::max(mu * ratio * ratio * ratio, 0.1 * gap_limit / std::max(count, 1.0));
      // The corrector assumes a full affine step; where that is short it overshoots, and now and
      // then the iteration goes round in circles: then it is damped.
      cautious = cautious || no_progress >= 3;
      const double damping = cautious ? reach_affine * reach_affine : 1;
      Reachable direction = correct(target, damping);
      // Again only where once may not be enough.
      for (int round = 0; refining && round < 4; ++round)
        if (refine(target, damping, 0.1 * dual_limit, direction) < 10 * dual_limit) break;
      alpha = std::min(1.0, 0.995 * direction.part());
      expected = (1 - alpha) * now.dual;
      // The last sweep needs no factor.
      const double gap = now.gap + alpha * (direction.linear + alpha * direction.square);
      last = !terms.any() && gap <= gap_limit && expected <= dual_limit &&
             (1 - alpha) * now.primal <= primal_limit;
    }
    const bool back = result.status != ChainQpStatus::solved && std::isfinite(best);
    if (back) {
      best_result.status = result.status;
      best_result.iterations = result.iterations;
      result = best_result;
    }
    Buffer& answer = back && !x_is_best ? x_best : x;
    for (int64_t t = 0; t < T; ++t)
      for (int c = 0; c < S; ++c) x_io[t * S + c] = answer[t * P + c];
    if (multipliers) lanes.store(qp, multipliers);
    return result;
  }

 private:
  void load(const ChainQp& qp) {
    double steepest = 0;
    for (int64_t t = 0; t < T; ++t) {
      for (int k = 0; k <= qp.reach && k <= t; ++k) {
        const double* from = qp.hessian + (t * (qp.reach + 1) + k) * S * S;
        double* to = hessian + t * block + k * N * N;
        for (int i = 0; i < S; ++i)
          for (int c = 0; c < S; ++c) to[c * N + i] = from[i * S + c];
      }
      double* diagonal = hessian + t * block;
      for (int i = 0; i < S; ++i) {
        q[t * P + i] = qp.gradient[t * S + i];
        steepest = std::max(steepest, diagonal[i * N + i]);
      }
      for (int i = S; i < N; ++i) diagonal[i * N + i] = 1;
    }
    count = lanes.count + terms.products();
    // A proximal term keeps directions that nothing holds (a straight path far from all bounds)
    // from breaking the factorisation; it acts on the step, never on the solution.
    proximal = 1e-12 * (steepest > 0 ? steepest : 1);
  }

  // Slacks and multipliers for the starting point; `given` multipliers (or null) for a warm start.
  void start(const ChainQp& qp, const double* given) {
    // The force of an L1 term is its weight: all complementarity products should start alike.
    double steep = terms.largest_weight();
    for (int64_t t = 0; t < T; ++t) {
      V gradient;
      hessian_product(t, x, gradient);
      gradient += at<P>(q + t * P);
      if (terms.any()) terms.add_pull(t, gradient);
      for (int c = 0; c < N; ++c) steep = std::max(steep, std::abs(gradient[c]));
    }
    double wide = lanes.spread(x);
    if (steep == 0) steep = 1;
    if (wide == 0) wide = 1;
    const double least = given ? 1e-4 * wide : 0.1 * wide;
    lanes.start(x, least, (given ? 1e-5 : 1e-2) * steep * wide, qp, given);
    terms.start(x, least);
  }

  // What a pass will need soon, in chains longer than the caches.
  STEADYVIEW_INLINE void fetch(int64_t t, Buffer& buffer, int64_t doubles) {
    if (!distant || t < 0 || t >= T) return;
    for (int64_t i = 0; i < doubles; i += 8) __builtin_prefetch(buffer + (t * doubles + i), 0, 2);
  }

  // out = (H point)_t
  STEADYVIEW_INLINE void hessian_product(int64_t t, Buffer& point, V& out) {
    const int back = t < Reach ? static_cast<int>(t) : Reach;
    const int ahead = T - 1 - t < Reach ? static_cast<int>(T - 1 - t) : Reach;
    V acc[N] = {};
#pragma GCC unroll 4
    for (int k = 1; k <= Reach; ++k) {
      if (k > ahead) continue;
      const double* h = hessian + (t + k) * block + k * N * N;
      const V v = at<P>(point + (t + k) * P);
#pragma GCC unroll 8
      for (int c = 0; c < N; ++c) acc[c] += at<P>(h + c * N) * v;
    }
    sum_lanes<P, N>(acc, out);
#pragma GCC unroll 4
    for (int k = 0; k <= Reach; ++k) {
      if (k > back) continue;
      const double* h = hessian + t * block + k * N * N;
      const double* v = point + (t - k) * P;
#pragma GCC unroll 8
      for (int c = 0; c < N; ++c) out += at<P>(h + c * N) * v[c];
    }
  }

  // Makes the last step by the part `alpha`, keeping the old x where it was the best; then the
  // residuals, and with Factor the factor of the normal matrix H + G'(lam/s)G + E' theta E and the
  // forward substitution of -(Hx + q) - G'(lam/s r) - E'(y + theta (Ex - e)).
  template <bool Factor>
  void sweep(double alpha, bool keep) {
    auto* rows = reinterpret_cast<Row*>(factor + 0);
    int64_t moved = 0;
    const auto advance = [&](int64_t t) __attribute__((always_inline)) {
      const V old = at<P>(x + t * P);
      if (keep) at<P>(x_best + t * P) = old;
      lanes.advance(t, x + t * P, dx + t * P, alpha);
      at<P>(x + t * P) = old + alpha * at<P>(dx + t * P);
    };
    typename L1Terms<N, Reach>::Measure l1;
    if (terms.any()) {
      while (moved < T) advance(moved++);
      terms.step(alpha);
      l1 = terms.measure(x);
      terms.aim_predictor();
    }
    typename Lanes::Sums sums;
    V worst = {}, size = {}, value = {};
    for (int64_t t = 0; t < T; ++t) {
      while (moved < T && moved <= t + Reach) advance(moved++);
      fetch(t + away, hessian, block), fetch(t + away, factor, row), lanes.fetch(t + away, distant);
      V a[Reach + 1][N];
      if constexpr (Factor) {
        const double* h = hessian + t * block;
#pragma GCC unroll 4
        for (int k = 0; k <= Reach; ++k)
#pragma GCC unroll 8
          for (int c = 0; c < N; ++c) a[k][c] = at<P>(h + (k * N + c) * N);
#pragma GCC unroll 8
        for (int c = 0; c < N; ++c) a[0][c][c] += proximal;
      }
      V smooth;
      hessian_product(t, x, smooth);
      const V linear = at<P>(q + t * P), point = at<P>(x + t * P);
      value += (0.5 * smooth + linear) * point;
      smooth += linear;
      if (terms.any()) terms.add_pull(t, smooth);
      V dual = smooth, right = -smooth;
      lanes.template measure<Factor>(t, x + t * P, sums, dual, right, a[0]);
      dual = dual < 0 ? -dual : dual;
      smooth = smooth < 0 ? -smooth : smooth;
      worst = dual > worst ? dual : worst;
      size = smooth > size ? smooth : size;
      if constexpr (Factor) {
        if (terms.any()) {
          terms.assemble(t, a);
          V pull = {};
          terms.add_change(t, pull);
          right -= pull;
        }
        at<P>(b + t * P) = right;
        System::factor_row(rows, t, a, 0.1 * proximal, b + 0);
      }
    }
    now.primal = std::max(l1.worst, sums.primal());
    primal_size = sums.primal_size();
    now.gap = l1.gap + sums.total_gap();
    now.dual = largest(worst, N);
    dual_size = largest(size, N);
    now.objective = l1.absolute + total(value, N);
  }

  // The affine direction, what limits it, and the two parts of the corrector's right side.
  Reachable predict() {
    auto* rows = reinterpret_cast<Row*>(factor + 0);
    typename Lanes::Limits limits;
    for (int64_t t = T - 1; t >= 0; --t) {
      fetch(t - away, factor, row), lanes.fetch(t - away, distant);
      V products = {}, unit = {};
      System::backward(rows, t, T, b + 0, affine + 0);
      lanes.predict(t, x + t * P, affine + t * P, limits, products, unit);
      at<P>(b + t * P) = products;
      at<P>(centre + t * P) = unit;
    }
    Reachable ahead = limits.sum_up();
    if (terms.any()) terms.predict(affine, ahead.inverse, ahead.linear, ahead.square);
    return ahead;
  }

  // The centred and corrected direction, and what limits it.
  Reachable correct(double target, double damping) {
    const auto* rows = reinterpret_cast<const Row*>(factor + 0);
    if (terms.any()) terms.aim_corrector(target, damping);
    for (int64_t t = 0; t < T; ++t) {
      fetch(t + away, factor, row);
      V right = damping * at<P>(b + t * P) - target * at<P>(centre + t * P);
      if (terms.any()) terms.add_change(t, right);
      at<P>(b + t * P) = right;
      System::forward(rows, t, b + 0);
    }
    return finish(target, damping, affine);
  }

  // Adds what the normal equations miss of the direction: -(H (x + dx) + q + G' (lam + dl) + E' (y
  // + dy)) is zero without rounding. Returns its largest component; nothing is added below `limit`.
  double refine(double target, double damping, double limit, Reachable& direction) {
    const auto* rows = reinterpret_cast<const Row*>(factor + 0);
    V worst = {};
    if (terms.any()) terms.update_next();
    int64_t ready = 0;
    for (int64_t t = 0; t < T; ++t) {
      for (; ready < T && ready <= t + Reach; ++ready)
        at<P>(centre + ready * P) = at<P>(x + ready * P) + at<P>(dx + ready * P);
      fetch(t + away, hessian, block), fetch(t + away, factor, row), lanes.fetch(t + away, distant);
      V missing;
      hessian_product(t, centre, missing);
      missing += at<P>(q + t * P);
      lanes.add_next(t, missing);
      if (terms.any()) terms.add_next(t, missing);
      at<P>(b + t * P) = -missing;
      System::forward(rows, t, b + 0);
      missing = missing < 0 ? -missing : missing;
      worst = missing > worst ? missing : worst;
    }
    const double size = largest(worst, N);
    if (size > limit) direction = finish(target, damping, dx);
    return size;
  }

  // The backward substitution, added to `first`, and what follows from it.
  Reachable finish(double target, double damping, Buffer& first) {
    const auto* rows = reinterpret_cast<const Row*>(factor + 0);
    typename Lanes::Limits limits;
    for (int64_t t = T - 1; t >= 0; --t) {
      fetch(t - away, factor, row), lanes.fetch(t - away, distant);
      System::backward(rows, t, T, b + 0, b + 0);
      const V sum = at<P>(first + t * P) + at<P>(b + t * P);
      at<P>(dx + t * P) = sum;
      lanes.correct(t, x + t * P, affine + t * P, dx + t * P, target, damping, limits);
    }
    Reachable ahead = limits.sum_up();
    if (terms.any()) terms.correct(dx, target, damping, ahead.inverse);
    return ahead;
  }

  static constexpr int64_t block = (Reach + 1) * N * N, row = sizeof(Row) / 8;  // doubles a frame
  static constexpr int64_t away = 4;  // frames that are fetched ahead
  int64_t T;
  int S;  // variables of the problem; those from S to N are held at zero
  bool distant;
  Buffer hessian, factor, q;
  Buffer x, affine, dx;  // the point and the directions
  Buffer x_best, b;
  Buffer centre;  // of the corrector's right side; then scratch
  Lanes lanes;
  L1Terms<N, Reach> terms;
  ChainQpResult now;
  double count = 0, proximal = 0, primal_size = 0, dual_size = 0;
};

}  // namespace STEADYVIEW_ISA
}  // namespace steadyview
