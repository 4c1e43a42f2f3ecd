#include "stereo/stereo_op.h"

#include <ATen/ops/aminmax.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/zeros.h>

#include <cmath>
#include <vector>

#include "common/check.h"
#include "common/device_op.h"
#include "stereo/plane_sweep.h"

namespace steadyview {
namespace {

using namespace stereo;

constexpr const char* kOp = "plane_sweep";

void check_pictures(const at::Tensor& reference, const at::Tensor& sources) {
  check::shape(kOp, "reference", reference, {-1, -1, -1, -1});
  const int64_t channels = reference.size(1), height = reference.size(2), width = reference.size(3);
  if (channels != 1 && channels != 3) {
    check::fail(kOp, "reference must have 1 or 3 channels, got ", channels);
  }
  if (height == 0 || width == 0) {
    check::fail(kOp, "reference must have pixels, got ", reference.sizes());
  }
  if (height > (int64_t{1} << 30) / width) {
    check::fail(kOp, "reference must have at most 2^30 pixels, got ", reference.sizes());
  }
  if (reference.scalar_type() != at::kByte && !reference.is_floating_point()) {
    check::fail(kOp, "reference must be uint8 or floating point, got ", reference.scalar_type());
  }
  check::like(kOp, "sources", sources, reference.scalar_type(), reference.device());
  check::shape(kOp, "sources", sources, {reference.size(0), -1, channels, height, width});
  if (sources.size(1) < 1 || sources.size(1) > kMaxSources) {
    check::fail(kOp, "sources must be 1 to ", kMaxSources, " pictures, got ", sources.size(1));
  }
}

void check_depths(const at::Tensor& depths, int64_t batch) {
  check::like(kOp, "depths", depths, at::kDouble, at::kCPU);
  check::shape(kOp, "depths", depths, {batch, -1});
  const int64_t planes = depths.size(1);
  if (planes < 1 || planes > kMaxPlanes) {
    check::fail(kOp, "depths must be 1 to ", kMaxPlanes, " planes, got ", planes);
  }
  const double* values = depths.const_data_ptr<double>();
  for (int64_t i = 0; i < batch * planes; ++i) {
    if (!(values[i] > 0) || !std::isfinite(values[i]) || !std::isfinite(1 / values[i])) {
      check::fail(kOp, "depths must be positive and finite, got ", values[i]);
    }
    if (i % planes < 2) continue;
    if ((values[i] > values[i - 1]) != (values[i - 1] > values[i - 2])) {
      check::fail(kOp, "depths must rise or fall from plane to plane, got ", values[i - 2], ", ",
                  values[i - 1], ", ", values[i]);
    }
  }
  for (int64_t n = 0; planes > 1 && n < batch; ++n) {
    for (int64_t i = n * planes + 1; i < (n + 1) * planes; ++i) {
      if (values[i] == values[i - 1]) {
        check::fail(kOp, "depths must differ from plane to plane, got ", values[i], " twice");
      }
    }
  }
}

void check_range(const char* name, int64_t value, int64_t low, int64_t high) {
  if (value < low || value > high) {
    check::fail(kOp, name, " must be ", low, " to ", high, ", got ", value);
  }
}

// (..., C, H, W) to grey bytes (..., H, W), by BT.601's weights.
at::Tensor grey(const char* name, const at::Tensor& pictures) {
  const bool bytes = pictures.scalar_type() == at::kByte;
  const int64_t axis = pictures.dim() - 3;
  if (bytes && pictures.size(axis) == 1) return pictures.select(axis, 0);
  if (!bytes && pictures.numel() > 0) {
    const auto [low, high] = at::aminmax(pictures);
    const double least = low.item<double>(), most = high.item<double>();
    constexpr double kHalf = 0.5 / 255;             // a byte's rounding
    if (!(least >= -kHalf && most <= 1 + kHalf)) {  // of nan, too
      check::fail(kOp, name, " must be finite and in [0, 1], got ", least, " to ", most);
    }
  }
  const at::Tensor values =
      bytes || pictures.scalar_type() == at::kDouble ? pictures : pictures.to(at::kFloat);
  at::Tensor luma = values.select(axis, 0);
  if (bytes) luma = luma.to(at::kFloat);
  if (pictures.size(axis) == 3) {
    luma = luma.mul(0.299).add(values.select(axis, 1), 0.587).add(values.select(axis, 2), 0.114);
  }
  return (bytes ? luma : luma.mul(255)).round().clamp(0, 255).to(at::kByte);
}

// (N * (1 + S), H, W) and kPadding bytes more.
at::Tensor pack(const at::Tensor& reference, const at::Tensor& sources) {
  const at::Tensor all =
      at::cat({grey("reference", reference).unsqueeze(1), grey("sources", sources)}, 1);
  const at::Tensor end = at::zeros({kPadding}, all.options());
  return at::cat({all.reshape({-1}), end});
}

std::vector<double> source_maps(const at::Tensor& viewmats, const at::Tensor& Ks) {
  const int64_t batch = viewmats.size(0), views = viewmats.size(1);
  const double* view = viewmats.const_data_ptr<double>();
  const double* k = Ks.const_data_ptr<double>();
  std::vector<double> maps(static_cast<size_t>(batch * (views - 1) * 12));
  double* map = maps.data();
  for (int64_t i = 0; i < batch * views; ++i) {
    if (i % views == 0) continue;
    const int64_t first = i / views * views;
    if (!pixel_map(view + 16 * first, k + 9 * first, view + 16 * i, k + 9 * i, map)) {
      check::fail(kOp,
                  "viewmats and Ks must be finite and invertible, viewmats with the last row "
                  "(0, 0, 0, 1); item ",
                  i / views, ", source ", i % views - 1,
                  " or its reference"
                  " is not");
    }
    map += 12;
  }
  return maps;
}

void compute(const PlaneSweep& sweep, const at::Tensor& images) {
  on_device(
      kOp, "images", images, [&] { plane_sweep_cpu(sweep); },
      [&]([[maybe_unused]] void* stream) -> const char* {
#ifdef STEADYVIEW_HAS_CUDA
        at::Tensor scratch = at::empty({plane_sweep_scratch(sweep)}, images.options());
        return plane_sweep_cuda(sweep, scratch.mutable_data_ptr<uint8_t>(), stream);
#else
        return kNoCuda;
#endif
      });
}

}  // namespace

std::tuple<at::Tensor, at::Tensor, at::Tensor> plane_sweep(
    const at::Tensor& reference, const at::Tensor& sources, const at::Tensor& viewmats,
    const at::Tensor& Ks, const at::Tensor& depths, int64_t cost, int64_t keep, int64_t paths,
    int64_t step_penalty, int64_t jump_penalty, double least_confidence, int64_t memory) {
  check_pictures(reference, sources);
  const int64_t batch = reference.size(0), height = reference.size(2), width = reference.size(3);
  const int64_t views = 1 + sources.size(1), planes = depths.dim() == 2 ? depths.size(1) : 0;
  const at::Tensor listed = depths.contiguous();
  check_depths(listed, batch);
  for (const auto& [name, tensor] : {std::pair{"viewmats", &viewmats}, std::pair{"Ks", &Ks}}) {
    const int64_t side = tensor == &viewmats ? 4 : 3;
    check::like(kOp, name, *tensor, at::kDouble, at::kCPU);
    check::shape(kOp, name, *tensor, {batch, views, side, side});
  }
  check_range("cost", cost, 0, 1);
  check_range("keep", keep, 1, kMaxKeep);
  if (paths != 0 && paths != 4 && paths != 8)
    check::fail(kOp, "paths must be 0, 4 or 8, got ", paths);
  check_range("step_penalty", step_penalty, 0, kMaxPenalty);
  check_range("jump_penalty", jump_penalty, step_penalty, kMaxPenalty);
  if (!(least_confidence >= 0)) {
    check::fail(kOp, "least_confidence must be at least 0, got ", least_confidence);
  }
  const at::Tensor view = viewmats.contiguous(), k = Ks.contiguous();
  const std::vector<double> maps = source_maps(view, k);
  at::Tensor inverse = listed.reciprocal();
  const auto floats = reference.options().dtype(at::kFloat);
  at::Tensor depth = at::empty({batch, height, width}, floats);
  at::Tensor confidence = at::empty({batch, height, width}, floats);
  at::Tensor valid = at::empty({batch, height, width}, reference.options().dtype(at::kBool));
  if (batch == 0) return {depth, confidence, valid};
  const at::Tensor images = pack(reference, sources);
  const bool on_cpu = for_cpu_kernels(images);
  at::Tensor device_maps = at::empty({batch, views - 1, 12}, inverse.options());
  std::copy(maps.begin(), maps.end(), device_maps.mutable_data_ptr<double>());
  if (!on_cpu) {
    inverse = inverse.to(images.device());
    device_maps = device_maps.to(images.device());
  }
  for (int64_t n = 0; n < batch; ++n) {
    const int64_t pixels = height * width;
    compute({.images = images.const_data_ptr<uint8_t>() + n * views * pixels,
             .maps = device_maps.const_data_ptr<double>() + n * (views - 1) * 12,
             .inverse_depths = inverse.const_data_ptr<double>() + n * planes,
             .height = height,
             .width = width,
             .sources = static_cast<int>(views - 1),
             .planes = static_cast<int>(planes),
             .cost = static_cast<Cost>(cost),
             .keep = static_cast<int>(std::min(keep, views - 1)),
             .paths = static_cast<int>(paths),
             .step_penalty = static_cast<int>(step_penalty),
             .jump_penalty = static_cast<int>(jump_penalty),
             .least_confidence = least_confidence,
             .strip_rows = rows_within(memory, width, static_cast<int>(planes)),
             .depth = depth.mutable_data_ptr<float>() + n * pixels,
             .confidence = confidence.mutable_data_ptr<float>() + n * pixels,
             .valid = valid.mutable_data_ptr<bool>() + n * pixels},
            images);
  }
  return {depth, confidence, valid};
}

}  // namespace steadyview
