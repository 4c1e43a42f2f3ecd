#include <cmath>

#include "gaussians/adam.h"
#include "gaussians/dispatch_op.h"
#include "gaussians/gaussians_op.h"

namespace steadyview {

void adam_step(const at::Tensor& values, const at::Tensor& gradient, const at::Tensor& mean,
               const at::Tensor& square, const std::optional<at::Tensor>& seen, int64_t head,
               double head_rate, double tail_rate, double beta1, double beta2, double epsilon,
               int64_t step) {
  constexpr const char* op = "adam_step";
  const std::pair<const char*, const at::Tensor&> all[] = {
      {"values", values}, {"gradient", gradient}, {"mean", mean}, {"square", square}};
  for (const auto& [name, tensor] : all) {
    check::like(op, name, tensor, at::kFloat, values.device());
    if (tensor.sizes() != values.sizes() || !tensor.is_contiguous() || tensor.dim() < 1) {
      check::fail(op, name, " must be contiguous and as values, ", values.sizes(), ", got ",
                  tensor.sizes());
    }
  }
  if (step < 1) check::fail(op, "step must be at least 1, got ", step);
  const at::Tensor mask = gaussians::contiguous(seen);
  if (mask.defined()) {
    check::like(op, "seen", mask, at::kBool, values.device());
    check::shape(op, "seen", mask, {values.size(0)});
  }
  if (values.numel() == 0) return;
  const double steps = static_cast<double>(step);
  const gaussians::Adam adam{
      .values = values.mutable_data_ptr<float>(),
      .gradient = gradient.const_data_ptr<float>(),
      .mean = mean.mutable_data_ptr<float>(),
      .square = square.mutable_data_ptr<float>(),
      .seen = gaussians::data<bool>(mask),
      .rows = values.size(0),
      .width = values.numel() / values.size(0),
      .head = head,
      .head_rate = static_cast<float>(head_rate),
      .tail_rate = static_cast<float>(tail_rate),
      .beta1 = static_cast<float>(beta1),
      .beta2 = static_cast<float>(beta2),
      .epsilon = static_cast<float>(epsilon),
      .scale1 = static_cast<float>(1 / (1 - std::pow(beta1, steps))),
      .scale2 = static_cast<float>(1 / std::sqrt(1 - std::pow(beta2, steps)))};
  on_device(
      op, "values", values, [&] { gaussians::adam_cpu(adam); },
      [&]([[maybe_unused]] void* stream) {
        return STEADYVIEW_CUDA_CALL(gaussians::adam_cuda(adam, stream));
      });
}

}  // namespace steadyview
