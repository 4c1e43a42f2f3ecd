#include "matching/sift_extrema.h"

#include <algorithm>
#include <cmath>
#include <tuple>

namespace steadyview::matching {
namespace {

constexpr int kSteps = 5;
constexpr float kContrast = 0.04f, kEdge = 10.f;

// The last image at and next to a point.
struct Around {
  float rows[3][4];  // above, at and below a point; of each the fourth means nothing
};

// Makes the last image around a point.
class LastImage {
 public:
  LastImage(const Octave& octave, int column, int row) {
    const Plane& image = octave.blurred[kImages - 1];
    const int left = column - reach(), top = row - reach(), count = 2 * reach() + 1;
    const bool inside =
        left >= 0 && left + count <= image.width && top >= 0 && top + count <= image.height;
    if (!inside) {
      std::fill_n(mirrored_[0], kRows * kColumns, 0.f);
      for (int i = 0; i < count; ++i) {
        const float* from = image.row(reflect(top + i, image.height));
        for (int k = 0; k < count; ++k) mirrored_[i][k] = from[reflect(left + k, image.width)];
      }
    }
    params_ = {.from = inside ? image.row(top) + left : mirrored_[0],
               .stride = inside ? image.stride : kColumns,
               .taps = taps().all,
               .radius = taps().radius};
  }
  LastImage(const LastImage&) = delete;  // it points into itself

  static int reach() { return taps().radius + 1; }  // pixels to all sides
  Around around() const {
    Around around;
    active_pyramid_kernels().blur_point(params_, around.rows);
    return around;
  }
  float roughly() const { return active_pyramid_kernels().blur_middle(params_); }

 private:
  struct Taps {
    float all[2 * kMargin] = {};
    int radius;

    Taps() {
      const std::vector<float> half = blur_taps(kImages);
      radius = static_cast<int>(half.size()) - 1;
      for (int k = -radius; k <= radius; ++k) {
        all[radius + k] = half[static_cast<size_t>(std::abs(k))];
      }
    }
  };
  static const Taps& taps() {
    static const Taps taps;
    return taps;
  }

  static constexpr int kRows = 2 * kMargin + 3, kColumns = kRows + 16;  // with room for vectors
  float mirrored_[kRows][kColumns];
  PointBlurParams params_;
};

// Whether an extremum of the last layer also is one against the differences above. Then `last` is
// the last image around it.
bool stands(const Octave& octave, const Candidate& c, Around& last) {
  const Plane& image = octave.blurred[kImages - 1];
  const LastImage there(octave, c.column, c.row);
  const float here = image.row(c.row)[c.column];
  const float value = here - octave.blurred[kImages - 2].row(c.row)[c.column];
  constexpr float kRounding = 0.01f;  // far more than that of a thousand sums
  if ((there.roughly() - here - value) * (value > 0 ? 1 : -1) > kRounding) return false;
  last = there.around();
  for (int dy = 0; dy < 3; ++dy) {
    const float* row = image.row(c.row + dy - 1) + c.column - 1;
    for (int dx = 0; dx < 3; ++dx) {
      const float above = last.rows[dy][dx] - row[dx];
      if (value > 0 ? above > value : above < value) return false;
    }
  }
  return true;
}

// Differences of blurred images around a point; `last` is used when it is of the last layer.
class Neighbours {
 public:
  Neighbours(const Octave& octave, const Extremum& e, const Around& last) {
    for (int i = 0; i < 4; ++i) {
      const auto image = static_cast<size_t>(e.layer - 1 + i);
      if (image < kImages) {
        const Plane& plane = octave.blurred[image];
        images_[i] = {plane.row(e.row) + e.column, plane.stride};
      } else {
        images_[i] = {&last.rows[1][1], 4};
      }
    }
  }

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

// Moves an extremum to the top of a parabola through its neighbours. `last`: around it, when it is
// of the last layer.
Settled refine(const Octave& octave, int end, Around& last, Extremum& e) {
  const Plane& plane = octave.blurred[0];
  for (int step = 0; step < kSteps; ++step) {
    const Neighbours around(octave, e, last);
    const auto top = top_of(around.curvatures(), around.slopes());
    std::tie(e.dx, e.dy, e.dlayer) = std::tuple(top[0], top[1], top[2]);
    const float farthest = std::max({std::abs(top[0]), std::abs(top[1]), std::abs(top[2])});
    if (farthest < 0.5f) return is_feature(around, e) ? Settled::yes : Settled::no;
    if (!(farthest < 1e6f)) return Settled::no;
    e.column += static_cast<int>(std::lrint(top[0]));
    e.row += static_cast<int>(std::lrint(top[1]));
    e.layer += static_cast<int>(std::lrint(top[2]));
    if (e.layer < 1 || e.layer > kLayers || e.column < kBorder || e.row < kBorder ||
        e.column >= plane.width - kBorder || e.row >= plane.height - kBorder) {
      return Settled::no;
    }
    if (std::min(e.row + LastImage::reach(), plane.height - 1) >= end) return Settled::later;
    if (e.layer == kLayers) last = LastImage(octave, e.column, e.row).around();
  }
  return Settled::no;
}

}  // namespace

Settled settle(const Octave& octave, const Candidate& candidate, int layer, int end,
               Extremum& found) {
  const int height = octave.blurred[0].height;
  if (std::min(candidate.row + LastImage::reach(), height - 1) >= end) return Settled::later;
  Around last;
  if (layer == kLayers && !stands(octave, candidate, last)) return Settled::no;
  found = {candidate.column, candidate.row, layer, 0, 0, 0, 0};
  return refine(octave, end, last, found);
}

}  // namespace steadyview::matching
