#pragma once

#include <ATen/core/Tensor.h>

#include <initializer_list>
#include <optional>

#include "common/check.h"
#include "common/device_op.h"

namespace steadyview::gaussians {

inline void check_size(const char* op, int64_t width, int64_t height) {
  constexpr int64_t most = 1 << 20;
  if (width < 1 || height < 1 || width > most || height > most) {
    check::fail(op, "width and height must be in [1, ", most, "], got ", width, " and ", height);
  }
}

// Of like's dtype and device.
inline void check_argument(const char* op, const char* name, const at::Tensor& tensor,
                           const at::Tensor& like, std::initializer_list<int64_t> sizes) {
  check::like(op, name, tensor, like.scalar_type(), like.device());
  check::shape(op, name, tensor, sizes);
}

inline at::Tensor contiguous(const std::optional<at::Tensor>& tensor) {
  return tensor ? tensor->contiguous() : at::Tensor();
}

template <typename T>
const T* data(const at::Tensor& tensor) {
  return tensor.defined() ? tensor.const_data_ptr<T>() : nullptr;
}

#define STEADYVIEW_GAUSSIANS_CUDA(function)                                \
  []([[maybe_unused]] const auto& params, [[maybe_unused]] void* stream) { \
    return STEADYVIEW_CUDA_CALL(function(params, stream));                 \
  }

// Calls cpu(make<float>()) or cpu(make<double>()) with torch's number of threads; for a tensor on a
// GPU cuda(make<float>(), stream), which may return an error.
template <typename Make, typename Cpu, typename Cuda>
void dispatch(const char* op, const at::Tensor& tensor, Make make, Cpu cpu, Cuda cuda) {
  const bool single = tensor.scalar_type() == at::kFloat;
  on_device(
      op, "tensors", tensor,
      [&] {
        single ? cpu(make.template operator()<float>()) : cpu(make.template operator()<double>());
      },
      [&](void* stream) {
        if (kCudaOnHost && !single) {
          cpu(make.template operator()<double>());
          return static_cast<const char*>(nullptr);
        }
        if (!single) {
          check::fail(op, "tensors on cuda must be float32, got ", tensor.scalar_type());
        }
        return cuda(make.template operator()<float>(), stream);
      });
}

}  // namespace steadyview::gaussians
