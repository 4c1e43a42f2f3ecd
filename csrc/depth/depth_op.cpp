#include "depth/depth_op.h"

#include <ATen/ops/empty.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "common/check.h"
#include "common/device_op.h"
#include "depth/depth.h"
#include "depth/depth_maths.h"

namespace steadyview {
namespace {

constexpr int64_t kGroup = 4;  // frames at a time, so that few bands are shared well by threads

// Scratch for some pictures at a time, which must outlive the params.
struct Scratch {
  at::Tensor lines, facts, sums;

  Scratch(const at::Tensor& like, int64_t pictures, bool filtered) {
    const int64_t size = like.size(-2) * like.size(-1);
    const auto options = like.options().dtype(at::kDouble);
    lines = at::empty({filtered ? 2 * pictures * size : 0}, like.options());
    facts = at::empty({pictures * depth::kFacts}, options);
    sums = at::empty({filtered && !for_cpu_kernels(like) ? 4 * size : 0}, options);
  }
  template <typename T>
  GuidedScratch<T> params() const {
    return {.lines = lines.mutable_data_ptr<T>(),
            .facts = facts.mutable_data_ptr<double>(),
            .sums = sums.mutable_data_ptr<double>()};
  }
};

void check_filter(const char* op, int64_t radius, double epsilon) {
  if (radius < 0) check::fail(op, "radius must be at least 0, got ", radius);
  if (!(epsilon > 0)) check::fail(op, "epsilon must be more than 0, got ", epsilon);
}

void check_smoothing(const at::Tensor& disparity, const at::Tensor& frames,
                     const at::Tensor& forward_flow, const at::Tensor& backward_flow,
                     double colour_tolerance, double disparity_tolerance) {
  constexpr const char* op = "smooth_depth";
  check::floating(op, "disparity", disparity);
  check::shape(op, "disparity", disparity, {-1, -1, -1});
  const int64_t count = disparity.size(0), height = disparity.size(1), width = disparity.size(2);
  if (width > 0 && height > std::numeric_limits<int32_t>::max() / width) {
    check::fail(op, "disparity must have less than 2^31 pixels, got ", disparity.sizes());
  }
  const at::ScalarType type = disparity.scalar_type();
  check::like(op, "frames", frames, frames.scalar_type() == at::kByte ? at::kByte : type,
              disparity.device());
  check::shape(op, "frames", frames, {count, -1, height, width});
  for (const auto& [name, flow] :
       {std::pair{"forward_flow", forward_flow}, {"backward_flow", backward_flow}}) {
    check::like(op, name, flow, type, disparity.device());
    check::shape(op, name, flow, {std::max<int64_t>(count - 1, 0), 2, height, width});
  }
  for (const auto& [name, value] : {std::pair{"colour_tolerance", colour_tolerance},
                                    {"disparity_tolerance", disparity_tolerance}}) {
    if (!(value >= 0)) check::fail(op, name, " must be at least 0, got ", value);
  }
}

// In units of the frames; of bytes, the difference that is still within it.
template <typename F>
F tolerance_of(double value) {
  if constexpr (sizeof(F) == 1) {
    return static_cast<F>(std::min(std::floor(value * 255 + 1e-9), 255.0));
  } else {
    return static_cast<F>(value);
  }
}

}  // namespace

at::Tensor guided_filter(const at::Tensor& guide, const at::Tensor& source, int64_t radius,
                         double epsilon) {
  constexpr const char* op = "guided_filter";
  check::floating(op, "source", source);
  check::shape(op, "source", source, {-1, -1, -1});
  check::like(op, "guide", guide, source.scalar_type(), source.device());
  check::shape(op, "guide", guide, {source.size(0), source.size(1), source.size(2)});
  check_filter(op, radius, epsilon);
  at::Tensor output = at::empty(source.sizes(), source.options());
  if (source.numel() == 0) return output;
  const at::Tensor x = guide.contiguous(), y = source.contiguous();
  const Scratch scratch(source, source.size(0), true);
  const auto compute = [&]<typename T>() {
    const GuidedFilter<T> params{.guide = x.const_data_ptr<T>(),
                                 .source = y.const_data_ptr<T>(),
                                 .output = output.mutable_data_ptr<T>(),
                                 .pictures = source.size(0),
                                 .height = source.size(1),
                                 .width = source.size(2),
                                 .radius = radius,
                                 .epsilon = epsilon,
                                 .least = -std::numeric_limits<T>::infinity(),
                                 .by_range = false,
                                 .scratch = scratch.params<T>()};
    on_device(
        op, "source", source, [&] { guided_filter_cpu(params); },
        [&]([[maybe_unused]] void* stream) {
          return STEADYVIEW_CUDA_CALL(guided_filter_cuda(params, stream));
        });
  };
  source.scalar_type() == at::kFloat ? compute.operator()<float>() : compute.operator()<double>();
  return output;
}

at::Tensor smooth_depth(const at::Tensor& disparity, const at::Tensor& frames,
                        const at::Tensor& forward_flow, const at::Tensor& backward_flow,
                        double colour_tolerance, double disparity_tolerance, int64_t radius,
                        double epsilon) {
  constexpr const char* op = "smooth_depth";
  check_smoothing(disparity, frames, forward_flow, backward_flow, colour_tolerance,
                  disparity_tolerance);
  check_filter(op, radius, epsilon);
  at::Tensor output = at::empty(disparity.sizes(), disparity.options());
  if (disparity.numel() == 0) return output;
  const at::Tensor values = disparity.contiguous(), pictures = frames.contiguous();
  const at::Tensor there = forward_flow.contiguous(), back = backward_flow.contiguous();
  const int64_t height = values.size(1), width = values.size(2);
  const int64_t group = for_cpu_kernels(disparity) ? std::min(kGroup, values.size(0)) : 1;
  const at::Tensor guide = at::empty({group, height, width}, values.options());
  const Scratch scratch(values, group, radius > 0);
  const auto compute = [&]<typename T, typename F>() {
    const SmoothDepth<T, F> params{.disparity = values.const_data_ptr<T>(),
                                   .pictures = pictures.const_data_ptr<F>(),
                                   .forward_flow = there.const_data_ptr<T>(),
                                   .backward_flow = back.const_data_ptr<T>(),
                                   .output = output.mutable_data_ptr<T>(),
                                   .frames = values.size(0),
                                   .channels = pictures.size(1),
                                   .height = height,
                                   .width = width,
                                   .colour_tolerance = tolerance_of<F>(colour_tolerance),
                                   .disparity_tolerance = disparity_tolerance,
                                   .radius = radius,
                                   .epsilon = epsilon,
                                   .group = group,
                                   .guide = guide.mutable_data_ptr<T>(),
                                   .scratch = scratch.params<T>()};
    on_device(
        op, "disparity", disparity, [&] { smooth_depth_cpu(params); },
        [&]([[maybe_unused]] void* stream) {
          return STEADYVIEW_CUDA_CALL(smooth_depth_cuda(params, stream));
        });
  };
  const bool bytes = frames.scalar_type() == at::kByte;
  if (disparity.scalar_type() == at::kFloat) {
    bytes ? compute.operator()<float, uint8_t>() : compute.operator()<float, float>();
  } else {
    bytes ? compute.operator()<double, uint8_t>() : compute.operator()<double, double>();
  }
  return output;
}

}  // namespace steadyview
