#pragma once

#include "gaussians/adam.h"
#include "gaussians/maths.h"

namespace steadyview::gaussians {

// One number; rate has scale1 in it.
STEADYVIEW_HOST_DEVICE void adam_step(const Adam& a, float rate, float gradient, float& value,
                                      float& mean, float& square) {
  mean += (1 - a.beta1) * (gradient - mean);
  square = a.beta2 * square + (1 - a.beta2) * gradient * gradient;
  value -= rate * mean / (root(square) * a.scale2 + a.epsilon);
}

}  // namespace steadyview::gaussians
