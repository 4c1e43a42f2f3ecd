// A thread a Gaussian: projection, spherical harmonics and their gradients.
#include "gaussians/adam_maths.h"
#include "gaussians/device.h"
#include "gaussians/gaussians.h"
#include "gaussians/harmonics.h"
#include "gaussians/maths_gradient.h"

namespace steadyview::gaussians {
namespace {

template <CameraModel model, bool antialiased>
__global__ void project_kernel(Projection<float> p) {
  const int64_t at = first_item();
  if (at >= p.cameras * p.count) return;
  const int64_t c = at / p.count, i = at % p.count;
  const Camera<float> camera = camera_of(p, c);
  Sight<float> s;
  see<model, antialiased>(camera, p.means + 3 * i, p.quats + 4 * i, p.scales + 3 * i,
                          p.opacities ? p.opacities[i] : 1.0f, s);
  const bool seen = s.seen != 0;
  if (s.valid == 0) atomicAdd(reinterpret_cast<unsigned long long*>(p.invalid + c), 1ull);
  p.depths[at] = seen ? s.depth : 0;
  for (int k = 0; k < 2; ++k) {
    p.radii[2 * at + k] = seen ? static_cast<int>(s.radius[k]) : 0;
    p.means2d[2 * at + k] = seen ? s.mean[k] : 0;
  }
  for (int k = 0; k < 3; ++k) p.conics[3 * at + k] = seen ? s.conic[k] : 0;
  if (p.compensations) p.compensations[at] = seen ? s.compensation : 0;
}

// Adds camera c's part to a Gaussian's gradients, and gives the camera's own in `pose`.
template <CameraModel model>
__device__ void add_camera(const ProjectionGradient<float>& g, int64_t c, int64_t i, float* by_mean,
                           float* by_quat, float* by_scale, float* pose) {
  const Projection<float>& p = g.forward;
  const int64_t at = c * p.count + i;
  const Camera<float> camera = camera_of(p, c);
  const float *m = p.means + 3 * i, *scale = p.scales + 3 * i;
  Projected<float> s;
  ProjectedGradient<float> v;
  float by_cov[3];
  project<model>(camera, m, p.quats + 4 * i, scale, s);
  covariance_backward(s, camera.eps, g.grad_conics + 3 * at,
                      g.grad_compensations ? g.grad_compensations[at] : 0.0f, by_cov);
  project_backward<model>(camera, m, scale, s, g.grad_means2d + 2 * at, g.grad_depths[at], by_cov,
                          v);
  for (int k = 0; k < 3; ++k) by_mean[k] += v.mean[k];
  for (int k = 0; k < 3; ++k) by_scale[k] += v.scale[k];
  for (int k = 0; k < 4; ++k) by_quat[k] += v.quat[k];
  for (int k = 0; k < 9; ++k) pose[k] = v.r[k];
  for (int k = 0; k < 3; ++k) pose[9 + k] = v.t[k];
  for (int k = 0; k < 4; ++k) pose[12 + k] = v.k[k];
}

// sums (cameras, kPoseSums), zeroed; or null.
template <CameraModel model>
__global__ void project_gradient_kernel(ProjectionGradient<float> g, double* sums) {
  const Projection<float>& p = g.forward;
  const int64_t i = first_item();
  float by_mean[3] = {}, by_quat[4] = {}, by_scale[3] = {};
  for (int64_t c = 0; c < p.cameras; ++c) {  // all threads of a warp go through all cameras
    float pose[kPoseSums] = {};
    const bool seen = i < p.count && p.radii[2 * (c * p.count + i)] > 0;
    if (seen) add_camera<model>(g, c, i, by_mean, by_quat, by_scale, pose);
    if (!sums || !__any_sync(kWholeWarp, seen)) continue;
    for (int k = 0; k < kPoseSums; ++k) {
      const double sum = warp_sum(static_cast<double>(pose[k]));
      if (threadIdx.x % 32 == 0) atomicAdd(sums + c * kPoseSums + k, sum);
    }
  }
  if (i >= p.count) return;
  for (int k = 0; k < 3; ++k) g.grad_means[3 * i + k] = by_mean[k];
  for (int k = 0; k < 4; ++k) g.grad_quats[4 * i + k] = by_quat[k];
  for (int k = 0; k < 3; ++k) g.grad_scales[3 * i + k] = by_scale[k];
}

__global__ void write_poses(const double* sums, int64_t cameras, float* views, float* Ks) {
  const int64_t c = first_item();
  if (c < cameras) write_pose(sums + c * kPoseSums, views + 16 * c, Ks + 9 * c);
}

// The unit direction; returns 1 / the length before, or 0.
__device__ float unit_direction(const Harmonics<float>& h, int64_t i, float* unit) {
  float d[3];
  for (int k = 0; k < 3; ++k) d[k] = h.directions[3 * i + k] - h.origin[k];
  const float squared = d[0] * d[0] + d[1] * d[1] + d[2] * d[2];
  const float inverse = squared > 0 ? 1 / root(squared) : 0;
  for (int k = 0; k < 3; ++k) unit[k] = d[k] * inverse;
  return inverse;
}

template <int degree>
__global__ void harmonics_kernel(Harmonics<float> h) {
  constexpr int terms = (degree + 1) * (degree + 1);
  const int64_t i = first_item();
  if (i >= h.count) return;
  float sum[3] = {};
  if (!h.masks || h.masks[i]) {
    float unit[3], basis[terms];
    unit_direction(h, i, unit);
    harmonics<degree, false>(unit[0], unit[1], unit[2], basis, static_cast<float (*)[3]>(nullptr));
    const float* c = h.coefficients + i * h.terms * 3;
    for (int k = 0; k < terms; ++k) {
      for (int j = 0; j < 3; ++j) sum[j] += basis[k] * c[3 * k + j];
    }
  }
  for (int j = 0; j < 3; ++j) {
    const float shade = sum[j] + 0.5f;
    h.colors[3 * i + j] = !h.shaded ? sum[j] : shade < 0 ? 0 : shade;
  }
}

// A gradient of 0 is none, whatever the coefficients: those that are not finite are not drawn.
__device__ bool has_gradient(const HarmonicsGradient<float>& g, int64_t i, const float* v) {
  return (!g.forward.masks || g.forward.masks[i]) && (v[0] != 0 || v[1] != 0 || v[2] != 0);
}

template <int degree>
__global__ void harmonics_gradient_kernel(HarmonicsGradient<float> g) {
  constexpr int terms = (degree + 1) * (degree + 1);
  const Harmonics<float>& h = g.forward;
  const int64_t i = first_item();
  if (i >= h.count) return;
  float unit[3], basis[terms], slopes[terms][3], by_unit[3] = {};
  const float *c = h.coefficients + i * h.terms * 3, *v = g.grad_colors + 3 * i;
  const bool wanted = has_gradient(g, i, v);
  const float inverse = unit_direction(h, i, unit);
  harmonics<degree, true>(unit[0], unit[1], unit[2], basis, slopes);
  float* grad = g.grad_coefficients + i * h.terms * 3;
  for (int k = 0; k < terms; ++k) {
    const float share = wanted ? basis[k] : 0;
    const float dot = v[0] * c[3 * k] + v[1] * c[3 * k + 1] + v[2] * c[3 * k + 2];
    for (int j = 0; j < 3; ++j) {
      grad[3 * k + j] = share == 0 ? 0 : share * v[j];
      by_unit[j] += dot * slopes[k][j];
    }
  }
  for (int64_t k = 3 * terms; k < 3 * h.terms; ++k) grad[k] = 0;
  if (!g.grad_directions) return;
  const float along = by_unit[0] * unit[0] + by_unit[1] * unit[1] + by_unit[2] * unit[2];
  for (int j = 0; j < 3; ++j) {
    g.grad_directions[3 * i + j] = wanted ? (by_unit[j] - along * unit[j]) * inverse : 0;
  }
}

template <int degree>
__global__ void harmonics_adam_kernel(HarmonicsGradient<float> g, Adam a) {
  constexpr int terms = (degree + 1) * (degree + 1);
  const Harmonics<float>& h = g.forward;
  const int64_t i = first_item();
  if (i >= h.count) return;
  float unit[3], basis[terms], slopes[terms][3], by_unit[3] = {};
  const float inverse = unit_direction(h, i, unit);
  harmonics<degree, true>(unit[0], unit[1], unit[2], basis, slopes);
  float v[3];
  for (int j = 0; j < 3; ++j) {
    v[j] = h.shaded && !(h.colors[3 * i + j] > 0) ? 0 : g.grad_colors[3 * i + j];
  }
  const bool wanted = has_gradient(g, i, v), stepped = !a.seen || a.seen[i];
  for (int64_t k = 0; k < h.terms; ++k) {
    const int64_t at = (i * h.terms + k) * 3;
    const float* c = a.values + at;
    const float dot = v[0] * c[0] + v[1] * c[1] + v[2] * c[2];
    const float share = wanted && k < terms ? basis[k] : 0;
    for (int j = 0; j < 3; ++j) {
      if (k < terms) by_unit[j] += dot * slopes[k][j];
    }
    for (int j = 0; j < 3 && stepped; ++j) {
      const float rate = 3 * k + j < a.head ? a.head_rate : a.tail_rate;
      adam_step(a, rate * a.scale1, share * v[j], a.values[at + j], a.mean[at + j],
                a.square[at + j]);
    }
  }
  const float along = by_unit[0] * unit[0] + by_unit[1] * unit[1] + by_unit[2] * unit[2];
  for (int j = 0; j < 3; ++j) {
    g.grad_directions[3 * i + j] = wanted ? (by_unit[j] - along * unit[j]) * inverse : 0;
  }
}

}  // namespace

const char* project_cuda(const Projection<float>& p, void* stream) {
  constexpr auto pinhole = CameraModel::pinhole, ortho = CameraModel::ortho;
  constexpr auto fisheye = CameraModel::fisheye;
  void (*all[])(Projection<float>) = {
      project_kernel<pinhole, false>, project_kernel<pinhole, true>,
      project_kernel<ortho, false>,   project_kernel<ortho, true>,
      project_kernel<fisheye, false>, project_kernel<fisheye, true>};
  Queue queue(stream);
  queue.zero(p.invalid, static_cast<size_t>(p.cameras) * sizeof(int64_t));
  queue.each(p.cameras * p.count, all[2 * static_cast<int>(p.model) + (p.compensations ? 1 : 0)],
             p);
  return queue.message();
}

const char* project_gradient_cuda(const ProjectionGradient<float>& g, void* stream) {
  void (*all[])(ProjectionGradient<float>, double*) = {
      project_gradient_kernel<CameraModel::pinhole>, project_gradient_kernel<CameraModel::ortho>,
      project_gradient_kernel<CameraModel::fisheye>};
  const Projection<float>& p = g.forward;
  Queue queue(stream);
  const int64_t size = g.grad_viewmats ? p.cameras * kPoseSums : 0;
  const Scratch<double> sums(queue, size);
  queue.zero(sums.get(), static_cast<size_t>(size) * sizeof(double));
  queue.each(p.count, all[static_cast<int>(p.model)], g, size > 0 ? sums.get() : nullptr);
  if (size > 0) {
    queue.each(p.cameras, write_poses, sums.get(), p.cameras, g.grad_viewmats, g.grad_Ks);
  }
  return queue.message();
}

const char* harmonics_cuda(const Harmonics<float>& h, void* stream) {
  void (*all[])(Harmonics<float>) = {harmonics_kernel<0>, harmonics_kernel<1>, harmonics_kernel<2>,
                                     harmonics_kernel<3>, harmonics_kernel<4>};
  Queue queue(stream);
  queue.each(h.count, all[h.degree], h);
  return queue.message();
}

const char* harmonics_gradient_cuda(const HarmonicsGradient<float>& g, void* stream) {
  void (*all[])(HarmonicsGradient<float>) = {
      harmonics_gradient_kernel<0>, harmonics_gradient_kernel<1>, harmonics_gradient_kernel<2>,
      harmonics_gradient_kernel<3>, harmonics_gradient_kernel<4>};
  Queue queue(stream);
  queue.each(g.forward.count, all[g.forward.degree], g);
  return queue.message();
}

const char* harmonics_adam_cuda(const HarmonicsGradient<float>& g, const Adam& adam, void* stream) {
  void (*all[])(HarmonicsGradient<float>, Adam) = {
      harmonics_adam_kernel<0>, harmonics_adam_kernel<1>, harmonics_adam_kernel<2>,
      harmonics_adam_kernel<3>, harmonics_adam_kernel<4>};
  Queue queue(stream);
  queue.each(g.forward.count, all[g.forward.degree], g, adam);
  return queue.message();
}

}  // namespace steadyview::gaussians
