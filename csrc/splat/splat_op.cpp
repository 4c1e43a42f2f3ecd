#include "splat/splat_op.h"

#include <ATen/ops/empty.h>
#include <ATen/ops/full.h>
#include <ATen/ops/zeros.h>

#include "common/check.h"
#include "common/device_op.h"
#include "splat/splat.h"

namespace steadyview {
namespace {

constexpr const char* kOp = "forward_splat";
constexpr int64_t kMostPixels = (int64_t{1} << 31) - 1;  // indices are int32

using OptionalTensor = std::optional<at::Tensor>;

void check_arguments(const at::Tensor& image, const at::Tensor& flow, const OptionalTensor& metric,
                     const OptionalTensor& offset, int64_t mode) {
  check::floating(kOp, "image", image);
  check::shape(kOp, "image", image, {-1, -1, -1, -1});
  const int64_t batch = image.size(0), height = image.size(2), width = image.size(3);
  if (height > 0 && width > kMostPixels / height) {
    check::fail(kOp, "image must have less than 2^31 pixels, got ", image.sizes());
  }
  const at::ScalarType type = image.scalar_type();
  check::like(kOp, "flow", flow, type, image.device());
  check::shape(kOp, "flow", flow, {batch, 2, height, width});
  if (mode < 0 || mode > 4) check::fail(kOp, "mode must be 0 to 4, got ", mode);
  const SplatMode kind = static_cast<SplatMode>(mode);
  const bool weighted = kind != SplatMode::sum && kind != SplatMode::average;
  if (metric.has_value() != weighted) {
    check::fail(kOp, "metric must ", weighted ? "" : "not ", "be given in this mode");
  }
  if (metric) {
    check::like(kOp, "metric", *metric, type, image.device());
    check::shape(kOp, "metric", *metric, {batch, 1, height, width});
  }
  if (offset.has_value() != (kind == SplatMode::softmax)) {
    check::fail(kOp, "offset belongs to softmax");
  }
  if (offset) {
    check::like(kOp, "offset", *offset, type, image.device());
    check::shape(kOp, "offset", *offset, {batch});
  }
}

// Contiguous tensors, which must outlive the params.
struct Inputs {
  at::Tensor image, flow, metric, offset;

  Inputs(const at::Tensor& image_, const at::Tensor& flow_, const OptionalTensor& metric_,
         const OptionalTensor& offset_)
      : image(image_.contiguous()),
        flow(flow_.contiguous()),
        metric(metric_ ? metric_->contiguous() : at::Tensor()),
        offset(offset_ ? offset_->contiguous() : at::Tensor()) {}

  template <typename T>
  ForwardSplat<T> params(const at::Tensor& output, const at::Tensor& weight,
                         const at::Tensor& index, int64_t mode) const {
    const bool nearest = static_cast<SplatMode>(mode) == SplatMode::nearest_z;
    return {.image = image.const_data_ptr<T>(),
            .flow = flow.const_data_ptr<T>(),
            .metric = metric.defined() ? metric.const_data_ptr<T>() : nullptr,
            .offset = offset.defined() ? offset.const_data_ptr<T>() : nullptr,
            .output = output.mutable_data_ptr<T>(),
            .weight = weight.mutable_data_ptr<T>(),
            .index = nearest ? index.mutable_data_ptr<int32_t>() : nullptr,
            .keys = nullptr,
            .batch = image.size(0),
            .channels = image.size(1),
            .height = image.size(2),
            .width = image.size(3),
            .mode = static_cast<SplatMode>(mode)};
  }
};

}  // namespace

std::tuple<at::Tensor, at::Tensor, at::Tensor> forward_splat(const at::Tensor& image,
                                                             const at::Tensor& flow,
                                                             const OptionalTensor& metric,
                                                             const OptionalTensor& offset,
                                                             int64_t mode) {
  check_arguments(image, flow, metric, offset, mode);
  const Inputs inputs(image, flow, metric, offset);
  const int64_t batch = image.size(0), height = image.size(2), width = image.size(3);
  const bool nearest = static_cast<SplatMode>(mode) == SplatMode::nearest_z;
  const bool zero = !for_cpu_kernels(image);
  const auto make = [&](at::IntArrayRef size) {
    const at::Tensor fresh = on_huge_pages(at::empty(size, image.options()));
    return zero ? fresh.zero_() : fresh;
  };
  at::Tensor output = make(image.sizes()), weight = make({batch, 1, height, width});
  at::Tensor index =
      at::empty({nearest ? batch : 0, 1, height, width}, image.options().dtype(at::kInt));
  at::Tensor keys;
  const auto compute = [&]<typename T>() {
    ForwardSplat<T> params = inputs.params<T>(output, weight, index, mode);
    if (nearest && zero) {
      keys = at::full({batch, height, width}, -1, image.options().dtype(at::kLong));
      params.keys = reinterpret_cast<uint64_t*>(keys.mutable_data_ptr<int64_t>());
    }
    on_device(
        kOp, "image", inputs.image, [&] { forward_splat_cpu(params); },
        [&]([[maybe_unused]] void* stream) {
          return STEADYVIEW_CUDA_CALL(forward_splat_cuda(params, stream));
        });
  };
  image.scalar_type() == at::kFloat ? compute.operator()<float>() : compute.operator()<double>();
  return {output, weight, index};
}

std::tuple<at::Tensor, at::Tensor, at::Tensor> forward_splat_backward(
    const at::Tensor& grad_output, const OptionalTensor& grad_weight, const at::Tensor& image,
    const at::Tensor& flow, const OptionalTensor& metric, const OptionalTensor& offset,
    const at::Tensor& output, const at::Tensor& weight, const at::Tensor& index, int64_t mode) {
  check_arguments(image, flow, metric, offset, mode);
  const Inputs inputs(image, flow, metric, offset);
  const int64_t batch = image.size(0), height = image.size(2), width = image.size(3);
  const at::ScalarType type = image.scalar_type();
  const bool nearest = static_cast<SplatMode>(mode) == SplatMode::nearest_z;
  for (const auto& [name, tensor] : {std::pair{"grad_output", grad_output}, {"output", output}}) {
    check::like(kOp, name, tensor, type, image.device());
    check::shape(kOp, name, tensor, {batch, image.size(1), height, width});
  }
  for (const auto& [name, tensor] :
       {std::pair{"weight", weight}, {"grad_weight", grad_weight.value_or(weight)}}) {
    check::like(kOp, name, tensor, type, image.device());
    check::shape(kOp, name, tensor, {batch, 1, height, width});
  }
  check::like(kOp, "index", index, at::kInt, image.device());
  check::shape(kOp, "index", index, {nearest ? batch : 0, 1, height, width});
  const at::Tensor grad = grad_output.contiguous(),
                   by_weight = grad_weight.value_or(weight).contiguous();
  const at::Tensor result = output.contiguous(), weights = weight.contiguous();
  const at::Tensor indices = index.contiguous();
  const auto make = [&](at::IntArrayRef size) {
    const at::Tensor fresh = on_huge_pages(at::empty(size, image.options()));
    return nearest ? fresh.zero_() : fresh;
  };
  at::Tensor grad_image = on_huge_pages(at::empty(image.sizes(), image.options()));
  at::Tensor grad_flow = make(flow.sizes());
  at::Tensor grad_metric = metric ? make(metric->sizes()) : at::empty({0}, image.options());
  const at::Tensor scaled = on_huge_pages(
      at::empty({nearest ? 0 : batch, image.size(1) + 1, height, width}, image.options()));
  const auto compute = [&]<typename T>() {
    const ForwardSplatGradient<T> params{
        .forward = inputs.params<T>(result, weights, indices, mode),
        .grad_output = grad.const_data_ptr<T>(),
        .grad_weight = grad_weight ? by_weight.const_data_ptr<T>() : nullptr,
        .scaled = scaled.mutable_data_ptr<T>(),
        .grad_image = grad_image.mutable_data_ptr<T>(),
        .grad_flow = grad_flow.mutable_data_ptr<T>(),
        .grad_metric = metric ? grad_metric.mutable_data_ptr<T>() : nullptr};
    on_device(
        kOp, "image", inputs.image, [&] { forward_splat_gradient_cpu(params); },
        [&]([[maybe_unused]] void* stream) {
          return STEADYVIEW_CUDA_CALL(forward_splat_gradient_cuda(params, stream));
        });
  };
  type == at::kFloat ? compute.operator()<float>() : compute.operator()<double>();
  return {grad_image, grad_flow, grad_metric};
}

}  // namespace steadyview
