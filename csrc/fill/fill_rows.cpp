// Plain loops that the compiler turns into vectors.
#include <type_traits>

#include "fill/fill_maths.h"
#include "fill/rows.h"

namespace steadyview::filling::STEADYVIEW_ISA {
namespace {

constexpr int64_t kBlock = 128;

template <typename T>
void prepare(const T* image, const uint8_t* holes, int64_t channels, int64_t stride, int64_t width,
             uint8_t* known, T* output) {
  for (int64_t first = 0; first < width; first += kBlock) {
    const int64_t count = width - first < kBlock ? width - first : kBlock;
    T finite[kBlock] = {};  // 0, or NaN
    for (int64_t c = 0; c < channels; ++c) {
      const T* __restrict values = image + c * stride + first;
      for (int64_t x = 0; x < count; ++x) finite[x] += values[x] - values[x];
    }
    for (int64_t x = 0; x < count; ++x) {
      finite[x] = holes[first + x] == 0 && finite[x] == 0 ? T(1) : T(0);
      known[first + x] = finite[x] != 0;
    }
    for (int64_t c = 0; c < channels; ++c) {
      const T* __restrict values = image + c * stride + first;
      T* __restrict to = output + c * stride + first;
      for (int64_t x = 0; x < count; ++x) to[x] = finite[x] != 0 ? values[x] : T(0);
    }
  }
}

template <typename T>
void clean_depth(const T* __restrict depth, const uint8_t* __restrict known, int64_t width,
                 T* __restrict output) {
  for (int64_t x = 0; x < width; ++x) {
    const T z = depth[x];
    const bool usable = (known[x] != 0) & (z > 0) & (z - z == 0);
    output[x] = usable ? z : T(0);
  }
}

void measure_gaps(const uint8_t* known, int64_t height, int64_t width, int64_t gap, int64_t y,
                  uint8_t* steps) {
  for (int direction = 0; direction < 8; ++direction) {
    const int64_t dy = step_y(direction), dx = step_x(direction);
    uint8_t* __restrict to = steps + direction * width;
    for (int64_t x = 0; x < width; ++x) to[x] = 0;
    for (int64_t s = gap; s > 0; --s) {  // the nearest last
      const int64_t row = y + s * dy;
      if (row < 0 || row >= height) continue;
      const uint8_t* __restrict from = known + row * width;
      const int64_t first = dx < 0 ? s : 0, last = dx > 0 ? width - s : width;
      const uint8_t number = static_cast<uint8_t>(s);
      for (int64_t x = first; x < last; ++x) to[x] = from[x + s * dx] ? number : to[x];
    }
  }
}

inline __attribute__((always_inline)) uint8_t lesser(uint8_t a, uint8_t b) { return a < b ? a : b; }

void rim(const uint8_t* above, const uint8_t* here, const uint8_t* below, int64_t width,
         uint8_t* __restrict out) {
  const uint8_t* up = above ? above : here;
  const uint8_t* down = below ? below : here;
  for (int64_t first = 0; first < width; first += kBlock) {
    const int64_t count = width - first < kBlock ? width - first : kBlock;
    uint8_t column[kBlock + 2];
    for (int64_t x = 0; x < count; ++x) {
      column[x + 1] = lesser(lesser(up[first + x], here[first + x]), down[first + x]);
    }
    const int64_t left = first > 0 ? first - 1 : 0;
    const int64_t right = first + count < width ? first + count : width - 1;
    column[0] = lesser(lesser(up[left], here[left]), down[left]);
    column[count + 1] = lesser(lesser(up[right], here[right]), down[right]);
    for (int64_t x = 0; x < count; ++x) {
      const uint8_t low = lesser(lesser(column[x], column[x + 1]), column[x + 2]);
      out[first + x] = (here[first + x] != 0) & (low == 0);
    }
  }
}

template <Pulled what>
constexpr bool has_second = what == Pulled::weighted || what == Pulled::open;

template <Pulled what, typename T>
inline __attribute__((always_inline)) T pulled(T value, T second) {
  if constexpr (what == Pulled::weighted) return value * second;
  if constexpr (what == Pulled::opacities) return opacity(value);
  if constexpr (what == Pulled::open) return value * (T(1) - opacity(second));
  return value;
}

template <typename T>
using Bits = std::conditional_t<sizeof(T) == 4, uint32_t, uint64_t>;

// Adds `weight` times a row to the sums. As sources are few, blocks without any are left out.
template <Pulled what, typename T>
void add_row(const T* __restrict values, const T* __restrict second, T weight, int64_t width,
             T* __restrict sums) {
  for (int64_t first = 0; first < width; first += kBlock) {
    const int64_t count = width - first < kBlock ? width - first : kBlock;
    if constexpr (what == Pulled::weighted) {
      Bits<T> any = 0;
      for (int64_t x = first; x < first + count; ++x) any |= __builtin_bit_cast(Bits<T>, second[x]);
      if (!any) continue;
    }
    for (int64_t x = first; x < first + count; ++x) {
      sums[x] += weight * pulled<what>(values[x], has_second<what> ? second[x] : T(0));
    }
  }
}

template <Pulled what, typename T>
void pull_rows(const PullRows<T>& r) {
  const int64_t width = r.width, half = coarser(width);
  T* __restrict sums = r.sums + 1;
  for (int64_t x = -1; x < width + 3; ++x) sums[x] = 0;
  for (int j = 0; j < 4; ++j) {
    if (r.values[j]) add_row<what>(r.values[j], r.second[j], r.weights[j], width, sums);
  }
  sums[-1] = sums[0];
  if (width % 2 == 0) sums[width] = sums[width - 1];
  T* __restrict output = r.output;
  for (int64_t x = 0; x < half; ++x) {
    output[x] =
        T(0.25) * (sums[2 * x - 1] + sums[2 * x + 2]) + T(0.75) * (sums[2 * x] + sums[2 * x + 1]);
  }
}

template <typename T>
void pull(const PullRows<T>& r, Pulled what) {
  switch (what) {
    case Pulled::weighted:
      return pull_rows<Pulled::weighted>(r);
    case Pulled::plain:
      return pull_rows<Pulled::plain>(r);
    case Pulled::opacities:
      return pull_rows<Pulled::opacities>(r);
    case Pulled::open:
      return pull_rows<Pulled::open>(r);
  }
}

template <typename T>
void normalise(const T* __restrict weight, int64_t width, T* __restrict values) {
  for (int64_t x = 0; x < width; ++x) values[x] *= normaliser(weight[x]);
}

template <typename T>
void push(const PushRows<T>& r) {
  const int64_t half = r.coarse_width;
  T* __restrict sums = r.sums + 1;
  for (int64_t x = 0; x < half; ++x) sums[x] = T(0.75) * r.own[x] + T(0.25) * r.beside[x];
  sums[-1] = sums[0];
  sums[half] = sums[half - 1];
  T* __restrict values = r.values;
  const T* __restrict weight = r.weight;
  for (int64_t x = 0; x < r.width / 2; ++x) {
    const T left = T(0.75) * sums[x] + T(0.25) * sums[x - 1];
    const T right = T(0.75) * sums[x] + T(0.25) * sums[x + 1];
    values[2 * x] += weight ? (T(1) - opacity(weight[2 * x])) * left : left;
    values[2 * x + 1] += weight ? (T(1) - opacity(weight[2 * x + 1])) * right : right;
  }
  if (r.width % 2 == 1) {
    const int64_t x = r.width / 2;
    const T left = T(0.75) * sums[x] + T(0.25) * sums[x - 1];
    values[2 * x] += weight ? (T(1) - opacity(weight[2 * x])) * left : left;
  }
}

template <typename T>
Rows<T> rows() {
  return {prepare<T>, clean_depth<T>, measure_gaps, rim, pull<T>, normalise<T>, push<T>};
}

}  // namespace

Rows<float> float_rows() { return rows<float>(); }
Rows<double> double_rows() { return rows<double>(); }

}  // namespace steadyview::filling::STEADYVIEW_ISA
