#pragma once

#include <ATen/core/Tensor.h>

namespace steadyview {

// guide and source (N, H, W) float32 or float64, alike.
at::Tensor guided_filter(const at::Tensor& guide, const at::Tensor& source, int64_t radius,
                         double epsilon);

// disparity (T, H, W) float32 or float64, frames (T, C, H, W) uint8 or of its dtype, the flows
// (T - 1, 2, H, W) of its dtype.
at::Tensor smooth_depth(const at::Tensor& disparity, const at::Tensor& frames,
                        const at::Tensor& forward_flow, const at::Tensor& backward_flow,
                        double colour_tolerance, double disparity_tolerance, int64_t radius,
                        double epsilon);

}  // namespace steadyview
