#include "fill/fill_op.h"

#include <ATen/ops/empty.h>

#include "common/check.h"
#include "common/device_op.h"
#include "fill/fill.h"

namespace steadyview {
namespace {

constexpr const char* kOp = "fill_holes";

using OptionalTensor = std::optional<at::Tensor>;

void check_arguments(const at::Tensor& image, const at::Tensor& holes, const OptionalTensor& depth,
                     int64_t gap) {
  check::floating(kOp, "image", image);
  check::shape(kOp, "image", image, {-1, -1, -1, -1});
  check::like(kOp, "holes", holes, at::kBool, image.device());
  check::shape(kOp, "holes", holes, {image.size(0), image.size(2), image.size(3)});
  if (depth) {
    check::like(kOp, "depth", *depth, image.scalar_type(), image.device());
    check::shape(kOp, "depth", *depth, {image.size(0), image.size(2), image.size(3)});
  }
  if (gap < 0) check::fail(kOp, "gap must be at least 0, got ", gap);
}

// Contiguous tensors and scratch, which must outlive the params.
struct Inputs {
  at::Tensor image, holes, depth, maps, numbers;
  int64_t images, gap;

  Inputs(const at::Tensor& image_, const at::Tensor& holes_, const OptionalTensor& depth_,
         int64_t gap_)
      : image(image_.contiguous()),
        holes(holes_.contiguous()),
        depth(depth_ ? depth_->contiguous() : at::Tensor()),
        images(for_cpu_kernels(image_) ? 1 : image_.size(0)),
        gap(gap_) {
    const int64_t height = image.size(2), width = image.size(3), pixels = height * width;
    maps = at::empty({images * pixels * (gap ? 2 : 1)}, holes.options().dtype(at::kByte));
    const int64_t planes = depth.defined() ? 2 : 1;
    numbers =
        at::empty({images * (pixels * planes + (image.size(1) + 1) * fill_cells(height, width))},
                  image.options());
  }

  template <typename T>
  FillHoles<T> params(T* output) const {
    const int64_t pixels = images * image.size(2) * image.size(3);
    uint8_t* known = maps.mutable_data_ptr<uint8_t>();
    T* weight = numbers.mutable_data_ptr<T>();
    T* clean = depth.defined() ? weight + pixels : nullptr;
    return {.image = image.const_data_ptr<T>(),
            .holes = reinterpret_cast<const uint8_t*>(holes.const_data_ptr<bool>()),
            .depth = depth.defined() ? depth.const_data_ptr<T>() : nullptr,
            .output = output,
            .batch = image.size(0),
            .channels = image.size(1),
            .height = image.size(2),
            .width = image.size(3),
            .gap = gap,
            .scratch = {.known = known,
                        .kept = gap ? known + pixels : known,
                        .weight = weight,
                        .depth = clean,
                        .pyramid = weight + pixels * (clean ? 2 : 1)}};
  }
};

}  // namespace

at::Tensor fill_holes(const at::Tensor& image, const at::Tensor& holes, const OptionalTensor& depth,
                      int64_t gap) {
  check_arguments(image, holes, depth, gap);
  at::Tensor output = at::empty(image.sizes(), image.options());
  if (image.numel() == 0) return output;
  const Inputs inputs(image, holes, depth, gap);
  const auto compute = [&]<typename T>() {
    const FillHoles<T> params = inputs.params<T>(output.mutable_data_ptr<T>());
    on_device(
        kOp, "image", image, [&] { fill_holes_cpu(params); },
        [&]([[maybe_unused]] void* stream) {
          return STEADYVIEW_CUDA_CALL(fill_holes_cuda(params, stream));
        });
  };
  image.scalar_type() == at::kFloat ? compute.operator()<float>() : compute.operator()<double>();
  return output;
}

at::Tensor fill_holes_backward(const at::Tensor& grad_output, const at::Tensor& image,
                               const at::Tensor& holes, const OptionalTensor& depth, int64_t gap) {
  check_arguments(image, holes, depth, gap);
  check::like(kOp, "grad_output", grad_output, image.scalar_type(), image.device());
  check::shape(kOp, "grad_output", grad_output,
               {image.size(0), image.size(1), image.size(2), image.size(3)});
  at::Tensor grad_image = at::empty(image.sizes(), image.options());
  if (image.numel() == 0) return grad_image;
  const Inputs inputs(image, holes, depth, gap);
  const at::Tensor grad = grad_output.contiguous();
  const at::Tensor values =
      at::empty({inputs.images, image.size(1), image.size(2), image.size(3)}, image.options());
  const auto compute = [&]<typename T>() {
    const FillHolesGradient<T> params{.forward = inputs.params<T>(values.mutable_data_ptr<T>()),
                                      .grad_output = grad.const_data_ptr<T>(),
                                      .grad_image = grad_image.mutable_data_ptr<T>()};
    on_device(
        kOp, "image", image, [&] { fill_holes_gradient_cpu(params); },
        [&]([[maybe_unused]] void* stream) {
          return STEADYVIEW_CUDA_CALL(fill_holes_gradient_cuda(params, stream));
        });
  };
  image.scalar_type() == at::kFloat ? compute.operator()<float>() : compute.operator()<double>();
  return grad_image;
}

}  // namespace steadyview
