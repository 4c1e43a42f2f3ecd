#include "common/launch.h"
#include "multiplane/multiplane.h"
#include "multiplane/multiplane_maths.h"
#include "multiplane/ranks.h"

namespace steadyview {

int64_t multiplane_counts(int planes, Split split) {
  return multiplane::kHighCounts +
         multiplane::rank_count(planes, split) * (multiplane::kLowCounts + 4);
}

namespace {

using namespace multiplane;

// One view of a projection.
template <typename T>
struct View {
  MultiplaneProject<T> p;
  MultiplaneScratch s;
  int64_t n, view;
};

template <typename T>
__global__ void count_holes(MultiplaneProject<T> p, int64_t n) {
  const int64_t pixels = p.height * p.width;
  unsigned long long invalid = 0;
  for (int64_t i = first_item(); i < pixels; i += item_step())
    invalid += !valid_depth(p.depth[n * pixels + i]);
  if (invalid) atomicAdd(reinterpret_cast<unsigned long long*>(p.invalid + n), invalid);
}

// As project_row of the CPU twin, in the same order of operations and without contraction.
template <typename T>
__global__ void project_pixels(View<T> a) {
  const MultiplaneProject<T>& p = a.p;
  const bool same = p.same[a.view];
  const double* m = p.transform + 12 * a.view;
  for (int64_t i = first_item(); i < p.height * p.width; i += item_step()) {
    const float z = p.depth[a.n * p.height * p.width + i];
    if (!valid_depth(z)) continue;
    int64_t place = i;
    float q[3] = {0, 0, z};
    if (!same) {
      const float u = static_cast<float>(static_cast<double>(i % p.width) + 0.5);
      const double v = static_cast<double>(i / p.width) + 0.5;
      for (int k = 0; k < 3; ++k) {
        const float start = static_cast<float>(__dadd_rn(__dmul_rn(m[4 * k + 1], v), m[4 * k + 2]));
        const float ray = __fadd_rn(__fmul_rn(static_cast<float>(m[4 * k]), u), start);
        q[k] = __fadd_rn(__fmul_rn(z, ray), static_cast<float>(m[4 * k + 3]));
      }
      if (!valid_depth(q[2])) continue;
      const float x = __fdiv_rn(q[0], q[2]), y = __fdiv_rn(q[1], q[2]);
      if (!(x >= 0 && x < static_cast<float>(p.output_width) && y >= 0 &&
            y < static_cast<float>(p.output_height)))
        continue;
      const int64_t column = static_cast<int64_t>(x), row = static_cast<int64_t>(y);
      place = (row < p.output_height ? row : p.output_height - 1) * p.output_width +
              (column < p.output_width ? column : p.output_width - 1);
    }
    const uint64_t key = make_key(__float_as_uint(q[2]), static_cast<uint32_t>(i));
    atomicMin(reinterpret_cast<unsigned long long*>(a.s.nearest + place),
              static_cast<unsigned long long>(key));
  }
}

__device__ float depth_of(uint64_t key) {
  return key == ~uint64_t{0} ? 0.0f : __uint_as_float(static_cast<uint32_t>(key >> 32));
}

template <typename T>
__global__ void count_high(View<T> a) {
  for (int64_t i = first_item(); i < a.p.output_height * a.p.output_width; i += item_step()) {
    const uint32_t bits = __float_as_uint(depth_of(a.s.nearest[i]));
    if (bits) atomicAdd(a.s.counts + (bits >> kLowBits), 1u);
  }
}

// What choose_* know of each rank, behind the counts: its high bits, its rank among those (two
// words) and whether it has a rank at all.
template <typename T>
__device__ uint32_t* rank_words(const View<T>& a, int i) {
  return a.s.counts + kHighCounts + rank_count(a.p.planes, a.p.split) * kLowCounts + 4 * i;
}

template <typename T>
__global__ void choose_high(View<T> a) {
  const int wanted = rank_count(a.p.planes, a.p.split);
  int64_t valid = 0, bin = 0, before = 0;
  for (int64_t i = 0; i < kHighCounts; ++i) valid += a.s.counts[i];
  for (int i = 0; i < wanted; ++i) {
    uint32_t* words = rank_words(a, i);
    words[3] = valid > 0;
    if (valid == 0) continue;
    const int64_t rank = rank_of(i, a.p.planes, a.p.split, valid);
    while (before + a.s.counts[bin] <= rank) before += a.s.counts[bin++];
    words[0] = static_cast<uint32_t>(bin);
    words[1] = static_cast<uint32_t>(rank - before);
  }
}

// Each rank has its own counts of the low bits.
template <typename T>
__global__ void count_low(View<T> a) {
  const int wanted = rank_count(a.p.planes, a.p.split);
  for (int64_t i = first_item(); i < a.p.output_height * a.p.output_width; i += item_step()) {
    const uint32_t bits = __float_as_uint(depth_of(a.s.nearest[i]));
    if (!bits) continue;
    for (int k = 0; k < wanted; ++k) {
      if (rank_words(a, k)[0] != bits >> kLowBits || !rank_words(a, k)[3]) continue;
      atomicAdd(a.s.counts + kHighCounts + k * kLowCounts + (bits & (kLowCounts - 1)), 1u);
    }
  }
}

template <typename T>
__global__ void choose_edge_values(View<T> a) {
  const MultiplaneProject<T>& p = a.p;
  const int wanted = rank_count(p.planes, p.split);
  float* edges = p.edges + a.view * (p.planes - 1);
  for (int k = 0; k < wanted; ++k) {
    const uint32_t* words = rank_words(a, k);
    const uint32_t* counts = a.s.counts + kHighCounts + k * kLowCounts;
    uint32_t bits = 0, left = words[1];
    if (words[3])
      for (; left >= counts[bits]; ++bits) left -= counts[bits];
    a.s.values[k] = words[3] ? __uint_as_float(words[0] << kLowBits | bits) : 0.0f;
  }
  for (int i = 0; i + 1 < p.planes; ++i) {
    edges[i] = p.split == Split::given ? p.given[a.view * (p.planes - 1) + i]
               : rank_words(a, 0)[3]   ? edge_of(i, p.planes, p.split, a.s.values)
                                       : 0.0f;
  }
}

template <typename T>
__device__ uint8_t plane_at(const View<T>& a, int64_t pixel) {
  const float depth = depth_of(a.s.nearest[pixel]);
  if (!(depth > 0)) return kNoPlane;
  const float* edges = a.p.edges + a.view * (a.p.planes - 1);
  int plane = 0;
  for (int e = 0; e + 1 < a.p.planes; ++e) plane += edges[e] < depth;
  return static_cast<uint8_t>(plane);
}

__device__ int64_t neighbour(int64_t pixel, int j, int64_t height, int64_t width) {
  return mirror(pixel / width + j / 3 - 1, height) * width +
         mirror(pixel % width + j % 3 - 1, width);
}

// The plane of each pixel, into `owner` for now.
template <typename T>
__global__ void label_pixels(View<T> a) {
  const int64_t size = a.p.output_height * a.p.output_width;
  for (int64_t i = first_item(); i < size; i += item_step()) {
    const uint64_t key = a.s.nearest[i];
    a.p.owner[a.view * size + i] = plane_at(a, i);
    a.p.landed[a.view * size + i] = static_cast<int32_t>(static_cast<uint32_t>(key));
  }
}

template <typename T>
__global__ void keep_pixels(View<T> a, int needed) {
  const MultiplaneProject<T>& p = a.p;
  const int64_t size = p.output_height * p.output_width;
  const uint8_t* labels = p.owner + a.view * size;
  const bool same = p.same[a.view];
  for (int64_t i = first_item(); i < size; i += item_step()) {
    int alike = 0;
    for (int j = 0; j < 9; ++j)
      alike += labels[neighbour(i, j, p.output_height, p.output_width)] == labels[i];
    uint8_t plane = alike >= needed ? labels[i] : kNoPlane;
    // The source's own camera: every pixel is known, whatever its depth.
    if (same) plane = labels[i] == kNoPlane ? static_cast<uint8_t>(p.planes - 1) : labels[i];
    p.kept[a.view * size + i] = plane;
  }
}

template <typename T>
__global__ void show_pixels(View<T> a) {
  const MultiplaneProject<T>& p = a.p;
  const int64_t size = p.output_height * p.output_width, source_size = p.height * p.width;
  const uint8_t* kept = p.kept + a.view * size;
  const int32_t* landed = p.landed + a.view * size;
  const bool same = p.same[a.view];
  for (int64_t i = first_item(); i < size; i += item_step()) {
    uint8_t nine[9];
    int64_t neighbours[9];
    for (int j = 0; j < 9; ++j) {
      neighbours[j] = neighbour(i, j, p.output_height, p.output_width);
      nine[j] = kept[neighbours[j]];
    }
    const uint8_t owner = same ? kept[i] : find_owner(nine, p.fill_above);
    const bool own = owner == kept[i] && owner != kNoPlane;
    const int64_t index = same ? i : own ? landed[i] : -1;
    p.owner[a.view * size + i] = owner;
    p.index[a.view * size + i] = static_cast<int32_t>(index);
    double weights[9], depth = own ? depth_of(a.s.nearest[i]) : 0.0;
    if (!own && owner != kNoPlane) {
      fill_weights(nine, owner, weights);
      for (int j = 0; j < 9; ++j)
        if (nine[j] == owner) depth += weights[j] * depth_of(a.s.nearest[neighbours[j]]);
    }
    p.output_depth[a.view * size + i] = static_cast<float>(depth);
    for (int64_t c = 0; c < p.channels; ++c) {
      const T* source = p.image + (a.n * p.channels + c) * source_size;
      T value = index >= 0 ? source[index] : T(0);
      if (!own && owner != kNoPlane) {
        double sum = 0;
        for (int j = 0; j < 9; ++j)
          if (nine[j] == owner) sum += weights[j] * source[landed[neighbours[j]]];
        value = static_cast<T>(sum);
      }
      p.output[(a.view * p.channels + c) * size + i] = value;
    }
  }
}

template <typename T>
__global__ void project_gradient(MultiplaneProjectGradient<T> g) {
  const int64_t size = g.output_height * g.output_width, source_size = g.height * g.width;
  for (int64_t item = first_item(); item < g.batch * g.views * size; item += item_step()) {
    const int64_t view = item / size, i = item % size, index = g.index[item];
    if (index < 0 && g.owner[item] == kNoPlane) continue;
    uint8_t nine[9];
    int64_t neighbours[9];
    double weights[9];
    if (index < 0) {
      for (int j = 0; j < 9; ++j) {
        neighbours[j] = view * size + neighbour(i, j, g.output_height, g.output_width);
        nine[j] = g.kept[neighbours[j]];
      }
      fill_weights(nine, g.owner[item], weights);
    }
    for (int64_t c = 0; c < g.channels; ++c) {
      T* grad = g.grad_image + (view / g.views * g.channels + c) * source_size;
      const T value = g.grad_output[(view * g.channels + c) * size + i];
      if (index >= 0) {
        if (is_pixel(index, source_size)) atomicAdd(grad + index, value);
        continue;
      }
      for (int j = 0; j < 9; ++j) {
        const int64_t from = g.landed[neighbours[j]];
        if (nine[j] == g.owner[item] && is_pixel(from, source_size))
          atomicAdd(grad + from, static_cast<T>(weights[j] * value));
      }
    }
  }
}

}  // namespace

template <typename T>
const char* multiplane_project_cuda(const MultiplaneProject<T>& p, const MultiplaneScratch& scratch,
                                    void* stream) {
  Launcher launch(stream);
  const int64_t source = p.height * p.width, size = p.output_height * p.output_width;
  launch.fill(p.invalid, 0, p.batch * static_cast<int64_t>(sizeof(int64_t)));
  const bool ranked = p.split != Split::given && p.planes > 1;
  for (int64_t n = 0; n < p.batch; ++n) {
    launch.run(count_holes<T>, source, p, n);
    for (int64_t v = 0; v < p.views && size > 0; ++v) {
      const View<T> view{p, scratch, n, n * p.views + v};
      launch.fill(scratch.nearest, 0xFF, size * static_cast<int64_t>(sizeof(uint64_t)));
      launch.fill(scratch.counts, 0,
                  multiplane_counts(p.planes, p.split) * static_cast<int64_t>(sizeof(uint32_t)));
      launch.run(project_pixels<T>, source, view);
      if (ranked) {
        launch.run(count_high<T>, size, view);
        launch.run(choose_high<T>, 1, view);
        launch.run(count_low<T>, size, view);
      }
      launch.run(choose_edge_values<T>, 1, view);
      launch.run(label_pixels<T>, size, view);
      launch.run(keep_pixels<T>, size, view, needed_neighbours(p.keep_above));
      launch.run(show_pixels<T>, size, view);
    }
  }
  return launch.result();
}

template <typename T>
const char* multiplane_project_gradient_cuda(const MultiplaneProjectGradient<T>& g, void* stream) {
  Launcher launch(stream);
  launch.run(project_gradient<T>, g.batch * g.views * g.output_height * g.output_width, g);
  return launch.result();
}

template const char* multiplane_project_cuda(const MultiplaneProject<float>&,
                                             const MultiplaneScratch&, void*);
template const char* multiplane_project_cuda(const MultiplaneProject<double>&,
                                             const MultiplaneScratch&, void*);
template const char* multiplane_project_gradient_cuda(const MultiplaneProjectGradient<float>&,
                                                      void*);
template const char* multiplane_project_gradient_cuda(const MultiplaneProjectGradient<double>&,
                                                      void*);

}  // namespace steadyview
