#pragma once

// Interpolation weights, written once for the CPU and CUDA kernels. T is a scalar or a GCC vector
// of S; always inlined, so that variants for several instruction sets never share a symbol.

#if defined(__CUDACC__)
#define STEADYVIEW_HOST_DEVICE __host__ __device__ __forceinline__
#else
#define STEADYVIEW_HOST_DEVICE inline __attribute__((always_inline))
#endif

namespace steadyview {

// bicubic is OpenCV's and PyTorch's (Keys' kernel with a = -0.75); catmull_rom has a = -0.5;
// lanczos3 is normalised to sum 1.
enum class Filter : int { bilinear, bicubic, catmull_rom, lanczos3 };

constexpr int filter_taps(Filter filter) {
  return filter == Filter::bilinear ? 2 : filter == Filter::lanczos3 ? 6 : 4;
}

// The outer weights of lanczos3 by t (1 - t), the zeros every outer tap has: polynomials of degree
// 5 that fit the normalised kernel to 1.0e-5.
struct LanczosWeights {
  double a[6] = {0.2067432904, -0.1247792541, -0.2838594498,
                 0.1512107815, 0.1268360362,  -0.0761672022};
  double b[6] = {-0.8270222091,   0.3293551784,  0.5685883628,
                 -0.006251422352, -0.4480236843, 0.1766034213};
  double c[6] = {1.000052215,   -0.7599218878, -0.7707702465,
                 -0.2428003208, 0.9539904241,  -0.3535573294};
};

// Weights of the taps around a point, times `scale`. With i = floor(x - 0.5) and t = x - 0.5 - i,
// tap k has the index i + k + 1 - taps / 2. At t = 0 they are exactly 0, ..., scale, ..., 0, so
// identity is exact; tap taps / 2 takes what the others leave.
template <Filter filter, typename S, typename T>
STEADYVIEW_HOST_DEVICE void filter_weights(T t, S scale, T* w) {
  const T one = T{} + S(1);
  const T s = one - t;
  if constexpr (filter == Filter::bilinear) {
    w[0] = s * scale;
    w[1] = t * scale;
  } else if constexpr (filter == Filter::lanczos3) {
    constexpr LanczosWeights fit{};
    const T p = (t * s) * scale;
    T at = T{} + S(fit.a[5]), as = at, bt = T{} + S(fit.b[5]), bs = bt, ct = T{} + S(fit.c[5]);
    for (int i = 4; i >= 0; --i) {
      at = at * t + S(fit.a[i]);
      as = as * s + S(fit.a[i]);
      bt = bt * t + S(fit.b[i]);
      bs = bs * s + S(fit.b[i]);
      ct = ct * t + S(fit.c[i]);
    }
    w[0] = p * at;
    w[1] = p * bt;
    w[2] = s * scale + p * ct;
    w[4] = p * bs;
    w[5] = p * as;
    w[3] = one * scale - (w[0] + w[1] + w[2] + w[4] + w[5]);
  } else {
    constexpr S a = filter == Filter::bicubic ? S(-0.75) : S(-0.5);
    const T ap = (t * s) * (a * scale);
    const T all = T{} + scale;
    w[0] = ap * s;
    w[1] = all + (t * t) * ((t * ((a + S(2)) * scale)) - ((a + S(3)) * scale));
    w[2] = (all - w[1]) - ap;
    w[3] = ap * t;
  }
}

// Derivatives of filter_weights by t, for gradients with respect to the sampling point.
template <Filter filter, typename S, typename T>
STEADYVIEW_HOST_DEVICE void filter_slopes(T t, T* d) {
  const T one = T{} + S(1);
  if constexpr (filter == Filter::bilinear) {
    d[0] = T{} - one;
    d[1] = one;
  } else if constexpr (filter == Filter::lanczos3) {
    constexpr LanczosWeights fit{};
    const T s = one - t, p = t * s, slope = s - t;
    const auto outer = [&](const double* a, T x, T* value, T* derivative) {
      *value = T{} + S(a[5]);
      *derivative = T{};
      for (int i = 4; i >= 0; --i) {
        *derivative = *derivative * x + *value;
        *value = *value * x + S(a[i]);
      }
    };
    T value, derivative;
    outer(fit.a, t, &value, &derivative);
    d[0] = slope * value + p * derivative;
    outer(fit.b, t, &value, &derivative);
    d[1] = slope * value + p * derivative;
    outer(fit.c, t, &value, &derivative);
    d[2] = slope * value + p * derivative - one;
    outer(fit.b, s, &value, &derivative);
    d[4] = slope * value - p * derivative;
    outer(fit.a, s, &value, &derivative);
    d[5] = slope * value - p * derivative;
    d[3] = T{} - (d[0] + d[1] + d[2] + d[4] + d[5]);
  } else {
    constexpr S a = filter == Filter::bicubic ? S(-0.75) : S(-0.5);
    const T s = one - t;
    d[0] = (s * (s - t - t)) * a;
    d[1] = t * (t * (S(3) * (a + S(2))) - S(2) * (a + S(3)));
    d[3] = (t * (s + s - t)) * a;
    d[2] = T{} - (d[0] + d[1] + d[3]);
  }
}

}  // namespace steadyview
