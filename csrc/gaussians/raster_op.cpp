#include <ATen/ops/empty.h>

#include <optional>

#include "common/check.h"
#include "gaussians/dispatch_op.h"
#include "gaussians/gaussians.h"
#include "gaussians/gaussians_op.h"

namespace steadyview {
namespace {

using gaussians::check_argument;
using gaussians::check_size;
using gaussians::contiguous;
using gaussians::data;
using gaussians::dispatch;

// The tiles' lists that a caller may bring, contiguous.
struct Lists {
  at::Tensor offsets, ids, masks;
  int64_t tile_size = 16;

  void check(const char* op, const at::Tensor& like, int64_t width, int64_t height,
             int64_t splats) const {
    if (tile_size < 1 || tile_size > 32) {
      check::fail(op, "tile_size must be in [1, 32], got ", tile_size);
    }
    const int64_t columns = (width + tile_size - 1) / tile_size;
    const int64_t rows = (height + tile_size - 1) / tile_size;
    check::like(op, "isect_offsets", offsets, at::kInt, like.device());
    check::shape(op, "isect_offsets", offsets, {-1, rows, columns});
    check::like(op, "flatten_ids", ids, at::kInt, like.device());
    check::shape(op, "flatten_ids", ids, {-1});
    if (masks.defined()) {
      check::like(op, "masks", masks, at::kBool, like.device());
      check::shape(op, "masks", masks, {offsets.size(0), rows, columns});
    }
    if (!for_cpu_kernels(like)) return;  // the CUDA kernels look for themselves
    const int32_t *starts = offsets.const_data_ptr<int32_t>(), *id = ids.const_data_ptr<int32_t>();
    const int64_t tiles = offsets.numel(), entries = ids.numel();
    bool rising = true, inside = true;
    for (int64_t k = 0; k < tiles; ++k) {
      rising = rising && starts[k] >= 0 && starts[k] <= (k + 1 < tiles ? starts[k + 1] : entries);
    }
    for (int64_t i = 0; i < entries; ++i) inside = inside && id[i] >= 0 && id[i] < splats;
    if (!rising) check::fail(op, "isect_offsets must rise from 0 to at most ", entries);
    if (!inside) check::fail(op, "flatten_ids must be in [0, ", splats, ")");
  }

  template <typename T>
  void fill(gaussians::Raster<T>& raster) const {
    raster.images = offsets.size(0);
    raster.tile_offsets = offsets.const_data_ptr<int32_t>();
    raster.tile_ids = ids.const_data_ptr<int32_t>();
    raster.tile_masks = data<bool>(masks);
    raster.entries = ids.numel();
    raster.tile_size = tile_size;
  }
};

// The inputs of the raster, contiguous: with depths, radii and first, or with lists.
struct Splats {
  at::Tensor means2d, conics, colors, opacities, depths, radii, backgrounds, first;
  Lists lists;
  int64_t width, height;

  bool listed() const { return lists.offsets.defined(); }
  int64_t images() const { return listed() ? lists.offsets.size(0) : first.size(0) - 1; }

  void check(const char* op) const {
    check_size(op, width, height);
    check::floating(op, "means2d", means2d);
    check::shape(op, "means2d", means2d, {-1, 2});
    const int64_t m = means2d.size(0);
    check_argument(op, "conics", conics, means2d, {m, 3});
    check_argument(op, "colors", colors, means2d, {m, -1});
    check_argument(op, "opacities", opacities, means2d, {m});
    if (colors.size(1) < 1) check::fail(op, "colors must have channels, got ", colors.sizes());
    if (m >= int64_t{1} << 31) check::fail(op, "there are 2^31 splats or more, got ", m);
    if (listed()) {
      lists.check(op, means2d, width, height, m);
    } else {
      check_order(op, m);
    }
    if (backgrounds.defined()) {
      check_argument(op, "backgrounds", backgrounds, means2d, {images(), colors.size(1)});
    }
  }

  void check_order(const char* op, int64_t m) const {
    if (!depths.defined() || !radii.defined() || !first.defined()) {
      check::fail(op, "depths, radii and first are needed where there are no tile lists");
    }
    check_argument(op, "depths", depths, means2d, {m});
    check::like(op, "radii", radii, at::kInt, means2d.device());
    check::shape(op, "radii", radii, {m, 2});
    if (first.scalar_type() != at::kLong || !first.device().is_cpu() || first.dim() != 1 ||
        first.size(0) < 1) {
      check::fail(op, "first must be (images + 1) int64 on the cpu, got ", first.scalar_type(), " ",
                  first.sizes(), " on ", first.device());
    }
    const int64_t* offsets = first.const_data_ptr<int64_t>();
    bool rising = offsets[0] == 0 && offsets[images()] == m;
    for (int64_t i = 0; i < images(); ++i) rising = rising && offsets[i] <= offsets[i + 1];
    if (!rising) check::fail(op, "first must rise from 0 to the number of splats, ", m);
  }

  template <typename T>
  gaussians::Raster<T> params() const {
    gaussians::Raster<T> r{};
    r.means2d = data<T>(means2d);
    r.conics = data<T>(conics);
    r.opacities = data<T>(opacities);
    r.colors = data<T>(colors);
    r.backgrounds = data<T>(backgrounds);
    r.count = means2d.size(0);
    r.images = images();
    r.channels = colors.size(1);
    r.width = width;
    r.height = height;
    if (listed()) {
      lists.fill(r);
    } else {
      r.depths = data<T>(depths);
      r.radii = data<int>(radii);
      r.first = data<int64_t>(first);
    }
    return r;
  }
};

Splats make_splats(const at::Tensor& means2d, const at::Tensor& conics, const at::Tensor& colors,
                   const at::Tensor& opacities, const std::optional<at::Tensor>& depths,
                   const std::optional<at::Tensor>& radii,
                   const std::optional<at::Tensor>& backgrounds,
                   const std::optional<at::Tensor>& first, const Lists& lists, int64_t width,
                   int64_t height) {
  return {means2d.contiguous(),
          conics.contiguous(),
          colors.contiguous(),
          opacities.contiguous(),
          contiguous(depths),
          contiguous(radii),
          contiguous(backgrounds),
          contiguous(first),
          lists,
          width,
          height};
}

}  // namespace

std::tuple<at::Tensor, at::Tensor, std::shared_ptr<RasterState>> rasterize_gaussians(
    const at::Tensor& means2d, const at::Tensor& conics, const at::Tensor& colors,
    const at::Tensor& opacities, const std::optional<at::Tensor>& depths,
    const std::optional<at::Tensor>& radii, const std::optional<at::Tensor>& backgrounds,
    const std::optional<at::Tensor>& first, const std::optional<at::Tensor>& tile_offsets,
    const std::optional<at::Tensor>& tile_ids, const std::optional<at::Tensor>& tile_masks,
    int64_t tile_size, int64_t width, int64_t height, bool keep) {
  constexpr const char* op = "rasterize_gaussians";
  const Splats splats = make_splats(
      means2d, conics, colors, opacities, depths, radii, backgrounds, first,
      {contiguous(tile_offsets), contiguous(tile_ids), contiguous(tile_masks), tile_size}, width,
      height);
  splats.check(op);
  at::Tensor image =
      on_huge_pages(at::empty({splats.images(), height, width, colors.size(1)}, means2d.options()));
  at::Tensor alphas =
      on_huge_pages(at::empty({splats.images(), height, width, 1}, means2d.options()));
  const auto make = [&]<typename T>() {
    gaussians::Raster<T> raster = splats.params<T>();
    raster.image = image.mutable_data_ptr<T>();
    raster.alphas = alphas.mutable_data_ptr<T>();
    return raster;
  };
  std::shared_ptr<void> made;
  dispatch(
      op, means2d, make,
      [&](const auto& params) { gaussians::rasterize_cpu(params, keep ? &made : nullptr); },
      STEADYVIEW_GAUSSIANS_CUDA(gaussians::rasterize_cuda));
  if (!made) return {image, alphas, nullptr};
  return {image, alphas,
          std::make_shared<RasterState>(RasterState{.made = made,
                                                    .type = means2d.scalar_type(),
                                                    .count = means2d.size(0),
                                                    .width = width,
                                                    .height = height})};
}

std::tuple<at::Tensor, at::Tensor, at::Tensor, at::Tensor, at::Tensor> rasterize_gaussians_backward(
    const at::Tensor& grad_image, const std::optional<at::Tensor>& grad_alphas,
    const at::Tensor& image, const at::Tensor& alphas, const at::Tensor& means2d,
    const at::Tensor& conics, const at::Tensor& colors, const at::Tensor& opacities,
    const std::optional<at::Tensor>& depths, const std::optional<at::Tensor>& radii,
    const std::optional<at::Tensor>& backgrounds, const std::optional<at::Tensor>& first,
    const std::optional<at::Tensor>& tile_offsets, const std::optional<at::Tensor>& tile_ids,
    const std::optional<at::Tensor>& tile_masks, int64_t tile_size, bool with_abs,
    const std::shared_ptr<RasterState>& state) {
  constexpr const char* op = "rasterize_gaussians_backward";
  check::shape(op, "image", image, {-1, -1, -1, -1});
  const int64_t height = image.size(1), width = image.size(2);
  const Splats splats = make_splats(
      means2d, conics, colors, opacities, depths, radii, backgrounds, first,
      {contiguous(tile_offsets), contiguous(tile_ids), contiguous(tile_masks), tile_size}, width,
      height);
  splats.check(op);
  const int64_t images = splats.images(), channels = colors.size(1);
  check_argument(op, "image", image, means2d, {images, height, width, channels});
  check_argument(op, "grad_image", grad_image, means2d, {images, height, width, channels});
  check_argument(op, "alphas", alphas, means2d, {images, height, width, 1});
  const at::Tensor by_image = grad_image.contiguous();
  const at::Tensor by_alphas = gaussians::contiguous(grad_alphas);
  if (by_alphas.defined()) {
    check_argument(op, "grad_alphas", by_alphas, means2d, {images, height, width, 1});
  }
  const at::Tensor drawn = image.contiguous(), opaque = alphas.contiguous();
  const auto options = means2d.options();
  const int64_t m = means2d.size(0);
  at::Tensor grad_means2d = at::empty({m, 2}, options), grad_conics = at::empty({m, 3}, options);
  at::Tensor grad_colors = at::empty({m, channels}, options),
             grad_opacities = at::empty({m}, options);
  at::Tensor abs_means2d = at::empty({with_abs ? m : 0, 2}, options);
  const auto make = [&]<typename T>() {
    gaussians::RasterGradient<T> g{};
    g.forward = splats.params<T>();
    g.forward.image = const_cast<T*>(drawn.const_data_ptr<T>());  // only read
    g.forward.alphas = const_cast<T*>(opaque.const_data_ptr<T>());
    g.grad_image = by_image.const_data_ptr<T>();
    g.grad_alphas = data<T>(by_alphas);
    g.grad_means2d = grad_means2d.mutable_data_ptr<T>();
    g.abs_means2d = with_abs ? abs_means2d.mutable_data_ptr<T>() : nullptr;
    g.grad_conics = grad_conics.mutable_data_ptr<T>();
    g.grad_opacities = grad_opacities.mutable_data_ptr<T>();
    g.grad_colors = grad_colors.mutable_data_ptr<T>();
    return g;
  };
  const bool fits = state && state->type == means2d.scalar_type() && state->count == m &&
                    state->width == width && state->height == height && images == 1;
  const void* made = fits ? state->made.get() : nullptr;
  dispatch(
      op, means2d, make,
      [&](const auto& params) { gaussians::rasterize_gradient_cpu(params, made); },
      STEADYVIEW_GAUSSIANS_CUDA(gaussians::rasterize_gradient_cuda));
  return {grad_means2d, grad_conics, grad_colors, grad_opacities, abs_means2d};
}

at::Tensor find_contributors(const at::Tensor& means2d, const at::Tensor& conics,
                             const at::Tensor& opacities, const at::Tensor& transmittances,
                             const at::Tensor& tile_offsets, const at::Tensor& tile_ids,
                             int64_t tile_size, int64_t begin, int64_t end) {
  constexpr const char* op = "rasterize_to_indices_in_range";
  check::floating(op, "transmittances", transmittances);
  check::shape(op, "transmittances", transmittances, {-1, -1, -1});
  const int64_t height = transmittances.size(1), width = transmittances.size(2);
  check_size(op, width, height);
  check_argument(op, "means2d", means2d, transmittances, {-1, 2});
  const int64_t m = means2d.size(0);
  check_argument(op, "conics", conics, transmittances, {m, 3});
  check_argument(op, "opacities", opacities, transmittances, {m});
  const at::Tensor mean = means2d.contiguous(), conic = conics.contiguous();
  const at::Tensor opaque = opacities.contiguous(), left = transmittances.contiguous();
  Lists lists{tile_offsets.contiguous(), tile_ids.contiguous(), {}, tile_size};
  lists.check(op, mean, width, height, m);
  lists.offsets = lists.offsets.clamp(0, tile_ids.numel());  // not looked at on a GPU
  check::shape(op, "transmittances", left, {tile_offsets.size(0), height, width});
  at::Tensor counts = at::empty(left.sizes(), left.options().dtype(at::kLong));
  at::Tensor ends, found;
  const auto make = [&]<typename T>() {
    gaussians::Contributors<T> c{};
    c.raster.means2d = data<T>(mean);
    c.raster.conics = data<T>(conic);
    c.raster.opacities = data<T>(opaque);
    c.raster.count = m;
    c.raster.width = width;
    c.raster.height = height;
    lists.fill(c.raster);
    c.transmittances = data<T>(left);
    c.begin = begin;
    c.end = end;
    c.counts = counts.mutable_data_ptr<int64_t>();
    c.ends = data<int64_t>(ends);
    c.ids = found.defined() ? found.mutable_data_ptr<int64_t>() : nullptr;
    return c;
  };
  const auto run = [&] {
    dispatch(
        op, left, make, [](const auto& params) { gaussians::contributors_cpu(params); },
        STEADYVIEW_GAUSSIANS_CUDA(gaussians::contributors_cuda));
  };
  run();
  ends = counts.flatten().cumsum(0);
  const int64_t total = ends.numel() > 0 ? ends[-1].item<int64_t>() : 0;
  if (total == 0) return at::empty({0, 3}, counts.options());
  found = at::empty({total, 3}, counts.options());
  run();
  return found;
}

}  // namespace steadyview
