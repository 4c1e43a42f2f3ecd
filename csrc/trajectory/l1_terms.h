#pragma once

// The L1 terms of ChainSolver: weight |d|, d = Ex - e, is split as d = p - n with multiplier y in
// [-weight, weight], and `up` and `down`, the multipliers of p, n >= 0, are y's distances from
// these ends. Included once an instruction set (see isa.h): everything is inside STEADYVIEW_ISA.

#include <algorithm>
#include <cmath>
#include <cstdint>

#include "trajectory/banded.h"
#include "trajectory/buffer.h"
#include "trajectory/qp.h"

namespace steadyview {
namespace STEADYVIEW_ISA {

template <int N, int Reach>
class L1Terms {
  static constexpr int P = padded(N);
  using V = Vec<P>;

 public:
  explicit L1Terms(const ChainQp& qp)
      : T(qp.frames),
        terms(qp.terms),
        Q((qp.terms + 7) / 8 * 8),
        e_rows(T * (Reach + 1) * Q * P),
        e(T * Q),
        weight(T * Q),
        p(T * Q),
        n(T * Q),
        y(T * Q),
        up(T * Q),
        down(T * Q),
        y_next(T * Q),
        rt(T * Q),
        theta(T * Q),
        corr_p(T * Q),
        corr_n(T * Q),
        dp(T * Q),
        dn(T * Q),
        dy(T * Q) {
    for (int64_t t = 0; t < T; ++t)
      for (int i = 0; i < terms; ++i) {
        e[t * Q + i] = qp.term_offset[t * terms + i];
        weight[t * Q + i] = qp.term_weight[t * terms + i];
        for (int k = 0; k <= qp.reach && k <= t; ++k)
          for (int c = 0; c < qp.size; ++c)
            e_rows[((t * (Reach + 1) + k) * Q + i) * P + c] =
                qp.term_matrix[((t * terms + i) * (qp.reach + 1) + k) * qp.size + c];
      }
  }

  bool any() const { return terms > 0; }

  // Products of slack and multiplier: two for a term that weighs.
  double products() {
    double count = 0;
    for (int64_t j = 0; j < T * Q; ++j) count += weight[j] > 0 ? 2 : 0;
    return count;
  }

  double largest_weight() {
    double largest = 0;
    for (int64_t j = 0; j < T * Q; ++j) largest = std::max(largest, weight[j]);
    return largest;
  }

  void start(Buffer& x, double least) {
    for (int64_t t = 0; t < T; ++t) {
      for (int64_t i = 0; i < terms; ++i) {
        const double d = value(t, i, x);
        p[t * Q + i] = std::max(d, 0.0) + least;
        n[t * Q + i] = std::max(-d, 0.0) + least;
        up[t * Q + i] = down[t * Q + i] = weight[t * Q + i];
      }
      for (int64_t i = terms; i < Q; ++i) p[t * Q + i] = n[t * Q + i] = 1;
    }
  }

  struct Measure {
    double worst = 0, gap = 0, absolute = 0;  // residual, sum of the products, sum of weight |d|
  };
  Measure measure(Buffer& x) {
    Measure m;
    for (int64_t t = 0; t < T; ++t)
      for (int64_t i = 0; i < terms; ++i) {
        const int64_t j = t * Q + i;
        const double d = value(t, i, x);
        rt[j] = d - p[j] + n[j];
        m.worst = std::max(m.worst, std::abs(rt[j]));
        const double above = up[j], below = down[j];
        theta[j] = weight[j] > 0 ? 1 / (p[j] / above + n[j] / below) : 0;
        m.gap += weight[j] > 0 ? p[j] * above + n[j] * below : 0;
        m.absolute += weight[j] * std::abs(d);
      }
    return m;
  }

  // out += (E'y)_t, (E'dy)_t and (E'(y + dy))_t
  STEADYVIEW_INLINE void add_pull(int64_t t, V& out) { add_transposed(t, y, out); }
  STEADYVIEW_INLINE void add_change(int64_t t, V& out) { add_transposed(t, dy, out); }
  STEADYVIEW_INLINE void add_next(int64_t t, V& out) { add_transposed(t, y_next, out); }
  void update_next() {
    for (int64_t j = 0; j < T * Q; ++j) y_next[j] = y[j] + dy[j];
  }

  // dy as the right sides of predictor and corrector need it.
  void aim_predictor() {
    for (int64_t j = 0; j < T * Q; ++j) dy[j] = theta[j] * (rt[j] + p[j] - n[j]);
  }
  void aim_corrector(double target, double part) {
    for (int64_t j = 0; j < T * Q; ++j) {
      const double above = up[j], below = down[j];
      dy[j] = weight[j] > 0 ? theta[j] * ((target - part * corr_p[j]) / above -
                                          (target - part * corr_n[j]) / below)
                            : 0;
    }
  }

  // a[k] += the part of E' theta E that couples frames t and t-k.
  void assemble(int64_t t, V (&a)[Reach + 1][N]) {
    const int ahead = T - 1 - t < Reach ? static_cast<int>(T - 1 - t) : Reach;
    for (int shift = 0; shift <= ahead; ++shift)  // the terms of frame t + shift
      for (int64_t i = 0; i < terms; ++i) {
        const V scaled = at<P>(row(t + shift, shift, i)) * theta[(t + shift) * Q + i];
#pragma GCC unroll 4
        for (int k = 0; k <= Reach; ++k) {
          if (k + shift > Reach || k > t) continue;
          const double* other = row(t + shift, shift + k, i);
#pragma GCC unroll 8
          for (int c = 0; c < N; ++c) a[k][c] += scaled * other[c];
        }
      }
  }

  // What follows from the affine direction dx: the products for the corrector; raises `ratio`, the
  // inverse of how far it may go, and adds to the gap's polynomial along it.
  void predict(Buffer& dx, double& ratio, double& linear, double& square) {
    for (int64_t t = 0; t < T; ++t)
      for (int64_t i = 0; i < terms; ++i) {
        const int64_t j = t * Q + i;
        if (!(weight[j] > 0)) continue;
        const double above = up[j], below = down[j];
        const double move_y = theta[j] * (product(t, i, dx) + rt[j] + p[j] - n[j]);
        const double move_p = -p[j] + p[j] * move_y / above;
        const double move_n = -n[j] - n[j] * move_y / below;
        corr_p[j] = -move_p * move_y;
        corr_n[j] = move_n * move_y;
        ratio = std::max({ratio, -move_p / p[j], -move_n / n[j], move_y / above, -move_y / below});
        linear += move_p * above - p[j] * move_y + move_n * below + n[j] * move_y;
        square += corr_p[j] + corr_n[j];
      }
  }

  // What follows from the corrected direction dx; raises `ratio`.
  void correct(Buffer& dx, double target, double part, double& ratio) {
    for (int64_t t = 0; t < T; ++t)
      for (int64_t i = 0; i < terms; ++i) {
        const int64_t j = t * Q + i;
        if (!(weight[j] > 0)) continue;
        const double above = up[j], below = down[j];
        const double at_p = (target - part * corr_p[j]) / above - p[j];
        const double at_n = (target - part * corr_n[j]) / below - n[j];
        dy[j] = theta[j] * (product(t, i, dx) + rt[j] - at_p + at_n);
        dp[j] = at_p + p[j] * dy[j] / above;
        dn[j] = at_n - n[j] * dy[j] / below;
        ratio = std::max({ratio, -dp[j] / p[j], -dn[j] / n[j], dy[j] / above, -dy[j] / below});
      }
  }

  void step(double alpha) {
    for (int64_t j = 0; j < T * Q; ++j) {
      if (!(weight[j] > 0)) continue;
      p[j] += alpha * dp[j];
      n[j] += alpha * dn[j];
      up[j] -= alpha * dy[j];
      down[j] += alpha * dy[j];
      y[j] = 0.5 * (down[j] - up[j]);
    }
  }

 private:
  const double* row(int64_t t, int k, int64_t i) {
    return e_rows + ((t * (Reach + 1) + k) * Q + i) * P;
  }

  // (E v)_i at frame t, without the offset.
  STEADYVIEW_INLINE double product(int64_t t, int64_t i, Buffer& v) {
    V sum = {};
    const int back = t < Reach ? static_cast<int>(t) : Reach;
    for (int k = 0; k <= back; ++k) sum += at<P>(row(t, k, i)) * at<P>(v + (t - k) * P);
    double total = 0;
#pragma GCC unroll 8
    for (int c = 0; c < N; ++c) total += sum[c];
    return total;
  }
  STEADYVIEW_INLINE double value(int64_t t, int64_t i, Buffer& v) {
    return product(t, i, v) - e[t * Q + i];
  }

  // out += (E' v)_t: the terms of frames t..t+Reach that see frame t.
  STEADYVIEW_INLINE void add_transposed(int64_t t, Buffer& v, V& out) {
    const int ahead = T - 1 - t < Reach ? static_cast<int>(T - 1 - t) : Reach;
    for (int k = 0; k <= ahead; ++k)
      for (int64_t i = 0; i < terms; ++i) out += at<P>(row(t + k, k, i)) * v[(t + k) * Q + i];
  }

  int64_t T;
  int terms;
  int64_t Q;  // terms a frame, padded
  Buffer e_rows, e, weight, p, n, y, up, down, y_next, rt, theta, corr_p, corr_n, dp, dn, dy;
};

}  // namespace STEADYVIEW_ISA
}  // namespace steadyview
