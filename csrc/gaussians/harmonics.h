#pragma once

// Real spherical harmonics of degree 0 to 4 on the unit sphere, for the CPU and CUDA kernels:
// Y_l^m = K_lm Q_lm(z) times Re or Im of (x + iy)^|m|, with Q_lm the |m|-th derivative of the
// Legendre polynomial P_l. So derivatives are products of the same terms.

#include "common/sampling.h"

namespace steadyview::gaussians {

inline constexpr int kMostDegree = 4;

// values (16 or more: (degree + 1)^2), and the derivatives by (x, y, z) when `slopes` is not null.
template <int degree, bool with_slopes, typename T>
STEADYVIEW_HOST_DEVICE void harmonics(T x, T y, T z, T* values, T (*slopes)[3]) {
  // K_lm for m = 0 ... l, at l (l + 1) / 2 + m: (-1)^m sqrt((2 l + 1) / (4 pi) (l - m)! / (l +
  // m)!), times sqrt(2) for m > 0.
  constexpr double kHarmonicScale[15] = {
      0.28209479177387814,  0.4886025119029199,    -0.4886025119029199,  0.6307831305050401,
      -0.36418281019735976, 0.18209140509867988,   0.7463526651802308,   -0.3046971996429772,
      0.09635371475468515,  -0.03933623932844291,  0.8462843753216345,   -0.2676186174229157,
      0.063078313050504,    -0.016858388283618388, 0.005960340337611203,
  };
  T re[degree + 2], im[degree + 2];  // of (x + iy)^m
  re[0] = 1;
  im[0] = 0;
#pragma GCC unroll 8
  for (int m = 1; m <= degree; ++m) {
    re[m] = x * re[m - 1] - y * im[m - 1];
    im[m] = x * im[m - 1] + y * re[m - 1];
  }
  T Q[degree + 2][degree + 3] = {};
#pragma GCC unroll 8
  for (int m = 0; m <= degree; ++m) {
    T lead = 1;
#pragma GCC unroll 8
    for (int k = 1; k <= m; ++k) lead *= T(2 * k - 1);
    Q[m][m] = lead;
    Q[m + 1][m] = T(2 * m + 1) * z * lead;
#pragma GCC unroll 8
    for (int l = m + 2; l <= degree; ++l) {
      Q[l][m] = (T(2 * l - 1) * z * Q[l - 1][m] - T(l + m - 1) * Q[l - 2][m]) * (T(1) / T(l - m));
    }
  }
#pragma GCC unroll 8
  for (int l = 0; l <= degree; ++l) {
#pragma GCC unroll 8
    for (int m = 0; m <= l; ++m) {
      const T scale = T(kHarmonicScale[l * (l + 1) / 2 + m]);
      const T q = scale * Q[l][m], slope = scale * (m < l ? Q[l][m + 1] : T(0));
      const int up = l * l + l + m, down = l * l + l - m;
      values[up] = q * re[m];
      if (m > 0) values[down] = q * im[m];
      if constexpr (with_slopes) {
        const T qm = q * T(m), before = m > 0 ? re[m > 0 ? m - 1 : 0] : T(0);
        const T aside = m > 0 ? im[m > 0 ? m - 1 : 0] : T(0);
        slopes[up][0] = qm * before;
        slopes[up][1] = -qm * aside;
        slopes[up][2] = slope * re[m];
        if (m > 0) {
          slopes[down][0] = qm * aside;
          slopes[down][1] = qm * before;
          slopes[down][2] = slope * im[m];
        }
      }
    }
  }
}

}  // namespace steadyview::gaussians
