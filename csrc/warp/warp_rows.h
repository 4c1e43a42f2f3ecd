#pragma once

// What warp_cpu.cpp calls in the variants of warp_rows.cpp and warp_scatter.cpp.

#include "warp/warp.h"

namespace steadyview {

constexpr int kWarpTile = 128;  // pixels of an output row that are worked on together

// Rows of the image that a tile of an output row sees.
struct RowReach {
  int first, last;  // last < first: none, and first is 0
};

// A band of rows of up to four planes' gradient, and where it gathers from.
template <typename T>
struct ScatterBand {
  int64_t n, channel;         // image, first channel
  int64_t first, last;        // rows of the band, last excluded
  const RowReach* reach;      // (output_height, tiles) of image n
  const RowReach* row_reach;  // (output_height)
  T* sums;                    // band_memory(): aligned to 64 bytes

  // Whether tile i adds to the band.
  bool reached_by(int64_t i) const { return meets(reach[i]); }
  // Tile i, or after the last of a row that cannot add to the band the first of the next that can;
  // tiles that see no row at all are the first band's.
  int64_t next_tile(int64_t i, int64_t tiles, int64_t rows) const {
    while (i < rows * tiles && i % tiles == 0 && !meets(row_reach[i / tiles])) i += tiles;
    return i;
  }

 private:
  bool meets(const RowReach& r) const { return r.last >= first && r.first < last; }
};

// Numbers for the sums of a band with up to four channels, and how many of them, from the first on,
// are zero on entry.
struct BandMemory {
  int64_t count, zeros;
};

inline int64_t band_size(Filter filter, int64_t rows, int64_t width) {
  return filter == Filter::bilinear ? ((rows + 1) * (width + 2) + 2) * 8 : (rows + 2) * width * 4;
}

// basis: (terms, columns) cosines of pixel centres, or null; columns as basis_columns().
inline int64_t basis_columns(int64_t output_width) { return (output_width + 15) / 16 * 16; }

#define STEADYVIEW_WARP_VARIANT(isa)                                                              \
  namespace warping::isa {                                                                        \
  /* Output rows first ... last - 1 of all images' rows. */                                       \
  template <typename T, typename S>                                                               \
  void warp_rows(const BackwardWarp<T, S>& warp, const double* basis, int64_t first,              \
                 int64_t last);                                                                   \
  template <typename T>                                                                           \
  void gradient_rows(const BackwardWarpGradient<T>& gradient, const double* basis, int64_t first, \
                     int64_t last);                                                               \
  template <typename T>                                                                           \
  void find_reach(const BackwardWarp<T>& warp, const double* basis, int64_t first, int64_t last,  \
                  RowReach* reach);                                                               \
  template <typename T>                                                                           \
  BandMemory band_memory(const BackwardWarp<T>& warp, int64_t rows);                              \
  /* Sums a band and writes it into grad_image; and where they are wanted, grad_points of the     \
     tiles that reach it first. */                                                                \
  template <typename T>                                                                           \
  void scatter_band(const BackwardWarpGradient<T>& gradient, const double* basis,                 \
                    const ScatterBand<T>& band);                                                  \
  /* Sums of an output row: by x, 1 of the three homogeneous coordinates, then for each basis     \
     function by x and by y. */                                                                   \
  template <typename T>                                                                           \
  void sum_rows(const BackwardWarpGradient<T>& gradient, const double* basis, int64_t first,      \
                int64_t last, double* sums);                                                      \
  }
STEADYVIEW_WARP_VARIANT(baseline)
STEADYVIEW_WARP_VARIANT(avx2)
STEADYVIEW_WARP_VARIANT(avx512)
#undef STEADYVIEW_WARP_VARIANT

}  // namespace steadyview
