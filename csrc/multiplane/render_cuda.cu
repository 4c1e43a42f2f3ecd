#include "common/launch.h"
#include "multiplane/multiplane.h"
#include "multiplane/render_maths.h"

namespace steadyview {
namespace {

using namespace multiplane;

struct AtomicAdd {
  template <typename T>
  __device__ void operator()(T* pixel, T value) const {
    atomicAdd(pixel, value);
  }
};

template <typename T>
__global__ void render_pixels(MultiplaneRender<T> r) {
  const int64_t size = r.output_height * r.output_width, alpha = r.channels - 1;
  for (int64_t item = first_item(); item < r.batch * r.views * size; item += item_step()) {
    const int64_t view = item / size, pixel = item % size;
    T* output = r.output + view * r.channels * size + pixel;
    for (int64_t c = 0; c < r.channels; ++c) output[c * size] = 0;
    T transmitted = 1;
    for (int64_t d = r.depths - 1; d >= 0 && transmitted != 0; --d) {
      Sample<T> sample;
      if (!place(r, r.source_from_output + 9 * (view * r.depths + d), pixel % r.output_width,
                 pixel / r.output_width, &sample))
        continue;
      const T* plane = plane_of(r, view / r.views, d);
      const T weight = transmitted * read(r, plane, alpha, sample);
      for (int64_t c = 0; c < alpha; ++c) output[c * size] += weight * read(r, plane, c, sample);
      output[alpha * size] += weight;
      transmitted -= weight;
    }
  }
}

// Front to back, what is transmitted to each plane goes into g.samples; then back to front, the
// gradients go to the planes and the homographies. One view at a time.
template <typename T>
__global__ void render_gradient(MultiplaneRenderGradient<T> g, int64_t view) {
  const MultiplaneRender<T>& r = g.forward;
  const int64_t size = r.output_height * r.output_width, channels = r.channels;
  for (int64_t pixel = first_item(); pixel < size; pixel += item_step()) {
    const int64_t x = pixel % r.output_width, y = pixel / r.output_width;
    const T* grad = g.grad_output + view * channels * size + pixel;
    T transmitted = 1;
    for (int64_t d = r.depths - 1; d >= 0; --d) {
      Sample<T> s;
      const bool seen = place(r, r.source_from_output + 9 * (view * r.depths + d), x, y, &s);
      g.samples[d * channels * size + pixel] = transmitted;
      if (seen) transmitted *= 1 - read(r, plane_of(r, view / r.views, d), channels - 1, s);
    }
    T behind = 0;
    for (int64_t d = 0; d < r.depths; ++d) {
      const double* matrix = r.source_from_output + 9 * (view * r.depths + d);
      Sample<T> s;
      if (!place(r, matrix, x, y, &s)) continue;
      const T* plane = plane_of(r, view / r.views, d);
      T* grad_plane = g.grad_planes + (plane - r.planes);
      const T reaching = g.samples[d * channels * size + pixel];
      const T alpha = read(r, plane, channels - 1, s);
      T here = grad[(channels - 1) * size];
      for (int64_t c = 0; c + 1 < channels; ++c) here += grad[c * size] * read(r, plane, c, s);
      double by_x = 0, by_y = 0;
      for (int64_t c = 0; c < channels; ++c) {
        const T by_sample =
            c + 1 < channels ? grad[c * size] * reaching * alpha : reaching * (here - behind);
        scatter(r, grad_plane, c, s, by_sample, AtomicAdd{});
        if (g.grad_matrix) add_slopes(r, plane, c, s, by_sample, &by_x, &by_y);
      }
      if (g.grad_matrix) {
        double sums[9] = {};
        add_matrix_gradient(matrix, x, y, by_x, by_y, sums);
        for (int i = 0; i < 9; ++i)
          atomicAdd(g.grad_matrix + 9 * (view * r.depths + d) + i, sums[i]);
      }
      behind = alpha * here + (1 - alpha) * behind;
    }
  }
}

}  // namespace

template <typename T>
const char* multiplane_render_cuda(const MultiplaneRender<T>& r, void* stream) {
  Launcher launch(stream);
  launch.run(render_pixels<T>, r.batch * r.views * r.output_height * r.output_width, r);
  return launch.result();
}

template <typename T>
const char* multiplane_render_gradient_cuda(const MultiplaneRenderGradient<T>& g, void* stream) {
  Launcher launch(stream);
  for (int64_t view = 0; view < g.forward.batch * g.forward.views; ++view)
    launch.run(render_gradient<T>, g.forward.output_height * g.forward.output_width, g, view);
  return launch.result();
}

template const char* multiplane_render_cuda(const MultiplaneRender<float>&, void*);
template const char* multiplane_render_cuda(const MultiplaneRender<double>&, void*);
template const char* multiplane_render_gradient_cuda(const MultiplaneRenderGradient<float>&, void*);
template const char* multiplane_render_gradient_cuda(const MultiplaneRenderGradient<double>&,
                                                     void*);

}  // namespace steadyview
