#pragma once

#include <ATen/core/Tensor.h>

#include <array>
#include <memory>
#include <optional>
#include <tuple>

namespace steadyview {

// Shapes as in gaussians.h; all tensors of one dtype on one device: float32, or
// float64 on the CPU. Cameras must be finite.
// Returns means2d, depths, conics, compensations (empty unless wanted), radii, invalid.
std::tuple<at::Tensor, at::Tensor, at::Tensor, at::Tensor, at::Tensor, at::Tensor>
project_gaussians(const at::Tensor& means, const at::Tensor& quats, const at::Tensor& scales,
                  const std::optional<at::Tensor>& opacities, const at::Tensor& viewmats,
                  const at::Tensor& Ks, int64_t width, int64_t height, double eps2d,
                  double near_plane, double far_plane, double radius_clip, bool compensate,
                  int64_t camera_model);

// Gradients by means, quats, scales, viewmats and Ks (the last two empty unless wanted).
std::tuple<at::Tensor, at::Tensor, at::Tensor, at::Tensor, at::Tensor> project_gaussians_backward(
    const at::Tensor& grad_means2d, const at::Tensor& grad_depths, const at::Tensor& grad_conics,
    const std::optional<at::Tensor>& grad_compensations, const at::Tensor& means,
    const at::Tensor& quats, const at::Tensor& scales, const at::Tensor& viewmats,
    const at::Tensor& Ks, const at::Tensor& radii, int64_t width, int64_t height, double eps2d,
    int64_t camera_model, bool by_camera);

// directions (M, 3), coefficients (M, K, 3), masks (M) bool: (M, 3).
at::Tensor evaluate_harmonics(const at::Tensor& directions, const at::Tensor& coefficients,
                              const std::optional<at::Tensor>& masks, int64_t degree);

// Gradients by the coefficients and the directions (empty unless wanted).
std::tuple<at::Tensor, at::Tensor> evaluate_harmonics_backward(
    const at::Tensor& grad_colors, const at::Tensor& directions, const at::Tensor& coefficients,
    const std::optional<at::Tensor>& masks, int64_t degree, bool by_directions);

// What rasterize_gaussians made and its backward pass can use again; see gaussians.h.
struct RasterState {
  std::shared_ptr<void> made;
  at::ScalarType type;
  int64_t count, width, height;
};

// first (images + 1) int64: where each image's splats begin. Without depths, radii and first the
// tiles' lists are needed: tile_offsets (images, rows, columns) int32, tile_ids (entries) int32.
// Returns (images, height, width, channels) and (images, height, width, 1), and the state if `keep`
// and there is one, else null.
std::tuple<at::Tensor, at::Tensor, std::shared_ptr<RasterState>> rasterize_gaussians(
    const at::Tensor& means2d, const at::Tensor& conics, const at::Tensor& colors,
    const at::Tensor& opacities, const std::optional<at::Tensor>& depths,
    const std::optional<at::Tensor>& radii, const std::optional<at::Tensor>& backgrounds,
    const std::optional<at::Tensor>& first, const std::optional<at::Tensor>& tile_offsets,
    const std::optional<at::Tensor>& tile_ids, const std::optional<at::Tensor>& tile_masks,
    int64_t tile_size, int64_t width, int64_t height, bool keep);

// Gradients by means2d, conics, colors and opacities, and the absolute sums by means2d (empty
// unless wanted). Without grad_alphas it is 0. state, or null: of the same arguments.
std::tuple<at::Tensor, at::Tensor, at::Tensor, at::Tensor, at::Tensor> rasterize_gaussians_backward(
    const at::Tensor& grad_image, const std::optional<at::Tensor>& grad_alphas,
    const at::Tensor& image, const at::Tensor& alphas, const at::Tensor& means2d,
    const at::Tensor& conics, const at::Tensor& colors, const at::Tensor& opacities,
    const std::optional<at::Tensor>& depths, const std::optional<at::Tensor>& radii,
    const std::optional<at::Tensor>& backgrounds, const std::optional<at::Tensor>& first,
    const std::optional<at::Tensor>& tile_offsets, const std::optional<at::Tensor>& tile_ids,
    const std::optional<at::Tensor>& tile_masks, int64_t tile_size, bool with_abs,
    const std::shared_ptr<RasterState>& state);

// Rows of splat, pixel and image (int64), pixel by pixel, front to back: see Contributors.
at::Tensor find_contributors(const at::Tensor& means2d, const at::Tensor& conics,
                             const at::Tensor& opacities, const at::Tensor& transmittances,
                             const at::Tensor& tile_offsets, const at::Tensor& tile_ids,
                             int64_t tile_size, int64_t begin, int64_t end);

// Adds to sums (rows) the lengths of gradients (images, rows, 2), whose x and y are multiplied by
// the scales first, and to counts (rows) in how many images both radii (images, rows, 2) int32 are
// above 0. All others float32, all contiguous and on the CPU.
void gather_gradients(const at::Tensor& gradients, const at::Tensor& radii, double scale_x,
                      double scale_y, const at::Tensor& sums, const at::Tensor& counts);

// Changes values (rows, ...), mean and square in place, all contiguous float32; the first `head`
// numbers of a row have head_rate, the others tail_rate. seen (rows) bool: see Adam. step from 1.
void adam_step(const at::Tensor& values, const at::Tensor& gradient, const at::Tensor& mean,
               const at::Tensor& square, const std::optional<at::Tensor>& seen, int64_t head,
               double head_rate, double tail_rate, double beta1, double beta2, double epsilon,
               int64_t step);

// Colours (rows, 3) of Gaussians at means (rows, 3) as seen from origin: harmonics, whose
// coefficients are (rows, terms, 3), + 0.5, at least 0. All float32.
at::Tensor shade_gaussians(const at::Tensor& coefficients, const at::Tensor& means,
                           const std::array<double, 3>& origin, int64_t degree);

// A step of Adam for those coefficients, whose gradients are not given but made: from the gradient
// by the colours that shade_gaussians gave. Returns the colours' gradient by the means.
at::Tensor harmonics_adam_step(const at::Tensor& coefficients, const at::Tensor& means,
                               const std::array<double, 3>& origin, const at::Tensor& colors,
                               const at::Tensor& grad_colors, const at::Tensor& mean,
                               const at::Tensor& square, const std::optional<at::Tensor>& seen,
                               int64_t degree, int64_t head, double head_rate, double tail_rate,
                               double beta1, double beta2, double epsilon, int64_t step);

}  // namespace steadyview
