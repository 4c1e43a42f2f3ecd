#pragma once

// Block-banded symmetric positive definite systems for chains of frames: A couples a frame with at
// most Reach frames before it. Factorisation A = M D M' with unit block-lower M and block-diagonal
// D = L diag L' (no square roots), O(frames) time and memory.
//
// Included once an instruction set (see isa.h): everything is inside STEADYVIEW_ISA.
//
// Vectors of N are padded with zeros to one SIMD vector of P lanes. Blocks are stored by columns
// and not padded, to save memory traffic: a column is loaded with what follows it in its last P - N
// lanes. Such lanes are multiplied by the zeros of a vector, or left alone, and never summed.

#include <cstdint>

namespace steadyview {
namespace STEADYVIEW_ISA {

#define STEADYVIEW_INLINE inline __attribute__((always_inline))

template <int P>
struct VecOf {
  typedef double type __attribute__((vector_size(P * sizeof(double)), may_alias));
  typedef double stored __attribute__((vector_size(P * sizeof(double)), may_alias, aligned(8)));
};
template <int P>
using Vec = typename VecOf<P>::type;

constexpr int padded(int n) { return n <= 2 ? 2 : n <= 4 ? 4 : 8; }

// A vector in memory; any address that a double may have.
template <int P>
STEADYVIEW_INLINE typename VecOf<P>::stored& at(double* p) {
  return *reinterpret_cast<typename VecOf<P>::stored*>(p);
}
template <int P>
STEADYVIEW_INLINE const typename VecOf<P>::stored& at(const double* p) {
  return *reinterpret_cast<const typename VecOf<P>::stored*>(p);
}

// out[c] = sum of the lanes of acc[c]; lanes from N on are zero.
template <int P, int N>
STEADYVIEW_INLINE void sum_lanes(const Vec<P>* acc, Vec<P>& out) {
  static_assert(N <= P);
  const Vec<P> zero = {};
  Vec<P> v[P];
#pragma GCC unroll 8
  for (int i = 0; i < P; ++i) v[i] = i < N ? acc[i] : zero;
  if constexpr (P == 8) {
#pragma GCC unroll 8
    for (int i = 0; i < 4; ++i)
      v[i] = __builtin_shufflevector(v[2 * i], v[2 * i + 1], 0, 8, 2, 10, 4, 12, 6, 14) +
             __builtin_shufflevector(v[2 * i], v[2 * i + 1], 1, 9, 3, 11, 5, 13, 7, 15);
#pragma GCC unroll 8
    for (int i = 0; i < 2; ++i)
      v[i] = __builtin_shufflevector(v[2 * i], v[2 * i + 1], 0, 1, 8, 9, 4, 5, 12, 13) +
             __builtin_shufflevector(v[2 * i], v[2 * i + 1], 2, 3, 10, 11, 6, 7, 14, 15);
    out = __builtin_shufflevector(v[0], v[1], 0, 1, 2, 3, 8, 9, 10, 11) +
          __builtin_shufflevector(v[0], v[1], 4, 5, 6, 7, 12, 13, 14, 15);
  } else if constexpr (P == 4) {
#pragma GCC unroll 8
    for (int i = 0; i < 2; ++i)
      v[i] = __builtin_shufflevector(v[2 * i], v[2 * i + 1], 0, 4, 2, 6) +
             __builtin_shufflevector(v[2 * i], v[2 * i + 1], 1, 5, 3, 7);
    out = __builtin_shufflevector(v[0], v[1], 0, 1, 4, 5) +
          __builtin_shufflevector(v[0], v[1], 2, 3, 6, 7);
  } else {
    static_assert(P == 2);
    out = __builtin_shufflevector(v[0], v[1], 0, 2) + __builtin_shufflevector(v[0], v[1], 1, 3);
  }
}

// One frame's row of the factor.
template <int N, int Reach>
struct FactorRow {
  static constexpr int P = padded(N);
  double below[Reach][N][N];  // M(t, t-k), k = 1..Reach at [k-1]
  double inverse[N][N];       // L(t)^-1, unit lower triangular
  double reciprocal[P];       // 1 / diag(t); zeros beyond N
};

template <int N, int Reach>
struct Banded {
  static constexpr int P = padded(N);
  using V = Vec<P>;
  using Row = FactorRow<N, Reach>;

  // Factors row t: `a[k]` holds A(t, t-k) by columns (k = 0..min(t, Reach)) and is overwritten.
  // `floor` is the smallest pivot; smaller ones are taken for a free direction and made so large
  // that the direction is not moved along. Then the forward substitution of b(t), in place:
  // b(t) -= sum_k M(t, t-k) b(t-k).
  static STEADYVIEW_INLINE void factor_row(Row* rows, int64_t t, V (&a)[Reach + 1][N], double floor,
                                           double* b) {
    Row& row = rows[t];
    const int back = t < Reach ? static_cast<int>(t) : Reach;
    alignas(64) double m[Reach][N][P];  // what becomes row.below
    // a[k] becomes Y(t, t-k) = A(t, t-k) - sum_i Y(t, i) M(t-k, i)'.
#pragma GCC unroll 4
    for (int k = Reach; k >= 1; --k) {
      if (k > back) {
#pragma GCC unroll 8
        for (int c = 0; c < N; ++c) at<P>(m[k - 1][c]) = V{};
        continue;
      }
      const Row& other = rows[t - k];
#pragma GCC unroll 4
      for (int i = Reach; i > k; --i) {
        if (i > back) continue;
        const auto& earlier = other.below[i - k - 1];  // M(t-k, t-i)
#pragma GCC unroll 8
        for (int j = 0; j < N; ++j)
#pragma GCC unroll 8
          for (int c = 0; c < N; ++c) a[k][c] -= a[i][j] * earlier[j][c];
      }
      // M = Y D^-1 = ((Y L^-T) diag^-1) L^-1
      V scaled[N];
#pragma GCC unroll 8
      for (int c = 0; c < N; ++c) {
        V sum = a[k][c];
#pragma GCC unroll 8
        for (int j = 0; j < c; ++j) sum += a[k][j] * other.inverse[j][c];
        scaled[c] = sum * other.reciprocal[c];
      }
#pragma GCC unroll 8
      for (int c = 0; c < N; ++c) {
        V sum = scaled[c];
#pragma GCC unroll 8
        for (int j = c + 1; j < N; ++j) sum += scaled[j] * other.inverse[c][j];
        at<P>(m[k - 1][c]) = sum;
      }
    }
    V sum[2] = {at<P>(b + t * P), V{}};
#pragma GCC unroll 4
    for (int k = Reach; k >= 1; --k) {
      if (k > back) continue;
#pragma GCC unroll 8
      for (int j = 0; j < N; ++j)
#pragma GCC unroll 8
        for (int c = 0; c < N; ++c) a[0][c] -= a[k][j] * m[k - 1][j][c];
      const double* x = b + (t - k) * P;
#pragma GCC unroll 8
      for (int c = 0; c < N; ++c) sum[c & 1] -= at<P>(m[k - 1][c]) * x[c];
    }
    at<P>(b + t * P) = sum[0] + sum[1];
    // In order of address: a column's spare lanes are overwritten by the next column.
#pragma GCC unroll 4
    for (int k = 0; k < Reach; ++k)
#pragma GCC unroll 8
      for (int c = 0; c < N; ++c) at<P>(row.below[k][c]) = at<P>(m[k][c]);
    factor_diagonal(row, a[0], floor);
  }

  // L diag L' of the block and the inverse of L.
  static STEADYVIEW_INLINE void factor_diagonal(Row& row, V (&d)[N], double floor) {
    V inverse[N];
#pragma GCC unroll 8
    for (int c = 0; c < N; ++c) {
      inverse[c] = V{};
      inverse[c][c] = 1;
    }
    V reciprocal = {};
#pragma GCC unroll 8
    for (int c = 0; c < N; ++c) {
      double pivot = d[c][c];
      if (!(pivot > floor)) pivot = 1e64;
      const double r = 1 / pivot;
      reciprocal[c] = r;
      V below = d[c] * r;
#pragma GCC unroll 8
      for (int i = 0; i <= c; ++i) below[i] = 0;
#pragma GCC unroll 8
      for (int j = c + 1; j < N; ++j) d[j] -= below * d[c][j];
#pragma GCC unroll 8
      for (int j = 0; j <= c; ++j) inverse[j] -= below * inverse[j][c];
    }
#pragma GCC unroll 8
    for (int c = 0; c < N; ++c) at<P>(row.inverse[c]) = inverse[c];
    at<P>(row.reciprocal) = reciprocal;
  }

  // b(t) -= sum_k M(t, t-k) b(t-k), for rows in increasing order.
  static STEADYVIEW_INLINE void forward(const Row* rows, int64_t t, double* b) {
    const Row& row = rows[t];
    V sum[2] = {at<P>(b + t * P), V{}};
    const int back = t < Reach ? static_cast<int>(t) : Reach;
#pragma GCC unroll 4
    for (int k = Reach; k >= 1; --k) {
      if (k > back) continue;
      const double* x = b + (t - k) * P;
#pragma GCC unroll 8
      for (int c = 0; c < N; ++c) sum[c & 1] -= at<P>(row.below[k - 1][c]) * x[c];
    }
    at<P>(b + t * P) = sum[0] + sum[1];
  }

  // x(t) = D(t)^-1 b(t) - sum_k M(t+k, t)' x(t+k), for rows in decreasing order. x may be b.
  static STEADYVIEW_INLINE void backward(const Row* rows, int64_t t, int64_t frames,
                                         const double* b, double* x) {
    const Row& row = rows[t];
    V z = {};
#pragma GCC unroll 8
    for (int c = 0; c < N; ++c) z += at<P>(row.inverse[c]) * b[t * P + c];
    z *= at<P>(row.reciprocal);
    V acc[N];
#pragma GCC unroll 8
    for (int c = 0; c < N; ++c) acc[c] = at<P>(row.inverse[c]) * z;
    const int ahead = frames - 1 - t < Reach ? static_cast<int>(frames - 1 - t) : Reach;
#pragma GCC unroll 4
    for (int k = Reach; k >= 1; --k) {
      if (k > ahead) continue;
      const V y = at<P>(x + (t + k) * P);
#pragma GCC unroll 8
      for (int c = 0; c < N; ++c) acc[c] -= at<P>(rows[t + k].below[k - 1][c]) * y;
    }
    V out;
    sum_lanes<P, N>(acc, out);
    at<P>(x + t * P) = out;
  }
};

}  // namespace STEADYVIEW_ISA
}  // namespace steadyview
