// Compositing of planes with alpha.
#include <algorithm>

#include "common/isa.h"
#include "common/parallel.h"
#include "multiplane/render_maths.h"
#include "multiplane/render_rows.h"
#include "warp/bands.h"

namespace steadyview {
namespace {

using namespace multiplane;

constexpr int64_t kRows = 4;

// Carries the gradients by a plane's samples on, to the plane and its homography.
template <typename T>
void gradient_of_plane(const MultiplaneRenderGradient<T>& g, int64_t view, int64_t d) {
  const MultiplaneRender<T>& r = g.forward;
  const int64_t size = r.output_height * r.output_width, n = view / r.views;
  const int64_t plane_size = r.height * r.width;
  const double* matrix = r.source_from_output + 9 * (view * r.depths + d);
  const T* plane = plane_of(r, n, d);
  T* grad_plane = g.grad_planes + (plane - r.planes);
  double sums[9] = {};
  for (int64_t pixel = 0; pixel < size; ++pixel) {
    Sample<T> s{};
    const int64_t x = pixel % r.output_width, y = pixel / r.output_width;
    if (!place(r, matrix, x, y, &s)) continue;
    const bool within = s.x >= 0 && s.x + 1 < r.width && s.y >= 0 && s.y + 1 < r.height;
    double by_x = 0, by_y = 0;
    for (int64_t c = 0; c < r.channels; ++c) {
      const T grad = g.samples[(d * r.channels + c) * size + pixel];
      if (within) {
        T* const to = grad_plane + c * plane_size + s.y * r.width + s.x;
        const T left = grad * (1 - s.tx), right = grad * s.tx;
        to[0] += left * (1 - s.ty);
        to[1] += right * (1 - s.ty);
        to[r.width] += left * s.ty;
        to[r.width + 1] += right * s.ty;
      } else {
        scatter(r, grad_plane, c, s, grad, [](T* to, T value) { *to += value; });
      }
      if (g.grad_matrix) add_slopes(r, plane, c, s, grad, &by_x, &by_y);
    }
    if (g.grad_matrix) add_matrix_gradient(matrix, x, y, by_x, by_y, sums);
  }
  if (g.grad_matrix) std::copy_n(sums, 9, g.grad_matrix + 9 * (view * r.depths + d));
}

}  // namespace

template <typename T>
void multiplane_render_cpu(const MultiplaneRender<T>& r) {
  const auto row = STEADYVIEW_FOR_ISA(multiplane, render_row<T>);
  parallel_for(0, r.batch * r.views * r.output_height, kRows, [&](int64_t i, int64_t last) {
    const ZeroedSums<T> scratch(render_scratch(1, r.channels), 0);
    for (; i < last; ++i) row(r, i / r.output_height, i % r.output_height, scratch.get());
  });
}

// One view at a time: its samples' gradients, then each plane's own, so that no two threads add to
// the same place and sums come in the same order.
template <typename T>
void multiplane_render_gradient_cpu(const MultiplaneRenderGradient<T>& g) {
  const MultiplaneRender<T>& r = g.forward;
  const auto samples = STEADYVIEW_FOR_ISA(multiplane, sample_gradients<T>);
  for (int64_t view = 0; view < r.batch * r.views; ++view) {
    parallel_for(0, r.output_height, kRows, [&](int64_t row, int64_t last) {
      const ZeroedSums<T> scratch(render_scratch(r.depths, r.channels), 0);
      for (; row < last; ++row) samples(g, view, row, scratch.get());
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
