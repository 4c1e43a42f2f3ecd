#include "matching/sift.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <new>
#include <tuple>

#include "common/huge_pages.h"
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

constexpr int kOrientations = 36;

struct Feature {
  float x, y, size, angle, response;
  std::array<uint8_t, kSiftLength> descriptor;
};

// Angles of the histogram's peaks, degrees.
struct Orientations {
  int count = 0;
  float angles[kOrientations];
};

Orientations orientations(const PatchParams& patch) {
  // The histogram is a ring: its ends are repeated on both sides.
  float raw[kOrientations + 4], bins[kOrientations + 2];
  active_patch_kernels().orientation(patch, raw + 2);
  std::copy_n(raw + kOrientations, 2, raw);
  std::copy_n(raw + 2, 2, raw + kOrientations + 2);
  for (int i = 0; i < kOrientations; ++i) {
    bins[i + 1] = (raw[i] + raw[i + 4]) * (1.f / 16) + (raw[i + 1] + raw[i + 3]) * (4.f / 16) +
                  raw[i + 2] * (6.f / 16);
  }
  bins[0] = bins[kOrientations];
  bins[kOrientations + 1] = bins[1];
  const float least = *std::max_element(bins + 1, bins + 1 + kOrientations) * 0.8f;
  Orientations found;
  for (int i = 0; i < kOrientations; ++i) {
    const float left = bins[i], here = bins[i + 1], right = bins[i + 2];
    if (here < least || here <= left || here <= right) continue;
    float bin = static_cast<float>(i) + 0.5f * (left - right) / (left - 2 * here + right);
    bin = bin < 0 ? bin + kOrientations : bin >= kOrientations ? bin - kOrientations : bin;
    const float angle = 360.f - bin * (360.f / kOrientations);
    const bool full = std::abs(angle - 360.f) < std::numeric_limits<float>::epsilon();
    found.angles[found.count++] = full ? 0.f : angle;
  }
  return found;
}

// Describes the features of an octave one after the other.
class Describer {
 public:
  explicit Describer(const Octave& octave)
      : octave_(octave), unit_(0.5f * static_cast<float>(int64_t{1} << octave.index)) {
    const Plane& image = octave.blurred[0];
    farthest_ = static_cast<int>(std::hypot(image.width, image.height));
  }

  void add(const Extremum& e, const Extremum& next, std::vector<Feature>& features) {
    const float scale = kSigma * std::pow(2.f, (static_cast<float>(e.layer) + e.dlayer) /
                                                   static_cast<float>(kLayers));
    const Plane& image = octave_.blurred[static_cast<size_t>(e.layer)];
    const int near = static_cast<int>(std::lrint(4.5f * scale));
    const Orientations found =
        orientations({image, e.column, e.row, near, 0.f, 1.5f * scale, scratch(near), nullptr});
    const float x = static_cast<float>(e.column) + e.dx, y = static_cast<float>(e.row) + e.dy;
    const float cell = 3.f * scale;
    const int reach =
        std::min(static_cast<int>(std::lrint(cell * 1.4142135623730951f * 5 * 0.5f)), farthest_);
    const float* fetch =
        octave_.blurred[static_cast<size_t>(next.layer)].row(next.row) + next.column;
    for (int i = 0; i < found.count; ++i) {
      const float angle = found.angles[i], back = 360.f - angle;
      const bool full = std::abs(back - 360.f) < std::numeric_limits<float>::epsilon();
      Feature& feature = features.emplace_back();
      feature.x = x * unit_;
      feature.y = y * unit_;
      feature.size = 2 * scale * unit_;
      feature.angle = angle;
      feature.response = std::abs(e.contrast);
      active_patch_kernels().descriptor(
          {image, static_cast<int>(std::lrint(x)), static_cast<int>(std::lrint(y)), reach,
           full ? 0.f : back, cell, scratch(reach), fetch},
          feature.descriptor.data());
    }
  }

 private:
  float* scratch(int radius) {
    const auto need = static_cast<size_t>(3 * (2 * radius + 1 + kRowSlack));
    if (scratch_.size() < need) scratch_.resize(need);
    return scratch_.data();
  }

  const Octave& octave_;
  float unit_;  // pixels of the frame
  int farthest_;
  std::vector<float> scratch_;
};

void describe(const Octave& octave, std::vector<Feature>& features) {
  Describer describer(octave);
  for (const std::vector<Extremum>& extrema : octave.features) {
    for (size_t i = 0; i < extrema.size(); ++i) {
      describer.add(extrema[i], extrema[std::min(i + 1, extrema.size() - 1)], features);
    }
  }
}

}  // namespace

float* SiftWorkspace::reserve(size_t count) {
  if (count > PTRDIFF_MAX / sizeof(float) - kHugePage) throw std::bad_alloc();
  const size_t bytes = count * sizeof(float);
  const size_t align = bytes >= kHugePage ? kHugePage : kAlign;
  const size_t rounded = (bytes + align - 1) / align * align;
  void* memory = std::aligned_alloc(align, rounded);
  if (!memory) throw std::bad_alloc();
  if (align == kHugePage) ask_for_huge_pages(memory, rounded);
  std::memset(memory, 0, rounded);
  return static_cast<float*>(memory);
}

Plane SiftWorkspace::plane(size_t slot, int width, int height) {
  // An odd number of cache lines: the same column of many rows then fits into the cache.
  const int64_t stride = (width + kRowSlack - 1) / kRowSlack * kRowSlack + 16;
  // Planes begin at different lines of a page: rows of one number then do not compete for a place.
  const size_t shift = slot * 5 * kAlign / sizeof(float);
  const auto count = static_cast<size_t>(stride * height + 2 * kRowSlack) + shift;
  if (slots_.size() <= slot) slots_.resize(slot + 1);
  Memory& memory = slots_[slot];
  if (memory.count < count) {
    memory.count = 0;  // what stands should there be no memory
    memory.data.reset();
    memory.data.reset(reserve(count));
    memory.count = count;
  }
  return {width, height, stride, memory.data.get() + shift + kRowSlack};
}

SiftFeatures find_sift(const uint8_t* gray, int64_t stride, int width, int height,
                       SiftWorkspace& workspace) {
  std::vector<Feature> features;
  const int octaves =
      static_cast<int>(std::lrint(std::log2(2.0 * std::min(width, height)) - 2)) + 1;
  Octave octave = first_octave({gray, stride, width, height}, workspace);
  describe(octave, features);
  for (int o = 1; o < octaves; ++o) {
    const Plane& plane = octave.blurred[0];
    if (std::min(plane.width, plane.height) / 2 <= 2 * kBorder) break;
    octave = next_octave(octave, workspace);
    describe(octave, features);
  }
  // OpenCV's order, on which RANSAC's samples depend; equal ones are dropped.
  const auto key = [](const Feature* f) {
    return std::tuple(f->x, f->y, -f->size, f->angle, -f->response);
  };
  const auto same = [](const Feature* a, const Feature* b) {
    return std::tie(a->x, a->y, a->size, a->angle) == std::tie(b->x, b->y, b->size, b->angle);
  };
  std::vector<const Feature*> order;
  order.reserve(features.size());
  for (const Feature& f : features) order.push_back(&f);
  std::sort(order.begin(), order.end(), [&](auto* a, auto* b) { return key(a) < key(b); });
  order.erase(std::unique(order.begin(), order.end(), same), order.end());
  SiftFeatures found;
  found.points.reserve(2 * order.size());
  found.descriptors.reserve(kSiftLength * order.size());
  for (const Feature* f : order) {
    found.points.insert(found.points.end(), {f->x, f->y});
    found.descriptors.insert(found.descriptors.end(), f->descriptor.begin(), f->descriptor.end());
  }
  return found;
}

}  // namespace steadyview::matching
