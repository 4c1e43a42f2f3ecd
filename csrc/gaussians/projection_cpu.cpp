// Chunks of Gaussians over the threads, and the sums of the cameras' gradients in a fixed order.
#include <vector>

#include "common/isa.h"
#include "common/parallel.h"
#include "gaussians/gaussians.h"
#include "gaussians/maths_gradient.h"
#include "gaussians/rows.h"

namespace steadyview::gaussians {
namespace {

constexpr int64_t kChunk = 2048;

}  // namespace

template <typename T>
void project_cpu(const Projection<T>& p) {
  for (int64_t c = 0; c < p.cameras; ++c) {
    const int64_t chunks = (p.count + kChunk - 1) / kChunk;
    std::vector<int64_t> invalid(static_cast<size_t>(chunks), 0);
    parallel_for(0, p.count, kChunk, [&](int64_t first, int64_t last) {
      int64_t* count = &invalid[static_cast<size_t>(first / kChunk)];
      return STEADYVIEW_FOR_ISA(gaussians, project_rows(p, c, first, last, count));
    });
    p.invalid[c] = 0;
    for (int64_t count : invalid) p.invalid[c] += count;
  }
}

template <typename T>
void project_gradient_cpu(const ProjectionGradient<T>& g) {
  const Projection<T>& p = g.forward;
  const int64_t chunks = (p.count + kChunk - 1) / kChunk, size = kPoseSums * p.cameras;
  std::vector<double> sums(g.grad_viewmats ? static_cast<size_t>(chunks * size) : 0);
  parallel_for(0, p.count, kChunk, [&](int64_t first, int64_t last) {
    double* pose = g.grad_viewmats ? sums.data() + first / kChunk * size : nullptr;
    return STEADYVIEW_FOR_ISA(gaussians, project_gradient_rows(g, first, last, pose));
  });
  if (!g.grad_viewmats) return;
  for (int64_t c = 0; c < p.cameras; ++c) {
    double total[kPoseSums] = {};
    for (int64_t k = 0; k < chunks; ++k) {
      for (int i = 0; i < kPoseSums; ++i)
        total[i] += sums[static_cast<size_t>(k * size + c * kPoseSums + i)];
    }
    write_pose(total, g.grad_viewmats + 16 * c, g.grad_Ks + 9 * c);
  }
}

template <typename T>
void harmonics_cpu(const Harmonics<T>& h) {
  parallel_for(0, h.count, kChunk, [&](int64_t first, int64_t last) {
    return STEADYVIEW_FOR_ISA(gaussians, harmonics_rows(h, first, last));
  });
}

template <typename T>
void harmonics_gradient_cpu(const HarmonicsGradient<T>& g) {
  parallel_for(0, g.forward.count, kChunk, [&](int64_t first, int64_t last) {
    return STEADYVIEW_FOR_ISA(gaussians, harmonics_gradient_rows(g, first, last));
  });
}

template void project_cpu(const Projection<float>&);
template void project_cpu(const Projection<double>&);
template void project_gradient_cpu(const ProjectionGradient<float>&);
template void project_gradient_cpu(const ProjectionGradient<double>&);
void harmonics_adam_cpu(const HarmonicsGradient<float>& g, const Adam& adam) {
  parallel_for(0, g.forward.count, kChunk, [&](int64_t first, int64_t last) {
    return STEADYVIEW_FOR_ISA(gaussians, harmonics_adam_rows(g, adam, first, last));
  });
}

template void harmonics_cpu(const Harmonics<float>&);
template void harmonics_cpu(const Harmonics<double>&);
template void harmonics_gradient_cpu(const HarmonicsGradient<float>&);
template void harmonics_gradient_cpu(const HarmonicsGradient<double>&);

}  // namespace steadyview::gaussians
