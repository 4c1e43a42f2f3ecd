// Plain loops that the compiler turns into vectors.
#include "depth/depth_maths.h"
#include "depth/rows.h"

namespace steadyview::depth::STEADYVIEW_ISA {
namespace {

constexpr int64_t kBlock = 64;

template <typename T>
double sum(const T* __restrict values, int64_t width) {
  constexpr int64_t kLanes = 16;
  double lanes[kLanes] = {}, total = 0;
  int64_t i = 0;
  for (; i + kLanes <= width; i += kLanes) {
    for (int64_t k = 0; k < kLanes; ++k) lanes[k] += static_cast<double>(values[i + k]);
  }
  for (; i < width; ++i) total += static_cast<double>(values[i]);
  for (int64_t k = 0; k < kLanes; ++k) total += lanes[k];
  return total;
}

template <bool in, bool out, typename T>
void add_products(const Entering<T>& e) {
  const T* __restrict x_in = e.first_in;
  const T* __restrict y_in = e.second_in;
  const T* __restrict x_out = e.first_out;
  const T* __restrict y_out = e.second_out;
  double* __restrict sx = e.columns;
  double* __restrict sy = sx + e.stride;
  double* __restrict sxx = sy + e.stride;
  double* __restrict sxy = sxx + e.stride;
  const double x0 = e.first_centre, y0 = e.second_centre;
  for (int64_t i = 0; i < e.width; ++i) {
    const double x = in ? static_cast<double>(x_in[i]) - x0 : 0;
    const double y = in ? static_cast<double>(y_in[i]) - y0 : 0;
    const double u = out ? static_cast<double>(x_out[i]) - x0 : 0;
    const double v = out ? static_cast<double>(y_out[i]) - y0 : 0;
    sx[i] += x - u;
    sy[i] += y - v;
    sxx[i] += x * x - u * u;
    sxy[i] += x * y - u * v;
  }
}

template <bool in, bool out, typename T>
void add_lines(const Entering<T>& e) {
  for (int k = 0; k < 2; ++k) {
    const T* __restrict entering = k ? e.second_in : e.first_in;
    const T* __restrict leaving = k ? e.second_out : e.first_out;
    double* __restrict sums = e.columns + k * e.stride;
    for (int64_t i = 0; i < e.width; ++i) {
      const double a = in ? static_cast<double>(entering[i]) : 0;
      const double b = out ? static_cast<double>(leaving[i]) : 0;
      sums[i] += a - b;
    }
  }
}

template <typename T>
void enter_products(const Entering<T>& e) {
  if (e.first_in && e.first_out) return add_products<true, true>(e);
  if (e.first_in) return add_products<true, false>(e);
  if (e.first_out) return add_products<false, true>(e);
}

template <typename T>
void enter_lines(const Entering<T>& e) {
  if (e.first_in && e.first_out) return add_lines<true, true>(e);
  if (e.first_in) return add_lines<true, false>(e);
  if (e.first_out) return add_lines<false, true>(e);
}

// Sums of `count` columns across each window: chains of sums, side by side.
template <int count>
void slide(const Across& a) {
  const int64_t stride = a.stride, width = a.width, radius = a.radius;
  const double* __restrict columns = a.columns;
  double* __restrict sums = a.sums;
  double now[count] = {};
  for (int k = 0; k < count; ++k) {
    for (int64_t i = 0; i < radius; ++i) now[k] += columns[k * stride + i];
  }
  for (int64_t i = 0; i < width; ++i) {
    for (int k = 0; k < count; ++k) {
      const double* at = columns + k * stride + i;
      now[k] += at[radius] - at[-radius - 1];
      sums[k * width + i] = now[k];
    }
  }
}

template <typename T>
void fit_lines(const Across& a, double epsilon, T* __restrict slope, T* __restrict offset) {
  slide<4>(a);
  const double* __restrict sums = a.sums;
  const double* __restrict inverse = a.inverse_widths;
  const int64_t width = a.width;
  for (int64_t i = 0; i < width; ++i) {
    const double share = a.inverse_height * inverse[i];
    const Line line = fit(sums[i] * share, sums[width + i] * share, sums[2 * width + i] * share,
                          sums[3 * width + i] * share, epsilon);
    slope[i] = static_cast<T>(line.slope);
    offset[i] = static_cast<T>(line.offset);
  }
}

template <typename T>
void apply_lines(const Across& a, const T* __restrict guide, double guide_centre,
                 double source_centre, T least, T* __restrict output) {
  slide<2>(a);
  const double* __restrict sums = a.sums;
  const double* __restrict inverse = a.inverse_widths;
  const int64_t width = a.width;
  for (int64_t i = 0; i < width; ++i) {
    const double share = a.inverse_height * inverse[i];
    const double x = static_cast<double>(guide[i]) - guide_centre;
    const T value = static_cast<T>((sums[i] * share) * x + sums[width + i] * share + source_centre);
    output[i] = value < least ? least : value;
  }
}

template <typename T>
void widen(const T* __restrict disparity, int64_t width, T* range) {
  constexpr int64_t kLanes = 16;
  T low[kLanes], high[kLanes];
  for (int64_t k = 0; k < kLanes; ++k) low[k] = range[0], high[k] = range[1];
  int64_t i = 0;
  for (; i + kLanes <= width; i += kLanes) {
    for (int64_t k = 0; k < kLanes; ++k) {
      const T value = disparity[i + k];
      const bool known = (value > 0) & (value - value == 0);
      low[k] = known & (value < low[k]) ? value : low[k];
      high[k] = known & (value > high[k]) ? value : high[k];
    }
  }
  for (; i < width; ++i) {
    if (!is_known(disparity[i])) continue;
    low[0] = disparity[i] < low[0] ? disparity[i] : low[0];
    high[0] = disparity[i] > high[0] ? disparity[i] : high[0];
  }
  for (int64_t k = 0; k < kLanes; ++k) {
    range[0] = low[k] < range[0] ? low[k] : range[0];
    range[1] = high[k] > range[1] ? high[k] : range[1];
  }
}

template <typename T>
void begin(const T* __restrict disparity, int64_t width, T* __restrict total,
           T* __restrict weighted) {
  for (int64_t i = 0; i < width; ++i) {
    const T value = disparity[i];
    const bool known = (value > 0) & (value - value == 0);
    total[i] = known ? T(0.5) : T(0);
    weighted[i] = known ? T(0.5) * value : T(0);
  }
}

template <typename T>
void finish(const T* __restrict disparity, const T* __restrict total, const T* __restrict weighted,
            int64_t width, T* __restrict mean, T* __restrict guide) {
  for (int64_t i = 0; i < width; ++i) {
    const T value = disparity[i], weight = total[i] > T(0.25) ? total[i] : T(0.25);
    const bool known = (value > 0) & (value - value == 0);
    const T average = weighted[i] / weight;
    mean[i] = average;
    guide[i] = known ? value : average;
  }
}

inline __attribute__((always_inline)) float nearest(float a) { return __builtin_rintf(a); }
inline __attribute__((always_inline)) double nearest(double a) { return __builtin_rint(a); }

// Where the flow leads, in pixels of the neighbour; 0 and inside = 0 where it leaves the frame.
template <typename T>
inline __attribute__((always_inline)) void follow(const T* __restrict flow_x,
                                                  const T* __restrict flow_y, int64_t first,
                                                  int64_t y, int64_t height, int64_t width,
                                                  int64_t count, int32_t* __restrict index,
                                                  int32_t* __restrict inside) {
  const T w = static_cast<T>(width), h = static_cast<T>(height), row = static_cast<T>(y);
  const int32_t stride = static_cast<int32_t>(width), start = static_cast<int32_t>(first);
  for (int32_t i = 0; i < static_cast<int32_t>(count); ++i) {
    const T x = static_cast<T>(start + i) + nearest(flow_x[first + i]);
    const T to = row + nearest(flow_y[first + i]);
    const bool in = (x >= 0) & (x < w) & (to >= 0) & (to < h);
    const int32_t column = static_cast<int32_t>(in ? x : T(0));
    const int32_t line = static_cast<int32_t>(in ? to : T(0));
    index[i] = line * stride + column;
    inside[i] = in;
  }
}

inline __attribute__((always_inline)) bool alike(uint8_t a, uint8_t b, uint8_t tolerance) {
  const int difference = static_cast<int>(a) - static_cast<int>(b);
  return (difference < 0 ? -difference : difference) <= tolerance;
}
template <typename T>
inline __attribute__((always_inline)) bool alike(T a, T b, T tolerance) {
  const T difference = a - b;
  return (difference < 0 ? -difference : difference) <= tolerance;
}

template <typename T, typename F>
void add_neighbour(const Neighbour<T, F>& n) {
  const int64_t size = n.height * n.width;
  for (int64_t first = 0; first < n.width; first += kBlock) {
    const int64_t count = n.width - first < kBlock ? n.width - first : kBlock;
    int32_t index[kBlock], counts[kBlock];
    T values[kBlock];
    follow(n.flow_x, n.flow_y, first, n.y, n.height, n.width, count, index, counts);
    for (int64_t c = 0; c < n.channels; ++c) {
      const F* __restrict own = n.colours + c * size + first;
      const F* __restrict other = n.others + c * size;
      F there[kBlock];  // first fetched, then compared as vectors: bytes have no vector fetch
      for (int64_t i = 0; i < count; ++i) there[i] = other[index[i]];
      for (int64_t i = 0; i < count; ++i) {
        counts[i] &= static_cast<int32_t>(alike(there[i], own[i], n.colour_tolerance));
      }
    }
    const T* __restrict other = n.other;
    for (int64_t i = 0; i < count; ++i) values[i] = other[index[i]];
    const T* __restrict own = n.own + first;
    T* __restrict total = n.total + first;
    T* __restrict weighted = n.weighted + first;
    for (int64_t i = 0; i < count; ++i) {
      const T value = values[i], here = own[i], difference = value - here;
      const bool known = (value > 0) & (value - value == 0);
      const bool here_known = (here > 0) & (here - here == 0);
      const bool near = (difference < 0 ? -difference : difference) <= n.limit;
      const bool in = (counts[i] != 0) & known & (near | !here_known);
      total[i] += in ? T(0.25) : T(0);
      weighted[i] += in ? T(0.25) * value : T(0);
    }
  }
}

template <typename T>
Rows<T> rows() {
  return {sum<T>,
          enter_products<T>,
          enter_lines<T>,
          fit_lines<T>,
          apply_lines<T>,
          widen<T>,
          begin<T>,
          add_neighbour<T, uint8_t>,
          add_neighbour<T, T>,
          finish<T>};
}

}  // namespace

Rows<float> float_rows() { return rows<float>(); }
Rows<double> double_rows() { return rows<double>(); }

}  // namespace steadyview::depth::STEADYVIEW_ISA
