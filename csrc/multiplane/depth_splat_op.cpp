#include <ATen/ops/empty.h>
#include <ATen/ops/empty_like.h>
#include <ATen/ops/zeros_like.h>

#include "multiplane/depth_splat.h"
#include "multiplane/multiplane_dispatch_op.h"
#include "multiplane/multiplane_op.h"

namespace steadyview {
namespace {

constexpr const char* kOp = "depth_splat";

void check_splat(const at::Tensor& image, const at::Tensor& places) {
  check::floating(kOp, "image", image);
  check::shape(kOp, "image", image, {-1, -1, -1});
  check::like(kOp, "places", places, image.scalar_type(), image.device());
  check::shape(kOp, "places", places, {image.size(0), -1, 3, image.size(2)});
}

// The tensors must be contiguous and outlive the result.
template <typename T>
DepthSplat<T> make_params(const at::Tensor& image, const at::Tensor& places,
                          const at::Tensor& output, const at::Tensor& depth,
                          const at::Tensor& weight, const at::Tensor& limit, double tolerance) {
  return {.image = image.const_data_ptr<T>(),
          .places = places.const_data_ptr<T>(),
          .output = output.mutable_data_ptr<T>(),
          .depth = depth.mutable_data_ptr<T>(),
          .weight = weight.mutable_data_ptr<T>(),
          .limit = limit.mutable_data_ptr<T>(),
          .batch = image.size(0),
          .views = places.size(1),
          .channels = image.size(1),
          .points = image.size(2),
          .height = depth.size(2),
          .width = depth.size(3),
          .tolerance = tolerance};
}

}  // namespace

std::tuple<at::Tensor, at::Tensor, at::Tensor, at::Tensor> depth_splat(const at::Tensor& image,
                                                                       const at::Tensor& places,
                                                                       int64_t height,
                                                                       int64_t width,
                                                                       double tolerance) {
  check_splat(image, places);
  multiplane::check_pixels(kOp, "output_size", height, width);
  const at::Tensor source = image.contiguous(), to = places.contiguous();
  const int64_t views = places.size(1);
  at::Tensor output = on_huge_pages(
      at::empty({image.size(0), views, image.size(1), height, width}, image.options()));
  at::Tensor depth = at::empty({image.size(0), views, height, width}, image.options());
  at::Tensor weight = at::empty_like(depth), limit = at::empty_like(depth);
  multiplane::for_type(image, [&]<typename T>() {
    const DepthSplat<T> params =
        make_params<T>(source, to, output, depth, weight, limit, tolerance);
    on_device(
        kOp, "tensors", image, [&] { depth_splat_cpu(params); },
        [&]([[maybe_unused]] void* stream) -> const char* {
          at::Tensor nearest = at::empty(depth.sizes(), depth.options().dtype(at::kInt));
          [[maybe_unused]] auto* keys = reinterpret_cast<uint32_t*>(nearest.data_ptr());
          return STEADYVIEW_CUDA_CALL(depth_splat_cuda(params, keys, stream));
        });
  });
  return {output, depth, weight, limit};
}

std::tuple<at::Tensor, at::Tensor> depth_splat_backward(
    const at::Tensor& grad_output, const at::Tensor& grad_depth, const at::Tensor& grad_weight,
    const at::Tensor& image, const at::Tensor& places, const at::Tensor& output,
    const at::Tensor& depth, const at::Tensor& weight, const at::Tensor& limit, double tolerance) {
  check_splat(image, places);
  const int64_t batch = image.size(0), views = places.size(1);
  const auto map = [&](const char* name, const at::Tensor& tensor, bool colours) {
    check::like(kOp, name, tensor, image.scalar_type(), image.device());
    if (colours) {
      check::shape(kOp, name, tensor, {batch, views, image.size(1), depth.size(2), depth.size(3)});
    } else {
      check::shape(kOp, name, tensor, {batch, views, depth.size(-2), depth.size(-1)});
    }
    return tensor.contiguous();
  };
  const at::Tensor source = image.contiguous(), to = places.contiguous();
  const at::Tensor z = map("depth", depth, false), shown = map("output", output, true);
  const at::Tensor sum = map("weight", weight, false), most = map("limit", limit, false);
  const at::Tensor by_output = map("grad_output", grad_output, true);
  const at::Tensor by_depth = map("grad_depth", grad_depth, false);
  const at::Tensor by_weight = map("grad_weight", grad_weight, false);
  at::Tensor grad_image = at::zeros_like(source), grad_places = at::empty_like(to);
  multiplane::for_type(image, [&]<typename T>() {
    const DepthSplatGradient<T> params{
        .forward = make_params<T>(source, to, shown, z, sum, most, tolerance),
        .grad_output = by_output.const_data_ptr<T>(),
        .grad_depth = by_depth.const_data_ptr<T>(),
        .grad_weight = by_weight.const_data_ptr<T>(),
        .grad_image = grad_image.mutable_data_ptr<T>(),
        .grad_places = grad_places.mutable_data_ptr<T>()};
    on_device(
        kOp, "tensors", image, [&] { depth_splat_gradient_cpu(params); },
        [&]([[maybe_unused]] void* stream) {
          return STEADYVIEW_CUDA_CALL(depth_splat_gradient_cuda(params, stream));
        });
  });
  return {grad_image, grad_places};
}

}  // namespace steadyview
