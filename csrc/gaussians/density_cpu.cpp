#include <cmath>

#include "common/parallel.h"
#include "gaussians/density.h"

namespace steadyview::gaussians {

void gather_gradients_cpu(const GradientLengths& l) {
  constexpr int64_t kChunk = 1 << 13;
  parallel_for(0, l.rows, kChunk, [&l](int64_t first, int64_t last) {
    for (int64_t image = 0; image < l.images; ++image) {
      const float* gradient = l.gradients + 2 * image * l.rows;
      const int* radius = l.radii + 2 * image * l.rows;
      for (int64_t i = first; i < last; ++i) {
        const float x = l.scale_x * gradient[2 * i], y = l.scale_y * gradient[2 * i + 1];
        l.sums[i] += std::sqrt(x * x + y * y);
        l.counts[i] += radius[2 * i] > 0 && radius[2 * i + 1] > 0 ? 1.0f : 0.0f;
      }
    }
  });
}

}  // namespace steadyview::gaussians
