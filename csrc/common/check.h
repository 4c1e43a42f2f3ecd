#pragma once

// Checks of the ops: they throw std::invalid_argument (ValueError in Python) that names the op, the
// argument, what is allowed and what was got. For *_op.cpp only.

#include <ATen/core/Tensor.h>

#include <initializer_list>
#include <sstream>
#include <stdexcept>

namespace steadyview::check {

template <typename... Parts>
[[noreturn]] void fail(const char* op, const Parts&... parts) {
  std::ostringstream message;
  message << op << ": ";
  (message << ... << parts);
  throw std::invalid_argument(message.str());
}

// Sizes of -1 are free.
inline void shape(const char* op, const char* name, const at::Tensor& tensor,
                  std::initializer_list<int64_t> sizes) {
  bool fits = tensor.dim() == static_cast<int64_t>(sizes.size());
  int64_t axis = 0;
  for (int64_t size : sizes) {
    fits = fits && (size < 0 || tensor.size(axis) == size);
    ++axis;
  }
  if (!fits) {
    std::ostringstream wanted;
    for (int64_t size : sizes) wanted << (wanted.tellp() > 0 ? ", " : "") << size;
    fail(op, name, " must be (", wanted.str(), "), -1 for any size, got ", tensor.sizes());
  }
}

inline void floating(const char* op, const char* name, const at::Tensor& tensor) {
  if (tensor.scalar_type() != at::kFloat && tensor.scalar_type() != at::kDouble) {
    fail(op, name, " must be float32 or float64, got ", tensor.scalar_type());
  }
}

inline void like(const char* op, const char* name, const at::Tensor& tensor, at::ScalarType type,
                 const at::Device& device) {
  if (tensor.scalar_type() != type || tensor.device() != device) {
    fail(op, name, " must be ", type, " on ", device, ", got ", tensor.scalar_type(), " on ",
         tensor.device());
  }
}

}  // namespace steadyview::check
