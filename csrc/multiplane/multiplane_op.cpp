#include "multiplane/multiplane_op.h"

#include <ATen/ops/empty.h>
#include <ATen/ops/empty_like.h>
#include <ATen/ops/zeros.h>

#include "multiplane/multiplane.h"
#include "multiplane/multiplane_dispatch_op.h"

namespace steadyview {
namespace {

constexpr const char* kProject = "multiplane_project";

using multiplane::check_pixels;
using multiplane::for_type;

void check_project(const at::Tensor& image, const at::Tensor& depth, const at::Tensor& transform,
                   const at::Tensor& same, const std::optional<at::Tensor>& edges, int64_t planes,
                   int64_t split) {
  check::floating(kProject, "image", image);
  check::shape(kProject, "image", image, {-1, -1, -1, -1});
  check_pixels(kProject, "image", image.size(2), image.size(3));
  if (image.size(2) == 0 || image.size(3) == 0) {
    check::fail(kProject, "image must have pixels, got ", image.sizes());
  }
  const int64_t batch = image.size(0);
  check::like(kProject, "depth", depth, at::kFloat, image.device());
  check::shape(kProject, "depth", depth, {batch, image.size(2), image.size(3)});
  check::like(kProject, "transform", transform, at::kDouble, image.device());
  check::shape(kProject, "transform", transform, {batch, -1, 3, 4});
  check::like(kProject, "same", same, at::kBool, image.device());
  check::shape(kProject, "same", same, {batch, transform.size(1)});
  if (planes < 1 || planes > kMaxPlanes) {
    check::fail(kProject, "planes must be 1 to ", kMaxPlanes, ", got ", planes);
  }
  if (split < 0 || split > 3 || (split == 0) != edges.has_value()) {
    check::fail(kProject, "split must be 0 with edges, else 1 to 3, got ", split);
  }
  if (edges) {
    check::like(kProject, "edges", *edges, at::kFloat, image.device());
    check::shape(kProject, "edges", *edges, {batch, transform.size(1), planes - 1});
  }
}

}  // namespace

MultiplaneViews multiplane_project(const at::Tensor& image, const at::Tensor& depth,
                                   const at::Tensor& transform, const at::Tensor& same,
                                   const std::optional<at::Tensor>& edges, int64_t planes,
                                   int64_t split, double keep_above, double fill_above,
                                   int64_t height, int64_t width) {
  check_project(image, depth, transform, same, edges, planes, split);
  check_pixels(kProject, "output_size", height, width);
  const at::Tensor source = image.contiguous(), z = depth.contiguous();
  const at::Tensor matrix = transform.contiguous(), own = same.contiguous();
  const at::Tensor given = edges ? edges->contiguous() : at::Tensor();
  const int64_t batch = image.size(0), views = transform.size(1), channels = image.size(1);
  const auto options = image.options();
  const std::initializer_list<int64_t> map{batch, views, height, width};
  at::Tensor output = on_huge_pages(at::empty({batch, views, channels, height, width}, options));
  at::Tensor output_depth = at::empty(map, options.dtype(at::kFloat));
  at::Tensor landed = at::empty(map, options.dtype(at::kInt)), index = at::empty_like(landed);
  at::Tensor kept = at::empty(map, options.dtype(at::kByte)), owner = at::empty_like(kept);
  // Without pixels there is nothing to cut.
  at::Tensor cuts = at::zeros({batch, views, planes - 1}, options.dtype(at::kFloat));
  at::Tensor invalid = at::empty({batch}, options.dtype(at::kLong));
  for_type(image, [&]<typename T>() {
    const MultiplaneProject<T> params{
        .image = source.const_data_ptr<T>(),
        .depth = z.const_data_ptr<float>(),
        .transform = matrix.const_data_ptr<double>(),
        .same = reinterpret_cast<const uint8_t*>(own.const_data_ptr<bool>()),
        .given = given.defined() ? given.const_data_ptr<float>() : nullptr,
        .output = output.mutable_data_ptr<T>(),
        .output_depth = output_depth.mutable_data_ptr<float>(),
        .landed = landed.mutable_data_ptr<int32_t>(),
        .index = index.mutable_data_ptr<int32_t>(),
        .kept = kept.mutable_data_ptr<uint8_t>(),
        .owner = owner.mutable_data_ptr<uint8_t>(),
        .edges = cuts.mutable_data_ptr<float>(),
        .invalid = invalid.mutable_data_ptr<int64_t>(),
        .batch = batch,
        .views = views,
        .channels = channels,
        .height = image.size(2),
        .width = image.size(3),
        .output_height = height,
        .output_width = width,
        .planes = static_cast<int>(planes),
        .split = static_cast<Split>(split),
        .keep_above = keep_above,
        .fill_above = fill_above};
    on_device(
        kProject, "tensors", image, [&] { multiplane_project_cpu(params); },
        [&]([[maybe_unused]] void* stream) -> const char* {
#ifdef STEADYVIEW_HAS_CUDA
          at::Tensor nearest = at::empty({height, width}, options.dtype(at::kLong));
          at::Tensor counts =
              at::empty({multiplane_counts(params.planes, params.split)}, options.dtype(at::kInt));
          at::Tensor values = at::empty({kMaxPlanes + 2}, options.dtype(at::kFloat));
          const MultiplaneScratch scratch{
              reinterpret_cast<uint64_t*>(nearest.mutable_data_ptr<int64_t>()),
              reinterpret_cast<uint32_t*>(counts.mutable_data_ptr<int32_t>()),
              values.mutable_data_ptr<float>()};
          return multiplane_project_cuda(params, scratch, stream);
#else
          return kNoCuda;
#endif
        });
  });
  return {output, output_depth, landed, index, kept, owner, cuts, invalid};
}

at::Tensor multiplane_project_backward(const at::Tensor& grad_output, const at::Tensor& landed,
                                       const at::Tensor& index, const at::Tensor& kept,
                                       const at::Tensor& owner, int64_t height, int64_t width) {
  check::floating(kProject, "grad_output", grad_output);
  check::shape(kProject, "grad_output", grad_output, {-1, -1, -1, -1, -1});
  const auto sizes = grad_output.sizes();
  const auto map = [&](const char* name, const at::Tensor& tensor, at::ScalarType type) {
    check::like(kProject, name, tensor, type, grad_output.device());
    check::shape(kProject, name, tensor, {sizes[0], sizes[1], sizes[3], sizes[4]});
    return tensor.contiguous();
  };
  const at::Tensor grad = grad_output.contiguous(), from = map("landed", landed, at::kInt);
  const at::Tensor shown = map("index", index, at::kInt), stays = map("kept", kept, at::kByte);
  const at::Tensor owns = map("owner", owner, at::kByte);
  at::Tensor grad_image = at::zeros({sizes[0], sizes[2], height, width}, grad.options());
  for_type(grad, [&]<typename T>() {
    const MultiplaneProjectGradient<T> params{.grad_output = grad.const_data_ptr<T>(),
                                              .landed = from.const_data_ptr<int32_t>(),
                                              .index = shown.const_data_ptr<int32_t>(),
                                              .kept = stays.const_data_ptr<uint8_t>(),
                                              .owner = owns.const_data_ptr<uint8_t>(),
                                              .grad_image = grad_image.mutable_data_ptr<T>(),
                                              .batch = sizes[0],
                                              .views = sizes[1],
                                              .channels = sizes[2],
                                              .height = height,
                                              .width = width,
                                              .output_height = sizes[3],
                                              .output_width = sizes[4]};
    on_device(
        kProject, "tensors", grad, [&] { multiplane_project_gradient_cpu(params); },
        [&]([[maybe_unused]] void* stream) {
          return STEADYVIEW_CUDA_CALL(multiplane_project_gradient_cuda(params, stream));
        });
  });
  return grad_image;
}

}  // namespace steadyview
