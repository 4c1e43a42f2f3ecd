#pragma once

#include <cstdint>
#include <memory>

#include "gaussians/adam.h"

namespace steadyview::gaussians {

// Rendering of 3-D Gaussians in three kernels: projection (and spherical harmonics), tiles, raster.
// A splat's opacity at a pixel centre is alpha = min(kLargestAlpha, opacity exp(-sigma)), with
// sigma = (A dx^2 + C dy^2) / 2 + B dx dy and (A, B, C) its conic. Splats are blended front to back
// (equal depths in their order); alpha below kSmallestAlpha counts as nothing, and a pixel is done
// before its transmittance would fall to kSmallestTransmittance.
inline constexpr double kSmallestAlpha = 1.0 / 255;
inline constexpr double kLargestAlpha = 0.999;
inline constexpr double kSmallestTransmittance = 1e-4;

enum class CameraModel : int { pinhole, ortho, fisheye };  // fisheye: equidistant

// C cameras see N Gaussians. Arrays are contiguous; cameras are OpenCV's, lengths on the image px.
template <typename T>
struct Projection {
  const T* means;      // (N, 3)
  const T* quats;      // (N, 4), w x y z of any length
  const T* scales;     // (N, 3)
  const T* opacities;  // (N): bounds the radii; or null
  const T* viewmats;   // (C, 4, 4), camera from world
  const T* Ks;         // (C, 3, 3); no skew
  int64_t count, cameras, width, height;
  CameraModel model;
  double near_plane, far_plane;
  double eps2d;        // added to the variances on the image, px^2
  double radius_clip;  // what has both radii at most this is not seen, px
  // A Gaussian that is not seen, or not finite, has radii 0, and 0 in all that follows.
  int* radii;        // (C, N, 2)
  T* means2d;        // (C, N, 2)
  T* depths;         // (C, N)
  T* conics;         // (C, N, 3)
  T* compensations;  // (C, N): sqrt(det before eps2d / det after); or null
  int64_t* invalid;  // (C): Gaussians in view that have a number which is not finite
};

template <typename T>
struct ProjectionGradient {
  Projection<T> forward;        // radii are read, the other results not used
  const T* grad_means2d;        // (C, N, 2)
  const T* grad_depths;         // (C, N)
  const T* grad_conics;         // (C, N, 3)
  const T* grad_compensations;  // (C, N), or null
  T* grad_means;                // (N, 3)
  T* grad_quats;                // (N, 4)
  T* grad_scales;               // (N, 3)
  T* grad_viewmats;             // (C, 4, 4), or null with the next
  T* grad_Ks;                   // (C, 3, 3)
};

template <typename T>
void project_cpu(const Projection<T>& projection);
template <typename T>
void project_gradient_cpu(const ProjectionGradient<T>& gradient);

// colours[i] = sum_k basis_k(direction i) coeffs[i][k], real spherical harmonics with the
// Condon-Shortley sign, l = 0, 1, ..., m = -l ... l.
template <typename T>
struct Harmonics {
  const T* directions;    // (count, 3), of any length, or the points that are looked at
  const T* coefficients;  // (count, terms, 3)
  const bool* masks;      // (count): where false the result is 0; or null
  int64_t count, terms;
  int degree;           // 0 to 4; (degree + 1)^2 <= terms
  T* colors;            // (count, 3)
  T origin[3] = {};     // is subtracted from the directions
  bool shaded = false;  // colours have 0.5 added, and are at least 0
};

template <typename T>
struct HarmonicsGradient {
  Harmonics<T> forward;  // colors is not used, unless they are shaded
  const T* grad_colors;  // (count, 3)
  T* grad_coefficients;  // (count, terms, 3)
  T* grad_directions;    // (count, 3), or null
};

// A step of Adam by the gradients of the coefficients, which are adam's values; its gradient is not
// used, nor are grad_coefficients and the masks. There is no Adam without grad_directions. Shaded
// colours, which are then what the forward pass gave, have no gradient where they are 0.
void harmonics_adam_cpu(const HarmonicsGradient<float>& gradient, const Adam& adam);
template <typename T>
void harmonics_cpu(const Harmonics<T>& harmonics);
template <typename T>
void harmonics_gradient_cpu(const HarmonicsGradient<T>& gradient);

// Splats of all images one after another: image i has those from first[i] to first[i + 1]. They are
// sorted by depth and dealt out to tiles; or the caller brings the tiles' lists, which may name any
// splat, in the order in which they are drawn.
template <typename T>
struct Raster {
  const T* means2d;      // (M, 2)
  const T* conics;       // (M, 3)
  const T* opacities;    // (M)
  const T* depths;       // (M); null with lists
  const int* radii;      // (M, 2): splats with a radius of 0 are left out, others reach no farther;
                         // null with lists
  const T* colors;       // (M, channels)
  const T* backgrounds;  // (images, channels), or null for 0
  const int64_t* first;  // (images + 1), on the host
  int64_t count;         // M
  int64_t images, channels, width, height;
  T* image;   // (images, height, width, channels)
  T* alphas;  // (images, height, width)
  // The lists, or null: tile k has tile_ids from tile_offsets[k] to tile_offsets[k + 1], or to
  // `entries`. Tiles are counted image by image, row by row.
  const int32_t* tile_offsets;  // (images, ceil(height / tile_size), ceil(width / tile_size))
  const int32_t* tile_ids;      // (entries)
  const bool* tile_masks;       // as tile_offsets: where false nothing is drawn; or null
  int64_t entries, tile_size;   // tile_size in [1, 32]
};

template <typename T>
struct RasterGradient {
  Raster<T> forward;     // image and alphas are read
  const T* grad_image;   // as image
  const T* grad_alphas;  // as alphas, or null for 0
  T* grad_means2d;       // (M, 2)
  T* abs_means2d;        // (M, 2): sums of the pixels' absolute gradients; or null
  T* grad_conics;        // (M, 3)
  T* grad_opacities;     // (M)
  T* grad_colors;        // (M, channels)
};

// Which splats a pixel shows, found in two passes: without ids they are counted.
template <typename T>
struct Contributors {
  Raster<T> raster;         // means2d, conics, opacities, and the lists
  const T* transmittances;  // (images, height, width), before the first splat
  int64_t begin, end;       // batches of tile_size^2 entries of each tile's list
  int64_t* counts;          // (images, height, width)
  const int64_t* ends;      // the counts' running sums
  int64_t* ids;             // (sum of the counts, 3): splat, pixel of its image, image; or null
};

template <typename T>
void contributors_cpu(const Contributors<T>& contributors);
// Where `made` is given it gets what the gradients of the same raster need again, splats and tiles:
// of one image of few channels, whose memory the gradients take anyway; else null.
template <typename T>
void rasterize_cpu(const Raster<T>& raster, std::shared_ptr<void>* made = nullptr);
template <typename T>
void rasterize_gradient_cpu(const RasterGradient<T>& gradient, const void* made = nullptr);

// The same for arrays on a GPU, in float32 only; first stays on the host. They return an error
// message, or null. Gradients are summed in no fixed order.
const char* project_cuda(const Projection<float>& projection, void* stream);
const char* project_gradient_cuda(const ProjectionGradient<float>& gradient, void* stream);
const char* harmonics_cuda(const Harmonics<float>& harmonics, void* stream);
const char* harmonics_gradient_cuda(const HarmonicsGradient<float>& gradient, void* stream);
const char* harmonics_adam_cuda(const HarmonicsGradient<float>& gradient, const Adam& adam,
                                void* stream);
const char* rasterize_cuda(const Raster<float>& raster, void* stream);
const char* rasterize_gradient_cuda(const RasterGradient<float>& gradient, void* stream);
const char* contributors_cuda(const Contributors<float>& contributors, void* stream);

}  // namespace steadyview::gaussians
