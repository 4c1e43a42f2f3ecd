#include <stdexcept>

#include "common/parallel.h"
#include "warp/warp.h"

namespace steadyview {
namespace {

using namespace warp_maths;

constexpr int64_t kRows = 8;

template <Filter filter, typename T>
void forward(const BackwardWarp<T>& warp) {
  const int64_t rows = warp.output_height, columns = warp.output_width;
  parallel_for(0, warp.batch * rows, kRows, [&](int64_t first, int64_t last) {
    for (int64_t i = first; i < last; ++i) {
      const int64_t n = i / rows, row = i % rows;
      for (int64_t column = 0; column < columns; ++column) {
        Taps<filter, T> taps;
        find_taps<filter>(warp, n, row, column, taps, static_cast<T*>(nullptr),
                          static_cast<T*>(nullptr));
        for (int64_t c = n * warp.channels; c < (n + 1) * warp.channels; ++c) {
          const T* plane = warp.image + c * warp.height * warp.width;
          warp.output[(c * rows + row) * columns + column] = weigh(plane, taps, taps.wx, taps.wy);
        }
      }
    }
  });
}

// Planes are independent, so that sums come in the same order for any number of threads.
template <Filter filter, typename T>
void gradient_by_image(const BackwardWarpGradient<T>& gradient) {
  const BackwardWarp<T>& warp = gradient.forward;
  const int64_t rows = warp.output_height, columns = warp.output_width;
  parallel_for(0, warp.batch * warp.channels, 1, [&](int64_t first, int64_t last) {
    for (int64_t c = first; c < last; ++c) {
      T* plane = gradient.grad_image + c * warp.height * warp.width;
      for (int64_t i = 0; i < rows * columns; ++i) {
        Taps<filter, T> taps;
        find_taps<filter>(warp, c / warp.channels, i / columns, i % columns, taps,
                          static_cast<T*>(nullptr), static_cast<T*>(nullptr));
        const T grad = gradient.grad_output[c * rows * columns + i];
        scatter(plane, grad, taps, [](T* pixel, T value) { *pixel += value; });
      }
    }
  });
}

template <Filter filter, typename T>
void gradient_by_points(const BackwardWarpGradient<T>& gradient) {
  const BackwardWarp<T>& warp = gradient.forward;
  const int64_t rows = warp.output_height, columns = warp.output_width;
  parallel_for(0, warp.batch * rows, kRows, [&](int64_t first, int64_t last) {
    for (int64_t i = first * columns; i < last * columns; ++i) {
      const int64_t n = i / (rows * columns), pixel = i % (rows * columns);
      Taps<filter, T> taps;
      T slopes_x[taps.count], slopes_y[taps.count];
      find_taps<filter>(warp, n, pixel / columns, pixel % columns, taps, slopes_x, slopes_y);
      double by_x = 0, by_y = 0;
      for (int64_t c = n * warp.channels; c < (n + 1) * warp.channels; ++c) {
        const T* plane = warp.image + c * warp.height * warp.width;
        const double grad = gradient.grad_output[c * rows * columns + pixel];
        by_x += grad * weigh(plane, taps, slopes_x, taps.wy);
        by_y += grad * weigh(plane, taps, taps.wx, slopes_y);
      }
      gradient.grad_points[2 * i] = by_x;
      gradient.grad_points[2 * i + 1] = by_y;
    }
  });
}

template <Filter filter, typename T>
void gradients(const BackwardWarpGradient<T>& gradient) {
  if (gradient.grad_image) gradient_by_image<filter>(gradient);
  if (gradient.grad_points) gradient_by_points<filter>(gradient);
}

}  // namespace

template <typename T>
void backward_warp_cpu(const BackwardWarp<T>& warp) {
  switch (warp.filter) {
    case Filter::bilinear:
      return forward<Filter::bilinear>(warp);
    case Filter::bicubic:
      return forward<Filter::bicubic>(warp);
    case Filter::catmull_rom:
      return forward<Filter::catmull_rom>(warp);
    case Filter::lanczos3:
      break;
  }
  throw std::invalid_argument("backward_warp: no such interpolation");
}

template <typename T>
void backward_warp_gradient_cpu(const BackwardWarpGradient<T>& gradient) {
  switch (gradient.forward.filter) {
    case Filter::bilinear:
      return gradients<Filter::bilinear>(gradient);
    case Filter::bicubic:
      return gradients<Filter::bicubic>(gradient);
    case Filter::catmull_rom:
      return gradients<Filter::catmull_rom>(gradient);
    case Filter::lanczos3:
      break;
  }
  throw std::invalid_argument("backward_warp: no such interpolation");
}

template void backward_warp_cpu(const BackwardWarp<float>&);
template void backward_warp_cpu(const BackwardWarp<double>&);
template void backward_warp_gradient_cpu(const BackwardWarpGradient<float>&);
template void backward_warp_gradient_cpu(const BackwardWarpGradient<double>&);

}  // namespace steadyview
