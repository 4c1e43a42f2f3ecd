#pragma once

#include <ATen/core/Tensor.h>

#include <optional>
#include <tuple>

namespace steadyview {

// image (N, C, H, W) float32 or float64, depth (N, H, W) float32, transform (N, V, 3, 4) float64,
// same (N, V) bool, edges (N, V, planes - 1) float32 or none. Returns the image (N, V, C, height,
// width); and (N, V, height, width): depth, landed, index (int32), kept, owner (uint8); the edges
// (N, V, planes - 1) and the count of holes (N) int64. See multiplane.h.
using MultiplaneViews = std::tuple<at::Tensor, at::Tensor, at::Tensor, at::Tensor, at::Tensor,
                                   at::Tensor, at::Tensor, at::Tensor>;
MultiplaneViews multiplane_project(const at::Tensor& image, const at::Tensor& depth,
                                   const at::Tensor& transform, const at::Tensor& same,
                                   const std::optional<at::Tensor>& edges, int64_t planes,
                                   int64_t split, double keep_above, double fill_above,
                                   int64_t height, int64_t width);

// Gradient by the image (N, C, height, width).
at::Tensor multiplane_project_backward(const at::Tensor& grad_output, const at::Tensor& landed,
                                       const at::Tensor& index, const at::Tensor& kept,
                                       const at::Tensor& owner, int64_t height, int64_t width);

// planes (N, D, C, H, W) float32 or float64, source_from_output (N, V, D, 3, 3) float64. Returns
// (N, V, C, height, width).
at::Tensor multiplane_render(const at::Tensor& planes, const at::Tensor& source_from_output,
                             int64_t height, int64_t width);

// Gradients by the planes and, if wanted, the homographies (else empty).
std::tuple<at::Tensor, at::Tensor> multiplane_render_backward(const at::Tensor& grad_output,
                                                              const at::Tensor& planes,
                                                              const at::Tensor& source_from_output,
                                                              bool by_matrix);

// image (N, C, P), places (N, V, 3, P). Returns the image (N, V, C, height, width), and depth,
// weight and limit (N, V, height, width). See depth_splat.h.
std::tuple<at::Tensor, at::Tensor, at::Tensor, at::Tensor> depth_splat(const at::Tensor& image,
                                                                       const at::Tensor& places,
                                                                       int64_t height,
                                                                       int64_t width,
                                                                       double tolerance);

// Gradients by the image and the places, from those by the outputs and the outputs themselves.
std::tuple<at::Tensor, at::Tensor> depth_splat_backward(
    const at::Tensor& grad_output, const at::Tensor& grad_depth, const at::Tensor& grad_weight,
    const at::Tensor& image, const at::Tensor& places, const at::Tensor& output,
    const at::Tensor& depth, const at::Tensor& weight, const at::Tensor& limit, double tolerance);

}  // namespace steadyview
