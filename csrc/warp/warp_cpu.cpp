#include <algorithm>
#include <limits>
#include <numbers>
#include <vector>

#include "common/isa.h"
#include "common/parallel.h"
#include "warp/bands.h"

namespace steadyview {
namespace {

constexpr int64_t kRows = 8;       // output rows of one piece of work
constexpr int64_t kBandRows = 32;  // image rows of one, in the gradient by the image

// Cosines of the pixels of an output row, by cos((v + 1) a) = 2 cos a cos(v a) - cos((v - 1) a).
template <typename T, typename S>
std::vector<double> cosine_basis(const BackwardWarp<T, S>& warp) {
  if (!warp.motion.displacement) return {};
  const int64_t columns = basis_columns(warp.output_width);
  std::vector<double> basis(warp.motion.terms * columns, 1.0);
  for (int64_t x = 0; warp.motion.terms > 1 && x < warp.output_width; ++x) {
    const double cosine = std::cos(std::numbers::pi * (static_cast<double>(x) + 0.5) /
                                   static_cast<double>(warp.output_width));
    basis[columns + x] = cosine;
    for (int v = 2; v < warp.motion.terms; ++v) {
      basis[v * columns + x] =
          2 * cosine * basis[(v - 1) * columns + x] - basis[(v - 2) * columns + x];
    }
  }
  return basis;
}

// And by the source points, where that is wanted.
template <typename T>
void gradient_by_image(const BackwardWarpGradient<T>& gradient, const double* basis) {
  const BackwardWarp<T>& warp = gradient.forward;
  const BandPlan plan = plan_bands(warp, basis);
  const int64_t tiles = (warp.output_width + kWarpTile - 1) / kWarpTile;
  const int64_t blocks = (warp.channels + 3) / 4;
  const auto scatter = STEADYVIEW_FOR_ISA(warping, scatter_band<T>);
  const auto memory_of = STEADYVIEW_FOR_ISA(warping, band_memory<T>);
  parallel_for(0, warp.batch * blocks * plan.count, 1, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      const int64_t n = i / plan.count / blocks, first = i % plan.count * plan.rows;
      const int64_t last = std::min(first + plan.rows, warp.height);
      const int64_t channel = i / plan.count % blocks * 4;
      const BandMemory memory = memory_of(warp, last - first);
      const ZeroedSums<T> sums(memory.count, memory.zeros);
      scatter(gradient, basis,
              {.n = n,
               .channel = channel,
               .first = first,
               .last = last,
               .reach = plan.reach.data() + n * warp.output_height * tiles,
               .row_reach = plan.row_reach.data() + n * warp.output_height,
               .sums = sums.get()});
    }
  });
}

template <typename T>
void gradient_by_terms(const BackwardWarpGradient<T>& gradient, const double* basis) {
  const BackwardWarp<T>& warp = gradient.forward;
  const int terms = warp.motion.displacement ? warp.motion.terms : 0;
  const int64_t rows = warp.output_height, size = 6 + 2 * terms;
  std::vector<double> sums(warp.batch * rows * size);
  const auto sum = STEADYVIEW_FOR_ISA(warping, sum_rows<T>);
  parallel_for(0, warp.batch * rows, kRows, [&](int64_t first, int64_t last) {
    sum(gradient, basis, first, last, sums.data() + first * size);
  });
  const int64_t count = warp_terms(warp.motion);
  std::fill_n(gradient.grad_terms, warp.batch * count, 0.0);
  for (int64_t i = 0; i < warp.batch * rows; ++i) {
    const double y = static_cast<double>(i % rows) + 0.5, *row = sums.data() + i * size;
    double* out = gradient.grad_terms + i / rows * count;
    for (int q = 0; q < 3; ++q) {
      out[3 * q] += row[2 * q];
      out[3 * q + 1] += row[2 * q + 1] * y;
      out[3 * q + 2] += row[2 * q + 1];
    }
    for (int u = 0; u < terms; ++u) {
      const double cosine = std::cos(std::numbers::pi * u * y / static_cast<double>(rows));
      for (int v = 0; v < terms; ++v) {
        out[9 + u * terms + v] += cosine * row[6 + v];
        out[9 + (terms + u) * terms + v] += cosine * row[6 + terms + v];
      }
    }
  }
}

}  // namespace

template <typename T>
BandPlan plan_bands(const BackwardWarp<T>& warp, const double* basis) {
  const int64_t tiles = (warp.output_width + kWarpTile - 1) / kWarpTile;
  const int64_t output_rows = warp.batch * warp.output_height;
  BandPlan plan{.reach = std::vector<RowReach>(output_rows * tiles),
                .row_reach = std::vector<RowReach>(output_rows),
                .rows = kBandRows,
                .count = 0};
  const auto find = STEADYVIEW_FOR_ISA(warping, find_reach<T>);
  parallel_for(0, output_rows, kRows, [&](int64_t first, int64_t last) {
    find(warp, basis, first, last, plan.reach.data());
    for (int64_t i = first; i < last; ++i) {
      RowReach row{std::numeric_limits<int>::max(), 0};
      for (int64_t k = i * tiles; k < (i + 1) * tiles; ++k) {
        row.first = std::min(row.first, plan.reach[k].first);
        row.last = std::max(row.last, plan.reach[k].last);
      }
      plan.row_reach[i] = row;
    }
  });
  // Where tiles see many bands, larger bands save looking at them again and again.
  for (; plan.rows < warp.height; plan.rows *= 2) {
    int64_t seen = 0;
    for (const RowReach& r : plan.reach) {
      if (r.last >= r.first) seen += r.last / plan.rows - r.first / plan.rows + 1;
    }
    if (seen <= 2 * static_cast<int64_t>(plan.reach.size())) break;
  }
  plan.rows = std::min(plan.rows, warp.height);
  plan.count = (warp.height + plan.rows - 1) / plan.rows;
  return plan;
}

template BandPlan plan_bands(const BackwardWarp<float>&, const double*);
template BandPlan plan_bands(const BackwardWarp<double>&, const double*);

template <typename T, typename S>
void backward_warp_cpu(const BackwardWarp<T, S>& warp) {
  if (warp.channels == 0 || warp.output_width == 0) return;
  const std::vector<double> basis = cosine_basis(warp);
  const auto rows = STEADYVIEW_FOR_ISA(warping, warp_rows<T, S>);
  parallel_for(0, warp.batch * warp.output_height, kRows,
               [&](int64_t first, int64_t last) { rows(warp, basis.data(), first, last); });
}

template <typename T>
void backward_warp_gradient_cpu(const BackwardWarpGradient<T>& gradient) {
  const BackwardWarp<T>& warp = gradient.forward;
  const std::vector<double> basis = cosine_basis(warp);
  if (gradient.grad_image && warp.channels > 0) {
    gradient_by_image(gradient, basis.data());
  } else if (gradient.grad_points) {
    const auto points = STEADYVIEW_FOR_ISA(warping, gradient_rows<T>);
    parallel_for(0, warp.batch * warp.output_height, kRows,
                 [&](int64_t first, int64_t last) { points(gradient, basis.data(), first, last); });
  }
  if (gradient.grad_terms) gradient_by_terms(gradient, basis.data());
}

template void backward_warp_cpu(const BackwardWarp<float>&);
template void backward_warp_cpu(const BackwardWarp<double>&);
template void backward_warp_cpu(const BackwardWarp<float, uint8_t>&);
template void backward_warp_gradient_cpu(const BackwardWarpGradient<float>&);
template void backward_warp_gradient_cpu(const BackwardWarpGradient<double>&);

}  // namespace steadyview
