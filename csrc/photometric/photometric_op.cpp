#include "photometric/photometric_op.h"

#include <ATen/Parallel.h>
#include <ATen/ops/empty.h>

#include "common/check.h"
#include "common/device_op.h"
#include "common/parallel.h"
#include "photometric/photometric.h"

namespace steadyview {

std::tuple<double, at::Tensor> photometric_loss(const at::Tensor& image, const at::Tensor& target,
                                                const std::optional<at::Tensor>& mask, double scale,
                                                double ssim_weight) {
  constexpr const char* op = "photometric_loss";
  check::shape(op, "image", image, {-1, -1, -1});
  const int64_t height = image.size(0), width = image.size(1), channels = image.size(2);
  check::like(op, "image", image, at::kFloat, at::kCPU);
  check::like(op, "target", target, at::kFloat, at::kCPU);
  check::shape(op, "target", target, {height, width, channels});
  if (channels < 1 || channels > photometric::kMaxChannels) {
    check::fail(op, "image must have 1 to ", photometric::kMaxChannels, " channels, got ",
                channels);
  }
  if (mask) {
    check::like(op, "mask", *mask, at::kFloat, at::kCPU);
    check::shape(op, "mask", *mask, {height, width});
  }
  const at::Tensor x = image.contiguous(), y = target.contiguous();
  const at::Tensor weights = mask ? mask->contiguous() : at::Tensor();
  at::Tensor gradient = on_huge_pages(at::empty(image.sizes(), image.options()));
  const photometric::LossParams params{.image = x.const_data_ptr<float>(),
                                       .target = y.const_data_ptr<float>(),
                                       .mask = mask ? weights.const_data_ptr<float>() : nullptr,
                                       .height = height,
                                       .width = width,
                                       .channels = static_cast<int>(channels),
                                       .scale = static_cast<float>(scale),
                                       .ssim_weight = static_cast<float>(ssim_weight),
                                       .gradient = gradient.mutable_data_ptr<float>()};
  set_num_threads(at::get_num_threads());
  return {photometric::loss_and_gradient(params), gradient};
}

}  // namespace steadyview
