#pragma once

#include <ATen/core/Tensor.h>

#include <optional>
#include <tuple>

namespace steadyview {

// image (N, C, H, W) float32, float64 or uint8, on CUDA also float16 or bfloat16. One of points
// (N, 2, height, width), float64 for float64 images and float32 for the others, and
// source_from_output (N, 3, 3) float64 is given, the latter perhaps with displacement (N, 2, K, K)
// float64. Returns (N, C, height, width).
at::Tensor backward_warp(const at::Tensor& image, const std::optional<at::Tensor>& points,
                         const std::optional<at::Tensor>& source_from_output,
                         const std::optional<at::Tensor>& displacement, bool is_flow,
                         int64_t height, int64_t width, int64_t filter, int64_t border,
                         double fill);

// Gradients by the image, by the source points (as points), and by the terms of the matrix and the
// displacement (N, 9 + 2 K K) float64; what is not wanted is empty.
std::tuple<at::Tensor, at::Tensor, at::Tensor> backward_warp_backward(
    const at::Tensor& grad_output, const at::Tensor& image, const std::optional<at::Tensor>& points,
    const std::optional<at::Tensor>& source_from_output,
    const std::optional<at::Tensor>& displacement, bool is_flow, int64_t filter, int64_t border,
    double fill, bool by_image, bool by_motion);

}  // namespace steadyview
