#include "matching/sift.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <tuple>

#include "common/isa.h"

namespace steadyview::matching {

namespace baseline {
extern const SiftKernels sift_kernels;
}
#if defined(__x86_64__)
namespace avx2 {
extern const SiftKernels sift_kernels;
}
namespace avx512 {
extern const SiftKernels sift_kernels;
}
#endif

namespace {

constexpr int kLayers = 3, kBorder = 5, kSteps = 5;
constexpr float kContrast = 0.04f, kEdge = 10.f, kSigma = 1.6f;
constexpr float kThreshold = 1.f;  // floor(0.5 * 0.04 / 3 * 255)
constexpr int kOrientations = 36;

const SiftKernels& kernels() {
#if defined(__x86_64__)
  switch (active_isa()) {
    case Isa::avx512:
      return avx512::sift_kernels;
    case Isa::avx2:
      return avx2::sift_kernels;
    case Isa::baseline:
      break;
  }
#endif
  return baseline::sift_kernels;
}

struct Feature {
  float x, y, size, angle, response;
  std::array<uint8_t, kSiftLength> descriptor;
};

// Half of a normalised Gaussian, as long as OpenCV's for floats.
std::vector<float> gaussian(double sigma) {
  const int radius = static_cast<int>(std::lrint(sigma * 8 + 1) | 1) / 2;
  std::vector<double> values;
  double sum = 0;
  for (int k = 0; k <= radius; ++k) {
    values.push_back(std::exp(-0.5 * k * k / (sigma * sigma)));
    sum += (k ? 2 : 1) * values.back();
  }
  std::vector<float> taps;
  for (double value : values) taps.push_back(static_cast<float>(value / sum));
  return taps;
}

void blur(const Plane& source, const Plane& target, const Plane& difference, double sigma) {
  const std::vector<float> taps = gaussian(sigma);
  const int radius = static_cast<int>(taps.size()) - 1;
  const int64_t ring = (2 * radius + 1) * source.stride;
  std::vector<float> scratch(static_cast<size_t>(source.width + 2 * radius + 2 * kRowSlack + ring));
  kernels().blur({source, target, difference, taps.data(), radius, scratch.data()});
}

// Twice as wide and high, bilinear with pixel centres at +0.5, edges repeated.
void double_up(const uint8_t* gray, int64_t stride, int width, int height, const Plane& image) {
  std::vector<float> row(static_cast<size_t>(width));
  for (int y = 0; y < 2 * height; ++y) {
    const int near = y / 2, far = std::clamp(near + (y % 2 ? 1 : -1), 0, height - 1);
    for (int x = 0; x < width; ++x) {
      row[static_cast<size_t>(x)] =
          0.75f * gray[near * stride + x] + 0.25f * gray[far * stride + x];
    }
    float* out = image.row(y);
    for (int x = 0; x < width; ++x) {
      const float value = 0.75f * row[static_cast<size_t>(x)];
      out[2 * x] = value + 0.25f * row[static_cast<size_t>(std::max(x - 1, 0))];
      out[2 * x + 1] = value + 0.25f * row[static_cast<size_t>(std::min(x + 1, width - 1))];
    }
  }
}

// Every second pixel of every second row.
void halve(const Plane& source, const Plane& target) {
  for (int y = 0; y < target.height; ++y) {
    const float* from = source.row(2 * y);
    float* to = target.row(y);
    for (int x = 0; x < target.width; ++x) to[x] = from[2 * x];
  }
}

struct Octave {
  std::array<Plane, kLayers + 3> blurred;
  std::array<Plane, kLayers + 2> differences;
};

Octave make_octave(SiftWorkspace& workspace, const Plane& first) {
  Octave octave;
  octave.blurred[0] = first;
  const double step = std::exp2(1.0 / kLayers);
  for (size_t i = 1; i < octave.blurred.size(); ++i) {
    const double before = 1.6 * std::pow(step, i - 1), after = before * step;
    octave.blurred[i] = workspace.plane(2 + 2 * i, first.width, first.height);
    octave.differences[i - 1] = workspace.plane(3 + 2 * i, first.width, first.height);
    blur(octave.blurred[i - 1], octave.blurred[i], octave.differences[i - 1],
         std::sqrt(after * after - before * before));
  }
  return octave;
}

struct Extremum {
  int column, row, layer;
  float dx, dy, dlayer;  // of the fitted parabola's top
  float contrast;
};

// Values around a point of the difference images.
struct Neighbours {
  const float *below, *at, *above;
  int64_t stride;

  Neighbours(const Octave& octave, const Extremum& e) {
    const auto layer = static_cast<size_t>(e.layer);
    const auto pointer = [&](size_t index) {
      return octave.differences[index].row(e.row) + e.column;
    };
    below = pointer(layer - 1);
    at = pointer(layer);
    above = pointer(layer + 1);
    stride = octave.differences[layer].stride;
  }

  std::array<float, 3> slopes() const {
    constexpr float scale = 0.5f / 255;
    return {(at[1] - at[-1]) * scale, (at[stride] - at[-stride]) * scale,
            (above[0] - below[0]) * scale};
  }
  // xx, yy, ss, xy, xs, ys
  std::array<float, 6> curvatures() const {
    constexpr float scale = 1.f / 255, cross = 0.25f / 255;
    const float twice = at[0] * 2;
    return {(at[1] + at[-1] - twice) * scale,
            (at[stride] + at[-stride] - twice) * scale,
            (above[0] + below[0] - twice) * scale,
            (at[stride + 1] - at[stride - 1] - at[-stride + 1] + at[-stride - 1]) * cross,
            (above[1] - above[-1] - below[1] + below[-1]) * cross,
            (above[stride] - above[-stride] - below[stride] + below[-stride]) * cross};
  }
};

// Minus the solution of the symmetric system by Cramer's rule; zeros when it is singular.
std::array<float, 3> top_of(const std::array<float, 6>& h, const std::array<float, 3>& b) {
  const auto [xx, yy, ss, xy, xs, ys] = h;
  const float det = xx * (yy * ss - ys * ys) - xy * (xy * ss - ys * xs) + xs * (xy * ys - yy * xs);
  if (det == 0) return {0, 0, 0};
  const float d = -1 / det;
  return {d * (b[0] * (yy * ss - ys * ys) - xy * (b[1] * ss - ys * b[2]) +
               xs * (b[1] * ys - yy * b[2])),
          d * (xx * (b[1] * ss - ys * b[2]) - b[0] * (xy * ss - ys * xs) +
               xs * (xy * b[2] - b[1] * xs)),
          d * (xx * (yy * b[2] - b[1] * ys) - xy * (xy * b[2] - b[1] * xs) +
               b[0] * (xy * ys - yy * xs))};
}

// Moves an extremum to the top of a parabola through its neighbours; false when it is no feature.
bool refine(const Octave& octave, Extremum& e) {
  const Plane& plane = octave.differences[0];
  int step = 0;
  for (; step < kSteps; ++step) {
    const Neighbours around(octave, e);
    const auto top = top_of(around.curvatures(), around.slopes());
    std::tie(e.dx, e.dy, e.dlayer) = std::tuple(top[0], top[1], top[2]);
    const float farthest = std::max({std::abs(top[0]), std::abs(top[1]), std::abs(top[2])});
    if (farthest < 0.5f) break;
    if (!(farthest < 1e6f)) return false;
    e.column += static_cast<int>(std::lrint(top[0]));
    e.row += static_cast<int>(std::lrint(top[1]));
    e.layer += static_cast<int>(std::lrint(top[2]));
    if (e.layer < 1 || e.layer > kLayers || e.column < kBorder || e.row < kBorder ||
        e.column >= plane.width - kBorder || e.row >= plane.height - kBorder) {
      return false;
    }
  }
  if (step == kSteps) return false;
  const Neighbours around(octave, e);
  const auto slopes = around.slopes();
  const float rise = slopes[0] * e.dx + slopes[1] * e.dy + slopes[2] * e.dlayer;
  e.contrast = around.at[0] * (1.f / 255) + rise * 0.5f;
  if (std::abs(e.contrast) * kLayers < kContrast) return false;
  const auto h = around.curvatures();
  const float trace = h[0] + h[1], det = h[0] * h[1] - h[3] * h[3];
  return det > 0 && trace * trace * kEdge < (kEdge + 1) * (kEdge + 1) * det;
}

// Angles of the histogram's peaks, degrees.
std::vector<float> orientations(const PatchParams& patch) {
  float raw[kOrientations], bins[kOrientations], highest = 0;
  kernels().orientation(patch, raw);
  const auto at = [](int i) { return (i + kOrientations) % kOrientations; };
  for (int i = 0; i < kOrientations; ++i) {
    bins[i] = (raw[at(i - 2)] + raw[at(i + 2)]) * (1.f / 16) +
              (raw[at(i - 1)] + raw[at(i + 1)]) * (4.f / 16) + raw[i] * (6.f / 16);
    highest = i ? std::max(highest, bins[i]) : bins[i];
  }
  std::vector<float> angles;
  for (int i = 0; i < kOrientations; ++i) {
    const float left = bins[at(i - 1)], right = bins[at(i + 1)], here = bins[i];
    if (here <= left || here <= right || here < highest * 0.8f) continue;
    float bin = static_cast<float>(i) + 0.5f * (left - right) / (left - 2 * here + right);
    bin = bin < 0 ? bin + kOrientations : bin >= kOrientations ? bin - kOrientations : bin;
    const float angle = 360.f - bin * (360.f / kOrientations);
    const bool full = std::abs(angle - 360.f) < std::numeric_limits<float>::epsilon();
    angles.push_back(full ? 0.f : angle);
  }
  return angles;
}

void describe(const Octave& octave, const Extremum& e, float unit, std::vector<float>& scratch,
              std::vector<Feature>& features) {
  const float scale = kSigma * std::pow(2.f, (static_cast<float>(e.layer) + e.dlayer) /
                                                 static_cast<float>(kLayers));
  const auto need = [&](int radius) {
    scratch.resize(std::max(scratch.size(), static_cast<size_t>(8 * (2 * radius + 1 + kRowSlack))));
    return scratch.data();
  };
  const Plane& image = octave.blurred[static_cast<size_t>(e.layer)];
  const int near = static_cast<int>(std::lrint(4.5f * scale));
  const std::vector<float> angles =
      orientations({image, e.column, e.row, near, 0.f, 1.5f * scale, need(near)});
  const float x = static_cast<float>(e.column) + e.dx, y = static_cast<float>(e.row) + e.dy;
  const float cell = 3.f * scale;
  const int reach = std::min(static_cast<int>(std::lrint(cell * 1.4142135623730951f * 5 * 0.5f)),
                             static_cast<int>(std::hypot(image.width, image.height)));
  for (float angle : angles) {
    const float back = 360.f - angle;
    const bool full = std::abs(back - 360.f) < std::numeric_limits<float>::epsilon();
    Feature& feature = features.emplace_back(
        Feature{x * unit, y * unit, 2 * scale * unit, angle, std::abs(e.contrast), {}});
    kernels().descriptor({image, static_cast<int>(std::lrint(x)), static_cast<int>(std::lrint(y)),
                          reach, full ? 0.f : back, cell, need(reach)},
                         feature.descriptor.data());
  }
}

void find_in(const Octave& octave, float unit, std::vector<Feature>& features) {
  const Plane& plane = octave.differences[0];
  std::vector<int32_t> columns(static_cast<size_t>(plane.width));
  std::vector<float> scratch;
  for (int layer = 1; layer <= kLayers; ++layer) {
    const auto at = static_cast<size_t>(layer);
    for (int row = kBorder; row < plane.height - kBorder; ++row) {
      const int count =
          kernels().extrema({octave.differences[at - 1], octave.differences[at],
                             octave.differences[at + 1], row, kBorder, kThreshold, columns.data()});
      for (int i = 0; i < count; ++i) {
        Extremum e{columns[static_cast<size_t>(i)], row, layer, 0, 0, 0, 0};
        if (refine(octave, e)) describe(octave, e, unit, scratch, features);
      }
    }
  }
}

}  // namespace

Plane SiftWorkspace::plane(size_t slot, int width, int height) {
  const int64_t stride = (width + kRowSlack - 1) / kRowSlack * kRowSlack;
  const auto count = static_cast<size_t>(stride * height + 2 * kRowSlack);
  if (slots_.size() <= slot) slots_.resize(slot + 1);
  if (slots_[slot].size() < count) slots_[slot] = std::vector<float>(count);
  return {width, height, stride, slots_[slot].data() + kRowSlack};
}

SiftFeatures find_sift(const uint8_t* gray, int64_t stride, int width, int height,
                       SiftWorkspace& workspace) {
  std::vector<Feature> features;
  const int octaves =
      static_cast<int>(std::lrint(std::log2(2.0 * std::min(width, height)) - 2)) + 1;
  // Slots 0 and 1 hold the octaves' first images in turn, 4 and up the rest of an octave.
  const Plane twice = workspace.plane(4, 2 * width, 2 * height);
  double_up(gray, stride, width, height, twice);
  Plane first = workspace.plane(0, 2 * width, 2 * height);
  blur(twice, first, {}, std::sqrt(kSigma * kSigma - 1.f));
  float unit = 0.5f;
  for (int o = 0; o < octaves; ++o, unit *= 2) {
    if (std::min(first.width, first.height) <= 2 * kBorder) break;
    const Octave octave = make_octave(workspace, first);
    find_in(octave, unit, features);
    first = workspace.plane((o + 1) % 2, first.width / 2, first.height / 2);
    halve(octave.blurred[kLayers], first);
  }
  // OpenCV's order, on which RANSAC's samples depend; equal ones are dropped.
  const auto key = [](const Feature& f) {
    return std::tuple(f.x, f.y, -f.size, f.angle, -f.response);
  };
  std::sort(features.begin(), features.end(),
            [&](const Feature& a, const Feature& b) { return key(a) < key(b); });
  const auto same = [](const Feature& a, const Feature& b) {
    return std::tie(a.x, a.y, a.size, a.angle) == std::tie(b.x, b.y, b.size, b.angle);
  };
  features.erase(std::unique(features.begin(), features.end(), same), features.end());
  SiftFeatures found;
  found.points.reserve(2 * features.size());
  found.descriptors.reserve(kSiftLength * features.size());
  for (const Feature& f : features) {
    found.points.insert(found.points.end(), {f.x, f.y});
    found.descriptors.insert(found.descriptors.end(), f.descriptor.begin(), f.descriptor.end());
  }
  return found;
}

}  // namespace steadyview::matching
