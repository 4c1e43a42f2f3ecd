#include <ATen/ops/empty.h>

#include "common/check.h"
#include "gaussians/dispatch_op.h"
#include "gaussians/gaussians.h"
#include "gaussians/gaussians_op.h"

namespace steadyview {
namespace {

using gaussians::dispatch;

void check_argument(const char* op, const char* name, const at::Tensor& tensor,
                    const at::Tensor& like, std::initializer_list<int64_t> sizes) {
  check::like(op, name, tensor, like.scalar_type(), like.device());
  check::shape(op, name, tensor, sizes);
}

// The inputs of the raster, contiguous.
struct Splats {
  at::Tensor means2d, conics, colors, opacities, depths, radii, backgrounds, first;
  int64_t width, height;

  void check(const char* op) const {
    constexpr int64_t most = 1 << 20;
    if (width < 1 || height < 1 || width > most || height > most) {
      check::fail(op, "width and height must be in [1, ", most, "], got ", width, " and ", height);
    }
    check::floating(op, "means2d", means2d);
    check::shape(op, "means2d", means2d, {-1, 2});
    const int64_t m = means2d.size(0);
    check_argument(op, "conics", conics, means2d, {m, 3});
    check_argument(op, "colors", colors, means2d, {m, -1});
    check_argument(op, "opacities", opacities, means2d, {m});
    check_argument(op, "depths", depths, means2d, {m});
    check::like(op, "radii", radii, at::kInt, means2d.device());
    check::shape(op, "radii", radii, {m, 2});
    if (first.scalar_type() != at::kLong || !first.device().is_cpu() || first.dim() != 1 ||
        first.size(0) < 1) {
      check::fail(op, "first must be (images + 1) int64 on the cpu, got ", first.scalar_type(), " ",
                  first.sizes(), " on ", first.device());
    }
    if (backgrounds.defined()) {
      check_argument(op, "backgrounds", backgrounds, means2d, {images(), colors.size(1)});
    }
    if (colors.size(1) < 1) check::fail(op, "colors must have channels, got ", colors.sizes());
    const int64_t* offsets = first.const_data_ptr<int64_t>();
    bool rising = offsets[0] == 0 && offsets[images()] == m && m < (int64_t{1} << 32);
    for (int64_t i = 0; i < images(); ++i) rising = rising && offsets[i] <= offsets[i + 1];
    if (!rising) check::fail(op, "first must rise from 0 to the number of splats, ", m);
  }

  int64_t images() const { return first.size(0) - 1; }

  template <typename T>
  gaussians::Raster<T> params() const {
    return {.means2d = means2d.const_data_ptr<T>(),
            .conics = conics.const_data_ptr<T>(),
            .opacities = opacities.const_data_ptr<T>(),
            .depths = depths.const_data_ptr<T>(),
            .radii = radii.const_data_ptr<int>(),
            .colors = colors.const_data_ptr<T>(),
            .backgrounds = backgrounds.defined() ? backgrounds.const_data_ptr<T>() : nullptr,
            .first = first.const_data_ptr<int64_t>(),
            .images = images(),
            .channels = colors.size(1),
            .width = width,
            .height = height,
            .image = nullptr,
            .alphas = nullptr};
  }
};

Splats make_splats(const at::Tensor& means2d, const at::Tensor& conics, const at::Tensor& colors,
                   const at::Tensor& opacities, const at::Tensor& depths, const at::Tensor& radii,
                   const std::optional<at::Tensor>& backgrounds, const at::Tensor& first,
                   int64_t width, int64_t height) {
  return {means2d.contiguous(),
          conics.contiguous(),
          colors.contiguous(),
          opacities.contiguous(),
          depths.contiguous(),
          radii.contiguous(),
          backgrounds ? backgrounds->contiguous() : at::Tensor(),
          first.contiguous(),
          width,
          height};
}

}  // namespace

std::tuple<at::Tensor, at::Tensor> rasterize_gaussians(
    const at::Tensor& means2d, const at::Tensor& conics, const at::Tensor& colors,
    const at::Tensor& opacities, const at::Tensor& depths, const at::Tensor& radii,
    const std::optional<at::Tensor>& backgrounds, const at::Tensor& first, int64_t width,
    int64_t height) {
  constexpr const char* op = "rasterize_gaussians";
  const Splats splats = make_splats(means2d, conics, colors, opacities, depths, radii, backgrounds,
                                    first, width, height);
  splats.check(op);
  at::Tensor image = at::empty({splats.images(), height, width, colors.size(1)}, means2d.options());
  at::Tensor alphas = at::empty({splats.images(), height, width, 1}, means2d.options());
  dispatch(op, means2d, [&]<typename T>() {
    gaussians::Raster<T> raster = splats.params<T>();
    raster.image = image.mutable_data_ptr<T>();
    raster.alphas = alphas.mutable_data_ptr<T>();
    gaussians::rasterize_cpu(raster);
  });
  return {image, alphas};
}

std::tuple<at::Tensor, at::Tensor, at::Tensor, at::Tensor, at::Tensor> rasterize_gaussians_backward(
    const at::Tensor& grad_image, const at::Tensor& grad_alphas, const at::Tensor& image,
    const at::Tensor& alphas, const at::Tensor& means2d, const at::Tensor& conics,
    const at::Tensor& colors, const at::Tensor& opacities, const at::Tensor& depths,
    const at::Tensor& radii, const std::optional<at::Tensor>& backgrounds, const at::Tensor& first,
    bool with_abs) {
  constexpr const char* op = "rasterize_gaussians_backward";
  check::shape(op, "image", image, {-1, -1, -1, -1});
  const int64_t height = image.size(1), width = image.size(2);
  const Splats splats = make_splats(means2d, conics, colors, opacities, depths, radii, backgrounds,
                                    first, width, height);
  splats.check(op);
  const int64_t images = splats.images(), channels = colors.size(1);
  check_argument(op, "image", image, means2d, {images, height, width, channels});
  check_argument(op, "grad_image", grad_image, means2d, {images, height, width, channels});
  check_argument(op, "alphas", alphas, means2d, {images, height, width, 1});
  check_argument(op, "grad_alphas", grad_alphas, means2d, {images, height, width, 1});
  const at::Tensor by_image = grad_image.contiguous(), by_alphas = grad_alphas.contiguous();
  const at::Tensor drawn = image.contiguous(), opaque = alphas.contiguous();
  const auto options = means2d.options();
  const int64_t m = means2d.size(0);
  at::Tensor grad_means2d = at::empty({m, 2}, options), grad_conics = at::empty({m, 3}, options);
  at::Tensor grad_colors = at::empty({m, channels}, options),
             grad_opacities = at::empty({m}, options);
  at::Tensor abs_means2d = at::empty({with_abs ? m : 0, 2}, options);
  dispatch(op, means2d, [&]<typename T>() {
    gaussians::RasterGradient<T> g{};
    g.forward = splats.params<T>();
    g.forward.image = const_cast<T*>(drawn.const_data_ptr<T>());  // only read
    g.forward.alphas = const_cast<T*>(opaque.const_data_ptr<T>());
    g.grad_image = by_image.const_data_ptr<T>();
    g.grad_alphas = by_alphas.const_data_ptr<T>();
    g.grad_means2d = grad_means2d.mutable_data_ptr<T>();
    g.abs_means2d = with_abs ? abs_means2d.mutable_data_ptr<T>() : nullptr;
    g.grad_conics = grad_conics.mutable_data_ptr<T>();
    g.grad_opacities = grad_opacities.mutable_data_ptr<T>();
    g.grad_colors = grad_colors.mutable_data_ptr<T>();
    gaussians::rasterize_gradient_cpu(g);
  });
  return {grad_means2d, grad_conics, grad_colors, grad_opacities, abs_means2d};
}

}  // namespace steadyview
