#include "matching/sift.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <tuple>

#include "common/isa.h"
#include "matching/sift_pyramid.h"

namespace steadyview::matching {

namespace baseline {
extern const PyramidKernels pyramid_kernels;
extern const PatchKernels patch_kernels;
}  // namespace baseline
#if defined(__x86_64__)
namespace avx2 {
extern const PyramidKernels pyramid_kernels;
extern const PatchKernels patch_kernels;
}  // namespace avx2
namespace avx512 {
extern const PyramidKernels pyramid_kernels;
extern const PatchKernels patch_kernels;
}  // namespace avx512
#endif

const PyramidKernels& active_pyramid_kernels() {
  return STEADYVIEW_FOR_ISA(matching, pyramid_kernels);
}

const PatchKernels& active_patch_kernels() { return STEADYVIEW_FOR_ISA(matching, patch_kernels); }

namespace {

constexpr int kSteps = 5;
constexpr float kContrast = 0.04f, kEdge = 10.f;
constexpr int kOrientations = 36;

struct Feature {
  float x, y, size, angle, response;
  std::array<uint8_t, kSiftLength> descriptor;
};

struct Extremum {
  int column, row, layer;
  float dx, dy, dlayer;  // of the fitted parabola's top
  float contrast;
};

// Differences of blurred images around a point.
class Neighbours {
 public:
  Neighbours(const Octave& octave, const Extremum& e) {
    for (int i = 0; i < 4; ++i) {
      const auto image = static_cast<size_t>(e.layer - 1 + i);
      if (image < kImages) {
        const Plane& plane = octave.blurred[image];
        images_[i] = {plane.row(e.row) + e.column, plane.stride};
      } else {
        last_ = last_image(octave, e.column, e.row);
        images_[i] = {&last_.rows[1][1], 4};
      }
    }
  }
  Neighbours(const Neighbours&) = delete;  // it points into itself

  float middle() const { return at(0, 0); }
  std::array<float, 3> slopes() const {
    constexpr float scale = 0.5f / 255;
    return {(at(1, 0) - at(-1, 0)) * scale, (at(0, 1) - at(0, -1)) * scale,
            (above(0, 0) - below(0, 0)) * scale};
  }
  // xx, yy, ss, xy, xs, ys
  std::array<float, 6> curvatures() const {
    constexpr float scale = 1.f / 255, cross = 0.25f / 255;
    const float twice = at(0, 0) * 2;
    return {(at(1, 0) + at(-1, 0) - twice) * scale,
            (at(0, 1) + at(0, -1) - twice) * scale,
            (above(0, 0) + below(0, 0) - twice) * scale,
            (at(1, 1) - at(-1, 1) - at(1, -1) + at(-1, -1)) * cross,
            (above(1, 0) - above(-1, 0) - below(1, 0) + below(-1, 0)) * cross,
            (above(0, 1) - above(0, -1) - below(0, 1) + below(0, -1)) * cross};
  }

 private:
  float difference(size_t i, int dx, int dy) const {
    return images_[i + 1].at(dx, dy) - images_[i].at(dx, dy);
  }
  float below(int dx, int dy) const { return difference(0, dx, dy); }
  float at(int dx, int dy) const { return difference(1, dx, dy); }
  float above(int dx, int dy) const { return difference(2, dx, dy); }

  struct Image {
    const float* middle;
    int64_t stride;
    float at(int dx, int dy) const { return middle[dy * stride + dx]; }
  };
  Image images_[4];
  Around last_;
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

// Whether the parabola's top is high enough, and no edge's; its height.
bool is_feature(const Neighbours& around, Extremum& e) {
  const auto slopes = around.slopes();
  const float rise = slopes[0] * e.dx + slopes[1] * e.dy + slopes[2] * e.dlayer;
  e.contrast = around.middle() * (1.f / 255) + rise * 0.5f;
  if (std::abs(e.contrast) * kLayers < kContrast) return false;
  const auto h = around.curvatures();
  const float trace = h[0] + h[1], det = h[0] * h[1] - h[3] * h[3];
  return det > 0 && trace * trace * kEdge < (kEdge + 1) * (kEdge + 1) * det;
}

// Moves an extremum to the top of a parabola through its neighbours; false when it is no feature.
bool refine(const Octave& octave, Extremum& e) {
  const Plane& plane = octave.blurred[0];
  for (int step = 0; step < kSteps; ++step) {
    const Neighbours around(octave, e);
    const auto top = top_of(around.curvatures(), around.slopes());
    std::tie(e.dx, e.dy, e.dlayer) = std::tuple(top[0], top[1], top[2]);
    const float farthest = std::max({std::abs(top[0]), std::abs(top[1]), std::abs(top[2])});
    if (farthest < 0.5f) return is_feature(around, e);
    if (!(farthest < 1e6f)) return false;
    e.column += static_cast<int>(std::lrint(top[0]));
    e.row += static_cast<int>(std::lrint(top[1]));
    e.layer += static_cast<int>(std::lrint(top[2]));
    if (e.layer < 1 || e.layer > kLayers || e.column < kBorder || e.row < kBorder ||
        e.column >= plane.width - kBorder || e.row >= plane.height - kBorder) {
      return false;
    }
  }
  return false;
}

// Angles of the histogram's peaks, degrees.
std::vector<float> orientations(const PatchParams& patch) {
  float raw[kOrientations], bins[kOrientations], highest = 0;
  active_patch_kernels().orientation(patch, raw);
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

void describe(const Octave& octave, const Extremum& e, const Extremum& next, float unit,
              std::vector<float>& scratch, std::vector<Feature>& features) {
  const float scale = kSigma * std::pow(2.f, (static_cast<float>(e.layer) + e.dlayer) /
                                                 static_cast<float>(kLayers));
  const auto need = [&](int radius) {
    scratch.resize(std::max(scratch.size(), static_cast<size_t>(3 * (2 * radius + 1 + kRowSlack))));
    return scratch.data();
  };
  const Plane& image = octave.blurred[static_cast<size_t>(e.layer)];
  const int near = static_cast<int>(std::lrint(4.5f * scale));
  const std::vector<float> angles =
      orientations({image, e.column, e.row, near, 0.f, 1.5f * scale, need(near), nullptr});
  const float x = static_cast<float>(e.column) + e.dx, y = static_cast<float>(e.row) + e.dy;
  const float cell = 3.f * scale;
  const int reach = std::min(static_cast<int>(std::lrint(cell * 1.4142135623730951f * 5 * 0.5f)),
                             static_cast<int>(std::hypot(image.width, image.height)));
  const float* fetch = octave.blurred[static_cast<size_t>(next.layer)].row(next.row) + next.column;
  for (float angle : angles) {
    const float back = 360.f - angle;
    const bool full = std::abs(back - 360.f) < std::numeric_limits<float>::epsilon();
    Feature& feature = features.emplace_back(
        Feature{x * unit, y * unit, 2 * scale * unit, angle, std::abs(e.contrast), {}});
    active_patch_kernels().descriptor(
        {image, static_cast<int>(std::lrint(x)), static_cast<int>(std::lrint(y)), reach,
         full ? 0.f : back, cell, need(reach), fetch},
        feature.descriptor.data());
  }
}

void prefetch(const Octave& octave, const Candidate& candidate, int layer) {
  for (int i = layer - 1; i < std::min(layer + 3, kImages); ++i) {
    const Plane& plane = octave.blurred[static_cast<size_t>(i)];
    for (int dy = -1; dy <= 1; ++dy) {
      __builtin_prefetch(plane.row(candidate.row + dy) + candidate.column);
    }
  }
}

void find_in(const Octave& octave, std::vector<Feature>& features) {
  const float unit = 0.5f * static_cast<float>(int64_t{1} << octave.index);
  std::vector<float> scratch;
  std::vector<Extremum> extrema;
  for (int layer = 1; layer <= kLayers; ++layer) {
    const auto& candidates = octave.candidates[static_cast<size_t>(layer)];
    for (size_t i = 0; i < candidates.size(); ++i) {
      prefetch(octave, candidates[std::min(i + 8, candidates.size() - 1)], layer);
      Extremum e{candidates[i].column, candidates[i].row, layer, 0, 0, 0, 0};
      if (refine(octave, e)) extrema.push_back(e);
    }
  }
  for (size_t i = 0; i < extrema.size(); ++i) {
    describe(octave, extrema[i], extrema[std::min(i + 1, extrema.size() - 1)], unit, scratch,
             features);
  }
}

}  // namespace

Plane SiftWorkspace::plane(size_t slot, int width, int height) {
  // An odd number of cache lines: the same column of many rows then fits into the cache.
  const int64_t stride = (width + kRowSlack - 1) / kRowSlack * kRowSlack + 16;
  const auto count = static_cast<size_t>(stride * height + 2 * kRowSlack);
  if (slots_.size() <= slot) slots_.resize(slot + 1);
  Memory& memory = slots_[slot];
  if (memory.count < count) {
    memory.count = 0;  // what stands should there be no memory
    memory.data.reset();
    memory.data.reset(new (std::align_val_t{kAlign}) float[count]());
    memory.count = count;
  }
  return {width, height, stride, memory.data.get() + kRowSlack};
}

SiftFeatures find_sift(const uint8_t* gray, int64_t stride, int width, int height,
                       SiftWorkspace& workspace) {
  std::vector<Feature> features;
  const int octaves =
      static_cast<int>(std::lrint(std::log2(2.0 * std::min(width, height)) - 2)) + 1;
  Octave octave = first_octave({gray, stride, width, height}, workspace);
  find_in(octave, features);
  for (int o = 1; o < octaves; ++o) {
    const Plane& plane = octave.blurred[0];
    if (std::min(plane.width, plane.height) / 2 <= 2 * kBorder) break;
    octave = next_octave(octave, workspace);
    find_in(octave, features);
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
