#include <algorithm>
#include <cstring>
#include <memory>
#include <vector>

#include "common/parallel.h"
#include "multiplane/multiplane.h"
#include "multiplane/multiplane_maths.h"
#include "multiplane/ranks.h"
#include "multiplane/rows.h"

namespace steadyview {
namespace {

using namespace multiplane;

// The source is projected tile by tile, and a band of target rows is filled by one thread from the
// tiles that reach it: no atomics, and the nearest pixel wins whatever the order.
constexpr int64_t kTileRows = 8, kTileColumns = 128, kBandRows = 16;

template <typename T>
std::unique_ptr<T[]> uninitialised(int64_t count) {
  return std::unique_ptr<T[]>(new T[static_cast<size_t>(count)]);
}

// 3x3 planes around a pixel, row by row.
void read_nine(const uint8_t* const* rows, int64_t column, uint8_t* nine) {
  for (int j = 0; j < 3; ++j) std::memcpy(nine + 3 * j, rows[j] + column - 1, 3);
}

template <typename T>
class Projector {
 public:
  explicit Projector(const MultiplaneProject<T>& p)
      : p_(p),
        height_(p.output_height),
        width_(p.output_width),
        stride_(width_ + 2),
        tiles_down_((p.height + kTileRows - 1) / kTileRows),
        tiles_across_((p.width + kTileColumns - 1) / kTileColumns),
        target_(uninitialised<int32_t>(p.height * p.width)),
        target_depth_(uninitialised<float>(p.height * p.width)),
        tile_rows_(uninitialised<int32_t>(2 * tiles_down_ * tiles_across_)),
        depth_(uninitialised<float>(height_ * width_)),
        labels_(uninitialised<uint8_t>(height_ * stride_)),
        kept_(uninitialised<uint8_t>(height_ * stride_)) {}

  void run(int64_t n, int64_t v) {
    n_ = n;
    view_ = n * p_.views + v;
    const int64_t pixels = height_ * width_;
    landed_ = p_.landed + view_ * pixels;
    edges_ = p_.edges + view_ * (p_.planes - 1);
    if (p_.same[view_]) {
      copy_depth();
    } else {
      project();
      parallel_for(0, (height_ + kBandRows - 1) / kBandRows, 1,
                   [&](int64_t band, int64_t) { land(band); });
    }
    if (p_.split == Split::given) {
      std::copy_n(p_.given + view_ * (p_.planes - 1), p_.planes - 1, edges_);
    } else {
      choose_edges(depth_.get(), pixels, p_.planes, p_.split, edges_);
    }
    for_rows([&](int64_t row) { label(row); });
    if (p_.same[view_]) return copy_view();
    for_rows([&](int64_t row) { keep(row); });
    for_rows([&](int64_t row) { show(row); });
  }

 private:
  template <typename Body>
  void for_rows(Body body) {
    parallel_for(0, height_, kBandRows, [&](int64_t row, int64_t last) {
      for (; row < last; ++row) body(row);
    });
  }

  void project() {
    parallel_for(0, tiles_down_ * tiles_across_, 4, [&](int64_t tile, int64_t last) {
      for (; tile < last; ++tile) project_tile(tile);
    });
  }

  void project_tile(int64_t tile) {
    const int64_t top = tile / tiles_across_ * kTileRows;
    const int64_t left = tile % tiles_across_ * kTileColumns;
    const double* m = p_.transform + 12 * view_;
    int32_t* rows = tile_rows_.get() + 2 * tile;
    rows[0] = static_cast<int32_t>(height_);
    rows[1] = -1;
    SourceRun run{};
    run.count = std::min(kTileColumns, p_.width - left);
    run.first_u = static_cast<float>(static_cast<double>(left) + 0.5);
    run.output_height = height_;
    run.output_width = width_;
    for (int64_t row = top; row < std::min(top + kTileRows, p_.height); ++row) {
      for (int k = 0; k < 3; ++k) {
        run.slope[k] = static_cast<float>(m[4 * k]);
        run.start[k] =
            static_cast<float>(m[4 * k + 1] * (static_cast<double>(row) + 0.5) + m[4 * k + 2]);
        run.offset[k] = static_cast<float>(m[4 * k + 3]);
      }
      const int64_t first = row * p_.width + left;
      run.depth = p_.depth + n_ * p_.height * p_.width + first;
      STEADYVIEW_FOR_ISA(
          multiplane, project_row(run, target_.get() + first, target_depth_.get() + first, rows));
    }
  }

  // The nearest of the pixels that reach a band of target rows.
  void land(int64_t band) {
    const int64_t first_row = band * kBandRows;
    const int64_t last_row = std::min(first_row + kBandRows, height_);
    const int64_t begin = first_row * width_, count = (last_row - first_row) * width_;
    const auto nearest = uninitialised<uint64_t>(count);
    std::memset(nearest.get(), 0xFF, static_cast<size_t>(count) * sizeof(uint64_t));
    for (int64_t tile = 0; tile < tiles_down_ * tiles_across_; ++tile) {
      const int32_t* rows = tile_rows_.get() + 2 * tile;
      if (rows[1] < first_row || rows[0] >= last_row) continue;
      const int64_t top = tile / tiles_across_ * kTileRows;
      const int64_t left = tile % tiles_across_ * kTileColumns;
      const int64_t right = std::min(left + kTileColumns, p_.width);
      for (int64_t row = top; row < std::min(top + kTileRows, p_.height); ++row) {
        for (int64_t i = row * p_.width + left; i < row * p_.width + right; ++i) {
          const int64_t place = target_[i] - begin;
          if (place < 0 || place >= count) continue;
          const uint64_t key =
              make_key(__builtin_bit_cast(uint32_t, target_depth_[i]), static_cast<uint32_t>(i));
          nearest[place] = std::min(nearest[place], key);
        }
      }
    }
    STEADYVIEW_FOR_ISA(multiplane,
                       unpack_row(nearest.get(), count, depth_.get() + begin, landed_ + begin));
  }

  // The source's own camera: what is seen is known, whatever its depth.
  void copy_depth() {
    for (int64_t i = 0; i < height_ * width_; ++i) {
      const float depth = p_.depth[n_ * height_ * width_ + i];
      depth_[i] = valid_depth(depth) ? depth : 0;
      landed_[i] = valid_depth(depth) ? static_cast<int32_t>(i) : -1;
    }
  }

  void copy_view() {
    const int64_t pixels = height_ * width_, begin = view_ * pixels;
    for (int64_t row = 0; row < height_; ++row) {
      const uint8_t* labels = padded(labels_, row);
      for (int64_t column = 0; column < width_; ++column) {
        const int64_t i = row * width_ + column;
        const int plane = labels[column] == kNoPlane ? p_.planes - 1 : labels[column];
        p_.owner[begin + i] = p_.kept[begin + i] = static_cast<uint8_t>(plane);
        p_.index[begin + i] = static_cast<int32_t>(i);
      }
    }
    std::copy_n(depth_.get(), pixels, p_.output_depth + begin);
    std::copy_n(p_.image + n_ * p_.channels * pixels, p_.channels * pixels,
                p_.output + begin * p_.channels);
  }

  // Rows of planes have a mirrored pixel at either end.
  uint8_t* padded(const std::unique_ptr<uint8_t[]>& planes, int64_t row) const {
    return planes.get() + mirror(row, height_) * stride_ + 1;
  }
  void pad(uint8_t* row) const {
    row[-1] = row[mirror(-1, width_)];
    row[width_] = row[mirror(width_, width_)];
  }

  void label(int64_t row) {
    uint8_t* labels = padded(labels_, row);
    STEADYVIEW_FOR_ISA(
        multiplane, label_row(depth_.get() + row * width_, width_, edges_, p_.planes - 1, labels));
    pad(labels);
  }

  void keep(int64_t row) {
    uint8_t* kept = padded(kept_, row);
    STEADYVIEW_FOR_ISA(multiplane, keep_row(padded(labels_, row - 1), padded(labels_, row),
                                            padded(labels_, row + 1), width_,
                                            needed_neighbours(p_.keep_above), kept));
    pad(kept);
    std::memcpy(p_.kept + (view_ * height_ + row) * width_, kept, static_cast<size_t>(width_));
  }

  // Fills cracks and draws the nearest plane of each pixel.
  void show(int64_t row) {
    const uint8_t* rows[3] = {padded(kept_, row - 1), padded(kept_, row), padded(kept_, row + 1)};
    const int64_t begin = (view_ * height_ + row) * width_;
    uint8_t* owner = p_.owner + begin;
    int32_t* index = p_.index + begin;
    const int32_t* landed = landed_ + row * width_;
    std::vector<int32_t> filled;
    const uint8_t whole[9] = {};
    const bool whole_shown = find_owner(whole, p_.fill_above) == 0;
    STEADYVIEW_FOR_ISA(multiplane, same_row(rows[0], rows[1], rows[2], width_, owner));
    for (int64_t i = 0; i < width_; ++i) {
      const uint8_t kept = rows[1][i];
      if (owner[i] && whole_shown) {
        owner[i] = kept;
      } else {
        uint8_t nine[9];
        read_nine(rows, i, nine);
        owner[i] = find_owner(nine, p_.fill_above);
        if (owner[i] != kept) filled.push_back(static_cast<int32_t>(i));
      }
      index[i] = owner[i] == kept && kept != kNoPlane ? landed[i] : -1;
    }
    float* depth = p_.output_depth + begin;
    for (int64_t i = 0; i < width_; ++i) depth[i] = index[i] < 0 ? 0 : depth_[row * width_ + i];
    const int64_t source_size = p_.height * p_.width, size = height_ * width_;
    for (int64_t c = 0; c < p_.channels; ++c) {
      const T* source = p_.image + (n_ * p_.channels + c) * source_size;
      T* output = p_.output + (view_ * p_.channels + c) * size + row * width_;
      STEADYVIEW_FOR_ISA(multiplane, gather_row(source, index, width_, output));
    }
    for (int32_t i : filled) {
      if (owner[i] != kNoPlane) fill(row, i, rows, owner[i]);
    }
  }

  void fill(int64_t row, int64_t column, const uint8_t* const* rows, uint8_t owner) {
    uint8_t nine[9];
    double weights[9];
    int64_t neighbours[9];
    read_nine(rows, column, nine);
    fill_weights(nine, owner, weights);
    for (int j = 0; j < 9; ++j) {
      neighbours[j] =
          mirror(row + j / 3 - 1, height_) * width_ + mirror(column + j % 3 - 1, width_);
    }
    double depth = 0;
    for (int j = 0; j < 9; ++j) depth += nine[j] == owner ? weights[j] * depth_[neighbours[j]] : 0;
    const int64_t size = height_ * width_, here = row * width_ + column;
    p_.output_depth[view_ * size + here] = static_cast<float>(depth);
    for (int64_t c = 0; c < p_.channels; ++c) {
      const T* source = p_.image + (n_ * p_.channels + c) * p_.height * p_.width;
      double sum = 0;
      for (int j = 0; j < 9; ++j) {
        if (nine[j] == owner) sum += weights[j] * source[landed_[neighbours[j]]];
      }
      p_.output[(view_ * p_.channels + c) * size + here] = static_cast<T>(sum);
    }
  }

  const MultiplaneProject<T>& p_;
  const int64_t height_, width_, stride_, tiles_down_, tiles_across_;
  const std::unique_ptr<int32_t[]> target_;         // (height, width) target pixel, or -1
  const std::unique_ptr<float[]> target_depth_;     // likewise
  const std::unique_ptr<int32_t[]> tile_rows_;      // (tiles, 2) least and greatest target row
  const std::unique_ptr<float[]> depth_;            // (output_height, output_width), 0: nothing
  const std::unique_ptr<uint8_t[]> labels_, kept_;  // (output_height, output_width + 2) planes
  int64_t n_ = 0, view_ = 0;
  int32_t* landed_ = nullptr;
  float* edges_ = nullptr;
};

template <typename T>
void project_all(const MultiplaneProject<T>& p) {
  for (int64_t n = 0; n < p.batch; ++n) {
    p.invalid[n] = STEADYVIEW_FOR_ISA(
        multiplane, count_invalid(p.depth + n * p.height * p.width, p.height * p.width));
  }
  if (p.views == 0 || p.output_height * p.output_width == 0) return;
  Projector<T> projector(p);
  for (int64_t n = 0; n < p.batch; ++n) {
    for (int64_t v = 0; v < p.views; ++v) projector.run(n, v);
  }
}

// Channels are independent, so that sums come in the same order for any number of threads.
template <typename T>
void gradient_of_channel(const MultiplaneProjectGradient<T>& p, int64_t n, int64_t c) {
  const int64_t height = p.output_height, width = p.output_width, size = height * width;
  const int64_t pixels = p.height * p.width;
  T* grad = p.grad_image + (n * p.channels + c) * p.height * p.width;
  for (int64_t view = n * p.views; view < (n + 1) * p.views; ++view) {
    const T* by_output = p.grad_output + (view * p.channels + c) * size;
    const int32_t* landed = p.landed + view * size;
    const uint8_t *kept = p.kept + view * size, *owners = p.owner + view * size;
    for (int64_t i = 0; i < size; ++i) {
      const int32_t index = p.index[view * size + i];
      if (is_pixel(index, pixels)) grad[index] += by_output[i];
      if (index >= 0 || owners[i] == kNoPlane) continue;
      uint8_t nine[9];
      int64_t neighbours[9];
      double weights[9];
      for (int j = 0; j < 9; ++j) {
        neighbours[j] =
            mirror(i / width + j / 3 - 1, height) * width + mirror(i % width + j % 3 - 1, width);
        nine[j] = kept[neighbours[j]];
      }
      fill_weights(nine, owners[i], weights);
      for (int j = 0; j < 9; ++j) {
        const int32_t from = landed[neighbours[j]];
        if (nine[j] != owners[i] || !is_pixel(from, pixels)) continue;
        grad[from] += static_cast<T>(weights[j] * by_output[i]);
      }
    }
  }
}

}  // namespace

template <typename T>
void multiplane_project_cpu(const MultiplaneProject<T>& project) {
  project_all(project);
}

template <typename T>
void multiplane_project_gradient_cpu(const MultiplaneProjectGradient<T>& gradient) {
  parallel_for(0, gradient.batch * gradient.channels, 1, [&](int64_t i, int64_t last) {
    for (; i < last; ++i) {
      gradient_of_channel(gradient, i / gradient.channels, i % gradient.channels);
    }
  });
}

template void multiplane_project_cpu(const MultiplaneProject<float>&);
template void multiplane_project_cpu(const MultiplaneProject<double>&);
template void multiplane_project_gradient_cpu(const MultiplaneProjectGradient<float>&);
template void multiplane_project_gradient_cpu(const MultiplaneProjectGradient<double>&);

}  // namespace steadyview
