// A thread a number.
#include "common/launch.h"
#include "gaussians/adam_maths.h"

namespace steadyview::gaussians {
namespace {

__global__ void adam_kernel(Adam a) {
  for (int64_t i = first_item(); i < a.rows * a.width; i += item_step()) {
    const int64_t row = i / a.width;
    if (a.seen && !a.seen[row]) continue;
    const float rate = i - row * a.width < a.head ? a.head_rate : a.tail_rate;
    adam_step(a, rate * a.scale1, a.gradient[i], a.values[i], a.mean[i], a.square[i]);
  }
}

}  // namespace

const char* adam_cuda(const Adam& adam, void* stream) {
  Launcher launch(stream);
  launch.run(adam_kernel, adam.rows * adam.width, adam);
  return launch.result();
}

}  // namespace steadyview::gaussians
