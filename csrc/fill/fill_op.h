#pragma once

#include <ATen/core/Tensor.h>

#include <optional>

namespace steadyview {

// image (N, C, H, W) float32 or float64, holes (N, H, W) bool, depth (N, H, W) of image's dtype.
at::Tensor fill_holes(const at::Tensor& image, const at::Tensor& holes,
                      const std::optional<at::Tensor>& depth, int64_t gap);

// Gradient by the image.
at::Tensor fill_holes_backward(const at::Tensor& grad_output, const at::Tensor& image,
                               const at::Tensor& holes, const std::optional<at::Tensor>& depth,
                               int64_t gap);

}  // namespace steadyview
