#pragma once

#include <ATen/core/Tensor.h>

#include <optional>
#include <tuple>

namespace steadyview {

// image (N, C, H, W) float32 or float64; source_from_output (N, 3, 3) and displacement (N, 2, K, K)
// float64 on the same device. Returns (N, C, height, width).
at::Tensor backward_warp(const at::Tensor& image, const at::Tensor& source_from_output,
                         const std::optional<at::Tensor>& displacement, int64_t height,
                         int64_t width, int64_t filter, bool zeros);

// Gradients by the image and by the source points (N, height, width, 2) float64; what is not wanted
// is empty.
std::tuple<at::Tensor, at::Tensor> backward_warp_backward(
    const at::Tensor& grad_output, const at::Tensor& image, const at::Tensor& source_from_output,
    const std::optional<at::Tensor>& displacement, int64_t filter, bool zeros, bool by_image,
    bool by_points);

}  // namespace steadyview
