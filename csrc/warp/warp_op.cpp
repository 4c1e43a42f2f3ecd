#include "warp/warp_op.h"

#include <ATen/ops/empty.h>
#include <ATen/ops/zeros.h>

#include "common/check.h"
#include "common/device_op.h"
#include "warp/warp.h"

namespace steadyview {
namespace {

constexpr const char* kOp = "backward_warp";
constexpr int64_t kMostTerms = 64;  // an axis

using OptionalTensor = std::optional<at::Tensor>;

at::ScalarType computed_in(const at::Tensor& image) {
  return image.scalar_type() == at::kDouble ? at::kDouble : at::kFloat;
}

void check_image(const at::Tensor& image) {
  check::shape(kOp, "image", image, {-1, -1, -1, -1});
  const at::ScalarType type = image.scalar_type();
  const bool half = type == at::kHalf || type == at::kBFloat16;
  if (!half && type != at::kFloat && type != at::kDouble && type != at::kByte) {
    check::fail(kOp, "image must be float32, float64, uint8, float16 or bfloat16, got ", type);
  }
  if (half && for_cpu_kernels(image)) {
    check::fail(kOp, "image must be float32, float64 or uint8 on the CPU, got ", type);
  }
  if (image.size(2) == 0 || image.size(3) == 0) {
    check::fail(kOp, "image must have pixels, got ", image.sizes());
  }
  if (image.size(2) > kLargestSide || image.size(3) > kLargestSide) {
    check::fail(kOp, "image must have sides up to 2^28, got ", image.sizes());
  }
}

void check_motion(const at::Tensor& image, const OptionalTensor& points,
                  const OptionalTensor& matrix, const OptionalTensor& displacement, int64_t height,
                  int64_t width) {
  const int64_t batch = image.size(0);
  if (points.has_value() == matrix.has_value()) {
    check::fail(kOp, "one of points and source_from_output must be given");
  }
  if (height < 0 || width < 0 || height > kLargestSide || width > kLargestSide) {
    check::fail(kOp, "output sides must be 0 to 2^28, got ", height, ", ", width);
  }
  if (points) {
    check::like(kOp, "points", *points, computed_in(image), image.device());
    check::shape(kOp, "points", *points, {batch, 2, height, width});
    if (displacement) check::fail(kOp, "displacement goes with source_from_output only");
    return;
  }
  check::like(kOp, "source_from_output", *matrix, at::kDouble, image.device());
  check::shape(kOp, "source_from_output", *matrix, {batch, 3, 3});
  if (!displacement) return;
  check::like(kOp, "displacement", *displacement, at::kDouble, image.device());
  check::shape(kOp, "displacement", *displacement, {batch, 2, -1, -1});
  const int64_t terms = displacement->size(3);
  if (displacement->size(2) != terms || terms > kMostTerms) {
    check::fail(kOp, "displacement must be (", batch, ", 2, K, K), K up to 64, got ",
                displacement->sizes());
  }
}

void check_options(int64_t filter, int64_t border) {
  if (filter < 0 || filter > 3) check::fail(kOp, "filter must be 0 to 3, got ", filter);
  if (border < 0 || border > 2) check::fail(kOp, "border must be 0 to 2, got ", border);
}

// Contiguous tensors, which must outlive the params.
struct Inputs {
  at::Tensor image, points, matrix, displacement;

  Inputs(const at::Tensor& image_, const OptionalTensor& points_, const OptionalTensor& matrix_,
         const OptionalTensor& displacement_)
      : image(image_.contiguous()),
        points(points_ ? points_->contiguous() : at::Tensor()),
        matrix(matrix_ ? matrix_->contiguous() : at::Tensor()),
        displacement(displacement_ ? displacement_->contiguous() : at::Tensor()) {}

  template <typename T, typename S>
  BackwardWarp<T, S> params(bool is_flow, int64_t height, int64_t width, int64_t filter,
                            int64_t border, double fill) const {
    const auto data = [](const at::Tensor& x) {
      return x.defined() ? x.const_data_ptr<double>() : nullptr;
    };
    const T* field = points.defined() ? points.const_data_ptr<T>() : nullptr;
    return {
        .image = static_cast<const S*>(image.const_data_ptr()),
        .output = nullptr,
        .motion = {.flow = is_flow ? field : nullptr,
                   .points = is_flow ? nullptr : field,
                   .source_from_output = data(matrix),
                   .displacement = data(displacement),
                   .terms = displacement.defined() ? static_cast<int>(displacement.size(-1)) : 0},
        .batch = image.size(0),
        .channels = image.size(1),
        .height = image.size(2),
        .width = image.size(3),
        .output_height = height,
        .output_width = width,
        .filter = static_cast<Filter>(filter),
        .border = static_cast<Border>(border),
        .fill = static_cast<T>(fill)};
  }
};

template <typename S>
constexpr bool kOnCpu = !std::is_same_v<S, Half16> && !std::is_same_v<S, Brain16>;

template <typename T, typename S>
void run(const BackwardWarp<T, S>& params, const at::Tensor& image) {
  on_device(
      kOp, "image", image,
      [&] {
        if constexpr (kOnCpu<S>) backward_warp_cpu(params);
      },
      [&]([[maybe_unused]] void* stream) {
        return STEADYVIEW_CUDA_CALL(backward_warp_cuda(params, stream));
      });
}

template <typename T, typename S>
void run(const BackwardWarpGradient<T, S>& params, const at::Tensor& image) {
  on_device(
      kOp, "image", image,
      [&] {
        if constexpr (kOnCpu<S>) backward_warp_gradient_cpu(params);
      },
      [&]([[maybe_unused]] void* stream) {
        return STEADYVIEW_CUDA_CALL(backward_warp_gradient_cuda(params, stream));
      });
}

// compute<T, S>() for the image's dtype.
template <typename Compute>
void by_type(const at::Tensor& image, Compute compute) {
  switch (image.scalar_type()) {
    case at::kDouble:
      return compute.template operator()<double, double>();
    case at::kFloat:
      return compute.template operator()<float, float>();
    case at::kHalf:
      return compute.template operator()<float, Half16>();
    case at::kBFloat16:
      return compute.template operator()<float, Brain16>();
    default:
      return compute.template operator()<float, uint8_t>();
  }
}

}  // namespace

at::Tensor backward_warp(const at::Tensor& image, const OptionalTensor& points,
                         const OptionalTensor& source_from_output,
                         const OptionalTensor& displacement, bool is_flow, int64_t height,
                         int64_t width, int64_t filter, int64_t border, double fill) {
  check_image(image);
  check_options(filter, border);
  check_motion(image, points, source_from_output, displacement, height, width);
  const Inputs inputs(image, points, source_from_output, displacement);
  at::Tensor output =
      on_huge_pages(at::empty({image.size(0), image.size(1), height, width}, image.options()));
  by_type(image, [&]<typename T, typename S>() {
    auto params = inputs.params<T, S>(is_flow, height, width, filter, border, fill);
    params.output = static_cast<S*>(output.mutable_data_ptr());
    run(params, inputs.image);
  });
  return output;
}

std::tuple<at::Tensor, at::Tensor, at::Tensor> backward_warp_backward(
    const at::Tensor& grad_output, const at::Tensor& image, const OptionalTensor& points,
    const OptionalTensor& source_from_output, const OptionalTensor& displacement, bool is_flow,
    int64_t filter, int64_t border, double fill, bool by_image, bool by_motion) {
  check_image(image);
  check_options(filter, border);
  if (image.scalar_type() == at::kByte) check::fail(kOp, "image of uint8 has no gradients");
  check::like(kOp, "grad_output", grad_output, image.scalar_type(), image.device());
  check::shape(kOp, "grad_output", grad_output, {image.size(0), image.size(1), -1, -1});
  const int64_t height = grad_output.size(2), width = grad_output.size(3);
  check_motion(image, points, source_from_output, displacement, height, width);
  const Inputs inputs(image, points, source_from_output, displacement);
  const at::Tensor grad = grad_output.contiguous();
  const at::TensorOptions wide = image.options().dtype(computed_in(image));
  const int64_t terms = 9 + (displacement ? 2 * displacement->size(3) * displacement->size(3) : 0);
  const bool by_terms = by_motion && source_from_output;
  const bool whole = for_cpu_kernels(image);  // the CPU kernel writes all of it
  at::Tensor grad_image = !by_image ? at::empty({0}, wide)
                          : whole   ? on_huge_pages(at::empty(image.sizes(), wide))
                                    : at::zeros(image.sizes(), wide);
  at::Tensor grad_points = by_motion
                               ? on_huge_pages(at::empty({image.size(0), 2, height, width}, wide))
                               : at::empty({0}, wide);
  at::Tensor grad_terms = by_terms ? at::zeros({image.size(0), terms}, wide.dtype(at::kDouble))
                                   : at::empty({0}, wide.dtype(at::kDouble));
  by_type(image, [&]<typename T, typename S>() {
    if constexpr (!std::is_same_v<S, uint8_t>) {
      const BackwardWarpGradient<T, S> params{
          .forward = inputs.params<T, S>(is_flow, height, width, filter, border, fill),
          .grad_output = static_cast<const S*>(grad.const_data_ptr()),
          .grad_image = by_image ? grad_image.mutable_data_ptr<T>() : nullptr,
          .grad_points = by_motion ? grad_points.mutable_data_ptr<T>() : nullptr,
          .grad_terms = by_terms ? grad_terms.mutable_data_ptr<double>() : nullptr};
      run(params, inputs.image);
    }
  });
  if (by_terms) grad_points = at::empty({0}, wide);
  return {by_image ? grad_image.to(image.scalar_type()) : grad_image, grad_points, grad_terms};
}

}  // namespace steadyview
