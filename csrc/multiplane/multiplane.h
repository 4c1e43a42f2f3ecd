#pragma once

#include <cstdint>

namespace steadyview {

// How the depths that are seen are cut into planes: by given edges; two halves at the median, each
// into equal slabs; equal steps of 1/depth; equally many pixels.
enum class Split : int { given, median, disparity, quantiles };

inline constexpr int kMaxPlanes = 255;
inline constexpr uint8_t kNoPlane = 255;

// Projects images with depth into other views, plane by plane (S2VG). Each pixel lands in one
// target pixel, the nearest wins (then the smaller index). The depths of a view are cut into
// planes: plane i holds (edge[i - 1], edge[i]]. In each plane, pixels with too few neighbours of
// the same plane are removed and cracks are filled from the rest; then nearer planes cover farther
// ones. All arrays are contiguous; source pixels are counted row by row. T is float or double.
template <typename T>
struct MultiplaneProject {
  const T* image;      // (batch, channels, height, width)
  const float* depth;  // (batch, height, width); a pixel whose depth is not in (0, inf) is a hole
  const double* transform;  // (batch, views, 3, 4): transform (z u, z v, z, 1) = z' (u', v', 1), px
  const uint8_t* same;      // (batch, views): not 0 where the target is the source's camera
  const float* given;   // (batch, views, planes - 1) ascending edges for Split::given, else null
  T* output;            // (batch, views, channels, output_height, output_width), 0 where empty
  float* output_depth;  // (batch, views, output_height, output_width), 0 where unknown
  int32_t* landed;      // likewise: source pixel before anything is removed or filled, or -1
  int32_t* index;       // likewise: source pixel that is shown, or -1 (empty or filled)
  uint8_t* kept;        // likewise: plane of the pixel that landed, if it was kept, or kNoPlane
  uint8_t* owner;       // likewise: plane that is shown, or kNoPlane
  float* edges;         // (batch, views, planes - 1)
  int64_t* invalid;     // (batch) source pixels that are holes
  int64_t batch, views, channels, height, width, output_height, output_width;
  int planes;  // 1 to kMaxPlanes
  Split split;
  double keep_above;  // a pixel stays when the mean of its plane's 3x3 mask is above this
  double fill_above;  // a plane shows where the weight of its 3x3 pixels is above this
};

// Gradient by the image.
template <typename T>
struct MultiplaneProjectGradient {
  const T* grad_output;   // (batch, views, channels, output_height, output_width)
  const int32_t* landed;  // what the projection returned, as what follows
  const int32_t* index;
  const uint8_t* kept;
  const uint8_t* owner;
  T* grad_image;  // (batch, channels, height, width), zero on entry
  int64_t batch, views, channels, height, width, output_height, output_width;
};

template <typename T>
void multiplane_project_cpu(const MultiplaneProject<T>& project);
template <typename T>
void multiplane_project_gradient_cpu(const MultiplaneProjectGradient<T>& gradient);

// What the CUDA twin needs besides: for one view at a time.
struct MultiplaneScratch {
  uint64_t* nearest;  // (output_height * output_width)
  uint32_t* counts;   // (multiplane_counts(planes, split))
  float* values;      // (kMaxPlanes + 2)
};
int64_t multiplane_counts(int planes, Split split);

// The CUDA twins launch on `stream` (a cudaStream_t) and return null or what went wrong. The
// gradient is summed with atomics: its last bits depend on the order.
template <typename T>
const char* multiplane_project_cuda(const MultiplaneProject<T>& project,
                                    const MultiplaneScratch& scratch, void* stream);
template <typename T>
const char* multiplane_project_gradient_cuda(const MultiplaneProjectGradient<T>& gradient,
                                             void* stream);

// Composite of planes with alpha, each seen through a homography, back to front (plane 0 is the
// farthest): output = sum_d alpha_d colour_d prod_{e > d} (1 - alpha_e), sampled bilinearly; beyond
// a plane, and where it is seen from behind (w <= 0), it is transparent.
template <typename T>
struct MultiplaneRender {
  const T* planes;                   // (batch, depths, channels, height, width); the last is alpha
  const double* source_from_output;  // (batch, views, depths, 3, 3), px to px
  T* output;  // (batch, views, channels, output_height, output_width); the last is alpha
  int64_t batch, views, depths, channels, height, width, output_height, output_width;
};

template <typename T>
struct MultiplaneRenderGradient {
  MultiplaneRender<T> forward;  // output is not used
  const T* grad_output;         // as output
  T* samples;                   // scratch (depths, channels, output_height, output_width)
  T* grad_planes;               // as planes, zero on entry
  double* grad_matrix;          // as source_from_output; or null
};

template <typename T>
void multiplane_render_cpu(const MultiplaneRender<T>& render);
template <typename T>
void multiplane_render_gradient_cpu(const MultiplaneRenderGradient<T>& gradient);
template <typename T>
const char* multiplane_render_cuda(const MultiplaneRender<T>& render, void* stream);
template <typename T>
const char* multiplane_render_gradient_cuda(const MultiplaneRenderGradient<T>& gradient,
                                            void* stream);

}  // namespace steadyview
