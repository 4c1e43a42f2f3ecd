// Compiled with OpenMP where the compiler has it, and then run by the library that torch brings.
#include <ATen/Config.h>

#include "common/parallel.h"
#include "common/torch_threads.h"

namespace steadyview {

void use_torch_threads() {
#if defined(_OPENMP) && AT_PARALLEL_OPENMP
  use_crew([](void (*work)(void*), void* loop) {
  // As many as torch.set_num_threads asks for.
#pragma omp parallel
    work(loop);
  });
#endif
}

}  // namespace steadyview
