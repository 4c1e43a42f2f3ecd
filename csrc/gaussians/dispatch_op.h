#pragma once

#include <ATen/Parallel.h>
#include <ATen/core/Tensor.h>

#include "common/check.h"
#include "common/parallel.h"

namespace steadyview::gaussians {

// Calls compute<float>() or compute<double>(), with torch's number of threads.
template <typename Compute>
void dispatch(const char* op, const at::Tensor& tensor, Compute compute) {
  if (!tensor.device().is_cpu()) {
    check::fail(op, "tensors must be on the cpu (there are no CUDA kernels yet), got ",
                tensor.device());
  }
  set_num_threads(at::get_num_threads());
  tensor.scalar_type() == at::kFloat ? compute.template operator()<float>()
                                     : compute.template operator()<double>();
}

}  // namespace steadyview::gaussians
