#include "matching/sift_pyramid.h"

#include <algorithm>
#include <cmath>

#include "matching/sift_extrema.h"

namespace steadyview::matching {
namespace {

constexpr float kThreshold = 1.f;  // floor(0.5 * 0.04 / 3 * 255)

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

// The blur that makes image i of an octave from the one before; of image 0, from the doubled frame,
// which counts as blurred by 1 already.
double sigma_of(size_t i) {
  if (i == 0) return std::sqrt(kSigma * kSigma - 1.f);
  const double step = std::exp2(1.0 / kLayers);
  const double before = 1.6 * std::pow(step, i - 1), after = before * step;
  return std::sqrt(after * after - before * before);
}

// A Gaussian blur that takes rows and gives rows.
class Blur {
 public:
  // `ring` has ring_rows(image) rows.
  Blur(size_t image, const Plane& target, const Plane& ring)
      : taps_(blur_taps(image)), target_(target), ring_(ring) {}

  static int ring_rows(size_t image) {
    return 2 * static_cast<int>(blur_taps(image).size()) - 2 + kBatch;
  }

  void push(float* row) {
    kernels_.blur_row({.source = row,
                       .width = target_.width,
                       .taps = taps_.data(),
                       .radius = radius(),
                       .out = ring_.row(taken_++ % ring_.height)});
  }

  // Makes the next rows of the target, a few at a time, and returns how many: none when it needs
  // more.
  int make() {
    const int count = std::min(kBatch, target_.height - made_);
    if (taken_ < made_ + count + radius() && taken_ < target_.height) return 0;
    rows_.clear();
    for (int y = made_ - radius(); y < made_ + count + radius(); ++y) {
      rows_.push_back(ring_.row(reflect(y, target_.height) % ring_.height));
    }
    float* out[kBatch];
    for (int i = 0; i < count; ++i) out[i] = target_.row(made_ + i);
    kernels_.blur_column({.rows = rows_.data(),
                          .width = target_.width,
                          .taps = taps_.data(),
                          .radius = radius(),
                          .count = count,
                          .out = out});
    made_ += count;
    return count;
  }

  int made() const { return made_; }

 private:
  int radius() const { return static_cast<int>(taps_.size()) - 1; }

  const PyramidKernels& kernels_ = active_pyramid_kernels();
  std::vector<float> taps_;
  Plane target_, ring_;
  std::vector<const float*> rows_;
  int taken_ = 0, made_ = 0;
};

// Slots of the workspace: images 0 of octaves in turn, then what an octave needs.
enum Slot : size_t { kFirst = 0, kBlurred = 2, kRing = 8, kDoubled = 14 };

class OctaveMaker {
 public:
  // Image 0 is blurred from rows of the doubled frame, or there already.
  OctaveMaker(SiftWorkspace& workspace, const Plane& first, bool blur_first) {
    octave_.blurred[0] = first;
    for (size_t i = 0; i < kImages; ++i) {
      if (i > 0) octave_.blurred[i] = workspace.plane(kBlurred + i, first.width, first.height);
      if (i == 0 && !blur_first) {
        blurs_.emplace_back(i, Plane{}, Plane{});
        continue;
      }
      const Plane ring = workspace.plane(kRing + i, first.width, Blur::ring_rows(i));
      blurs_.emplace_back(i, octave_.blurred[i], ring);
    }
  }

  // The next row of what image `image` is blurred from.
  void push(size_t image, float* row) {
    blurs_[image].push(row);
    while (const int count = blurs_[image].make()) {
      const int end = blurs_[image].made();
      for (int y = end - count; y < end; ++y) {
        if (image + 1 < kImages) push(image + 1, octave_.blurred[image].row(y));
      }
      if (image + 1 == kImages) {
        made_ = end;
        search();
        settle();
      }
    }
  }

  Octave take() {
    for (const auto& [candidate, layer] : late_) keep(candidate, layer);
    return std::move(octave_);
  }

 private:
  struct Late {
    Candidate candidate;
    int layer;
  };

  void keep(const Candidate& candidate, int layer) {
    Extremum found;
    switch (matching::settle(octave_, candidate, layer, made_, found)) {
      case Settled::yes:
        return octave_.features[static_cast<size_t>(layer)].push_back(found);
      case Settled::later:
        return late_.push_back({candidate, layer});
      case Settled::no:
        return;
    }
  }

  // Candidates are settled as soon as the rows around them are there, while those are in the cache.
  void settle() {
    const bool complete = made_ == octave_.blurred[0].height;
    for (int layer = 1; layer <= kLayers; ++layer) {
      const auto& candidates = candidates_[static_cast<size_t>(layer)];
      size_t& next = settled_[static_cast<size_t>(layer)];
      for (; next < candidates.size() && (complete || candidates[next].row + kMargin < made_);
           ++next) {
        keep(candidates[next], layer);
      }
    }
  }

  // Looks for candidates in rows that are there, and the row after them.
  void search() {
    const int first = std::max(searched_, kBorder);
    const int last = std::min(made_ - 1, octave_.blurred[0].height - kBorder);
    if (first >= last) return;
    searched_ = last;
    const int right = octave_.blurred[0].width - kBorder;
    Candidates candidates;
    for (int x = 0; x < right; x += kStrip) {
      kernels_.extrema({.blurred = octave_.blurred.data(),
                        .first_row = first,
                        .rows = last - first,
                        .first_column = x,
                        .columns = std::min(kStrip, right - x),
                        .threshold = kThreshold},
                       candidates);
      for (size_t i = 0; i < kLayers; ++i) {
        const Candidate* found = candidates.found[i];
        candidates_[i + 1].insert(candidates_[i + 1].end(), found, found + candidates.counts[i]);
      }
    }
  }

  const PyramidKernels& kernels_ = active_pyramid_kernels();
  Octave octave_;
  int made_ = 0, searched_ = 0;                                 // rows of all images
  std::array<std::vector<Candidate>, kLayers + 1> candidates_;  // by layer, from 1
  std::array<size_t, kLayers + 1> settled_ = {};                // of them
  std::vector<Late> late_;                                      // settled when all is there
  std::vector<Blur> blurs_;
};

}  // namespace

std::vector<float> blur_taps(size_t image) { return gaussian(sigma_of(image)); }

int reflect(int at, int count) {
  if (count == 1) return 0;
  while (at < 0 || at >= count) at = at < 0 ? -at : 2 * (count - 1) - at;
  return at;
}

Octave first_octave(const GrayFrame& frame, SiftWorkspace& workspace) {
  const int width = 2 * frame.width, height = 2 * frame.height;
  OctaveMaker maker(workspace, workspace.plane(kFirst, width, height), true);
  const Plane rows = workspace.plane(kDoubled, width, 2);
  for (int y = 0; y < height; ++y) {
    const int near = y / 2, far = std::clamp(near + (y % 2 ? 1 : -1), 0, frame.height - 1);
    active_pyramid_kernels().double_row({.near = frame.data + near * frame.stride,
                                         .far = frame.data + far * frame.stride,
                                         .width = frame.width,
                                         .out = rows.row(0),
                                         .scratch = rows.row(1)});
    maker.push(0, rows.row(0));
  }
  return maker.take();
}

Octave next_octave(const Octave& before, SiftWorkspace& workspace) {
  const Plane& source = before.blurred[kLayers];
  const int index = before.index + 1;
  const Plane first =
      workspace.plane(kFirst + static_cast<size_t>(index % 2), source.width / 2, source.height / 2);
  // The blurred images of `before` are overwritten from here on.
  for (int y = 0; y < first.height; ++y) {
    active_pyramid_kernels().halve_row(source.row(2 * y), first.width, first.row(y));
  }
  OctaveMaker maker(workspace, first, false);
  for (int y = 0; y < first.height; ++y) maker.push(1, first.row(y));
  Octave octave = maker.take();
  octave.index = index;
  return octave;
}

}  // namespace steadyview::matching
