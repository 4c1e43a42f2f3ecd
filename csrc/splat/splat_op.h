#pragma once

#include <ATen/core/Tensor.h>

#include <optional>
#include <tuple>

namespace steadyview {

// image (N, C, H, W) float32 or float64; flow (N, 2, H, W), metric (N, 1, H, W) and offset (N)
// alike, as ForwardSplat says. Returns the splat, its weights (N, 1, H, W) and for nearest_z the
// source pixels (N, 1, H, W) int32, else empty.
std::tuple<at::Tensor, at::Tensor, at::Tensor> forward_splat(
    const at::Tensor& image, const at::Tensor& flow, const std::optional<at::Tensor>& metric,
    const std::optional<at::Tensor>& offset, int64_t mode);

// Gradients by image, flow and metric; that by metric is empty without it.
std::tuple<at::Tensor, at::Tensor, at::Tensor> forward_splat_backward(
    const at::Tensor& grad_output, const std::optional<at::Tensor>& grad_weight,
    const at::Tensor& image, const at::Tensor& flow, const std::optional<at::Tensor>& metric,
    const std::optional<at::Tensor>& offset, const at::Tensor& output, const at::Tensor& weight,
    const at::Tensor& index, int64_t mode);

}  // namespace steadyview
