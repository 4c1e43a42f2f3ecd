#pragma once

// The interior-point iteration behind solve() of qp.h, for up to N variables a frame and one
// reach. Included once an instruction set by qp_kernel.cpp.
//
// Inequalities are held one-sided, g'x + s = h with s >= 0 and multiplier lam >= 0, in lanes of W;
// a bound that is infinite has h = infinity and is switched off (s = 1, lam = 0). These and the L1
// terms (l1_terms.h) are eliminated frame by frame, so that only the block-banded system in x is
// left to factor.

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>

#include "trajectory/banded.h"
#include "trajectory/buffer.h"
#include "trajectory/l1_terms.h"
#include "trajectory/qp.h"

namespace steadyview {
namespace STEADYVIEW_ISA {

template <int N, int Reach>
class ChainSolver {
  static constexpr int P = padded(N);
  static constexpr int W = N == 1 ? 2 : 8;  // lanes an inequality vector
  using V = Vec<P>;
  using L = Vec<W>;
  using System = Banded<N, Reach>;

 public:
  explicit ChainSolver(const ChainQp& qp)
      : T(qp.frames),
        S(qp.size),
        lanes_used(count_lanes(qp)),
        R(round_up(lanes_used)),
        g_stride(qp.shared_matrix ? 0 : 1),
        hessian(T * (Reach + 1) * N * P),
        factor(T * int64_t(sizeof(FactorRow<N, Reach>) / 8)),
        q(T * P),
        x(T * P),
        dx(T * P),
        dxc(T * P),
        x_best(T * P),
        b(T * P),
        g_rows((qp.shared_matrix ? 1 : T) * R * P),
        g_cols((qp.shared_matrix ? 1 : T) * R * N),
        h(T * R),
        s(T * R),
        lam(T * R),
        inv(T * R),
        rp(T * R),
        corr(T * R),
        ds(T * R),
        dl(T * R),
        terms(qp) {
    load(qp);
  }

  ChainQpResult run(const ChainQp& qp, const ChainQpOptions& options, double* x_io,
                    double* multipliers, bool warm) {
    for (int64_t t = 0; t < T; ++t)
      for (int c = 0; c < S; ++c) x[t * P + c] = x_io[t * S + c];
    start(multipliers, qp, warm && multipliers);
    ChainQpResult result, best_result;
    double best = std::numeric_limits<double>::infinity();
    double expected = best;  // dual residual after the last step, without rounding
    int no_progress = 0;
    bool refining = false, cautious = false;
    for (int iteration = 0;; ++iteration) {
      measure();
      result.iterations = iteration;
      result.primal = primal;
      result.dual = dual;
      result.gap = gap;
      result.objective = objective;
      if (!std::isfinite(primal + dual + gap + objective)) {
        result.status = ChainQpStatus::stalled;
        break;
      }
      const double dual_limit = options.absolute + options.relative * dual_size;
      const double gap_limit = options.absolute + options.relative * std::abs(objective);
      // Rounding in the normal equations shows in the dual residual, which should shrink with the
      // step: from then on each direction is refined once.
      refining = refining || (dual > 2 * expected && dual > 0.1 * dual_limit);
      if (primal <= options.absolute + options.relative * primal_size && dual <= dual_limit &&
          gap <= gap_limit) {
        result.status = ChainQpStatus::solved;
        break;
      }
      const double merit = std::max(
          {primal / (1 + primal_size), dual / (1 + dual_size), gap / (1 + std::abs(objective))});
      no_progress = merit < 0.9 * best ? 0 : no_progress + 1;
      if (merit < best) {
        best = merit;
        best_result = result;
        std::memcpy(x_best + 0, x + 0, static_cast<size_t>(T) * P * sizeof(double));
      }
      if (no_progress > 12) {
        result.status = ChainQpStatus::stalled;
        break;
      }
      if (iteration == options.max_iterations) {
        result.status = ChainQpStatus::max_iterations;
        break;
      }
      factorise();
      const double reach_affine = predict();
      const double mu = count > 0 ? gap / count : 0;
      const double after = gap + reach_affine * (linear + reach_affine * square);
      const double ratio = gap > 0 ? std::clamp(after / gap, 0.0, 1.0) : 0.0;
      // Not below what the wanted gap needs: slacks far smaller than that only add rounding.
      const double target =
          std::max(mu * ratio * ratio * ratio, 0.1 * gap_limit / std::max(count, 1.0));
      // The corrector assumes a full affine step; where that is short it overshoots, and now and
      // then the iteration goes round in circles: then it is damped.
      cautious = cautious || no_progress >= 3;
      const double part = cautious ? reach_affine * reach_affine : 1;
      double reach_step = correct(target, part);
      for (int round = 0; refining && round < 4; ++round)
        if (!refine(target, part, 0.1 * dual_limit, reach_step)) break;
      const double alpha = std::min(1.0, 0.995 * reach_step);
      step(alpha);
      expected = (1 - alpha) * dual;
    }
    if (result.status != ChainQpStatus::solved && std::isfinite(best)) {
      best_result.status = result.status;
      best_result.iterations = result.iterations;
      result = best_result;
      std::memcpy(x + 0, x_best + 0, static_cast<size_t>(T) * P * sizeof(double));
    }
    store(qp, x_io, multipliers);
    return result;
  }

 private:
  static int64_t round_up(int64_t count) { return (count + W - 1) / W * W; }

  static bool any_finite(const double* bound, int64_t frames, int rows, int row) {
    for (int64_t t = 0; t < frames; ++t)
      if (std::isfinite(bound[t * rows + row])) return true;
    return false;
  }

  int count_lanes(const ChainQp& qp) {
    int lanes = 0;
    for (int row = 0; row < qp.rows; ++row) {
      if (any_finite(qp.upper, qp.frames, qp.rows, row))
        lane_row[lanes] = row, lane_sign[lanes++] = 1;
      if (any_finite(qp.lower, qp.frames, qp.rows, row))
        lane_row[lanes] = row, lane_sign[lanes++] = -1;
    }
    return lanes;
  }

  void load(const ChainQp& qp) {
    double largest = 0;
    for (int64_t t = 0; t < T; ++t) {
      for (int k = 0; k <= qp.reach && k <= t; ++k)
        for (int i = 0; i < S; ++i)
          for (int c = 0; c < S; ++c)
            hessian[((t * (Reach + 1) + k) * N + c) * P + i] =
                qp.hessian[((t * (qp.reach + 1) + k) * S + i) * S + c];
      for (int i = 0; i < S; ++i) {
        q[t * P + i] = qp.gradient[t * S + i];
        largest = std::max(largest, qp.hessian[(t * (qp.reach + 1) * S + i) * S + i]);
      }
      for (int i = S; i < N; ++i) hessian[(t * (Reach + 1) * N + i) * P + i] = 1;
      for (int64_t lane = 0; lane < R; ++lane) {
        const bool used = lane < lanes_used;
        const double* bound = used && lane_sign[lane] > 0 ? qp.upper : qp.lower;
        const double value = used ? lane_sign[lane] * bound[t * qp.rows + lane_row[lane]]
                                  : std::numeric_limits<double>::infinity();
        h[t * R + lane] = value;
        count += std::isfinite(value);
      }
    }
    for (int64_t t = 0; t < (g_stride ? T : 1); ++t)
      for (int lane = 0; lane < lanes_used; ++lane)
        for (int c = 0; c < S; ++c) {
          const double g = lane_sign[lane] * qp.matrix[(t * qp.rows + lane_row[lane]) * S + c];
          g_rows[(t * R + lane) * P + c] = g;
          g_cols[(t * N + c) * R + lane] = g;
        }
    count += terms.products();
    // A proximal term keeps directions that nothing holds (a straight path far from all bounds)
    // from breaking the factorisation; it acts on the step, never on the solution.
    proximal = 1e-12 * (largest > 0 ? largest : 1);
  }

  // Slacks and multipliers for the starting point.
  void start(const double* multipliers, const ChainQp& qp, bool warm) {
    double steep = 0, wide = 0;
    for (int64_t t = 0; t < T; ++t) {
      V gx;
      gradient(t, gx);
      for (int c = 0; c < N; ++c) steep = std::max(steep, std::abs(gx[c]));
      for (int64_t i = 0; i < R; i += W) {
        L z;
        inequality(t, i, x + t * P, z);
        for (int j = 0; j < W; ++j)
          if (std::isfinite(h[t * R + i + j]))
            wide = std::max(wide, std::abs(h[t * R + i + j] - z[j]));
      }
    }
    // The force of an L1 term is its weight: all complementarity products should start alike.
    steep = std::max(steep, terms.largest_weight());
    if (steep == 0) steep = 1;
    if (wide == 0) wide = 1;
    const double least = warm ? 1e-4 * wide : 0.1 * wide;
    const double mu = (warm ? 1e-5 : 1e-2) * steep * wide;
    for (int64_t t = 0; t < T; ++t) {
      for (int64_t i = 0; i < R; i += W) {
        L z;
        inequality(t, i, x + t * P, z);
        for (int j = 0; j < W; ++j) {
          const int64_t at_lane = t * R + i + j;
          const bool on = std::isfinite(h[at_lane]);
          s[at_lane] = on ? std::max(h[at_lane] - z[j], least) : 1;
          double l = on ? mu / s[at_lane] : 0;
          if (on && warm)
            l = std::max(l, lane_sign[i + j] * multipliers[t * qp.rows + lane_row[i + j]]);
          lam[at_lane] = l;
        }
      }
    }
    terms.start(x, least);
  }

  // out = G_t v, lanes i..i+W-1.
  STEADYVIEW_INLINE void inequality(int64_t t, int64_t i, const double* v, L& out) {
    const double* g = g_cols + g_stride * t * R * N + i;
    out = at<W>(g) * v[0];
#pragma GCC unroll 8
    for (int c = 1; c < N; ++c) out += at<W>(g + c * R) * v[c];
  }

  // out += G_t' v
  STEADYVIEW_INLINE void add_transposed(int64_t t, const double* v, V& out) {
    const double* g = g_rows + g_stride * t * R * P;
    V sum[2] = {};
    int lane = 0;
    for (; lane + 1 < lanes_used; lane += 2) {
      sum[0] += at<P>(g + lane * P) * v[lane];
      sum[1] += at<P>(g + (lane + 1) * P) * v[lane + 1];
    }
    if (lane < lanes_used) sum[0] += at<P>(g + lane * P) * v[lane];
    out += sum[0] + sum[1];
  }

  // out = (H point)_t
  STEADYVIEW_INLINE void hessian_product(int64_t t, Buffer& point, V& out) {
    const int back = t < Reach ? static_cast<int>(t) : Reach;
    const int ahead = T - 1 - t < Reach ? static_cast<int>(T - 1 - t) : Reach;
    V acc[N] = {};
#pragma GCC unroll 4
    for (int k = 1; k <= Reach; ++k) {
      if (k > ahead) continue;
      const double* block = hessian + ((t + k) * (Reach + 1) + k) * N * P;
      const V v = at<P>(point + (t + k) * P);
#pragma GCC unroll 8
      for (int c = 0; c < N; ++c) acc[c] += at<P>(block + c * P) * v;
    }
    sum_lanes<P, N>(acc, out);
#pragma GCC unroll 4
    for (int k = 0; k <= Reach; ++k) {
      if (k > back) continue;
      const double* block = hessian + (t * (Reach + 1) + k) * N * P;
      const double* v = point + (t - k) * P;
#pragma GCC unroll 8
      for (int c = 0; c < N; ++c) out += at<P>(block + c * P) * v[c];
    }
  }

  // out = (Hx + q + E'y)_t
  STEADYVIEW_INLINE void gradient(int64_t t, V& out) {
    hessian_product(t, x, out);
    out += at<P>(q + t * P);
    if (terms.any()) terms.add_pull(t, out);
  }

  // Residuals of the present point, and what the step needs of the slacks: 1/s, theta.
  void measure() {
    const L zero = {};
    L worst = zero, sizes = zero, total = zero;
    const auto l1 = terms.measure(x);
    for (int64_t t = 0; t < T; ++t) {
      for (int64_t i = 0; i < R; i += W) {
        const L bound = at<W>(h + t * R + i), slack = at<W>(s + t * R + i);
        const auto on = bound < std::numeric_limits<double>::infinity();
        L z;
        inequality(t, i, x + t * P, z);
        const L r = on ? z + slack - bound : zero;
        at<W>(rp + t * R + i) = r;
        at<W>(inv + t * R + i) = on ? 1 / slack : zero;
        total += slack * at<W>(lam + t * R + i);
        const L r_abs = r < 0 ? -r : r, z_abs = z < 0 ? -z : z;
        worst = r_abs > worst ? r_abs : worst;
        sizes = on && z_abs > sizes ? z_abs : sizes;
      }
    }
    V dual_worst = {}, dual_sizes = {}, value = {};
    for (int64_t t = 0; t < T; ++t) {
      V hx, constraint = {};
      hessian_product(t, x, hx);
      const V linear_part = at<P>(q + t * P), point = at<P>(x + t * P);
      value += (0.5 * hx + linear_part) * point;
      if (terms.any()) terms.add_pull(t, constraint);
      const V smooth = hx + linear_part + constraint;
      V pull = {};
      add_transposed(t, lam + t * R, pull);
      V rhs = -smooth;
      const V rd = smooth + pull, rd_abs = rd < 0 ? -rd : rd, size = smooth < 0 ? -smooth : smooth;
      dual_worst = rd_abs > dual_worst ? rd_abs : dual_worst;
      dual_sizes = size > dual_sizes ? size : dual_sizes;
      at<P>(b + t * P) = rhs;
    }
    primal = l1.worst, primal_size = 0, gap = l1.gap, dual = 0, dual_size = 0;
    for (int j = 0; j < W; ++j) {
      primal = std::max(primal, worst[j]);
      primal_size = std::max(primal_size, sizes[j]);
      gap += total[j];
    }
    objective = l1.absolute;
    for (int c = 0; c < N; ++c) {
      dual = std::max(dual, dual_worst[c]);
      dual_size = std::max(dual_size, dual_sizes[c]);
      objective += value[c];
      // max() drops a NaN; a sum keeps it.
      if (!(value[c] == value[c])) dual = value[c];
    }
  }

  // The normal matrix H + G'(lam/s)G + E' theta E, its factor, and the forward substitution of the
  // predictor's right side -(Hx + q) - G'(lam/s rp) - E'(y + theta (Ex - e)).
  void factorise() {
    auto* rows = reinterpret_cast<FactorRow<N, Reach>*>(factor + 0);
    alignas(64) double scaled[max_lanes], product[N][max_lanes];
    terms.aim_predictor();
    for (int64_t t = 0; t < T; ++t) {
      V a[Reach + 1][N];
      const double* block = hessian + t * (Reach + 1) * N * P;
#pragma GCC unroll 4
      for (int k = 0; k <= Reach; ++k)
#pragma GCC unroll 8
        for (int c = 0; c < N; ++c) a[k][c] = at<P>(block + (k * N + c) * P);
#pragma GCC unroll 8
      for (int c = 0; c < N; ++c) a[0][c][c] += proximal;
      const double* g_col = g_cols + g_stride * t * R * N;
      const double* g_row = g_rows + g_stride * t * R * P;
      for (int64_t i = 0; i < R; i += W) {
        const L w = at<W>(lam + t * R + i) * at<W>(inv + t * R + i);
        at<W>(scaled + i) = -w * at<W>(rp + t * R + i);
#pragma GCC unroll 8
        for (int c = 0; c < N; ++c) at<W>(product[c] + i) = w * at<W>(g_col + c * R + i);
      }
      for (int lane = 0; lane < lanes_used; ++lane) {
        const V g = at<P>(g_row + lane * P);
#pragma GCC unroll 8
        for (int c = 0; c < N; ++c) a[0][c] += g * product[c][lane];
      }
      add_transposed(t, scaled, at<P>(b + t * P));
      if (terms.any()) {
        terms.assemble(t, a);
        V pull = {};
        terms.add_change(t, pull);
        at<P>(b + t * P) -= pull;
      }
      System::factor_row(rows, t, a, 0.1 * proximal);
      System::forward(rows, t, b + 0);
    }
  }

  // The affine direction: dx, the products for the corrector, how far it may go; and the gap along
  // it as a polynomial: gap + alpha linear + alpha^2 square.
  double predict() {
    auto* rows = reinterpret_cast<FactorRow<N, Reach>*>(factor + 0);
    const L zero = {};
    L worst = zero, first = zero, second = zero;
    for (int64_t t = T - 1; t >= 0; --t) {
      System::backward(rows, t, T, b + 0, dx + 0);
      for (int64_t i = 0; i < R; i += W) {
        const int64_t j = t * R + i;
        L z;
        inequality(t, i, dx + t * P, z);
        const L l = at<W>(lam + j), slack = at<W>(s + j), inverse = at<W>(inv + j);
        const L d_s = inverse > 0 ? -at<W>(rp + j) - z : zero;
        const L relative = d_s * inverse;
        const L d_l = -l - l * relative;
        at<W>(corr + j) = d_s * d_l;
        // d_l / l = -1 - d_s / s
        const L reach_s = -relative, reach_l = inverse > 0 ? 1 + relative : zero;
        worst = reach_s > worst ? reach_s : worst;
        worst = reach_l > worst ? reach_l : worst;
        first += slack * d_l + d_s * l;
        second += d_s * d_l;
      }
    }
    double ratio = 0;
    linear = square = 0;
    for (int j = 0; j < W; ++j) {
      ratio = std::max(ratio, worst[j]);
      linear += first[j];
      square += second[j];
    }
    terms.predict(dx, ratio, linear, square);
    return ratio > 1 ? 1 / ratio : 1;
  }

  // The centred and corrected direction (dx, ds, dl, ...); how far it may go.
  double correct(double target, double part) {
    auto* rows = reinterpret_cast<FactorRow<N, Reach>*>(factor + 0);
    alignas(64) double scaled[max_lanes];
    terms.aim_corrector(target, part);
    for (int64_t t = 0; t < T; ++t) {
      for (int64_t i = 0; i < R; i += W)
        at<W>(scaled + i) = (part * at<W>(corr + t * R + i) - target) * at<W>(inv + t * R + i);
      V right = {};
      add_transposed(t, scaled, right);
      if (terms.any()) terms.add_change(t, right);
      at<P>(b + t * P) = right;
      System::forward(rows, t, b + 0);
    }
    return finish(target, part);
  }

  // Adds what the normal equations miss of the direction: -(H (x + dx) + q + G' (lam + dl) + E' (y
  // + dy)) is zero without rounding. False when that is below `limit` already.
  bool refine(double target, double part, double limit, double& reach_step) {
    V worst = {};
    auto* rows = reinterpret_cast<FactorRow<N, Reach>*>(factor + 0);
    alignas(64) double sum[max_lanes];
    for (int64_t j = 0; j < T * P; j += P) at<P>(dxc + j) = at<P>(x + j) + at<P>(dx + j);
    terms.update_next();
    for (int64_t t = 0; t < T; ++t) {
      V missing;
      hessian_product(t, dxc, missing);
      missing += at<P>(q + t * P);
      for (int64_t i = 0; i < R; i += W)
        at<W>(sum + i) = at<W>(lam + t * R + i) + at<W>(dl + t * R + i);
      add_transposed(t, sum, missing);
      if (terms.any()) terms.add_next(t, missing);
      at<P>(b + t * P) = -missing;
      const V size = missing < 0 ? -missing : missing;
      worst = size > worst ? size : worst;
    }
    double largest = 0;
    for (int c = 0; c < N; ++c) largest = std::max(largest, worst[c]);
    if (largest <= limit) return false;
    for (int64_t t = 0; t < T; ++t) System::forward(rows, t, b + 0);
    reach_step = finish(target, part);
    return true;
  }

  // The backward substitution, added to dx, and what follows from it.
  double finish(double target, double part) {
    auto* rows = reinterpret_cast<FactorRow<N, Reach>*>(factor + 0);
    const L zero = {};
    L worst = zero;
    for (int64_t t = T - 1; t >= 0; --t) {
      System::backward(rows, t, T, b + 0, dxc + 0);
      at<P>(dx + t * P) += at<P>(dxc + t * P);
      for (int64_t i = 0; i < R; i += W) {
        const int64_t j = t * R + i;
        L z;
        inequality(t, i, dx + t * P, z);
        const L l = at<W>(lam + j), slack = at<W>(s + j), inverse = at<W>(inv + j);
        const L d_s = inverse > 0 ? -at<W>(rp + j) - z : zero;
        const L d_l = (target - part * at<W>(corr + j) - slack * l - l * d_s) * inverse;
        at<W>(ds + j) = d_s;
        at<W>(dl + j) = d_l;
        const L reach_s = -d_s * inverse, reach_l = inverse > 0 ? -d_l / l : zero;
        worst = reach_s > worst ? reach_s : worst;
        worst = reach_l > worst ? reach_l : worst;
      }
    }
    double ratio = 0;
    for (int j = 0; j < W; ++j) ratio = std::max(ratio, worst[j]);
    terms.correct(dx, target, part, ratio);
    return ratio > 0 ? 1 / ratio : std::numeric_limits<double>::infinity();
  }

  void step(double alpha) {
    for (int64_t j = 0; j < T * P; j += P) at<P>(x + j) += alpha * at<P>(dx + j);
    for (int64_t j = 0; j < T * R; j += W) {
      at<W>(s + j) += alpha * at<W>(ds + j);
      at<W>(lam + j) += alpha * at<W>(dl + j);
    }
    terms.step(alpha);
  }

  void store(const ChainQp& qp, double* x_io, double* multipliers) {
    for (int64_t t = 0; t < T; ++t) {
      for (int c = 0; c < S; ++c) x_io[t * S + c] = x[t * P + c];
      if (!multipliers) continue;
      for (int row = 0; row < qp.rows; ++row) multipliers[t * qp.rows + row] = 0;
      for (int lane = 0; lane < lanes_used; ++lane)
        if (std::isfinite(lam[t * R + lane]))  // not where the iteration broke down
          multipliers[t * qp.rows + lane_row[lane]] += lane_sign[lane] * lam[t * R + lane];
    }
  }

  static constexpr int max_lanes = 128;
  int lane_row[max_lanes], lane_sign[max_lanes];  // set by count_lanes: before what follows
  int64_t T;
  int S;  // variables of the problem; those from S to N are held at zero
  int lanes_used;
  int64_t R;  // lanes a frame, padded
  int64_t g_stride;
  Buffer hessian, factor, q, x, dx, dxc, x_best, b, g_rows, g_cols, h, s, lam, inv, rp, corr, ds,
      dl;
  L1Terms<N, Reach> terms;
  double count = 0, proximal = 0, linear = 0, square = 0;
  double primal = 0, primal_size = 0, dual = 0, dual_size = 0, gap = 0, objective = 0;
};

}  // namespace STEADYVIEW_ISA
}  // namespace steadyview
