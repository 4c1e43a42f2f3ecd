#include <vector>

#include "common/launch.h"
#include "fill/fill.h"
#include "fill/fill_maths.h"

namespace steadyview {
namespace {

using namespace filling;

// A thread a pixel of the batch.
struct Pixel {
  int64_t n, y, x, at;  // at: in the image
};

template <typename T>
__device__ Pixel pixel_of(const FillHoles<T>& f, int64_t item) {
  const int64_t pixels = f.height * f.width, at = item % pixels;
  return {item / pixels, at / f.width, at % f.width, at};
}

template <typename T>
__global__ void prepare(FillHoles<T> f) {
  const int64_t pixels = f.height * f.width;
  for (int64_t i = first_item(); i < f.batch * pixels; i += item_step()) {
    const Pixel p = pixel_of(f, i);
    const int64_t first = p.n * f.channels * pixels + p.at;
    bool known = f.holes[i] == 0;
    for (int64_t c = 0; c < f.channels; ++c) {
      const T value = f.image[first + c * pixels];
      known = known && value - value == 0;
    }
    for (int64_t c = 0; c < f.channels; ++c) {
      f.output[first + c * pixels] = known ? f.image[first + c * pixels] : T(0);
    }
    f.scratch.known[i] = known;
    if (!f.depth) continue;
    const T z = f.depth[i];
    f.scratch.depth[i] = known && z > 0 && z - z == 0 ? z : T(0);
  }
}

template <typename T>
__global__ void fill_gaps(FillHoles<T> f) {
  const int64_t pixels = f.height * f.width;
  for (int64_t i = first_item(); i < f.batch * pixels; i += item_step()) {
    const Pixel p = pixel_of(f, i);
    const uint8_t* known = f.scratch.known + p.n * pixels;
    const auto steps = [&](int direction) {
      return steps_to_known(known, f.height, f.width, p.y, p.x, direction, f.gap);
    };
    f.scratch.kept[i] = known[p.at]
                            ? uint8_t{1}
                            : fill_gap(f.output + p.n * f.channels * pixels,
                                       f.depth ? f.scratch.depth + p.n * pixels : nullptr,
                                       f.channels, f.height, f.width, f.gap, p.y, p.x, steps);
  }
}

template <typename T>
__global__ void weigh_rim(FillHoles<T> f) {
  const int64_t pixels = f.height * f.width;
  for (int64_t i = first_item(); i < f.batch * pixels; i += item_step()) {
    const Pixel p = pixel_of(f, i);
    const uint8_t* kept = f.scratch.kept + p.n * pixels;
    bool rim = false;
    if (kept[p.at]) {
      for (int64_t y = p.y > 0 ? p.y - 1 : 0; y <= p.y + 1 && y < f.height; ++y) {
        for (int64_t x = p.x > 0 ? p.x - 1 : 0; x <= p.x + 1 && x < f.width; ++x)
          rim = rim || !kept[y * f.width + x];
      }
    }
    T weight = rim ? T(1) : T(0);
    if (rim && f.depth)
      weight = rim_weight(kept, f.scratch.depth + p.n * pixels, f.height, f.width, p.y, p.x);
    f.scratch.weight[i] = weight;
  }
}

// A level of the pyramid of all images; the first is the image's own pixels, with its weights
// apart.
template <typename T>
struct Step {
  Level<T> to;
  const T* values;   // (images, planes, height, width) of the finer level
  const T* weights;  // (images, 1, height, width), each `weight_stride` after the other
  int64_t planes, weight_stride, height, width;
};

// The weights of a level, from the opacities of the finer one.
template <typename T>
__global__ void pull_weights(Step<T> s, int64_t batch, int64_t channels) {
  const int64_t size = s.to.height * s.to.width;
  for (int64_t item = first_item(); item < batch * size; item += item_step()) {
    const int64_t n = item / size, at = item % size;
    const T* weights = s.weights + n * s.weight_stride;
    s.to.data[(n * (channels + 1) + channels) * size + at] =
        pull<T>(s.height, s.width, at / s.to.width, at % s.to.width,
                [&](int64_t i) { return opacity(weights[i]); });
  }
}

// The channels of a level: of the image times its weights, or of a level as it is.
template <typename T>
__global__ void pull_values(Step<T> s, int64_t batch, int64_t channels, bool weighted) {
  const int64_t size = s.to.height * s.to.width, fine = s.height * s.width;
  for (int64_t item = first_item(); item < batch * channels * size; item += item_step()) {
    const int64_t n = item / size / channels, c = item / size % channels, at = item % size;
    const T* values = s.values + (n * s.planes + c) * fine;
    const T* weights = s.weights + n * s.weight_stride;
    T* to = s.to.data + n * (channels + 1) * size + at;
    to[c * size] =
        pull<T>(s.height, s.width, at / s.to.width, at % s.to.width,
                [&](int64_t i) { return weighted ? values[i] * weights[i] : values[i]; }) *
        normaliser(to[channels * size]);
  }
}

// Gradients that pass a level: in the image those of the holes, else where it is open.
template <typename T>
__global__ void pull_gradients(Step<T> s, const uint8_t* kept, int64_t batch, int64_t channels) {
  const int64_t size = s.to.height * s.to.width, fine = s.height * s.width;
  for (int64_t item = first_item(); item < batch * channels * size; item += item_step()) {
    const int64_t n = item / size / channels, c = item / size % channels, at = item % size;
    const T* values = s.values + (n * s.planes + c) * fine;
    const T* weights = s.weights + n * s.weight_stride;
    s.to.data[(n * (channels + 1) + c) * size + at] =
        pull<T>(s.height, s.width, at / s.to.width, at % s.to.width, [&](int64_t i) {
          if (kept) return kept[n * fine + i] ? T(0) : values[i];
          return (T(1) - opacity(weights[i])) * values[i];
        });
  }
}

template <typename T>
__global__ void divide_top(Level<T> top, int64_t batch, int64_t channels) {
  for (int64_t item = first_item(); item < batch * channels; item += item_step()) {
    T* values = top.data + item / channels * (channels + 1);
    const T weight = opacity(values[channels]);
    T& value = values[item % channels];
    value = weight > 0 ? value / weight : T(0);
  }
}

template <typename T>
__global__ void push_level(Level<T> from, Level<T> to, int64_t batch, int64_t channels,
                           bool opaque) {
  const int64_t size = to.height * to.width;
  for (int64_t item = first_item(); item < batch * channels * size; item += item_step()) {
    const int64_t n = item / size / channels, c = item / size % channels, at = item % size;
    T* data = to.data + n * (channels + 1) * size + at;
    const T open = opaque ? T(1) - opacity(data[channels * size]) : T(1);
    data[c * size] += open * push(from.data + (n * (channels + 1) + c) * from.height * from.width,
                                  to.height, to.width, at / to.width, at % to.width);
  }
}

template <typename T>
__global__ void normalise(Level<T> level, int64_t batch, int64_t channels) {
  const int64_t size = level.height * level.width;
  for (int64_t item = first_item(); item < batch * channels * size; item += item_step()) {
    const int64_t n = item / size / channels, c = item / size % channels, at = item % size;
    T* data = level.data + n * (channels + 1) * size + at;
    data[c * size] *= normaliser(data[channels * size]);
  }
}

template <typename T>
__device__ T push_pixel(const FillHoles<T>& f, const Level<T>& first, const Pixel& p, int64_t c) {
  return push(first.data + (p.n * (f.channels + 1) + c) * first.height * first.width, f.height,
              f.width, p.y, p.x);
}

template <typename T>
__global__ void fill_pixels(FillHoles<T> f, Level<T> first) {
  const int64_t pixels = f.height * f.width;
  for (int64_t i = first_item(); i < f.batch * pixels; i += item_step()) {
    if (f.scratch.kept[i]) continue;
    const Pixel p = pixel_of(f, i);
    for (int64_t c = 0; c < f.channels; ++c)
      f.output[(p.n * f.channels + c) * pixels + p.at] = push_pixel(f, first, p, c);
  }
}

template <typename T>
__global__ void gradients_of_kept(FillHolesGradient<T> g, Level<T> first) {
  const FillHoles<T>& f = g.forward;
  const int64_t pixels = f.height * f.width;
  for (int64_t i = first_item(); i < f.batch * pixels; i += item_step()) {
    const Pixel p = pixel_of(f, i);
    const T weight = f.scratch.weight[i];
    for (int64_t c = 0; c < f.channels; ++c) {
      const int64_t to = (p.n * f.channels + c) * pixels + p.at;
      T sum = f.scratch.kept[i] ? g.grad_output[to] : T(0);
      if (weight > 0 && first.data) sum += weight * push_pixel(f, first, p, c);
      g.grad_image[to] = sum;
    }
  }
}

template <typename T>
__global__ void gradients_of_gaps(FillHolesGradient<T> g) {
  const FillHoles<T>& f = g.forward;
  const int64_t pixels = f.height * f.width;
  for (int64_t i = first_item(); i < f.batch * pixels; i += item_step()) {
    if (!f.scratch.known[i]) continue;
    const Pixel p = pixel_of(f, i);
    const int64_t image = p.n * pixels;
    T* grad = g.grad_image + p.n * f.channels * pixels;
    gather_gaps<T>(f.scratch.known + image, f.scratch.kept + image, f.height, f.width, f.gap, p.y,
                   p.x, [&](int64_t from, T weight) {
                     for (int64_t c = 0; c < f.channels; ++c)
                       grad[c * pixels + p.at] += weight * grad[c * pixels + from];
                   });
  }
}

template <typename T>
__global__ void clear_gaps(FillHolesGradient<T> g) {
  const FillHoles<T>& f = g.forward;
  const int64_t pixels = f.height * f.width;
  for (int64_t i = first_item(); i < f.batch * pixels; i += item_step()) {
    if (f.scratch.known[i]) continue;
    for (int64_t c = 0; c < f.channels; ++c)
      g.grad_image[(i / pixels * f.channels + c) * pixels + i % pixels] = 0;
  }
}

// The steps down the pyramid, from `values` (images, channels, height, width).
template <typename T>
std::vector<Step<T>> steps_down(const FillHoles<T>& f, const T* values) {
  std::vector<Step<T>> steps;
  Step<T> s{.to = {f.scratch.pyramid, coarser(f.height), coarser(f.width)},
            .values = values,
            .weights = f.scratch.weight,
            .planes = f.channels,
            .weight_stride = f.height * f.width,
            .height = f.height,
            .width = f.width};
  while (s.height > 1 || s.width > 1) {
    steps.push_back(s);
    const int64_t size = s.to.height * s.to.width, planes = f.channels + 1;
    T* next = s.to.data + f.batch * planes * size;
    s = {.to = {next, coarser(s.to.height), coarser(s.to.width)},
         .values = s.to.data,
         .weights = s.to.data + f.channels * size,
         .planes = planes,
         .weight_stride = planes * size,
         .height = s.to.height,
         .width = s.to.width};
  }
  return steps;
}

template <typename T>
void begin(Launcher& launch, const FillHoles<T>& f) {
  const int64_t pixels = f.batch * f.height * f.width;
  launch.run(prepare<T>, pixels, f);
  if (f.gap > 0) launch.run(fill_gaps<T>, pixels, f);
  launch.run(weigh_rim<T>, pixels, f);
}

}  // namespace

template <typename T>
const char* fill_holes_cuda(const FillHoles<T>& f, void* stream) {
  Launcher launch(stream);
  begin(launch, f);
  const std::vector<Step<T>> steps = steps_down(f, static_cast<const T*>(f.output));
  if (steps.empty()) return launch.result();
  const auto items = [&](const Level<T>& level) { return f.batch * level.height * level.width; };
  for (const Step<T>& s : steps) {
    launch.run(pull_weights<T>, items(s.to), s, f.batch, f.channels);
    launch.run(pull_values<T>, items(s.to) * f.channels, s, f.batch, f.channels,
               &s == &steps.front());
  }
  launch.run(divide_top<T>, f.batch * f.channels, steps.back().to, f.batch, f.channels);
  for (size_t i = steps.size() - 1; i > 0; --i) {
    const Level<T>& to = steps[i - 1].to;
    launch.run(push_level<T>, items(to) * f.channels, steps[i].to, to, f.batch, f.channels, true);
  }
  launch.run(fill_pixels<T>, f.batch * f.height * f.width, f, steps.front().to);
  return launch.result();
}

template <typename T>
const char* fill_holes_gradient_cuda(const FillHolesGradient<T>& g, void* stream) {
  const FillHoles<T>& f = g.forward;
  Launcher launch(stream);
  begin(launch, f);
  const std::vector<Step<T>> steps = steps_down(f, g.grad_output);
  const auto items = [&](const Level<T>& level) { return f.batch * level.height * level.width; };
  for (const Step<T>& s : steps) {
    const uint8_t* kept = &s == &steps.front() ? f.scratch.kept : nullptr;
    launch.run(pull_weights<T>, items(s.to), s, f.batch, f.channels);
    launch.run(pull_gradients<T>, items(s.to) * f.channels, s, kept, f.batch, f.channels);
  }
  if (!steps.empty())
    launch.run(divide_top<T>, f.batch * f.channels, steps.back().to, f.batch, f.channels);
  for (size_t i = steps.size(); i-- > 0;) {
    const Level<T>& to = steps[i].to;
    const int64_t count = items(to) * f.channels;
    if (i + 1 < steps.size())
      launch.run(push_level<T>, count, steps[i + 1].to, to, f.batch, f.channels, false);
    launch.run(normalise<T>, count, to, f.batch, f.channels);
  }
  const Level<T> first = steps.empty() ? Level<T>{} : steps.front().to;
  const int64_t pixels = f.batch * f.height * f.width;
  launch.run(gradients_of_kept<T>, pixels, g, first);
  if (f.gap > 0) {
    launch.run(gradients_of_gaps<T>, pixels, g);
    launch.run(clear_gaps<T>, pixels, g);
  }
  return launch.result();
}

template const char* fill_holes_cuda(const FillHoles<float>&, void*);
template const char* fill_holes_cuda(const FillHoles<double>&, void*);
template const char* fill_holes_gradient_cuda(const FillHolesGradient<float>&, void*);
template const char* fill_holes_gradient_cuda(const FillHolesGradient<double>&, void*);

}  // namespace steadyview
