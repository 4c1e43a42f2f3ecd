#include "warp/warp_op.h"

#include <ATen/Parallel.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/zeros_like.h>
#include <c10/core/DeviceGuard.h>
#include <c10/core/impl/VirtualGuardImpl.h>

#include "common/check.h"
#include "common/parallel.h"
#include "warp/warp.h"

namespace steadyview {
namespace {

constexpr const char* kOp = "backward_warp";

void check_arguments(const at::Tensor& image, const at::Tensor& matrix,
                     const std::optional<at::Tensor>& displacement, int64_t filter) {
  check::floating(kOp, "image", image);
  check::shape(kOp, "image", image, {-1, -1, -1, -1});
  if (image.size(2) == 0 || image.size(3) == 0) {
    check::fail(kOp, "image must have pixels, got ", image.sizes());
  }
  check::like(kOp, "source_from_output", matrix, at::kDouble, image.device());
  check::shape(kOp, "source_from_output", matrix, {image.size(0), 3, 3});
  if (displacement) {
    check::like(kOp, "displacement", *displacement, at::kDouble, image.device());
    check::shape(kOp, "displacement", *displacement,
                 {image.size(0), 2, -1, displacement->size(-1)});
  }
  if (filter < 0 || filter > 2) check::fail(kOp, "filter must be 0, 1 or 2, got ", filter);
}

// The tensors must be contiguous and outlive the result.
template <typename T>
BackwardWarp<T> make_params(const at::Tensor& image, const at::Tensor& matrix,
                            const at::Tensor& displacement, int64_t height, int64_t width,
                            int64_t filter, bool zeros) {
  return {.image = image.const_data_ptr<T>(),
          .source_from_output = matrix.const_data_ptr<double>(),
          .displacement = displacement.defined() ? displacement.const_data_ptr<double>() : nullptr,
          .output = nullptr,
          .batch = image.size(0),
          .channels = image.size(1),
          .height = image.size(2),
          .width = image.size(3),
          .output_height = height,
          .output_width = width,
          .terms = displacement.defined() ? static_cast<int>(displacement.size(-1)) : 0,
          .filter = static_cast<Filter>(filter),
          .zeros = zeros};
}

// Runs a kernel on the device of `tensor`: cpu(), or cuda(stream), which may return an error.
template <typename Cpu, typename Cuda>
void dispatch(const at::Tensor& tensor, Cpu cpu, Cuda cuda) {
  if (tensor.device().is_cpu()) {
    set_num_threads(at::get_num_threads());
    cpu();
    return;
  }
  if (!tensor.device().is_cuda())
    check::fail(kOp, "image must be on cpu or cuda, got ", tensor.device());
  const c10::DeviceGuard guard(tensor.device());
  const c10::impl::VirtualGuardImpl device(tensor.device().type());
  const char* error = cuda(device.getStreamNativeHandle(device.getStream(tensor.device())));
  if (error) throw std::runtime_error(std::string(kOp) + ": CUDA: " + error);
}

#ifndef STEADYVIEW_HAS_CUDA
constexpr const char* kNoCuda =
    "built without the CUDA kernels; put nvcc on PATH and run `make install` with "
    "STEADYVIEW_CUDA=ON";
#endif

template <typename T>
void run(const BackwardWarp<T>& params, const at::Tensor& image) {
  dispatch(
      image, [&] { backward_warp_cpu(params); },
      [&]([[maybe_unused]] void* stream) {
#ifdef STEADYVIEW_HAS_CUDA
        return backward_warp_cuda(params, stream);
#else
        return kNoCuda;
#endif
      });
}

template <typename T>
void run(const BackwardWarpGradient<T>& params, const at::Tensor& image) {
  dispatch(
      image, [&] { backward_warp_gradient_cpu(params); },
      [&]([[maybe_unused]] void* stream) {
#ifdef STEADYVIEW_HAS_CUDA
        return backward_warp_gradient_cuda(params, stream);
#else
        return kNoCuda;
#endif
      });
}

}  // namespace

at::Tensor backward_warp(const at::Tensor& image, const at::Tensor& source_from_output,
                         const std::optional<at::Tensor>& displacement, int64_t height,
                         int64_t width, int64_t filter, bool zeros) {
  check_arguments(image, source_from_output, displacement, filter);
  if (height < 0 || width < 0)
    check::fail(kOp, "size must not be negative, got ", height, ", ", width);
  const at::Tensor source = image.contiguous(), matrix = source_from_output.contiguous();
  const at::Tensor moved = displacement ? displacement->contiguous() : at::Tensor();
  at::Tensor output = at::empty({image.size(0), image.size(1), height, width}, image.options());
  const auto compute = [&]<typename T>() {
    BackwardWarp<T> params = make_params<T>(source, matrix, moved, height, width, filter, zeros);
    params.output = output.mutable_data_ptr<T>();
    run(params, source);
  };
  image.scalar_type() == at::kFloat ? compute.operator()<float>() : compute.operator()<double>();
  return output;
}

std::tuple<at::Tensor, at::Tensor> backward_warp_backward(
    const at::Tensor& grad_output, const at::Tensor& image, const at::Tensor& source_from_output,
    const std::optional<at::Tensor>& displacement, int64_t filter, bool zeros, bool by_image,
    bool by_points) {
  check_arguments(image, source_from_output, displacement, filter);
  check::like(kOp, "grad_output", grad_output, image.scalar_type(), image.device());
  check::shape(kOp, "grad_output", grad_output, {image.size(0), image.size(1), -1, -1});
  const at::Tensor source = image.contiguous(), matrix = source_from_output.contiguous();
  const at::Tensor moved = displacement ? displacement->contiguous() : at::Tensor();
  const at::Tensor grad = grad_output.contiguous();
  const int64_t height = grad.size(2), width = grad.size(3);
  at::Tensor grad_image = by_image ? at::zeros_like(source) : at::empty({0}, image.options());
  at::Tensor grad_points = by_points
                               ? at::empty({image.size(0), height, width, 2}, matrix.options())
                               : at::empty({0}, matrix.options());
  const auto compute = [&]<typename T>() {
    BackwardWarpGradient<T> params{
        .forward = make_params<T>(source, matrix, moved, height, width, filter, zeros),
        .grad_output = grad.const_data_ptr<T>(),
        .grad_image = by_image ? grad_image.mutable_data_ptr<T>() : nullptr,
        .grad_points = by_points ? grad_points.mutable_data_ptr<double>() : nullptr};
    run(params, source);
  };
  image.scalar_type() == at::kFloat ? compute.operator()<float>() : compute.operator()<double>();
  return {grad_image, grad_points};
}

}  // namespace steadyview
