// Compositing of planes with alpha.
#include <algorithm>
#include <cmath>
#include <vector>

#include "common/parallel.h"
#include "multiplane/multiplane.h"
#include "multiplane/render_maths.h"

namespace steadyview {
namespace {

using namespace multiplane;

constexpr int64_t kRows = 4;

// A row: planes from the nearest on, each over all its pixels, so that few are touched at a time.
template <typename T>
void render_row(const MultiplaneRender<T>& r, int64_t view, int64_t row, T* transmitted) {
  const int64_t width = r.output_width, size = r.output_height * width;
  T* output = r.output + view * r.channels * size + row * width;
  for (int64_t c = 0; c < r.channels; ++c) std::fill_n(output + c * size, width, T(0));
  std::fill_n(transmitted, width, T(1));
  for (int64_t d = r.depths - 1; d >= 0; --d) {
    const T* plane = plane_of(r, view / r.views, d);
    const double* matrix = r.source_from_output + 9 * (view * r.depths + d);
    for (int64_t x = 0; x < width; ++x) {
      Sample<T> sample{};
      if (transmitted[x] == 0 || !place(r, matrix, x, row, &sample)) continue;
      const int64_t alpha = r.channels - 1;
      const T weight = transmitted[x] * read(r, plane, alpha, sample);
      for (int64_t c = 0; c < alpha; ++c) {
        output[c * size + x] += weight * read(r, plane, c, sample);
      }
      output[alpha * size + x] += weight;
      transmitted[x] -= weight;
    }
  }
}

// Gradients of a pixel by the samples of its planes, into g.samples.
template <typename T>
void sample_gradients(const MultiplaneRenderGradient<T>& g, int64_t view, int64_t pixel,
                      T* values) {
  const MultiplaneRender<T>& r = g.forward;
  const int64_t size = r.output_height * r.output_width, channels = r.channels;
  const int64_t x = pixel % r.output_width, row = pixel / r.output_width;
  const T* grad = g.grad_output + view * channels * size + pixel;
  T transmitted = 1;
  for (int64_t d = r.depths - 1; d >= 0; --d) {
    T* value = values + d * (channels + 1);
    Sample<T> sample{};
    const bool seen = place(r, r.source_from_output + 9 * (view * r.depths + d), x, row, &sample);
    const T* plane = plane_of(r, view / r.views, d);
    for (int64_t c = 0; c < channels; ++c) value[c] = seen ? read(r, plane, c, sample) : T(0);
    value[channels] = transmitted;
    transmitted *= 1 - value[channels - 1];
  }
  // behind: the gradient's product with the composite of what lies behind, alpha's colour being 1.
  T behind = 0;
  for (int64_t d = 0; d < r.depths; ++d) {
    const T* value = values + d * (channels + 1);
    const T alpha = value[channels - 1];
    T here = grad[(channels - 1) * size];
    T* out = g.samples + d * channels * size + pixel;
    for (int64_t c = 0; c + 1 < channels; ++c) {
      here += grad[c * size] * value[c];
      out[c * size] = grad[c * size] * value[channels] * alpha;
    }
    out[(channels - 1) * size] = value[channels] * (here - behind);
    behind = alpha * here + (1 - alpha) * behind;
  }
}

// Carries the gradients by a plane's samples on, to the plane and its homography.
template <typename T>
void gradient_of_plane(const MultiplaneRenderGradient<T>& g, int64_t view, int64_t d) {
  const MultiplaneRender<T>& r = g.forward;
  const int64_t size = r.output_height * r.output_width, n = view / r.views;
  const double* matrix = r.source_from_output + 9 * (view * r.depths + d);
  const T* plane = plane_of(r, n, d);
  T* grad_plane = g.grad_planes + (plane - r.planes);
  double sums[9] = {};
  for (int64_t pixel = 0; pixel < size; ++pixel) {
    Sample<T> sample{};
    const int64_t x = pixel % r.output_width, y = pixel / r.output_width;
    if (!place(r, matrix, x, y, &sample)) continue;
    double by_x = 0, by_y = 0;
    for (int64_t c = 0; c < r.channels; ++c) {
      const T grad = g.samples[(d * r.channels + c) * size + pixel];
      scatter(r, grad_plane, c, sample, grad, [](T* to, T value) { *to += value; });
      if (g.grad_matrix) add_slopes(r, plane, c, sample, grad, &by_x, &by_y);
    }
    if (g.grad_matrix) add_matrix_gradient(matrix, x, y, by_x, by_y, sums);
  }
  if (g.grad_matrix) std::copy_n(sums, 9, g.grad_matrix + 9 * (view * r.depths + d));
}

}  // namespace

template <typename T>
void multiplane_render_cpu(const MultiplaneRender<T>& r) {
  parallel_for(0, r.batch * r.views * r.output_height, kRows, [&](int64_t i, int64_t last) {
    std::vector<T> transmitted(static_cast<size_t>(r.output_width));
    for (; i < last; ++i) {
      render_row(r, i / r.output_height, i % r.output_height, transmitted.data());
    }
  });
}

// One view at a time: its samples' gradients, then each plane's own, so that no two threads add to
// the same place and sums come in the same order.
template <typename T>
void multiplane_render_gradient_cpu(const MultiplaneRenderGradient<T>& g) {
  const MultiplaneRender<T>& r = g.forward;
  for (int64_t view = 0; view < r.batch * r.views; ++view) {
    parallel_for(0, r.output_height, kRows, [&](int64_t row, int64_t last) {
      std::vector<T> values(static_cast<size_t>(r.depths * (r.channels + 1)));
      for (int64_t pixel = row * r.output_width; pixel < last * r.output_width; ++pixel) {
        sample_gradients(g, view, pixel, values.data());
      }
    });
    parallel_for(0, r.depths, 1, [&](int64_t d, int64_t last) {
      for (; d < last; ++d) gradient_of_plane(g, view, d);
    });
  }
}

template void multiplane_render_cpu(const MultiplaneRender<float>&);
template void multiplane_render_cpu(const MultiplaneRender<double>&);
template void multiplane_render_gradient_cpu(const MultiplaneRenderGradient<float>&);
template void multiplane_render_gradient_cpu(const MultiplaneRenderGradient<double>&);

}  // namespace steadyview
