// Plain loops that the compiler turns into vectors.
#include "multiplane/rows.h"

namespace steadyview::multiplane {
namespace {

constexpr float kLargest = 3.402823466e38f;
constexpr uint8_t kNone = 255;
constexpr int64_t kBlock = 64;

inline __attribute__((always_inline)) int equal(uint8_t a, uint8_t b) { return a == b; }

template <typename T>
inline __attribute__((always_inline)) void gather(const T* __restrict plane,
                                                  const int32_t* __restrict index, int64_t count,
                                                  T* __restrict output) {
  for (int64_t i = 0; i < count; ++i) {
    const T value = plane[index[i] < 0 ? 0 : index[i]];
    output[i] = index[i] < 0 ? T(0) : value;
  }
}

}  // namespace

namespace STEADYVIEW_ISA {

void project_row(const SourceRun& run, int32_t* __restrict target, float* __restrict depth,
                 int32_t* __restrict rows) {
  const float a0 = run.slope[0], a1 = run.slope[1], a2 = run.slope[2];
  const float b0 = run.start[0], b1 = run.start[1], b2 = run.start[2];
  const float c0 = run.offset[0], c1 = run.offset[1], c2 = run.offset[2];
  const float width = static_cast<float>(run.output_width);
  const float height = static_cast<float>(run.output_height);
  const int32_t stride = static_cast<int32_t>(run.output_width);
  const int32_t last_column = stride - 1;
  const int32_t last_row = static_cast<int32_t>(run.output_height) - 1;
  const float* __restrict source = run.depth;
  int32_t first = rows[0], last = rows[1];
  for (int32_t i = 0; i < static_cast<int32_t>(run.count); ++i) {
    const float z = source[i], u = run.first_u + static_cast<float>(i);
    const float w = z * (a2 * u + b2) + c2;
    const float x = (z * (a0 * u + b0) + c0) / w, y = (z * (a1 * u + b1) + c1) / w;
    const bool inside = (z > 0) & (z <= kLargest) & (w > 0) & (w <= kLargest) & (x >= 0) &
                        (x < width) & (y >= 0) & (y < height);
    // Rounded up to the size, a float may be a pixel beyond in images over 2^24 wide.
    const int32_t column = static_cast<int32_t>(inside ? x : 0.0f);
    const int32_t row = static_cast<int32_t>(inside ? y : 0.0f);
    const int32_t near_column = column < last_column ? column : last_column;
    const int32_t near_row = row < last_row ? row : last_row;
    target[i] = inside ? near_row * stride + near_column : -1;
    depth[i] = inside ? w : 0.0f;
    const int32_t upper = inside ? near_row : last_row + 1, lower = inside ? near_row : -1;
    first = upper < first ? upper : first;
    last = lower > last ? lower : last;
  }
  rows[0] = first;
  rows[1] = last;
}

int64_t count_invalid(const float* depth, int64_t count) {
  int64_t invalid = 0;
  for (int64_t i = 0; i < count; ++i) invalid += !((depth[i] > 0) & (depth[i] <= kLargest));
  return invalid;
}

void unpack_row(const uint64_t* __restrict nearest, int64_t count, float* __restrict depth,
                int32_t* __restrict landed) {
  for (int64_t i = 0; i < count; ++i) {
    const bool empty = nearest[i] == ~uint64_t{0};
    const uint32_t bits = empty ? 0 : static_cast<uint32_t>(nearest[i] >> 32);
    depth[i] = __builtin_bit_cast(float, bits);
    landed[i] = static_cast<int32_t>(static_cast<uint32_t>(nearest[i]));
  }
}

void label_row(const float* depth, int64_t count, const float* edges, int edge_count,
               uint8_t* labels) {
  for (int64_t start = 0; start < count; start += kBlock) {
    const int64_t size = count - start < kBlock ? count - start : kBlock;
    float z[kBlock] = {};
    int32_t plane[kBlock] = {};
    for (int64_t i = 0; i < size; ++i) z[i] = depth[start + i];
    for (int e = 0; e < edge_count; ++e) {
      const float edge = edges[e];
      for (int64_t i = 0; i < kBlock; ++i) plane[i] += edge < z[i];
    }
    for (int64_t i = 0; i < size; ++i) {
      labels[start + i] = z[i] > 0 ? static_cast<uint8_t>(plane[i]) : kNone;
    }
  }
}

void keep_row(const uint8_t* above, const uint8_t* here, const uint8_t* below, int64_t count,
              int needed, uint8_t* __restrict kept) {
  const auto least = static_cast<uint8_t>(needed);
  for (int64_t i = 0; i < count; ++i) {
    const uint8_t a = here[i];
    const auto alike =
        static_cast<uint8_t>(equal(above[i - 1], a) + equal(above[i], a) + equal(above[i + 1], a) +
                             equal(here[i - 1], a) + 1 + equal(here[i + 1], a) +
                             equal(below[i - 1], a) + equal(below[i], a) + equal(below[i + 1], a));
    kept[i] = alike >= least ? a : kNone;
  }
}

void same_row(const uint8_t* above, const uint8_t* here, const uint8_t* below, int64_t count,
              uint8_t* __restrict same) {
  for (int64_t i = 0; i < count; ++i) {
    const uint8_t a = here[i];
    const int other = (above[i - 1] ^ a) | (above[i] ^ a) | (above[i + 1] ^ a) | (here[i - 1] ^ a) |
                      (here[i + 1] ^ a) | (below[i - 1] ^ a) | (below[i] ^ a) | (below[i + 1] ^ a);
    same[i] = static_cast<uint8_t>(other) == 0;
  }
}

void gather_row(const float* plane, const int32_t* index, int64_t count, float* output) {
  gather(plane, index, count, output);
}
void gather_row(const double* plane, const int32_t* index, int64_t count, double* output) {
  gather(plane, index, count, output);
}

}  // namespace STEADYVIEW_ISA
}  // namespace steadyview::multiplane
