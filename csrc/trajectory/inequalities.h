#pragma once

// The inequalities of ChainSolver, held one-sided: g'x + s = h with slack s >= 0 and multiplier
// lam >= 0, in lanes of W. A bound that is infinite has h = infinity and is switched off (s = 1,
// lam = 0). Included once an instruction set (see isa.h): everything is inside STEADYVIEW_ISA.
//
// Long chains wait for memory, so that only s, lam and the last change of lam are kept; what else a
// direction needs is computed anew from x and dx. (Not from x + dx: its rounding, times lam / s,
// would be far above the residual that is wanted.)

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>

#include "trajectory/banded.h"
#include "trajectory/buffer.h"
#include "trajectory/qp.h"

namespace steadyview {
namespace STEADYVIEW_ISA {

constexpr double infinity = std::numeric_limits<double>::infinity();

// Over the first `lanes` lanes.
template <class Lanes>
STEADYVIEW_INLINE double largest(const Lanes& v, int lanes) {
  double m = 0;
  for (int j = 0; j < lanes; ++j) m = std::max(m, v[j]);
  return m;
}
template <class Lanes>
STEADYVIEW_INLINE double total(const Lanes& v, int lanes) {
  double sum = 0;
  for (int j = 0; j < lanes; ++j) sum += v[j];
  return sum;
}

// A direction: 1 / (the part of it that keeps slacks and multipliers positive), and the gap along
// it, gap + part * linear + part^2 * square.
struct Reachable {
  double inverse = 0, linear = 0, square = 0;
  double part() const { return inverse > 0 ? 1 / inverse : infinity; }
};

template <int N>
class Inequalities {
  static constexpr int P = padded(N);
  static constexpr int W = N == 1 ? 2 : 8;
  static constexpr int max_lanes = 128;
  using V = Vec<P>;
  using L = Vec<W>;

 public:
  explicit Inequalities(const ChainQp& qp)
      : T(qp.frames),
        used(count_lanes(qp)),
        R((used + W - 1) / W * W),
        g_frames(qp.shared_matrix ? 1 : T),
        h_frames(bounds_repeat(qp) ? 1 : T),
        g_rows(g_frames * R * P),
        g_cols(g_frames * R * N),
        h(h_frames * R),
        s(T * R),
        lam(T * R),
        dl(T * R) {
    for (int64_t t = 0; t < h_frames; ++t)
      for (int lane = 0; lane < R; ++lane) {
        const double* bound = lane < used && sign[lane] > 0 ? qp.upper : qp.lower;
        const double value =
            lane < used ? sign[lane] * bound[t * qp.rows + row_of[lane]] : infinity;
        h[t * R + lane] = value;
        count += std::isfinite(value);
      }
    if (h_frames < T) count *= static_cast<double>(T);
    for (int64_t t = 0; t < g_frames; ++t)
      for (int lane = 0; lane < used; ++lane)
        for (int c = 0; c < qp.size; ++c) {
          const double g = sign[lane] * qp.matrix[(t * qp.rows + row_of[lane]) * qp.size + c];
          g_rows[(t * R + lane) * P + c] = g;
          g_cols[(t * N + c) * R + lane] = g;
        }
  }

  // The largest distance from a bound.
  double spread(Buffer& x) {
    double wide = 0;
    for (int64_t t = 0; t < T; ++t)
      for (int64_t i = 0; i < R; i += W) {
        const L distance = bound(t, i) - product(t, i, x + t * P);
        for (int j = 0; j < W; ++j)
          if (std::isfinite(distance[j])) wide = std::max(wide, std::abs(distance[j]));
      }
    return wide;
  }

  // Slacks of at least `least`, multipliers of mu / slack and at least what is given (or null).
  void start(Buffer& x, double least, double mu, const ChainQp& qp, const double* multipliers) {
    for (int64_t t = 0; t < T; ++t)
      for (int64_t i = 0; i < R; i += W) {
        const L distance = bound(t, i) - product(t, i, x + t * P);
        for (int j = 0; j < W; ++j) {
          const int64_t lane = i + j;
          const bool on = std::isfinite(bound(t, i)[j]);
          const double slack = on ? std::max(distance[j], least) : 1;
          double l = on ? mu / slack : 0;
          if (on && multipliers)
            l = std::max(l, sign[lane] * multipliers[t * qp.rows + row_of[lane]]);
          s[t * R + lane] = slack;
          lam[t * R + lane] = l;
        }
      }
  }

  // Slacks and multipliers go the part `alpha` of the way that correct() found, from x to x + dx.
  STEADYVIEW_INLINE void advance(int64_t t, const double* x, const double* dx, double alpha) {
    for (int64_t i = 0; i < R; i += W) {
      const int64_t j = t * R + i;
      at<W>(s + j) += alpha * change(t, i, residual(t, i, product(t, i, x)), dx);
      at<W>(lam + j) += alpha * at<W>(dl + j);
    }
  }

  // What a point's residuals add up to.
  struct Sums {
    L worst{}, size{}, gap{};
    double primal() const { return largest(worst, W); }
    double primal_size() const { return largest(size, W); }
    double total_gap() const { return total(gap, W); }
  };

  // For frame t at x: the sums, pull += G' lam, and what the elimination of the slacks adds to the
  // normal matrix and to its right side: a += G' (lam / s) G, right += G' (lam / s)(-residual).
  template <bool Assemble>
  STEADYVIEW_INLINE void measure(int64_t t, const double* x, Sums& sums, V& pull, V& right,
                                 V (&a)[N]) {
    alignas(64) double weight[max_lanes + W], force[max_lanes];
    for (int64_t i = 0; i < R; i += W) {
      const L slack = at<W>(s + t * R + i), l = at<W>(lam + t * R + i);
      const L z = product(t, i, x), r = residual(t, i, z), z_on = on_or_zero(t, i, z);
      const L r_abs = r < 0 ? -r : r, z_abs = z_on < 0 ? -z_on : z_on;
      sums.worst = r_abs > sums.worst ? r_abs : sums.worst;
      sums.size = z_abs > sums.size ? z_abs : sums.size;
      sums.gap += slack * l;
      if constexpr (Assemble) {
        const L w = l / slack;  // zero where it is off
        at<W>(weight + i) = w;
        at<W>(force + i) = -w * r;
      }
    }
    const double* g = g_rows + (g_frames > 1 ? t * R * P : 0);
    const double* l = lam + t * R;
    V sum[2] = {};
    for (int lane = 0; lane < used; ++lane) {
      pull += at<P>(g + lane * P) * l[lane];
      if constexpr (Assemble) sum[lane & 1] += at<P>(g + lane * P) * force[lane];
    }
    if constexpr (Assemble) {
      right += sum[0] + sum[1];
      weight[R] = 0;
      for (int k = 0; k < sides; ++k) {  // both sides of a row at once
        const double* row = g + one_side[k] * P;
        const double w = weight[one_side[k]] + weight[other_side[k]];
        const V scaled = at<P>(row) * w;
#pragma GCC unroll 8
        for (int c = 0; c < N; ++c) a[c] += scaled * row[c];
      }
    }
  }

  // What limits a direction.
  struct Limits {
    L worst{}, linear{}, square{};
    Reachable sum_up() const { return {largest(worst, W), total(linear, W), total(square, W)}; }
  };

  // The affine direction, from x to x + dx: what limits it, and what the corrector's right side is
  // made of: products = G' (ds dl / s) and centre = G' (1 / s).
  STEADYVIEW_INLINE void predict(int64_t t, const double* x, const double* dx, Limits& limits,
                                 V& products, V& centre) {
    alignas(64) double corr[max_lanes], inv[max_lanes];
    for (int64_t i = 0; i < R; i += W) {
      const L slack = at<W>(s + t * R + i), l = at<W>(lam + t * R + i);
      const L inverse = on_or_zero(t, i, 1 / slack);
      const L r = residual(t, i, product(t, i, x));
      const L d_s = change(t, i, r, dx), d_l = affine(l, d_s, inverse);
      const L reach_s = -d_s * inverse;
      const L reach_l = on_or_zero(t, i, 1 - reach_s);  // -dl / l
      limit(limits, slack, l, d_s, d_l, reach_s, reach_l);
      at<W>(corr + i) = d_s * d_l * inverse;
      at<W>(inv + i) = inverse;
    }
    const double* g = g_rows + (g_frames > 1 ? t * R * P : 0);
    for (int lane = 0; lane < used; ++lane) {
      products += at<P>(g + lane * P) * corr[lane];
      centre += at<P>(g + lane * P) * inv[lane];
    }
  }

  // The centred and corrected direction, from x to x + dx, where x + foreseen was the affine one's.
  STEADYVIEW_INLINE void correct(int64_t t, const double* x, const double* foreseen,
                                 const double* dx, double target, double part, Limits& limits) {
    for (int64_t i = 0; i < R; i += W) {
      const L slack = at<W>(s + t * R + i), l = at<W>(lam + t * R + i);
      const L both = on_or_zero(t, i, 1 / (slack * l));  // one division for two
      const L inverse = l * both;
      const L r = residual(t, i, product(t, i, x));
      const L affine_s = change(t, i, r, foreseen), corr = affine_s * affine(l, affine_s, inverse);
      const L d_s = change(t, i, r, dx);
      const L d_l = on_or_zero(t, i, (target - part * corr - l * d_s) * inverse - l);
      limit(limits, slack, l, d_s, d_l, -d_s * inverse, -d_l * (slack * both));
      at<W>(dl + t * R + i) = d_l;
    }
  }

  // out += G' (lam + dl)
  STEADYVIEW_INLINE void add_next(int64_t t, V& out) {
    const double* g = g_rows + (g_frames > 1 ? t * R * P : 0);
    const double *l = lam + t * R, *d = dl + t * R;
    for (int lane = 0; lane < used; ++lane) out += at<P>(g + lane * P) * (l[lane] + d[lane]);
  }

  STEADYVIEW_INLINE void fetch(int64_t t, bool distant) {
    if (!distant || t < 0 || t >= T) return;
    for (int64_t i = 0; i < R; i += 8) {
      __builtin_prefetch(s + (t * R + i), 0, 2);
      __builtin_prefetch(lam + (t * R + i), 0, 2);
      __builtin_prefetch(dl + (t * R + i), 0, 2);
    }
  }

  void store(const ChainQp& qp, double* multipliers) {
    for (int64_t t = 0; t < T; ++t) {
      for (int row = 0; row < qp.rows; ++row) multipliers[t * qp.rows + row] = 0;
      for (int lane = 0; lane < used; ++lane)
        if (std::isfinite(lam[t * R + lane]))  // not where the iteration broke down
          multipliers[t * qp.rows + row_of[lane]] += sign[lane] * lam[t * R + lane];
    }
  }

 private:
  static bool any_finite(const double* bound, int64_t frames, int rows, int row) {
    for (int64_t t = 0; t < frames; ++t)
      if (std::isfinite(bound[t * rows + row])) return true;
    return false;
  }

  // All frames have the first one's bounds.
  static bool bounds_repeat(const ChainQp& qp) {
    const size_t bytes = static_cast<size_t>(qp.rows) * sizeof(double);
    for (int64_t t = 1; bytes && t < qp.frames; ++t)
      if (std::memcmp(qp.upper, qp.upper + t * qp.rows, bytes) != 0 ||
          std::memcmp(qp.lower, qp.lower + t * qp.rows, bytes) != 0)
        return false;
    return true;
  }

  int count_lanes(const ChainQp& qp) {
    int lanes = 0;
    for (int row = 0; row < qp.rows; ++row) {
      const int first = lanes;
      for (int side : {1, -1})
        if (any_finite(side > 0 ? qp.upper : qp.lower, qp.frames, qp.rows, row))
          row_of[lanes] = row, sign[lanes++] = side;
      if (lanes == first) continue;
      one_side[sides] = first;
      other_side[sides++] = lanes - first == 2 ? first + 1 : -1;
    }
    // A row with one side only: its other one is the zero behind the last lane.
    for (int k = 0; k < sides; ++k)
      if (other_side[k] < 0) other_side[k] = (lanes + W - 1) / W * W;
    return lanes;
  }

  STEADYVIEW_INLINE L bound(int64_t t, int64_t i) {
    return at<W>(h + (h_frames > 1 ? t * R : 0) + i);
  }

  STEADYVIEW_INLINE L on_or_zero(int64_t t, int64_t i, const L& value) {
    return bound(t, i) < infinity ? value : L{};
  }

  // G_t v, lanes i..i+W-1.
  STEADYVIEW_INLINE L product(int64_t t, int64_t i, const double* v) {
    const double* g = g_cols + (g_frames > 1 ? t * R * N : 0) + i;
    L out = at<W>(g) * v[0];
#pragma GCC unroll 8
    for (int c = 1; c < N; ++c) out += at<W>(g + c * R) * v[c];
    return out;
  }

  // Gx + s - h, where z is Gx.
  STEADYVIEW_INLINE L residual(int64_t t, int64_t i, const L& z) {
    return on_or_zero(t, i, z + at<W>(s + t * R + i) - bound(t, i));
  }

  // How the slacks change with dx.
  STEADYVIEW_INLINE L change(int64_t t, int64_t i, const L& residual, const double* dx) {
    return on_or_zero(t, i, -residual - product(t, i, dx));
  }

  static STEADYVIEW_INLINE L affine(const L& l, const L& d_s, const L& inverse) {
    return -l - l * d_s * inverse;
  }

  static STEADYVIEW_INLINE void limit(Limits& limits, const L& slack, const L& l, const L& d_s,
                                      const L& d_l, const L& reach_s, const L& reach_l) {
    limits.worst = reach_s > limits.worst ? reach_s : limits.worst;
    limits.worst = reach_l > limits.worst ? reach_l : limits.worst;
    limits.linear += slack * d_l + d_s * l;
    limits.square += d_s * d_l;
  }

  int row_of[max_lanes], sign[max_lanes];          // set by count_lanes: before what follows
  int one_side[max_lanes], other_side[max_lanes];  // lanes of the same row
  int sides = 0;
  int64_t T;
  int used;
  int64_t R;                   // lanes a frame, padded
  int64_t g_frames, h_frames;  // 1 where all frames share them
  Buffer g_rows, g_cols, h, s, lam, dl;

 public:
  double count = 0;  // of inequalities
};

}  // namespace STEADYVIEW_ISA
}  // namespace steadyview
