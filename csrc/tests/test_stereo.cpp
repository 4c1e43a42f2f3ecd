// The plane sweep in buffers of exactly the size it may touch, for every instruction set: under the
// sanitizers a byte read or written outside is an error, and all sets give the same bytes.
#include <cstdint>
#include <cstring>
#include <memory>
#include <new>
#include <random>
#include <vector>

#include "common/isa.h"
#include "stereo/plane_sweep.h"
#include "stereo/sweep_maths.h"
#include "tests/expect.h"

using namespace steadyview;
using namespace steadyview::stereo;

namespace {

struct Variant {
  void (*cost_rows)(const Strip&, int64_t, int64_t, uint8_t*);
  void (*path_lines)(const Strip&, Direction, bool, int64_t, int64_t);
  void (*winner_rows)(const Strip&, int64_t, int64_t);
};

struct Aligned {
  void operator()(uint8_t* memory) const { ::operator delete(memory, std::align_val_t{64}); }
};

struct Result {
  std::vector<uint8_t> costs;
  std::vector<uint16_t> sums;
  std::vector<float> depth, confidence;
};

// A scene of noise and cameras that also look away: every kind of map.
struct Scene {
  std::unique_ptr<uint8_t[]> images;
  std::vector<double> maps, inverse_depths;
  PlaneSweep sweep{};

  Scene(int64_t width, int64_t height, int planes, Cost cost)
      : images(new uint8_t[5 * width * height + kPadding]()) {
    std::mt19937 random(5);
    for (int64_t i = 0; i < 5 * width * height; ++i) images[i] = random() % 256;
    const double f = 0.8 * static_cast<double>(width);
    const double k[9] = {
        f, 0, 0.5 * static_cast<double>(width), 0, f, 0.5 * static_cast<double>(height), 0, 0, 1};
    const double view[16] = {1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1};
    const double others[4][16] = {
        {1, 0, 0, -0.3, 0, 1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1},
        {0.8, 0, -0.6, 1, 0, 1, 0, 0.2, 0.6, 0, 0.8, 1, 0, 0, 0, 1},
        {-1, 0, 0, 0, 0, 1, 0, 0, 0, 0, -1, 2, 0, 0, 0, 1},  // looks back
        {0, 0, 1, 0, 0, 1, 0, 0, -1, 0, 0, 1e-3, 0, 0, 0, 1},
    };
    maps.resize(4 * 12);
    for (int s = 0; s < 4; ++s) EXPECT(pixel_map(view, k, others[s], k, maps.data() + 12 * s));
    for (int d = 0; d < planes; ++d) inverse_depths.push_back(1.0 - 0.9 * d / planes);
    sweep = {.images = images.get(),
             .maps = maps.data(),
             .inverse_depths = inverse_depths.data(),
             .height = height,
             .width = width,
             .sources = 4,
             .planes = planes,
             .cost = cost,
             .keep = 2,
             .paths = 8,
             .step_penalty = 8,
             .jump_penalty = 120,
             .least_confidence = 0,
             .strip_rows = height,
             .depth = nullptr,
             .confidence = nullptr,
             .valid = nullptr};
  }
};

Result run(const Variant& variant, Scene& scene) {
  PlaneSweep p = scene.sweep;
  const int64_t pixels = p.width * p.height;
  const int padded = padded_planes(p.planes);
  Result result{std::vector<uint8_t>(pixels * padded), std::vector<uint16_t>(pixels * padded),
                std::vector<float>(pixels), std::vector<float>(pixels)};
  std::vector<uint16_t> winners(pixels), winner_costs(pixels);
  std::vector<uint8_t> penalties(256);
  for (int i = 0; i < 256; ++i) penalties[i] = static_cast<uint8_t>(i < 60 ? 120 - i : 60);
  std::vector<uint64_t> likelihoods(kMaxSum + 1);
  for (int i = 0; i <= kMaxSum; ++i) likelihoods[static_cast<size_t>(i)] = likelihood(i, p.paths);
  p.depth = result.depth.data();
  p.confidence = result.confidence.data();
  const Strip strip{&p,
                    0,
                    p.height,
                    padded,
                    result.costs.data(),
                    result.sums.data(),
                    penalties.data(),
                    likelihoods.data(),
                    winners.data(),
                    winner_costs.data()};
  const int64_t half = p.height / 2;
  for (const int64_t first : {int64_t{0}, half}) {
    const int64_t last = first == 0 ? half : p.height;
    // Exactly what it asks for, on a line of the cache.
    const int64_t bytes = cost_scratch(p, last - first).bytes;
    std::unique_ptr<uint8_t[], Aligned> scratch(
        static_cast<uint8_t*>(::operator new(static_cast<size_t>(bytes), std::align_val_t{64})));
    std::fill_n(scratch.get(), bytes, uint8_t{0});
    variant.cost_rows(strip, first, last, scratch.get());
  }
  for (int i = 0; i < 8; ++i) {
    const int64_t lines = line_count(strip, kDirections[i]);
    variant.path_lines(strip, kDirections[i], i > 0, 0, lines / 3);
    variant.path_lines(strip, kDirections[i], i > 0, lines / 3, lines);
  }
  variant.winner_rows(strip, 0, p.height);
  return result;
}

// Path costs of one direction by the formula, in whole numbers.
std::vector<int> slow_path(const Scene& scene, const std::vector<uint8_t>& costs, Direction d) {
  const PlaneSweep& p = scene.sweep;
  const int padded = padded_planes(p.planes);
  std::vector<int> path(costs.size(), 255);
  const auto at = [&](int64_t x, int64_t y) { return (y * p.width + x) * padded; };
  for (int64_t j = 0; j < p.height; ++j) {
    for (int64_t i = 0; i < p.width; ++i) {
      const int64_t x = d.dx >= 0 ? i : p.width - 1 - i, y = d.dy >= 0 ? j : p.height - 1 - j;
      const int64_t px = x - d.dx, py = y - d.dy;
      const bool fresh = px < 0 || px >= p.width || py < 0 || py >= p.height;
      int before = 1 << 20;
      for (int k = 0; !fresh && k < p.planes; ++k) before = std::min(before, path[at(px, py) + k]);
      for (int k = 0; k < p.planes; ++k) {
        int& value = path[at(x, y) + k];
        value = costs[at(x, y) + k];
        if (fresh) continue;
        const int* from = path.data() + at(px, py);
        const int edge = std::abs(p.images[y * p.width + x] - p.images[py * p.width + px]);
        int cheapest = std::min(from[k], before + (edge < 60 ? 120 - edge : 60));
        if (k > 0) cheapest = std::min(cheapest, from[k - 1] + p.step_penalty);
        if (k + 1 < p.planes) cheapest = std::min(cheapest, from[k + 1] + p.step_penalty);
        value += cheapest - before;
      }
    }
  }
  return path;
}

void variants(const Variant& baseline, const std::vector<Variant>& others) {
  const int64_t sizes[][3] = {{1, 1, 3},   {1, 7, 64},   {9, 1, 65},   {2, 2, 16},
                              {17, 9, 20}, {67, 23, 33}, {130, 6, 129}};
  for (const auto& size : sizes) {
    for (const Cost cost : {Cost::census, Cost::zncc}) {
      Scene scene(size[0], size[1], static_cast<int>(size[2]), cost);
      const Result expected = run(baseline, scene);
      for (const Variant& variant : others) {
        const Result result = run(variant, scene);
        EXPECT(result.costs == expected.costs);
        EXPECT(result.sums == expected.sums);
        EXPECT(result.depth == expected.depth);
        EXPECT(result.confidence == expected.confidence);
      }
      std::vector<int> sums(expected.sums.size());
      for (const Direction d : kDirections) {
        const std::vector<int> path = slow_path(scene, expected.costs, d);
        for (size_t i = 0; i < sums.size(); ++i) sums[i] += path[i];
      }
      bool same = true;
      const int padded = padded_planes(scene.sweep.planes);
      for (size_t i = 0; i < sums.size(); ++i) {
        const bool plane = static_cast<int>(i % static_cast<size_t>(padded)) < scene.sweep.planes;
        same &= !plane || sums[i] == expected.sums[i];
      }
      EXPECT(same);
    }
  }
}

void whole_sweep() {
  for (const int64_t strip_rows : {1, 30, 1000}) {
    Scene scene(50, 140, 20, Cost::census);
    std::unique_ptr<float[]> depth(new float[50 * 140]), confidence(new float[50 * 140]);
    std::unique_ptr<bool[]> valid(new bool[50 * 140]);
    scene.sweep.strip_rows = strip_rows;
    scene.sweep.depth = depth.get();
    scene.sweep.confidence = confidence.get();
    scene.sweep.valid = valid.get();
    plane_sweep_cpu(scene.sweep);
    bool in_range = true;
    for (int i = 0; i < 50 * 140; ++i) {
      in_range &= depth[i] == 0 || (depth[i] >= 0.99f && depth[i] <= 10);
      in_range &= confidence[i] >= 0 && confidence[i] <= 1;
    }
    EXPECT(in_range);
  }
}

void strips() {
  EXPECT(rows_within(0, 640, 64) == 2 * kStripMargin);  // margins are never most of the work
  EXPECT(rows_within(int64_t{3} * 640 * 64 * 200, 640, 64) == 200 - 2 * kStripMargin);
}

void bad_cameras() {
  const double view[16] = {1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1};
  const double k[9] = {9, 0, 4, 0, 9, 4, 0, 0, 1}, singular[9] = {0, 0, 4, 0, 9, 4, 0, 0, 1};
  double map[12];
  EXPECT(pixel_map(view, k, view, k, map));
  for (int i = 0; i < 12; ++i) EXPECT_NEAR(map[i], i % 5 == 0 ? 1 : 0, 1e-15);  // identity
  EXPECT(!pixel_map(view, singular, view, k, map));
  EXPECT(!pixel_map(view, k, view, singular, map));
  double other[16];
  std::memcpy(other, view, sizeof(view));
  other[5] = 0;
  EXPECT(!pixel_map(other, k, view, k, map));
  EXPECT(!pixel_map(view, k, other, k, map));
}

}  // namespace

int main() {
  std::vector<Variant> others;
#if defined(__x86_64__)
  if (active_isa() >= Isa::avx2) {
    others.push_back({avx2::cost_rows, avx2::path_lines, avx2::winner_rows});
  }
  if (active_isa() >= Isa::avx512) {
    others.push_back({avx512::cost_rows, avx512::path_lines, avx512::winner_rows});
  }
#endif
  variants({baseline::cost_rows, baseline::path_lines, baseline::winner_rows}, others);
  whole_sweep();
  bad_cameras();
  strips();
  return test::report();
}
