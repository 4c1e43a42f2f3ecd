#pragma once

#include "gaussians/adam.h"
#include "gaussians/gaussians.h"
#include "gaussians/tiles.h"

// The inner loops of the room, compiled once for each instruction set.
namespace steadyview::gaussians {

#define STEADYVIEW_GAUSSIAN_ROWS(isa)                                                              \
  namespace isa {                                                                                  \
  /* Gaussians [first, last) of camera c; adds to *invalid. */                                     \
  void project_rows(const Projection<float>&, int64_t c, int64_t first, int64_t last, int64_t*);   \
  void project_rows(const Projection<double>&, int64_t c, int64_t first, int64_t last, int64_t*);  \
  /* All cameras; sums (cameras, kPoseSums) are written, when not null. */                         \
  void project_gradient_rows(const ProjectionGradient<float>&, int64_t first, int64_t last,        \
                             double* sums);                                                        \
  void project_gradient_rows(const ProjectionGradient<double>&, int64_t first, int64_t last,       \
                             double* sums);                                                        \
  void harmonics_rows(const Harmonics<float>&, int64_t first, int64_t last);                       \
  void harmonics_rows(const Harmonics<double>&, int64_t first, int64_t last);                      \
  void harmonics_gradient_rows(const HarmonicsGradient<float>&, int64_t first, int64_t last);      \
  void harmonics_gradient_rows(const HarmonicsGradient<double>&, int64_t first, int64_t last);     \
  /* Splats [first, last) of an image, whose first one is `base`, with `channels` colours from */  \
  /* channel `group` on; returns how many are visible, their keys in `keyed`. */                   \
  int64_t splat_rows(const Raster<float>&, int64_t base, int64_t group, int channels,              \
                     int64_t first, int64_t last, Splat<float>*, TileBox*, Keyed<float>* keyed);   \
  int64_t splat_rows(const Raster<double>&, int64_t base, int64_t group, int channels,             \
                     int64_t first, int64_t last, Splat<double>*, TileBox*, Keyed<double>* keyed); \
  void draw_tile(const TileJob<float>&, int channels);                                             \
  void draw_tile(const TileJob<double>&, int channels);                                            \
  void tile_gradient(const TileGradientJob<float>&, int channels, bool with_abs);                  \
  void tile_gradient(const TileGradientJob<double>&, int channels, bool with_abs);                 \
  void adam_rows(const Adam&, int64_t first, int64_t last);                                        \
  void harmonics_adam_rows(const HarmonicsGradient<float>&, const Adam&, int64_t first,            \
                           int64_t last);                                                          \
  }
STEADYVIEW_GAUSSIAN_ROWS(baseline)
STEADYVIEW_GAUSSIAN_ROWS(avx2)
STEADYVIEW_GAUSSIAN_ROWS(avx512)
#undef STEADYVIEW_GAUSSIAN_ROWS

}  // namespace steadyview::gaussians
