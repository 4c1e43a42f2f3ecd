#include <ATen/ops/empty.h>
#include <ATen/ops/empty_like.h>

#include <cmath>

#include "gaussians/adam.h"
#include "gaussians/dispatch_op.h"
#include "gaussians/gaussians.h"
#include "gaussians/gaussians_op.h"

namespace steadyview {
namespace {

// What a step changes and how; `mask` is as seen, contiguous.
struct Step {
  const char* op;
  const at::Tensor &values, &mean, &square;
  at::Tensor mask;
  int64_t head;
  double head_rate, tail_rate, beta1, beta2, epsilon;
  int64_t step;

  void check_like_values(const char* name, const at::Tensor& tensor) const {
    check::like(op, name, tensor, at::kFloat, values.device());
    if (tensor.sizes() != values.sizes() || !tensor.is_contiguous() || tensor.dim() < 1) {
      check::fail(op, name, " must be contiguous and as values, ", values.sizes(), ", got ",
                  tensor.sizes());
    }
  }
  void check() const {
    check_like_values("values", values);
    check_like_values("mean", mean);
    check_like_values("square", square);
    if (step < 1) check::fail(op, "step must be at least 1, got ", step);
    if (!mask.defined()) return;
    check::like(op, "seen", mask, at::kBool, values.device());
    check::shape(op, "seen", mask, {values.size(0)});
  }

  gaussians::Adam params() const {
    const double steps = static_cast<double>(step);
    return {.values = values.mutable_data_ptr<float>(),
            .gradient = nullptr,
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
  }
};

// Gaussians and their colours.
struct Shaded {
  const char* op;
  const at::Tensor& coefficients;
  at::Tensor means, colors;

  void check(int64_t degree) const {
    check::like(op, "coefficients", coefficients, at::kFloat, coefficients.device());
    check::shape(op, "coefficients", coefficients, {-1, -1, 3});
    const int64_t rows = coefficients.size(0), terms = coefficients.size(1);
    if (degree < 0 || degree > 4 || (degree + 1) * (degree + 1) > terms || terms > 25) {
      check::fail(op, "degree must be in [0, 4], and coefficients have (degree + 1)^2 to 25 terms,",
                  " got ", degree, " and ", terms);
    }
    gaussians::check_argument(op, "means", means, coefficients, {rows, 3});
    gaussians::check_argument(op, "colors", colors, coefficients, {rows, 3});
  }

  gaussians::Harmonics<float> params(const std::array<double, 3>& origin, int64_t degree) const {
    return {.directions = means.const_data_ptr<float>(),
            .coefficients = coefficients.const_data_ptr<float>(),
            .masks = nullptr,
            .count = coefficients.size(0),
            .terms = coefficients.size(1),
            .degree = static_cast<int>(degree),
            .colors = colors.mutable_data_ptr<float>(),
            .origin = {static_cast<float>(origin[0]), static_cast<float>(origin[1]),
                       static_cast<float>(origin[2])},
            .shaded = true};
  }
};

}  // namespace

at::Tensor shade_gaussians(const at::Tensor& coefficients, const at::Tensor& means,
                           const std::array<double, 3>& origin, int64_t degree) {
  constexpr const char* op = "shade_gaussians";
  const at::Tensor whole = coefficients.contiguous();
  const Shaded shaded{op, whole, means.contiguous(), at::empty_like(means.contiguous())};
  shaded.check(degree);
  if (means.size(0) == 0) return shaded.colors;
  const gaussians::Harmonics<float> params = shaded.params(origin, degree);
  on_device(
      op, "means", means, [&] { gaussians::harmonics_cpu(params); },
      [&]([[maybe_unused]] void* stream) {
        return STEADYVIEW_CUDA_CALL(gaussians::harmonics_cuda(params, stream));
      });
  return shaded.colors;
}

void adam_step(const at::Tensor& values, const at::Tensor& gradient, const at::Tensor& mean,
               const at::Tensor& square, const std::optional<at::Tensor>& seen, int64_t head,
               double head_rate, double tail_rate, double beta1, double beta2, double epsilon,
               int64_t step) {
  constexpr const char* op = "adam_step";
  const Step work{op,      values,    mean,      square, gaussians::contiguous(seen),
                  head,    head_rate, tail_rate, beta1,  beta2,
                  epsilon, step};
  work.check();
  work.check_like_values("gradient", gradient);
  if (values.numel() == 0) return;
  gaussians::Adam adam = work.params();
  adam.gradient = gradient.const_data_ptr<float>();
  on_device(
      op, "values", values, [&] { gaussians::adam_cpu(adam); },
      [&]([[maybe_unused]] void* stream) {
        return STEADYVIEW_CUDA_CALL(gaussians::adam_cuda(adam, stream));
      });
}

at::Tensor harmonics_adam_step(const at::Tensor& coefficients, const at::Tensor& means,
                               const std::array<double, 3>& origin, const at::Tensor& colors,
                               const at::Tensor& grad_colors, const at::Tensor& mean,
                               const at::Tensor& square, const std::optional<at::Tensor>& seen,
                               int64_t degree, int64_t head, double head_rate, double tail_rate,
                               double beta1, double beta2, double epsilon, int64_t step) {
  constexpr const char* op = "harmonics_adam_step";
  const Step work{op,      coefficients, mean,      square, gaussians::contiguous(seen),
                  head,    head_rate,    tail_rate, beta1,  beta2,
                  epsilon, step};
  work.check();
  const Shaded shaded{op, coefficients, means.contiguous(), colors.contiguous()};
  shaded.check(degree);
  const int64_t rows = coefficients.size(0);
  gaussians::check_argument(op, "grad_colors", grad_colors, coefficients, {rows, 3});
  const at::Tensor by_colors = grad_colors.contiguous();
  at::Tensor by_means = at::empty({rows, 3}, means.options());
  if (rows == 0) return by_means;
  const gaussians::Adam adam = work.params();
  const gaussians::HarmonicsGradient<float> gradient{
      .forward = shaded.params(origin, degree),
      .grad_colors = by_colors.const_data_ptr<float>(),
      .grad_coefficients = nullptr,
      .grad_directions = by_means.mutable_data_ptr<float>()};
  on_device(
      op, "coefficients", coefficients, [&] { gaussians::harmonics_adam_cpu(gradient, adam); },
      [&]([[maybe_unused]] void* stream) {
        return STEADYVIEW_CUDA_CALL(gaussians::harmonics_adam_cuda(gradient, adam, stream));
      });
  return by_means;
}

}  // namespace steadyview
