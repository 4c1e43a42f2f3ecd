#pragma once

#include <ATen/core/Tensor.h>

#include <optional>
#include <tuple>

namespace steadyview {

// The loss of image (height, width, channels) against target of the same size, weighted by scale
// and mask (height, width), and its gradient by the image. All float32 and on the CPU.
std::tuple<double, at::Tensor> photometric_loss(const at::Tensor& image, const at::Tensor& target,
                                                const std::optional<at::Tensor>& mask, double scale,
                                                double ssim_weight);

}  // namespace steadyview
