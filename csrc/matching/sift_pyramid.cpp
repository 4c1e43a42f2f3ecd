#include "matching/sift_pyramid.h"

#include <algorithm>
#include <cmath>

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

// Mirrored without repeating the edge, as often as it takes.
int reflect(int at, int count) {
  if (count == 1) return 0;
  while (at < 0 || at >= count) at = at < 0 ? -at : 2 * (count - 1) - at;
  return at;
}

// A Gaussian blur that takes rows and gives rows.
class Blur {
 public:
  // `ring` has ring_rows(sigma) rows.
  Blur(double sigma, const Plane& target, const Plane& ring)
      : taps_(gaussian(sigma)), target_(target), ring_(ring) {}

  static int ring_rows(double sigma) {
    return 2 * static_cast<int>(gaussian(sigma).size()) - 2 + kBatch;
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

// The last image around a point.
class LastImage {
 public:
  LastImage(const Octave& octave, int column, int row) {
    const Plane& image = octave.blurred[kImages - 1];
    const int radius = static_cast<int>(taps().size()) - 1, count = 2 * radius + 3;
    const int left = column - radius - 1, top = row - radius - 1;
    const bool inside =
        left >= 0 && left + count <= image.width && top >= 0 && top + count <= image.height;
    if (inside) {
      for (int i = 0; i < count; ++i) rows_[i] = image.row(top + i) + left;
    } else {
      std::fill_n(mirrored_[0], kRows * kColumns, 0.f);
      for (int i = 0; i < count; ++i) {
        const float* from = image.row(reflect(top + i, image.height));
        for (int k = 0; k < count; ++k) mirrored_[i][k] = from[reflect(left + k, image.width)];
        rows_[i] = mirrored_[i];
      }
    }
    params_ = {.rows = rows_, .taps = taps().data(), .radius = radius};
  }
  LastImage(const LastImage&) = delete;  // it points into itself

  Around around() const {
    Around around;
    active_pyramid_kernels().blur_point(params_, around.rows);
    return around;
  }
  float roughly() const { return active_pyramid_kernels().blur_middle(params_); }

 private:
  static const std::vector<float>& taps() {
    static const std::vector<float> taps = gaussian(sigma_of(kImages));
    return taps;
  }

  static constexpr int kRows = 2 * kMargin + 3, kColumns = kRows + 16;  // with room for vectors
  const float* rows_[kRows];
  float mirrored_[kRows][kColumns];
  PointBlurParams params_;
};

// Slots of the workspace: images 0 of octaves in turn, then what an octave needs.
enum Slot : size_t { kFirst = 0, kBlurred = 2, kRing = 8, kDifference = 14, kDoubled = 20 };

class OctaveMaker {
 public:
  // Image 0 is blurred from rows of the doubled frame, or there already.
  OctaveMaker(SiftWorkspace& workspace, const Plane& first, bool blur_first) {
    octave_.blurred[0] = first;
    for (size_t i = 0; i < kImages; ++i) {
      if (i > 0) octave_.blurred[i] = workspace.plane(kBlurred + i, first.width, first.height);
      const double sigma = sigma_of(i);
      if (i == 0 && !blur_first) {
        blurs_.emplace_back(sigma, Plane{}, Plane{});
        continue;
      }
      const Plane ring = workspace.plane(kRing + i, first.width, Blur::ring_rows(sigma));
      blurs_.emplace_back(sigma, octave_.blurred[i], ring);
    }
    for (size_t i = 0; i < differences_.size(); ++i) {
      differences_[i] = workspace.plane(kDifference + i, first.width, 3);
    }
    columns_.resize(static_cast<size_t>(first.width));
  }

  // The next row of what image `image` is blurred from.
  void push(size_t image, float* row) {
    blurs_[image].push(row);
    while (const int count = blurs_[image].make()) {
      const int end = blurs_[image].made();
      for (int y = end - count; y < end; ++y) {
        if (image + 1 < kImages) {
          push(image + 1, octave_.blurred[image].row(y));
        } else {
          finish(y);
          settle(y);
        }
      }
    }
  }

  Octave take() {
    octave_.candidates[kLayers].resize(standing_);
    return std::move(octave_);
  }

 private:
  // Whether an extremum of the last layer also is one against the differences above.
  bool stands(const Candidate& c) const {
    const Plane& image = octave_.blurred[kImages - 1];
    const LastImage there(octave_, c.column, c.row);
    const float value =
        image.row(c.row)[c.column] - octave_.blurred[kImages - 2].row(c.row)[c.column];
    constexpr float kRounding = 0.01f;  // far more than that of a thousand sums
    const float over =
        (there.roughly() - image.row(c.row)[c.column] - value) * (value > 0 ? 1 : -1);
    if (over > kRounding) return false;
    const Around last = there.around();
    for (int dy = 0; dy < 3; ++dy) {
      const float* row = image.row(c.row + dy - 1) + c.column - 1;
      for (int dx = 0; dx < 3; ++dx) {
        const float above = last.rows[dy][dx] - row[dx];
        if (value > 0 ? above > value : above < value) return false;
      }
    }
    return true;
  }

  // Rows to y are there: what the last image is blurred from around candidates far enough above is
  // still in the cache.
  void settle(int y) {
    auto& last = octave_.candidates[kLayers];
    const bool complete = y == octave_.blurred[0].height - 1;
    for (; settled_ < last.size() && (complete || last[settled_].row + kMargin <= y); ++settled_) {
      if (stands(last[settled_])) last[standing_++] = last[settled_];
    }
  }

  // All images have row y.
  void finish(int y) {
    const float* blurred[kImages];
    float* differences[kImages - 1];
    for (size_t i = 0; i < kImages; ++i) blurred[i] = octave_.blurred[i].row(y);
    for (size_t i = 0; i + 1 < kImages; ++i) differences[i] = differences_[i].row(y % 3);
    const int width = octave_.blurred[0].width, height = octave_.blurred[0].height;
    kernels_.differences(
        {.blurred = blurred, .images = kImages, .width = width, .out = differences});
    const int row = y - 1;
    if (row < kBorder || row >= height - kBorder) return;
    for (size_t layer = 1; layer <= kLayers; ++layer) {
      const size_t levels = layer < kLayers ? 3 : 2;
      ExtremaParams params = {.levels = static_cast<int>(levels),
                              .rows = {},
                              .width = width,
                              .border = kBorder,
                              .threshold = kThreshold,
                              .columns = columns_.data()};
      for (size_t i = 0; i < levels; ++i) {
        for (int k = 0; k < 3; ++k) {
          params.rows[i][k] = differences_[layer - 1 + i].row((row - 1 + k) % 3);
        }
      }
      const int count = kernels_.extrema(params);
      for (int k = 0; k < count; ++k) {
        octave_.candidates[layer].push_back({columns_[static_cast<size_t>(k)], row});
      }
    }
  }

  const PyramidKernels& kernels_ = active_pyramid_kernels();
  Octave octave_;
  size_t settled_ = 0, standing_ = 0;  // candidates of the last layer: looked at, left over
  std::vector<Blur> blurs_;
  std::array<Plane, kImages - 1> differences_;
  std::vector<int32_t> columns_;
};

}  // namespace

Around last_image(const Octave& octave, int column, int row) {
  return LastImage(octave, column, row).around();
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
