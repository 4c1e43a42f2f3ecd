#include <ATen/ops/empty.h>
#include <ATen/ops/zeros.h>
#include <ATen/ops/zeros_like.h>

#include "multiplane/multiplane.h"
#include "multiplane/multiplane_dispatch_op.h"
#include "multiplane/multiplane_op.h"

namespace steadyview {
namespace {

constexpr const char* kOp = "multiplane_render";

void check_render(const at::Tensor& planes, const at::Tensor& matrix) {
  check::floating(kOp, "planes", planes);
  check::shape(kOp, "planes", planes, {-1, -1, -1, -1, -1});
  if (planes.size(2) < 1) check::fail(kOp, "planes must have alpha as last channel, got none");
  check::like(kOp, "source_from_output", matrix, at::kDouble, planes.device());
  check::shape(kOp, "source_from_output", matrix, {planes.size(0), -1, planes.size(1), 3, 3});
}

// The tensors must be contiguous and outlive the result.
template <typename T>
MultiplaneRender<T> make_params(const at::Tensor& planes, const at::Tensor& matrix, int64_t height,
                                int64_t width) {
  return {.planes = planes.const_data_ptr<T>(),
          .source_from_output = matrix.const_data_ptr<double>(),
          .output = nullptr,
          .batch = planes.size(0),
          .views = matrix.size(1),
          .depths = planes.size(1),
          .channels = planes.size(2),
          .height = planes.size(3),
          .width = planes.size(4),
          .output_height = height,
          .output_width = width};
}

}  // namespace

at::Tensor multiplane_render(const at::Tensor& planes, const at::Tensor& source_from_output,
                             int64_t height, int64_t width) {
  check_render(planes, source_from_output);
  multiplane::check_pixels(kOp, "output_size", height, width);
  const at::Tensor source = planes.contiguous(), matrix = source_from_output.contiguous();
  at::Tensor output = on_huge_pages(
      at::empty({planes.size(0), matrix.size(1), planes.size(2), height, width}, planes.options()));
  multiplane::for_type(planes, [&]<typename T>() {
    MultiplaneRender<T> params = make_params<T>(source, matrix, height, width);
    params.output = output.mutable_data_ptr<T>();
    on_device(
        kOp, "tensors", planes, [&] { multiplane_render_cpu(params); },
        [&]([[maybe_unused]] void* stream) {
          return STEADYVIEW_CUDA_CALL(multiplane_render_cuda(params, stream));
        });
  });
  return output;
}

std::tuple<at::Tensor, at::Tensor> multiplane_render_backward(const at::Tensor& grad_output,
                                                              const at::Tensor& planes,
                                                              const at::Tensor& source_from_output,
                                                              bool by_matrix) {
  check_render(planes, source_from_output);
  check::like(kOp, "grad_output", grad_output, planes.scalar_type(), planes.device());
  check::shape(kOp, "grad_output", grad_output,
               {planes.size(0), source_from_output.size(1), planes.size(2), -1, -1});
  const at::Tensor source = planes.contiguous(), matrix = source_from_output.contiguous();
  const at::Tensor grad = grad_output.contiguous();
  const int64_t height = grad.size(3), width = grad.size(4);
  at::Tensor samples = at::empty({planes.size(1), planes.size(2), height, width}, planes.options());
  at::Tensor grad_planes = at::zeros_like(source);
  at::Tensor grad_matrix = by_matrix ? at::zeros_like(matrix) : at::empty({0}, matrix.options());
  multiplane::for_type(planes, [&]<typename T>() {
    const MultiplaneRenderGradient<T> params{
        .forward = make_params<T>(source, matrix, height, width),
        .grad_output = grad.const_data_ptr<T>(),
        .samples = samples.mutable_data_ptr<T>(),
        .grad_planes = grad_planes.mutable_data_ptr<T>(),
        .grad_matrix = by_matrix ? grad_matrix.mutable_data_ptr<double>() : nullptr};
    on_device(
        kOp, "tensors", planes, [&] { multiplane_render_gradient_cpu(params); },
        [&]([[maybe_unused]] void* stream) {
          return STEADYVIEW_CUDA_CALL(multiplane_render_gradient_cuda(params, stream));
        });
  });
  return {grad_planes, grad_matrix};
}

}  // namespace steadyview
