// Spherical harmonics of blocks of directions, a lane each. Compiled for each instruction set.
#include "gaussians/harmonics.h"
#include "gaussians/maths.h"
#include "gaussians/rows.h"

namespace steadyview::gaussians::STEADYVIEW_ISA {
namespace {

constexpr int kBlock = 16;

template <typename T>
struct Directions {
  T xyz[3][kBlock], inverse[kBlock];  // unit vectors, and 1 / the length before
};

template <typename T>
STEADYVIEW_HOST_DEVICE void load_directions(const Harmonics<T>& h, int64_t first, int64_t n,
                                            Directions<T>& d) {
  for (int64_t l = 0; l < kBlock; ++l) {
    const T* row = h.directions + 3 * (first + (l < n ? l : n - 1));
    for (int k = 0; k < 3; ++k) d.xyz[k][l] = row[k];
  }
  for (int l = 0; l < kBlock; ++l) {
    T squared = 0;
    for (int k = 0; k < 3; ++k) squared += d.xyz[k][l] * d.xyz[k][l];
    d.inverse[l] = squared > 0 ? 1 / root(squared) : T(0);
    for (int k = 0; k < 3; ++k) d.xyz[k][l] *= d.inverse[l];
  }
}

template <int degree, typename T>
void forward(const Harmonics<T>& h, int64_t first, int64_t last) {
  constexpr int terms = (degree + 1) * (degree + 1);
  Directions<T> d;
  T basis[terms][kBlock];
  for (int64_t i = first; i < last; i += kBlock) {
    const int64_t n = least<int64_t>(kBlock, last - i);
    load_directions(h, i, n, d);
#pragma GCC ivdep
    for (int l = 0; l < kBlock; ++l) {
      T values[terms];
      harmonics<degree, false>(d.xyz[0][l], d.xyz[1][l], d.xyz[2][l], values,
                               static_cast<T(*)[3]>(nullptr));
#pragma GCC unroll 25
      for (int k = 0; k < terms; ++k) basis[k][l] = values[k];
    }
    for (int64_t l = 0; l < n; ++l) {
      const bool wanted = !h.masks || h.masks[i + l];
      const T* c = h.coefficients + (i + l) * h.terms * 3;
      T sum[3] = {0, 0, 0};
      if (wanted) {
        for (int k = 0; k < terms; ++k) {
          for (int j = 0; j < 3; ++j) sum[j] += basis[k][l] * c[3 * k + j];
        }
      }
      for (int j = 0; j < 3; ++j) h.colors[3 * (i + l) + j] = sum[j];
    }
  }
}

// Writes the gradients of Gaussian i; its basis and slopes stand in lane l.
template <int terms, typename T>
STEADYVIEW_HOST_DEVICE void gradient_row(const HarmonicsGradient<T>& g, int64_t i, int l,
                                         const T (*basis)[kBlock], const T (*slopes)[3][kBlock],
                                         const Directions<T>& d) {
  const Harmonics<T>& h = g.forward;
  const bool wanted = !h.masks || h.masks[i];
  const T *c = h.coefficients + i * h.terms * 3, *v = g.grad_colors + 3 * i;
  T* grad = g.grad_coefficients + i * h.terms * 3;
  T by_unit[3] = {0, 0, 0};
  for (int k = 0; k < terms; ++k) {
    const T share = wanted ? basis[k][l] : T(0);
    for (int j = 0; j < 3; ++j) grad[3 * k + j] = share == 0 ? T(0) : share * v[j];
    if (!g.grad_directions || !wanted) continue;
    const T dot = v[0] * c[3 * k] + v[1] * c[3 * k + 1] + v[2] * c[3 * k + 2];
    for (int j = 0; j < 3; ++j) by_unit[j] += dot * slopes[k][j][l];
  }
  for (int64_t k = 3 * terms; k < 3 * h.terms; ++k) grad[k] = 0;
  if (!g.grad_directions) return;
  T along = 0;
  for (int j = 0; j < 3; ++j) along += by_unit[j] * d.xyz[j][l];
  for (int j = 0; j < 3; ++j) {
    const T across = (by_unit[j] - along * d.xyz[j][l]) * d.inverse[l];
    g.grad_directions[3 * i + j] = wanted ? across : T(0);
  }
}

template <int degree, typename T>
void backward(const HarmonicsGradient<T>& g, int64_t first, int64_t last) {
  constexpr int terms = (degree + 1) * (degree + 1);
  Directions<T> d;
  T basis[terms][kBlock], slopes[terms][3][kBlock];
  for (int64_t i = first; i < last; i += kBlock) {
    const int64_t n = least<int64_t>(kBlock, last - i);
    load_directions(g.forward, i, n, d);
#pragma GCC ivdep
    for (int l = 0; l < kBlock; ++l) {
      T values[terms], by[terms][3];
      harmonics<degree, true>(d.xyz[0][l], d.xyz[1][l], d.xyz[2][l], values, by);
#pragma GCC unroll 25
      for (int k = 0; k < terms; ++k) {
        basis[k][l] = values[k];
        for (int j = 0; j < 3; ++j) slopes[k][j][l] = by[k][j];
      }
    }
    for (int l = 0; l < n; ++l) gradient_row<terms>(g, i + l, l, basis, slopes, d);
  }
}

template <typename T>
void forward_of(const Harmonics<T>& h, int64_t first, int64_t last) {
  constexpr void (*all[])(const Harmonics<T>&, int64_t, int64_t) = {
      forward<0, T>, forward<1, T>, forward<2, T>, forward<3, T>, forward<4, T>};
  all[h.degree](h, first, last);
}

template <typename T>
void backward_of(const HarmonicsGradient<T>& g, int64_t first, int64_t last) {
  constexpr void (*all[])(const HarmonicsGradient<T>&, int64_t, int64_t) = {
      backward<0, T>, backward<1, T>, backward<2, T>, backward<3, T>, backward<4, T>};
  all[g.forward.degree](g, first, last);
}

}  // namespace

void harmonics_rows(const Harmonics<float>& h, int64_t first, int64_t last) {
  forward_of(h, first, last);
}
void harmonics_rows(const Harmonics<double>& h, int64_t first, int64_t last) {
  forward_of(h, first, last);
}
void harmonics_gradient_rows(const HarmonicsGradient<float>& g, int64_t first, int64_t last) {
  backward_of(g, first, last);
}
void harmonics_gradient_rows(const HarmonicsGradient<double>& g, int64_t first, int64_t last) {
  backward_of(g, first, last);
}

}  // namespace steadyview::gaussians::STEADYVIEW_ISA
