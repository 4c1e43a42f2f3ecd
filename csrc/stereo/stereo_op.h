#pragma once

#include <ATen/core/Tensor.h>

#include <tuple>

namespace steadyview {

// reference (N, C, H, W), sources (N, S, C, H, W) uint8 or floating in [0, 1], C 1 or 3; viewmats
// (N, 1 + S, 4, 4), Ks (N, 1 + S, 3, 3), depths (N, D), all float64 on the CPU. Returns depth and
// confidence float32 and valid bool, (N, H, W).
std::tuple<at::Tensor, at::Tensor, at::Tensor> plane_sweep(
    const at::Tensor& reference, const at::Tensor& sources, const at::Tensor& viewmats,
    const at::Tensor& Ks, const at::Tensor& depths, int64_t cost, int64_t keep, int64_t paths,
    int64_t step_penalty, int64_t jump_penalty, double least_confidence, int64_t memory);

}  // namespace steadyview
