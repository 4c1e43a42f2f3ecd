// Guided filter: windows slide down bands of rows, and across each row.
#include <algorithm>
#include <vector>

#include "common/parallel.h"
#include "depth/depth.h"
#include "depth/depth_maths.h"
#include "depth/rows.h"

namespace steadyview {
namespace {

using namespace depth;

// Rows that a window slides down from where it is summed up anew: longer bands sum up less twice,
// shorter ones share the work better.
constexpr int64_t kBand = 64;

// Calls body(picture, first, last) for bands of rows.
template <typename T, typename Body>
void for_bands(const GuidedFilter<T>& g, Body body) {
  const int64_t bands = (g.height + kBand - 1) / kBand;
  parallel_for(0, g.pictures * bands, 1, [&](int64_t i, int64_t last) {
    for (; i < last; ++i) {
      const int64_t first = i % bands * kBand;
      body(i / bands, first, std::min(first + kBand, g.height));
    }
  });
}

// Means of guide and source, summed up by bands.
template <typename T>
void find_centres(const GuidedFilter<T>& g) {
  const int64_t bands = (g.height + kBand - 1) / kBand, size = g.height * g.width;
  std::vector<double> sums(static_cast<size_t>(2 * g.pictures * bands));
  for_bands(g, [&](int64_t n, int64_t first, int64_t last) {
    for (int k = 0; k < 2; ++k) {
      const T* values = (k ? g.source : g.guide) + n * size;
      double sum = 0;
      for (int64_t y = first; y < last; ++y) {
        sum += depth_rows<T>().sum(values + y * g.width, g.width);
      }
      sums[static_cast<size_t>(2 * (n * bands + first / kBand) + k)] = sum;
    }
  });
  for (int64_t n = 0; n < g.pictures; ++n) {
    double total[2] = {};
    for (int64_t i = 2 * n * bands; i < 2 * (n + 1) * bands; ++i) {
      total[i % 2] += sums[static_cast<size_t>(i)];
    }
    double* facts = g.scratch.facts + n * kFacts;
    facts[kGuideCentre] = total[0] / static_cast<double>(size);
    facts[kSourceCentre] = total[1] / static_cast<double>(size);
  }
}

// Slides windows of `count` columns' sums down a band: enter(row in, row out, columns) moves them,
// -1 for a row outside, and finish(y, across) takes the sums of row y.
template <int count, typename T, typename Enter, typename Finish>
void slide_down(const GuidedFilter<T>& g, int64_t first, int64_t last, Enter enter, Finish finish) {
  const int64_t across = std::min(g.radius, g.width - 1), down = std::min(g.radius, g.height - 1);
  const int64_t stride = g.width + 2 * across + 1;
  std::vector<double> columns(static_cast<size_t>(count * stride));
  std::vector<double> sums(static_cast<size_t>(count * g.width));
  std::vector<double> inverse(static_cast<size_t>(g.width));
  for (int64_t x = 0; x < g.width; ++x) {
    inverse[static_cast<size_t>(x)] = 1 / static_cast<double>(window(x, across, g.width));
  }
  Across row{.columns = columns.data() + across + 1,
             .stride = stride,
             .width = g.width,
             .radius = across,
             .sums = sums.data(),
             .inverse_widths = inverse.data(),
             .inverse_height = 0};
  double* into = columns.data() + across + 1;
  for (int64_t y = std::max(first - down, int64_t{0}); y < std::min(first + down, g.height); ++y) {
    enter(y, int64_t{-1}, into, stride);
  }
  for (int64_t y = first; y < last; ++y) {
    const int64_t in = y + down < g.height ? y + down : -1;
    const int64_t out = y > first && y - down - 1 >= 0 ? y - down - 1 : -1;
    enter(in, out, into, stride);
    row.inverse_height = 1 / static_cast<double>(window(y, down, g.height));
    finish(y, row);
  }
}

template <typename T>
void fit_band(const GuidedFilter<T>& g, int64_t n, int64_t first, int64_t last) {
  const int64_t size = g.height * g.width;
  const double* facts = g.scratch.facts + n * kFacts;
  const double epsilon = epsilon_of(g, facts);
  if (epsilon == 0) return;
  const T *guide = g.guide + n * size, *source = g.source + n * size;
  T* lines = g.scratch.lines + 2 * n * size;
  slide_down<4>(
      g, first, last,
      [&](int64_t in, int64_t out, double* columns, int64_t stride) {
        depth_rows<T>().enter_products({.first_in = in < 0 ? nullptr : guide + in * g.width,
                                        .second_in = in < 0 ? nullptr : source + in * g.width,
                                        .first_out = out < 0 ? nullptr : guide + out * g.width,
                                        .second_out = out < 0 ? nullptr : source + out * g.width,
                                        .first_centre = facts[kGuideCentre],
                                        .second_centre = facts[kSourceCentre],
                                        .width = g.width,
                                        .columns = columns,
                                        .stride = stride});
      },
      [&](int64_t y, const Across& row) {
        depth_rows<T>().fit_lines(row, epsilon, lines + y * g.width, lines + size + y * g.width);
      });
}

template <typename T>
void apply_band(const GuidedFilter<T>& g, int64_t n, int64_t first, int64_t last) {
  const int64_t size = g.height * g.width;
  const double* facts = g.scratch.facts + n * kFacts;
  T* output = g.output + n * size;
  if (epsilon_of(g, facts) == 0) {
    for (int64_t i = first * g.width; i < last * g.width; ++i) {
      output[i] = std::max(g.source[n * size + i], g.least);
    }
    return;
  }
  const T *slope = g.scratch.lines + 2 * n * size, *offset = slope + size;
  slide_down<2>(
      g, first, last,
      [&](int64_t in, int64_t out, double* columns, int64_t stride) {
        depth_rows<T>().enter_lines({.first_in = in < 0 ? nullptr : slope + in * g.width,
                                     .second_in = in < 0 ? nullptr : offset + in * g.width,
                                     .first_out = out < 0 ? nullptr : slope + out * g.width,
                                     .second_out = out < 0 ? nullptr : offset + out * g.width,
                                     .first_centre = 0,
                                     .second_centre = 0,
                                     .width = g.width,
                                     .columns = columns,
                                     .stride = stride});
      },
      [&](int64_t y, const Across& row) {
        depth_rows<T>().apply_lines(row, g.guide + n * size + y * g.width, facts[kGuideCentre],
                                    facts[kSourceCentre], g.least, output + y * g.width);
      });
}

}  // namespace

template <typename T>
void guided_filter_cpu(const GuidedFilter<T>& g) {
  find_centres(g);
  for_bands(g, [&](int64_t n, int64_t first, int64_t last) { fit_band(g, n, first, last); });
  for_bands(g, [&](int64_t n, int64_t first, int64_t last) { apply_band(g, n, first, last); });
}

template void guided_filter_cpu(const GuidedFilter<float>&);
template void guided_filter_cpu(const GuidedFilter<double>&);

}  // namespace steadyview
