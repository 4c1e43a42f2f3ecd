// Projection of blocks of Gaussians, a lane each. Compiled for each instruction set: everything
// shared is always inlined, and the compiler turns the loops over lanes into vector instructions.
#include "gaussians/maths_gradient.h"
#include "gaussians/rows.h"

namespace steadyview::gaussians::STEADYVIEW_ISA {
namespace {

constexpr int kBlock = 16;

// The inputs of a block, a column each; missing lanes repeat the last Gaussian.
template <typename T>
struct Block {
  T mean[3][kBlock], quat[4][kBlock], scale[3][kBlock], opacity[kBlock];
};

template <int width, typename T>
STEADYVIEW_HOST_DEVICE void load(const T* rows, int64_t first, int64_t n, T (*columns)[kBlock]) {
  if (n == kBlock) {
    for (int l = 0; l < kBlock; ++l) {
      for (int k = 0; k < width; ++k) columns[k][l] = rows[(first + l) * width + k];
    }
    return;
  }
  for (int64_t l = 0; l < kBlock; ++l) {
    const int64_t i = first + (l < n ? l : n - 1);
    for (int k = 0; k < width; ++k) columns[k][l] = rows[i * width + k];
  }
}

template <typename T>
STEADYVIEW_HOST_DEVICE void load_block(const Projection<T>& p, int64_t first, int64_t n,
                                       Block<T>& block) {
  load<3>(p.means, first, n, block.mean);
  load<4>(p.quats, first, n, block.quat);
  load<3>(p.scales, first, n, block.scale);
  if (p.opacities) {
    load<1>(p.opacities, first, n, &block.opacity);
  } else {
    for (T& opacity : block.opacity) opacity = 1;
  }
}

template <typename T>
struct Seen {
  T mean[2][kBlock], depth[kBlock], conic[3][kBlock], compensation[kBlock], radius[2][kBlock];
  T seen[kBlock], valid[kBlock];  // 1 or 0
};

template <CameraModel model, bool antialiased, typename T>
void project_block(const Camera<T>& camera, const Block<T>& b, Seen<T>& out) {
#pragma GCC ivdep
  for (int l = 0; l < kBlock; ++l) {
    const T m[3] = {b.mean[0][l], b.mean[1][l], b.mean[2][l]};
    const T quat[4] = {b.quat[0][l], b.quat[1][l], b.quat[2][l], b.quat[3][l]};
    const T scale[3] = {b.scale[0][l], b.scale[1][l], b.scale[2][l]};
    Sight<T> s;
    see<model, antialiased>(camera, m, quat, scale, b.opacity[l], s);
    out.seen[l] = s.seen;
    out.valid[l] = s.valid;
    for (int k = 0; k < 2; ++k) out.radius[k][l] = s.radius[k];
    for (int k = 0; k < 2; ++k) out.mean[k][l] = s.mean[k];
    for (int k = 0; k < 3; ++k) out.conic[k][l] = s.conic[k];
    out.depth[l] = s.depth;
    out.compensation[l] = s.compensation;
  }
}

template <typename T>
STEADYVIEW_HOST_DEVICE void store_block(const Projection<T>& p, int64_t at, int64_t n,
                                        const Seen<T>& s, int64_t* invalid) {
  for (int64_t l = 0; l < n; ++l) {
    const bool seen = s.seen[l] != 0;
    const int64_t i = at + l;
    *invalid += s.valid[l] == 0;
    p.depths[i] = seen ? s.depth[l] : T(0);
    for (int k = 0; k < 2; ++k) {
      p.radii[2 * i + k] = seen ? static_cast<int>(s.radius[k][l]) : 0;
      p.means2d[2 * i + k] = seen ? s.mean[k][l] : T(0);
    }
    for (int k = 0; k < 3; ++k) p.conics[3 * i + k] = seen ? s.conic[k][l] : T(0);
    if (p.compensations) p.compensations[i] = seen ? s.compensation[l] : T(0);
  }
}

template <typename T>
void project_all(const Projection<T>& p, int64_t c, int64_t first, int64_t last, int64_t* invalid) {
  const Camera<T> camera = camera_of(p, c);
  constexpr auto pinhole = CameraModel::pinhole, ortho = CameraModel::ortho;
  constexpr auto fisheye = CameraModel::fisheye;
  void (*block_of[])(const Camera<T>&, const Block<T>&, Seen<T>&) = {
      project_block<pinhole, false, T>, project_block<pinhole, true, T>,
      project_block<ortho, false, T>,   project_block<ortho, true, T>,
      project_block<fisheye, false, T>, project_block<fisheye, true, T>};
  const auto project_one = block_of[2 * static_cast<int>(p.model) + (p.compensations ? 1 : 0)];
  Block<T> block;
  Seen<T> seen;
  for (int64_t i = first; i < last; i += kBlock) {
    const int64_t n = least<int64_t>(kBlock, last - i);
    load_block(p, i, n, block);
    project_one(camera, block, seen);
    store_block(p, c * p.count + i, n, seen, invalid);
  }
}

template <typename T>
struct BlockGradient {
  T mean[3][kBlock], quat[4][kBlock], scale[3][kBlock];
};

// Adds a camera's part to `out` and, over the lanes, to sums.
template <CameraModel model, typename T>
void project_block_gradient(const ProjectionGradient<T>& g, const Camera<T>& camera,
                            const Block<T>& b, int64_t at, int64_t n, BlockGradient<T>& out,
                            double* sums) {
  T v_mean[2][kBlock], v_depth[1][kBlock], v_conic[3][kBlock], v_compensation[1][kBlock] = {};
  T pose[kPoseSums][kBlock];
  int seen[kBlock];
  load<2>(g.grad_means2d, at, n, v_mean);
  load<1>(g.grad_depths, at, n, v_depth);
  load<3>(g.grad_conics, at, n, v_conic);
  if (g.grad_compensations) load<1>(g.grad_compensations, at, n, v_compensation);
  for (int64_t l = 0; l < kBlock; ++l) seen[l] = l < n && g.forward.radii[2 * (at + l)] > 0;
#pragma GCC ivdep
  for (int l = 0; l < kBlock; ++l) {
    const T m[3] = {b.mean[0][l], b.mean[1][l], b.mean[2][l]};
    const T quat[4] = {b.quat[0][l], b.quat[1][l], b.quat[2][l], b.quat[3][l]};
    const T scale[3] = {b.scale[0][l], b.scale[1][l], b.scale[2][l]};
    const T by_mean[2] = {v_mean[0][l], v_mean[1][l]};
    const T by_conic[3] = {v_conic[0][l], v_conic[1][l], v_conic[2][l]};
    Projected<T> s;
    ProjectedGradient<T> v;
    T by_cov[3];
    project<model>(camera, m, quat, scale, s);
    covariance_backward(s, camera.eps, by_conic, v_compensation[0][l], by_cov);
    project_backward<model>(camera, m, scale, s, by_mean, v_depth[0][l], by_cov, v);
    const bool ok = seen[l] != 0;  // what is not seen may be NaN here
#pragma GCC unroll 4
    for (int k = 0; k < 4; ++k) {
      if (k < 3) out.mean[k][l] += ok ? v.mean[k] : T(0);
      if (k < 3) out.scale[k][l] += ok ? v.scale[k] : T(0);
      out.quat[k][l] += ok ? v.quat[k] : T(0);
    }
#pragma GCC unroll 16
    for (int k = 0; k < kPoseSums; ++k) {
      pose[k][l] = ok ? (k < 9    ? v.r[k < 9 ? k : 0]
                         : k < 12 ? v.t[k < 12 ? k % 3 : 0]
                                  : v.k[k % 4])
                      : T(0);
    }
  }
  if (!sums) return;
  for (int k = 0; k < kPoseSums; ++k) {
    // In pairs of halves, so that the lanes' additions do not wait for each other.
    double lanes[kBlock];
    for (int l = 0; l < kBlock; ++l) lanes[l] = static_cast<double>(pose[k][l]);
    for (int half = kBlock / 2; half > 0; half /= 2) {
      for (int l = 0; l < half; ++l) lanes[l] += lanes[l + half];
    }
    sums[k] += lanes[0];
  }
}

template <int width, typename T>
STEADYVIEW_HOST_DEVICE void store(const T (*columns)[kBlock], int64_t first, int64_t n, T* rows) {
  for (int64_t l = 0; l < n; ++l) {
    for (int k = 0; k < width; ++k) rows[(first + l) * width + k] = columns[k][l];
  }
}

template <typename T>
void project_all_gradients(const ProjectionGradient<T>& g, int64_t first, int64_t last,
                           double* sums) {
  const Projection<T>& p = g.forward;
  if (sums) {
    for (int64_t k = 0; k < kPoseSums * p.cameras; ++k) sums[k] = 0;
  }
  Block<T> block;
  for (int64_t i = first; i < last; i += kBlock) {
    const int64_t n = least<int64_t>(kBlock, last - i);
    load_block(p, i, n, block);
    BlockGradient<T> out{};
    for (int64_t c = 0; c < p.cameras; ++c) {
      const Camera<T> camera = camera_of(p, c);
      double* pose = sums ? sums + c * kPoseSums : nullptr;
      const auto gradient =
          p.model == CameraModel::pinhole ? project_block_gradient<CameraModel::pinhole, T>
          : p.model == CameraModel::ortho ? project_block_gradient<CameraModel::ortho, T>
                                          : project_block_gradient<CameraModel::fisheye, T>;
      gradient(g, camera, block, c * p.count + i, n, out, pose);
    }
    store<3>(out.mean, i, n, g.grad_means);
    store<4>(out.quat, i, n, g.grad_quats);
    store<3>(out.scale, i, n, g.grad_scales);
  }
}

}  // namespace

void project_rows(const Projection<float>& p, int64_t c, int64_t first, int64_t last,
                  int64_t* invalid) {
  project_all(p, c, first, last, invalid);
}
void project_rows(const Projection<double>& p, int64_t c, int64_t first, int64_t last,
                  int64_t* invalid) {
  project_all(p, c, first, last, invalid);
}
void project_gradient_rows(const ProjectionGradient<float>& g, int64_t first, int64_t last,
                           double* sums) {
  project_all_gradients(g, first, last, sums);
}
void project_gradient_rows(const ProjectionGradient<double>& g, int64_t first, int64_t last,
                           double* sums) {
  project_all_gradients(g, first, last, sums);
}

}  // namespace steadyview::gaussians::STEADYVIEW_ISA
