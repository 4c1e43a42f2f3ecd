// Spherical harmonics of blocks of directions, a lane each. Compiled for each instruction set.
#include "gaussians/adam_range.h"
#include "gaussians/harmonics.h"
#include "gaussians/maths.h"
#include "gaussians/rows.h"

namespace steadyview::gaussians::STEADYVIEW_ISA {
namespace {

constexpr int kBlock = 16;
constexpr int64_t kStepped = 64;  // Gaussians whose gradients are kept until they are used
constexpr int64_t kAhead = 32;    // Gaussians whose coefficients are fetched before their turn

template <typename T>
struct Directions {
  T xyz[3][kBlock], inverse[kBlock];  // unit vectors, and 1 / the length before
};

template <typename T>
STEADYVIEW_HOST_DEVICE void load_directions(const Harmonics<T>& h, int64_t first, int64_t n,
                                            Directions<T>& d) {
  for (int64_t l = 0; l < kBlock; ++l) {
    const T* row = h.directions + 3 * (first + (l < n ? l : n - 1));
    for (int k = 0; k < 3; ++k) d.xyz[k][l] = row[k] - h.origin[k];
  }
  for (int l = 0; l < kBlock; ++l) {
    T squared = 0;
    for (int k = 0; k < 3; ++k) squared += d.xyz[k][l] * d.xyz[k][l];
    d.inverse[l] = squared > 0 ? 1 / root(squared) : T(0);
    for (int k = 0; k < 3; ++k) d.xyz[k][l] *= d.inverse[l];
  }
}

template <typename T>
STEADYVIEW_HOST_DEVICE void prefetch_block(const Harmonics<T>& h, int64_t first) {
  if (first + kBlock > h.count) return;
  const auto* at = reinterpret_cast<const char*>(h.coefficients + first * h.terms * 3);
  const int64_t bytes = kBlock * h.terms * 3 * static_cast<int64_t>(sizeof(T));
  for (int64_t i = 0; i < bytes; i += 64) __builtin_prefetch(at + i);
}

// Adds the products of a Gaussian's coefficients with column l of the basis. All but the last ones
// are read as four numbers, of which the fourth is not used.
template <int terms, typename T>
STEADYVIEW_HOST_DEVICE void add_terms(const T (&basis)[terms][kBlock], int64_t l, const T* c,
                                      T (&sum)[3]) {
  using Quad __attribute__((vector_size(4 * sizeof(T)))) = T;
  Quad quad{};
#pragma GCC unroll 25
  for (int k = 0; k + 1 < terms; ++k) {
    Quad row;
    __builtin_memcpy(&row, c + 3 * k, sizeof row);
    quad += basis[k][l] * row;
  }
  for (int j = 0; j < 3; ++j) sum[j] = quad[j] + basis[terms - 1][l] * c[3 * (terms - 1) + j];
}

template <int degree, typename T>
void forward(const Harmonics<T>& h, int64_t first, int64_t last) {
  constexpr int terms = (degree + 1) * (degree + 1);
  Directions<T> d;
  T basis[terms][kBlock];
  for (int64_t i = first; i < last; i += kBlock) {
    const int64_t n = least<int64_t>(kBlock, last - i);
    load_directions(h, i, n, d);
    prefetch_block(h, i + kAhead);
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
      if (wanted) add_terms<terms>(basis, l, c, sum);
      for (int j = 0; j < 3; ++j) {
        const T shade = sum[j] + T(0.5);
        h.colors[3 * (i + l) + j] = !h.shaded ? sum[j] : shade < 0 ? T(0) : shade;
      }
    }
  }
}

// A gradient of 0 is none, whatever the coefficients: those that are not finite are not drawn.
template <typename T>
STEADYVIEW_HOST_DEVICE bool has_gradient(const HarmonicsGradient<T>& g, int64_t i) {
  const T* v = g.grad_colors + 3 * i;
  return (!g.forward.masks || g.forward.masks[i]) && (v[0] != 0 || v[1] != 0 || v[2] != 0);
}

// Writes the gradient by the coefficients of Gaussian i, whose basis is given, and the products of
// its coefficients with the gradient by its colour.
template <int terms, typename T>
STEADYVIEW_HOST_DEVICE void gradient_row(const HarmonicsGradient<T>& g, int64_t i,
                                         const T* __restrict basis, T* __restrict dots) {
  const Harmonics<T>& h = g.forward;
  const T* __restrict c = h.coefficients + i * h.terms * 3;
  T* __restrict grad = g.grad_coefficients + i * h.terms * 3;
  const T *v = g.grad_colors + 3 * i, x = v[0], y = v[1], z = v[2];
  if (!has_gradient(g, i)) {
    for (int64_t k = 0; k < 3 * h.terms; ++k) grad[k] = 0;
    for (int k = 0; k < terms; ++k) dots[k] = 0;
    return;
  }
  for (int k = 0; k < terms; ++k) dots[k] = x * c[3 * k] + y * c[3 * k + 1] + z * c[3 * k + 2];
  for (int k = 0; k < terms; ++k) {
    grad[3 * k] = basis[k] * x;
    grad[3 * k + 1] = basis[k] * y;
    grad[3 * k + 2] = basis[k] * z;
  }
  for (int64_t k = 3 * terms; k < 3 * h.terms; ++k) grad[k] = 0;
}

template <int degree, typename T>
void backward(const HarmonicsGradient<T>& g, int64_t first, int64_t last) {
  constexpr int terms = (degree + 1) * (degree + 1);
  Directions<T> d;
  T basis[terms][kBlock], rows[kBlock][terms], dots[kBlock][terms] = {}, slopes[terms][3][kBlock];
  for (int64_t i = first; i < last; i += kBlock) {
    const int64_t n = least<int64_t>(kBlock, last - i);
    load_directions(g.forward, i, n, d);
    prefetch_block(g.forward, i + kAhead);
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
    for (int l = 0; l < kBlock; ++l) {
      for (int k = 0; k < terms; ++k) rows[l][k] = basis[k][l];
    }
    for (int l = 0; l < n; ++l) gradient_row<terms>(g, i + l, rows[l], dots[l]);
    if (!g.grad_directions) continue;
    T by_unit[3][kBlock] = {};
    for (int k = 0; k < terms; ++k) {
      for (int j = 0; j < 3; ++j) {
        for (int l = 0; l < kBlock; ++l) by_unit[j][l] += dots[l][k] * slopes[k][j][l];
      }
    }
    for (int l = 0; l < n; ++l) {
      T along = 0;
      for (int j = 0; j < 3; ++j) along += by_unit[j][l] * d.xyz[j][l];
      const bool wanted = has_gradient(g, i + l);
      for (int j = 0; j < 3; ++j) {
        const T across = (by_unit[j][l] - along * d.xyz[j][l]) * d.inverse[l];
        g.grad_directions[3 * (i + l) + j] = wanted ? across : T(0);
      }
    }
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

// The gradients by the coefficients go no farther than the first-level cache.
void harmonics_adam_rows(const HarmonicsGradient<float>& gradient, const Adam& adam, int64_t first,
                         int64_t last) {
  float by[kStepped * 3 * (kMostDegree + 1) * (kMostDegree + 1)], by_colors[kStepped * 3];
  const Rates rates(adam, 0);
  for (int64_t i = first; i < last; i += kStepped) {
    const int64_t n = least(kStepped, last - i);
    HarmonicsGradient<float> g = gradient;
    Harmonics<float>& h = g.forward;
    h.directions += 3 * i;
    h.coefficients += adam.width * i;
    h.count -= i;
    g.grad_colors += 3 * i;
    g.grad_directions += 3 * i;
    g.grad_coefficients = by;
    if (h.shaded) {
      const float* colors = h.colors + 3 * i;
      for (int64_t k = 0; k < 3 * n; ++k) by_colors[k] = colors[k] > 0 ? g.grad_colors[k] : 0.0f;
      g.grad_colors = by_colors;
    }
    backward_of(g, 0, n);
    adam_range(adam, rates, 0, i, i + n, by);
  }
}

}  // namespace steadyview::gaussians::STEADYVIEW_ISA
