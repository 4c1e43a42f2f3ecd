// Pull and push of holes, image by image.
#include <algorithm>
#include <atomic>
#include <cstring>
#include <type_traits>
#include <vector>

#include "common/parallel.h"
#include "fill/fill.h"
#include "fill/fill_maths.h"
#include "fill/rows.h"

namespace steadyview {
namespace {

using namespace filling;

constexpr int64_t kRows = 16;

template <typename T>
const Rows<T>& kernels() {
  static const Rows<T> found = [] {
    if constexpr (std::is_same_v<T, float>)
      return STEADYVIEW_FOR_ISA(filling, float_rows());
    else
      return STEADYVIEW_FOR_ISA(filling, double_rows());
  }();
  return found;
}

// One image of a batch.
template <typename T>
struct Picture {
  FillHoles<T> f;
  const T* image;
  T* values;                     // the known ones; fill_holes' output
  std::vector<Level<T>> levels;  // from the first above the pixels on

  Picture(const FillHoles<T>& fill, int64_t n, T* into)
      : f(fill), image(fill.image + n * fill.channels * pixels()), values(into) {
    f.holes += n * pixels();
    if (f.depth) f.depth += n * pixels();
    T* cells = f.scratch.pyramid;
    for (int64_t h = f.height, w = f.width; h > 1 || w > 1;) {
      h = coarser(h);
      w = coarser(w);
      levels.push_back({cells, h, w});
      cells += (f.channels + 1) * h * w;
    }
  }
  int64_t pixels() const { return f.height * f.width; }
};

// Calls found(x) for the bytes of a row that have a value.
template <typename Found>
void for_bytes(const uint8_t* row, int value, int64_t width, Found found) {
  for (int64_t x = 0; x < width; ++x) {
    const void* next = std::memchr(row + x, value, static_cast<size_t>(width - x));
    if (!next) return;
    x = static_cast<const uint8_t*>(next) - row;
    found(x);
  }
}

// Calls body(y) for each row.
template <typename Body>
void for_rows(int64_t height, Body body) {
  parallel_for(0, height, kRows, [&](int64_t y, int64_t last) {
    for (; y < last; ++y) body(y);
  });
}

// Whether there is a hole.
template <typename T>
bool prepare(const Picture<T>& p) {
  const FillHoles<T>& f = p.f;
  const FillScratch<T>& s = f.scratch;
  std::atomic<bool> any{false};
  for_rows(f.height, [&](int64_t y) {
    const int64_t at = y * f.width;
    kernels<T>().prepare(p.image + at, f.holes + at, f.channels, p.pixels(), f.width, s.known + at,
                         p.values + at);
    if (f.depth) kernels<T>().clean_depth(f.depth + at, s.known + at, f.width, s.depth + at);
    if (std::memchr(s.known + at, 0, static_cast<size_t>(f.width))) any = true;
  });
  return any;
}

template <typename T>
void fill_gaps(const Picture<T>& p) {
  const FillHoles<T>& f = p.f;
  const FillScratch<T>& s = f.scratch;
  if (f.gap == 0) return;
  T* depth = f.depth ? s.depth : nullptr;
  parallel_for(0, f.height, kRows, [&](int64_t y, int64_t last) {
    const bool near = f.gap <= kShortGap;
    std::vector<uint8_t> steps(static_cast<size_t>(near ? 8 * f.width : 0));
    for (; y < last; ++y) {
      uint8_t* kept = s.kept + y * f.width;
      std::copy_n(s.known + y * f.width, f.width, kept);
      if (!std::memchr(kept, 0, static_cast<size_t>(f.width))) continue;
      const auto fill = [&](int64_t x, auto steps_in) {
        kept[x] = fill_gap(p.values, depth, f.channels, f.height, f.width, f.gap, y, x, steps_in);
      };
      if (near) kernels<T>().measure_gaps(s.known, f.height, f.width, f.gap, y, steps.data());
      for_bytes(s.known + y * f.width, 0, f.width, [&](int64_t x) {
        if (near) {
          fill(x, [&](int direction) {
            return int64_t{steps[static_cast<size_t>(direction * f.width + x)]};
          });
        } else {
          fill(x, [&](int direction) {
            return steps_to_known(s.known, f.height, f.width, y, x, direction, f.gap);
          });
        }
      });
    }
  });
}

template <typename T>
void weigh_rim(const Picture<T>& p) {
  const FillHoles<T>& f = p.f;
  const FillScratch<T>& s = f.scratch;
  parallel_for(0, f.height, kRows, [&](int64_t y, int64_t last) {
    std::vector<uint8_t> rim(static_cast<size_t>(f.width));
    for (; y < last; ++y) {
      const uint8_t* here = s.kept + y * f.width;
      kernels<T>().rim(y > 0 ? here - f.width : nullptr, here,
                       y + 1 < f.height ? here + f.width : nullptr, f.width, rim.data());
      T* weight = s.weight + y * f.width;
      std::copy(rim.begin(), rim.end(), weight);
      if (!f.depth) continue;
      for_bytes(rim.data(), 1, f.width, [&](int64_t x) {
        weight[x] = rim_weight(s.kept, s.depth, f.height, f.width, y, x);
      });
    }
  });
}

// A row of the coarser level from a plane of `height` x `width`.
template <typename T>
void pull_plane(const T* values, const T* second, Pulled what, int64_t height, int64_t width,
                int64_t coarse_row, T* sums, T* output) {
  PullRows<T> rows{};
  rows.width = width;
  rows.sums = sums;
  rows.output = output;
  for (int j = 0; j < 4; ++j) {
    const int64_t y = 2 * coarse_row + j - 1;
    rows.weights[j] = pull_weight<T>(coarse_row, j - 1, height);
    const bool inside = y >= 0 && y < height;
    rows.values[j] = inside ? values + y * width : nullptr;
    rows.second[j] = inside && second ? second + y * width : nullptr;
  }
  kernels<T>().pull(rows, what);
}

// The level above one of `height` x `width`, row by row: channel c by channel(c, row, sums,
// output), which may be left out, and the weights from `weight`.
template <typename T, typename Channel>
void pull_level(const Level<T>& to, int64_t channels, const T* weight, int64_t height,
                int64_t width, Channel channel) {
  const int64_t size = to.height * to.width;
  parallel_for(0, to.height, kRows, [&](int64_t y, int64_t last) {
    std::vector<T> sums(static_cast<size_t>(width + 4));
    for (; y < last; ++y) {
      T* row = to.data + y * to.width;
      pull_plane<T>(weight, nullptr, Pulled::opacities, height, width, y, sums.data(),
                    row + channels * size);
      for (int64_t c = 0; c < channels; ++c) channel(c, y, sums.data(), row + c * size);
    }
  });
}

// Values times opacities, from level to level.
template <typename T>
void pull_all(const Picture<T>& p) {
  const FillHoles<T>& f = p.f;
  int64_t height = f.height, width = f.width;
  const T* values = p.values;
  const T* weight = f.scratch.weight;
  Pulled what = Pulled::weighted;
  for (const Level<T>& to : p.levels) {
    const int64_t size = to.height * to.width;
    pull_level(to, f.channels, weight, height, width, [&](int64_t c, int64_t y, T* sums, T* row) {
      pull_plane<T>(values + c * height * width, what == Pulled::weighted ? weight : nullptr, what,
                    height, width, y, sums, row);
      kernels<T>().normalise(to.data + f.channels * size + y * to.width, to.width, row);
    });
    what = Pulled::plain;
    values = to.data;
    weight = to.data + f.channels * size;
    height = to.height;
    width = to.width;
  }
}

// Divides by the opacity what the coarsest level, one cell, has of each channel.
template <typename T>
void divide_top(const Picture<T>& p) {
  if (p.levels.empty()) return;
  T* top = p.levels.back().data;
  const T weight = opacity(top[p.f.channels]);
  for (int64_t c = 0; c < p.f.channels; ++c) top[c] = weight > 0 ? top[c] / weight : T(0);
}

// Adds to the channels of a level what the coarser one has: where `opaque`, behind its own weights.
template <typename T>
void push_level(const Level<T>& from, const Level<T>& to, int64_t channels, bool opaque) {
  const int64_t size = to.height * to.width, coarse_size = from.height * from.width;
  parallel_for(0, to.height, kRows, [&](int64_t y, int64_t last) {
    std::vector<T> sums(static_cast<size_t>(from.width + 2));
    for (; y < last; ++y) {
      for (int64_t c = 0; c < channels; ++c) {
        const T* coarse = from.data + c * coarse_size;
        kernels<T>().push({.own = coarse + y / 2 * from.width,
                           .beside = coarse + other_parent(y, to.height) * from.width,
                           .coarse_width = from.width,
                           .weight = opaque ? to.data + channels * size + y * to.width : nullptr,
                           .width = to.width,
                           .sums = sums.data(),
                           .values = to.data + c * size + y * to.width});
      }
    }
  });
}

template <typename T>
void fill_picture(const Picture<T>& p) {
  const FillHoles<T>& f = p.f;
  if (!prepare(p)) return;
  fill_gaps(p);
  weigh_rim(p);
  pull_all(p);
  divide_top(p);
  if (p.levels.empty()) return;
  for (size_t i = p.levels.size() - 1; i > 0; --i) {
    push_level(p.levels[i], p.levels[i - 1], f.channels, true);
  }
  const Level<T>& first = p.levels.front();
  for_rows(f.height, [&](int64_t y) {
    for_bytes(f.scratch.kept + y * f.width, 0, f.width, [&](int64_t x) {
      for (int64_t c = 0; c < f.channels; ++c) {
        p.values[c * p.pixels() + y * f.width + x] =
            push(first.data + c * first.height * first.width, f.height, f.width, y, x);
      }
    });
  });
}

// The gradients of the holes, down the pyramid as push passes them on.
template <typename T>
void pull_gradients(const Picture<T>& p, const T* grad_output) {
  const FillHoles<T>& f = p.f;
  std::vector<T> in_holes(static_cast<size_t>(p.pixels()));
  std::transform(f.scratch.kept, f.scratch.kept + p.pixels(), in_holes.begin(),
                 [](uint8_t kept) { return kept ? T(0) : T(1); });
  int64_t height = f.height, width = f.width;
  const T* values = grad_output;
  const T* second = in_holes.data();
  const T* weight = f.scratch.weight;
  Pulled what = Pulled::weighted;
  for (const Level<T>& to : p.levels) {
    pull_level(to, f.channels, weight, height, width, [&](int64_t c, int64_t y, T* sums, T* row) {
      pull_plane<T>(values + c * height * width, second, what, height, width, y, sums, row);
    });
    what = Pulled::open;
    values = to.data;
    weight = second = to.data + f.channels * to.height * to.width;
    height = to.height;
    width = to.width;
  }
}

// Back up the pyramid, as pull passes them on.
template <typename T>
void push_gradients(const Picture<T>& p) {
  const int64_t channels = p.f.channels;
  divide_top(p);
  for (size_t i = p.levels.size(); i-- > 0;) {
    const Level<T>& level = p.levels[i];
    const int64_t size = level.height * level.width;
    if (i + 1 < p.levels.size()) push_level(p.levels[i + 1], level, channels, false);
    for_rows(level.height, [&](int64_t y) {
      const T* weight = level.data + channels * size + y * level.width;
      for (int64_t c = 0; c < channels; ++c) {
        kernels<T>().normalise(weight, level.width, level.data + c * size + y * level.width);
      }
    });
  }
}

// Gradients by the known pixels and, for now, those filled across gaps.
template <typename T>
void gradients_of_kept(const Picture<T>& p, const T* grad_output, T* grad_image) {
  const FillHoles<T>& f = p.f;
  const FillScratch<T>& s = f.scratch;
  for_rows(f.height, [&](int64_t y) {
    for (int64_t x = 0; x < f.width; ++x) {
      const int64_t at = y * f.width + x;
      for (int64_t c = 0; c < f.channels; ++c) {
        T sum = s.kept[at] ? grad_output[c * p.pixels() + at] : T(0);
        if (s.weight[at] > 0 && !p.levels.empty()) {
          const Level<T>& first = p.levels.front();
          sum += s.weight[at] *
                 push(first.data + c * first.height * first.width, f.height, f.width, y, x);
        }
        grad_image[c * p.pixels() + at] = sum;
      }
    }
  });
}

// Known pixels gather the gradients of what was filled across gaps from them.
template <typename T>
void gradients_of_gaps(const Picture<T>& p, T* grad_image) {
  const FillHoles<T>& f = p.f;
  const FillScratch<T>& s = f.scratch;
  const int64_t pixels = p.pixels();
  for_rows(f.height, [&](int64_t y) {
    for_bytes(s.known + y * f.width, 1, f.width, [&](int64_t x) {
      gather_gaps<T>(s.known, s.kept, f.height, f.width, f.gap, y, x, [&](int64_t from, T weight) {
        T* to = grad_image + y * f.width + x;
        for (int64_t c = 0; c < f.channels; ++c) {
          to[c * pixels] += weight * grad_image[c * pixels + from];
        }
      });
    });
  });
  for_rows(f.height, [&](int64_t y) {
    for_bytes(s.known + y * f.width, 0, f.width, [&](int64_t x) {
      for (int64_t c = 0; c < f.channels; ++c) grad_image[c * pixels + y * f.width + x] = 0;
    });
  });
}

template <typename T>
void gradient_of_picture(const Picture<T>& p, const T* grad_output, T* grad_image) {
  if (!prepare(p)) {
    std::copy_n(grad_output, p.f.channels * p.pixels(), grad_image);
    return;
  }
  fill_gaps(p);
  weigh_rim(p);
  pull_gradients(p, grad_output);
  push_gradients(p);
  gradients_of_kept(p, grad_output, grad_image);
  if (p.f.gap > 0) gradients_of_gaps(p, grad_image);
}

}  // namespace

int64_t fill_cells(int64_t height, int64_t width) {
  int64_t cells = 0;
  while (height > 1 || width > 1) {
    height = coarser(height);
    width = coarser(width);
    cells += height * width;
  }
  return cells;
}

template <typename T>
void fill_holes_cpu(const FillHoles<T>& f) {
  const int64_t size = f.channels * f.height * f.width;
  for (int64_t n = 0; n < f.batch; ++n) fill_picture(Picture<T>(f, n, f.output + n * size));
}

template <typename T>
void fill_holes_gradient_cpu(const FillHolesGradient<T>& g) {
  const FillHoles<T>& f = g.forward;
  const int64_t size = f.channels * f.height * f.width;
  for (int64_t n = 0; n < f.batch; ++n) {
    gradient_of_picture(Picture<T>(f, n, f.output), g.grad_output + n * size,
                        g.grad_image + n * size);
  }
}

template void fill_holes_cpu(const FillHoles<float>&);
template void fill_holes_cpu(const FillHoles<double>&);
template void fill_holes_gradient_cpu(const FillHolesGradient<float>&);
template void fill_holes_gradient_cpu(const FillHolesGradient<double>&);

}  // namespace steadyview
