#include <algorithm>
#include <atomic>
#include <cmath>
#include <memory>
#include <new>
#include <vector>

#include "common/parallel.h"
#include "stereo/plane_sweep.h"
#include "stereo/sweep_maths.h"

namespace steadyview::stereo {
namespace {

constexpr int64_t kCostRows = 20, kLineChunk = 16, kWinnerRows = 8;
constexpr std::align_val_t kAlignment{64};

struct Release {
  template <typename T>
  void operator()(T* memory) const {
    ::operator delete[](memory, kAlignment);
  }
};

// Not set to zero: the volumes are large and written before they are read.
template <typename T>
std::unique_ptr<T[], Release> allocate(int64_t count) {
  const auto bytes = static_cast<size_t>(count) * sizeof(T);
  return std::unique_ptr<T[], Release>(static_cast<T*>(::operator new[](bytes, kAlignment)));
}

void copy_costs(const Strip& strip, int64_t first, int64_t last) {
  const int64_t row = strip.sweep->width * strip.padded;
  std::copy(strip.costs + first * row, strip.costs + last * row, strip.sums + first * row);
}

// Costs, paths and winners of a strip; winners only of the rows from `begin` to `end`.
void sweep_strip(const Strip& strip, int64_t begin, int64_t end) {
  const PlaneSweep& p = *strip.sweep;
  parallel_for(0, strip.rows, kCostRows, [&](int64_t first, int64_t last) {
    const int64_t bytes = cost_scratch(p, last - first).bytes;
    const auto scratch = allocate<uint8_t>(bytes);
    std::fill_n(scratch.get(), bytes, uint8_t{0});
    STEADYVIEW_FOR_ISA(stereo, cost_rows(strip, first, last, scratch.get()));
  });
  if (p.paths == 0) {
    parallel_for(0, strip.rows, kWinnerRows,
                 [&](int64_t first, int64_t last) { copy_costs(strip, first, last); });
  }
  for (int i = 0; i < p.paths; ++i) {
    const Direction d = kDirections[i];
    parallel_for(0, line_count(strip, d), kLineChunk, [&](int64_t first, int64_t last) {
      STEADYVIEW_FOR_ISA(stereo, path_lines(strip, d, i > 0, first, last));
    });
  }
  parallel_for(begin - strip.first, end - strip.first, kWinnerRows,
               [&](int64_t first, int64_t last) {
                 STEADYVIEW_FOR_ISA(stereo, winner_rows(strip, first, last));
               });
}

// Each pixel claims the source pixel that it sees at its depth, the cheapest claim holds it, and a
// pixel whose claim disagrees with the holder's is not what that source shows there.
void check_sources(const PlaneSweep& p, const uint16_t* winners, const uint16_t* costs) {
  const int64_t pixels = p.height * p.width;
  std::vector<uint32_t> claims(static_cast<size_t>(pixels));
  std::vector<uint8_t> seen(claims.size()), agreed(claims.size());
  for (int source = 0; source < p.sources; ++source) {
    const double* map = p.maps + 12 * source;
    const auto target = [&](int64_t i) {
      return seen_pixel(map, p.inverse_depths[winners[i]], i % p.width, i / p.width, p.width,
                        p.height);
    };
    std::fill(claims.begin(), claims.end(), UINT32_MAX);
    parallel_for(0, p.height, kWinnerRows, [&](int64_t first, int64_t last) {
      for (int64_t i = first * p.width; i < last * p.width; ++i) {
        const int64_t at = target(i);
        if (at < 0) continue;
        const uint32_t mine = claim(costs[i], winners[i]);
        std::atomic_ref<uint32_t> holder(claims[static_cast<size_t>(at)]);
        uint32_t other = holder.load(std::memory_order_relaxed);
        while (mine < other &&
               !holder.compare_exchange_weak(other, mine, std::memory_order_relaxed)) {
        }
      }
    });
    parallel_for(0, p.height, kWinnerRows, [&](int64_t first, int64_t last) {
      for (int64_t i = first * p.width; i < last * p.width; ++i) {
        const int64_t at = target(i);
        if (at < 0) continue;
        ++seen[static_cast<size_t>(i)];
        agreed[static_cast<size_t>(i)] += agrees(winners[i], claims[static_cast<size_t>(at)]);
      }
    });
  }
  for (int64_t i = 0; i < pixels; ++i) {
    const int views = seen[static_cast<size_t>(i)], good = agreed[static_cast<size_t>(i)];
    p.valid[i] = is_valid(views, good, p.keep, p.confidence[i], p.least_confidence);
    if (views == 0) p.depth[i] = p.confidence[i] = 0;
  }
}

bool invert(const double* m, double* inverse) {
  const double c0 = m[4] * m[8] - m[5] * m[7], c1 = m[5] * m[6] - m[3] * m[8],
               c2 = m[3] * m[7] - m[4] * m[6], det = m[0] * c0 + m[1] * c1 + m[2] * c2;
  double scale = 1;
  for (int row = 0; row < 3; ++row) {
    scale *= std::hypot(m[3 * row], m[3 * row + 1], m[3 * row + 2]);
  }
  if (!(std::abs(det) > 1e-12 * scale)) return false;
  const double adjugate[9] = {c0, m[2] * m[7] - m[1] * m[8], m[1] * m[5] - m[2] * m[4],
                              c1, m[0] * m[8] - m[2] * m[6], m[2] * m[3] - m[0] * m[5],
                              c2, m[1] * m[6] - m[0] * m[7], m[0] * m[4] - m[1] * m[3]};
  for (int i = 0; i < 9; ++i) inverse[i] = adjugate[i] / det;
  return true;
}

void multiply(const double* a, const double* b, double* product) {
  for (int i = 0; i < 9; ++i) {
    const int row = i / 3 * 3, column = i % 3;
    product[i] = a[row] * b[column] + a[row + 1] * b[3 + column] + a[row + 2] * b[6 + column];
  }
}

// Rotation and translation of a view matrix; false when its last row is not (0, 0, 0, 1), but for
// the rounding of an inverse.
bool split(const double* view, double* rotation, double* translation) {
  for (int row = 0; row < 3; ++row) {
    std::copy_n(view + 4 * row, 3, rotation + 3 * row);
    translation[row] = view[4 * row + 3];
  }
  const auto near = [](double value, double wanted) { return std::abs(value - wanted) <= 1e-5; };
  return near(view[12], 0) && near(view[13], 0) && near(view[14], 0) && near(view[15], 1);
}

}  // namespace

int64_t rows_within(int64_t bytes, int64_t width, int planes) {
  const int64_t row = 3 * width * padded_planes(planes);
  return std::max(bytes / std::max<int64_t>(row, 1) - 2 * kStripMargin, 2 * kStripMargin);
}

bool pixel_map(const double* reference_view, const double* reference_k, const double* source_view,
               const double* source_k, double* map) {
  double from[9], to[9], from_t[3], to_t[3], inverse[9], relative[9], rays[9], unused[9];
  if (!split(reference_view, from, from_t) || !split(source_view, to, to_t)) return false;
  if (!invert(from, inverse) || !invert(to, unused) || !invert(source_k, unused)) return false;
  multiply(to, inverse, relative);  // source from reference
  double offset[3];
  for (int i = 0; i < 3; ++i) {
    const double* r = relative + 3 * i;
    offset[i] = to_t[i] - (r[0] * from_t[0] + r[1] * from_t[1] + r[2] * from_t[2]);
  }
  if (!invert(reference_k, inverse)) return false;
  multiply(relative, inverse, rays);
  double all[12];
  bool finite = true;
  for (int i = 0; i < 3; ++i) {
    const double* k = source_k + 3 * i;
    for (int j = 0; j < 3; ++j) {
      all[4 * i + j] = k[0] * rays[j] + k[1] * rays[3 + j] + k[2] * rays[6 + j];
    }
    all[4 * i + 3] = k[0] * offset[0] + k[1] * offset[1] + k[2] * offset[2];
    all[4 * i + 2] += 0.5 * (all[4 * i] + all[4 * i + 1]);  // reference centres at +0.5
  }
  for (int i = 0; i < 12; ++i) {
    map[i] = i < 8 ? all[i] - 0.5 * all[8 + i % 4] : all[i];  // source centres at +0.5
    finite = finite && std::isfinite(map[i]);
  }
  return finite;
}

void plane_sweep_cpu(const PlaneSweep& sweep) {
  const int64_t pixels = sweep.height * sweep.width;
  if (pixels == 0) return;
  const int padded = padded_planes(sweep.planes);
  const int64_t most = std::min(sweep.height, sweep.strip_rows + 2 * kStripMargin);
  const auto costs = allocate<uint8_t>(most * sweep.width * padded);
  const auto sums = allocate<uint16_t>(most * sweep.width * padded);
  std::vector<uint16_t> winners(static_cast<size_t>(pixels)), winner_costs(winners.size());
  uint8_t penalties[256];
  for (int i = 0; i < 256; ++i) {
    penalties[i] = jump_penalty(i, sweep.step_penalty, sweep.jump_penalty);
  }
  std::vector<uint64_t> likelihoods(kMaxSum + 1);
  for (int i = 0; i <= kMaxSum; ++i) {
    likelihoods[static_cast<size_t>(i)] = likelihood(i, sweep.paths);
  }
  for (int64_t begin = 0; begin < sweep.height; begin += sweep.strip_rows) {
    const int64_t end = std::min(begin + sweep.strip_rows, sweep.height);
    const int64_t first = std::max<int64_t>(begin - kStripMargin, 0);
    const int64_t last = std::min(end + kStripMargin, sweep.height);
    const Strip strip{
        &sweep,     first,     last - first,       padded,         costs.get(),
        sums.get(), penalties, likelihoods.data(), winners.data(), winner_costs.data()};
    sweep_strip(strip, begin, end);
  }
  check_sources(sweep, winners.data(), winner_costs.data());
}

}  // namespace steadyview::stereo
