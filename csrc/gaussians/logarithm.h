#pragma once

#include "common/sampling.h"

namespace steadyview::gaussians {

// Natural logarithm of a positive, normal number, to 1e-7: plain sums that become vector
// instructions in a loop over lanes.
STEADYVIEW_HOST_DEVICE float logarithm(float x) {
  const int bits = __builtin_bit_cast(int, x) - 0x3f3504f3;  // from sqrt(1/2)
  const float exponent = static_cast<float>(bits >> 23);
  const float m = __builtin_bit_cast(float, (bits & 0x7fffff) + 0x3f3504f3);
  const float t = (m - 1) / (m + 1), s = t * t;
  return exponent * 0.69314718f +
         2 * t * (1 + s * (1 / 3.f + s * (1 / 5.f + s * (1 / 7.f + s * (1 / 9.f)))));
}
#if defined(__CUDACC__)
STEADYVIEW_HOST_DEVICE double logarithm(double x) { return log(x); }
STEADYVIEW_HOST_DEVICE float exponential(float x) { return expf(x); }
STEADYVIEW_HOST_DEVICE double exponential(double x) { return exp(x); }
#else
STEADYVIEW_HOST_DEVICE double logarithm(double x) { return __builtin_log(x); }
STEADYVIEW_HOST_DEVICE float exponential(float x) { return __builtin_expf(x); }
STEADYVIEW_HOST_DEVICE double exponential(double x) { return __builtin_exp(x); }
#endif

}  // namespace steadyview::gaussians
