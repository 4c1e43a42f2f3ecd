#include "common/launch.h"
#include "depth/depth.h"
#include "depth/depth_maths.h"

namespace steadyview {
namespace {

using namespace depth;

// Rows that a window slides down, and pixels that it slides across, from where it is summed up
// anew.
constexpr int64_t kDown = 64, kAcross = 16;
// Threads that sum up a picture.
constexpr int64_t kSummers = 16384;

// One picture of a filter.
template <typename T>
struct Picture {
  GuidedFilter<T> g;
  int64_t n;

  __device__ int64_t size() const { return g.height * g.width; }
  __device__ const T* guide() const { return g.guide + n * size(); }
  __device__ const T* source() const { return g.source + n * size(); }
  __device__ T* lines() const { return g.scratch.lines + 2 * n * size(); }
  __device__ double* facts() const { return g.scratch.facts + n * kFacts; }
  __device__ double epsilon() const { return epsilon_of(g, facts()); }
};

// Adds up guide and source into the facts, divided by the pixels.
template <typename T>
__global__ void find_centres(Picture<T> p) {
  double sums[2] = {};
  for (int64_t i = first_item(); i < p.size(); i += item_step()) {
    sums[0] += p.guide()[i];
    sums[1] += p.source()[i];
  }
  atomicAdd(p.facts() + kGuideCentre, sums[0] / static_cast<double>(p.size()));
  atomicAdd(p.facts() + kSourceCentre, sums[1] / static_cast<double>(p.size()));
}

// Sums down the windows, a thread a band of a column: of `count` values, value(row, sums, sign).
template <int count, typename Value>
__device__ void slide_down(int64_t height, int64_t width, int64_t radius, double* out,
                           Value value) {
  const int64_t bands = (height + kDown - 1) / kDown, size = height * width;
  for (int64_t item = first_item(); item < bands * width; item += item_step()) {
    const int64_t x = item % width, first = item / width * kDown;
    const int64_t last = first + kDown < height ? first + kDown : height;
    double sums[count] = {};
    for (int64_t y = first > radius ? first - radius : 0; y < first + radius && y < height; ++y)
      value(y * width + x, 1.0, sums);
    for (int64_t y = first; y < last; ++y) {
      if (y + radius < height) value((y + radius) * width + x, 1.0, sums);
      if (y > first && y > radius) value((y - radius - 1) * width + x, -1.0, sums);
      for (int k = 0; k < count; ++k) out[k * size + y * width + x] = sums[k];
    }
  }
}

// Then across, a thread a run of a row: finish(pixel, sums, share).
template <int count, typename Finish>
__device__ void slide_across(int64_t height, int64_t width, int64_t radius, int64_t down,
                             const double* columns, Finish finish) {
  const int64_t runs = (width + kAcross - 1) / kAcross, size = height * width;
  for (int64_t item = first_item(); item < height * runs; item += item_step()) {
    const int64_t y = item / runs, first = item % runs * kAcross, row = y * width;
    const int64_t last = first + kAcross < width ? first + kAcross : width;
    const double rows = static_cast<double>(window(y, down, height));
    double sums[count] = {};
    const auto add = [&](int64_t x, double sign) {
      for (int k = 0; k < count; ++k) sums[k] += sign * columns[k * size + row + x];
    };
    for (int64_t x = first > radius ? first - radius : 0; x < first + radius && x < width; ++x)
      add(x, 1);
    for (int64_t x = first; x < last; ++x) {
      if (x + radius < width) add(x + radius, 1);
      if (x > first && x > radius) add(x - radius - 1, -1);
      finish(row + x, sums, 1 / (rows * static_cast<double>(window(x, radius, width))));
    }
  }
}

__device__ int64_t lesser(int64_t a, int64_t b) { return a < b ? a : b; }

template <typename T>
__global__ void sum_products(Picture<T> p) {
  const GuidedFilter<T>& g = p.g;
  if (p.epsilon() == 0) return;
  const double x0 = p.facts()[kGuideCentre], y0 = p.facts()[kSourceCentre];
  slide_down<4>(g.height, g.width, lesser(g.radius, g.height), g.scratch.sums,
                [&](int64_t i, double sign, double* sums) {
                  const double x = p.guide()[i] - x0, y = p.source()[i] - y0;
                  sums[0] += sign * x;
                  sums[1] += sign * y;
                  sums[2] += sign * x * x;
                  sums[3] += sign * x * y;
                });
}

template <typename T>
__global__ void fit_lines(Picture<T> p) {
  const GuidedFilter<T>& g = p.g;
  const double epsilon = p.epsilon();
  if (epsilon == 0) return;
  slide_across<4>(g.height, g.width, lesser(g.radius, g.width), lesser(g.radius, g.height),
                  g.scratch.sums, [&](int64_t i, const double* sums, double share) {
                    const Line line = fit(sums[0] * share, sums[1] * share, sums[2] * share,
                                          sums[3] * share, epsilon);
                    p.lines()[i] = static_cast<T>(line.slope);
                    p.lines()[p.size() + i] = static_cast<T>(line.offset);
                  });
}

template <typename T>
__global__ void sum_lines(Picture<T> p) {
  const GuidedFilter<T>& g = p.g;
  if (p.epsilon() == 0) return;
  slide_down<2>(g.height, g.width, lesser(g.radius, g.height), g.scratch.sums,
                [&](int64_t i, double sign, double* sums) {
                  sums[0] += sign * p.lines()[i];
                  sums[1] += sign * p.lines()[p.size() + i];
                });
}

template <typename T>
__global__ void apply_lines(Picture<T> p) {
  const GuidedFilter<T>& g = p.g;
  T* output = g.output + p.n * p.size();
  if (p.epsilon() == 0) {
    for (int64_t i = first_item(); i < p.size(); i += item_step()) {
      const T value = p.source()[i];
      output[i] = value < g.least ? g.least : value;
    }
    return;
  }
  const double x0 = p.facts()[kGuideCentre], y0 = p.facts()[kSourceCentre];
  slide_across<2>(g.height, g.width, lesser(g.radius, g.width), lesser(g.radius, g.height),
                  g.scratch.sums, [&](int64_t i, const double* sums, double share) {
                    const double x = p.guide()[i] - x0;
                    const T value = static_cast<T>(sums[0] * share * x + sums[1] * share + y0);
                    output[i] = value < g.least ? g.least : value;
                  });
}

template <typename T>
void filter_pictures(Launcher& launch, const GuidedFilter<T>& g) {
  const int64_t size = g.height * g.width;
  const int64_t bands = (g.height + kDown - 1) / kDown * g.width;
  const int64_t runs = (g.width + kAcross - 1) / kAcross * g.height;
  for (int64_t n = 0; n < g.pictures; ++n) {
    const Picture<T> p{g, n};
    launch.fill(g.scratch.facts + n * kFacts, 0, 2 * static_cast<int64_t>(sizeof(double)));
    launch.run(find_centres<T>, size < kSummers ? size : kSummers, p);
    launch.run(sum_products<T>, bands, p);
    launch.run(fit_lines<T>, runs, p);
    launch.run(sum_lines<T>, bands, p);
    launch.run(apply_lines<T>, runs, p);
  }
}

using Word = unsigned long long;
__device__ Word word_of(double value) {
  Word word;
  memcpy(&word, &value, sizeof(word));
  return word;
}
__device__ double number_of(Word word) {
  double value;
  memcpy(&value, &word, sizeof(value));
  return value;
}

// The facts of the range, as words whose minimum is wanted: positive numbers are in the order of
// their bits. All ones are NaN and, inverted, 0.
template <typename T, typename F>
__global__ void find_range(SmoothDepth<T, F> s, int64_t t) {
  const int64_t size = s.height * s.width;
  Word low = ~Word{0}, high = ~Word{0};
  for (int64_t i = first_item(); i < size; i += item_step()) {
    const T value = s.disparity[t * size + i];
    if (!is_known(value)) continue;
    const Word word = word_of(static_cast<double>(value));
    low = word < low ? word : low;
    high = ~word < high ? ~word : high;
  }
  Word* words = reinterpret_cast<Word*>(s.scratch.facts);
  if (low != ~Word{0}) {
    atomicMin(words + kLeast, low);
    atomicMin(words + kGreatest, high);
  }
}

template <typename T, typename F>
__global__ void decode_range(SmoothDepth<T, F> s) {
  s.scratch.facts[kGreatest] = number_of(~word_of(s.scratch.facts[kGreatest]));
}

template <typename F>
__device__ bool alike(F a, F b, F tolerance) {
  return (a > b ? a - b : b - a) <= tolerance;
}

template <typename T, typename F>
__global__ void average(SmoothDepth<T, F> s, int64_t t) {
  const int64_t size = s.height * s.width;
  const double* facts = s.scratch.facts;
  const T limit = static_cast<T>(s.disparity_tolerance * (facts[kGreatest] - facts[kLeast]));
  for (int64_t i = first_item(); i < size; i += item_step()) {
    const T own = s.disparity[t * size + i];
    const bool known = is_known(own);
    T total = known ? T(0.5) : T(0), weighted = known ? T(0.5) * own : T(0);
    for (int64_t other = t - 1; other <= t + 1; other += 2) {
      if (other < 0 || other >= s.frames) continue;
      const T* flow =
          other < t ? s.backward_flow + 2 * other * size : s.forward_flow + 2 * t * size;
      const T x = static_cast<T>(i % s.width) + rint(flow[i]);
      const T y = static_cast<T>(i / s.width) + rint(flow[size + i]);
      if (!(x >= 0 && x < static_cast<T>(s.width) && y >= 0 && y < static_cast<T>(s.height)))
        continue;
      const int64_t to = static_cast<int64_t>(y) * s.width + static_cast<int64_t>(x);
      const T value = s.disparity[other * size + to];
      const T difference = value > own ? value - own : own - value;
      bool counts = is_known(value) && (!known || difference <= limit);
      for (int64_t c = 0; c < s.channels && counts; ++c) {
        counts = alike(s.pictures[(other * s.channels + c) * size + to],
                       s.pictures[(t * s.channels + c) * size + i], s.colour_tolerance);
      }
      total += counts ? T(0.25) : T(0);
      weighted += counts ? T(0.25) * value : T(0);
    }
    const T mean = weighted / (total > T(0.25) ? total : T(0.25));
    s.output[t * size + i] = mean;
    s.guide[i] = known ? own : mean;
  }
}

}  // namespace

template <typename T>
const char* guided_filter_cuda(const GuidedFilter<T>& g, void* stream) {
  Launcher launch(stream);
  filter_pictures(launch, g);
  return launch.result();
}

// Frame by frame: its group is 1.
template <typename T, typename F>
const char* smooth_depth_cuda(const SmoothDepth<T, F>& s, void* stream) {
  Launcher launch(stream);
  const int64_t size = s.height * s.width;
  for (int64_t t = 0; t < s.frames; ++t) {
    launch.fill(s.scratch.facts, 0xFF, kFacts * static_cast<int64_t>(sizeof(double)));
    launch.run(find_range<T, F>, size < kSummers ? size : kSummers, s, t);
    launch.run(decode_range<T, F>, 1, s);
    launch.run(average<T, F>, size, s, t);
    if (s.radius == 0) continue;
    filter_pictures(launch, smoothing_filter(s, t, 1));
  }
  return launch.result();
}

template const char* guided_filter_cuda(const GuidedFilter<float>&, void*);
template const char* guided_filter_cuda(const GuidedFilter<double>&, void*);
template const char* smooth_depth_cuda(const SmoothDepth<float, uint8_t>&, void*);
template const char* smooth_depth_cuda(const SmoothDepth<float, float>&, void*);
template const char* smooth_depth_cuda(const SmoothDepth<double, uint8_t>&, void*);
template const char* smooth_depth_cuda(const SmoothDepth<double, double>&, void*);

}  // namespace steadyview
