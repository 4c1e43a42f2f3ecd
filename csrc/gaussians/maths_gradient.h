#pragma once

// The gradients of maths.h.

#include "gaussians/maths.h"

namespace steadyview::gaussians {

// Gradients by what went into project(); cameras' parts are added up by the caller.
template <typename T>
struct ProjectedGradient {
  T mean[3], quat[4], scale[3];
  T r[9], t[3], k[4];  // by the camera: rotation, translation, (fx, fy, cx, cy)
};

// By the fisheye's J and mean to the point in the camera, v_p, and the intrinsics, v_k.
template <typename T>
STEADYVIEW_HOST_DEVICE void fisheye_backward(const Camera<T>& camera, const Projected<T>& s,
                                             const T* v_J, const T* v_mean, T* v_p, T* v_k) {
  const T x = s.p[0], y = s.p[1], z = s.p[2], n = x * x + y * y + z * z;
  const T fx = camera.fx, fy = camera.fy, gap = 1 / (n * n);
  v_k[0] = (v_J[0] * s.J[0] + v_J[1] * s.J[1] + v_J[4] * s.J[4]) / fx + v_mean[0] * x * s.g;
  v_k[1] = (v_J[2] * s.J[2] + v_J[3] * s.J[3] + v_J[5] * s.J[5]) / fy + v_mean[1] * y * s.g;
  v_k[2] = v_mean[0];
  v_k[3] = v_mean[1];
  // J00 = fx (g + x^2 h), J01 = fx x y h, J02 = -fx x / n, and so on.
  const T v_g = fx * v_J[0] + fy * v_J[2];
  const T v_cross = fx * v_J[4] + fy * v_J[5];  // by x y h
  const T v_h = fx * v_J[0] * x * x + fy * v_J[2] * y * y + v_cross * x * y;
  const T v_n = (fx * v_J[1] * x + fy * v_J[3] * y) * gap;
  // The mean's derivative by the point is J itself.
  v_p[0] = v_mean[0] * s.J[0] + v_mean[1] * s.J[5] + 2 * fx * v_J[0] * x * s.h + v_cross * y * s.h -
           fx * v_J[1] / n;
  v_p[1] = v_mean[0] * s.J[4] + v_mean[1] * s.J[2] + 2 * fy * v_J[2] * y * s.h + v_cross * x * s.h -
           fy * v_J[3] / n;
  v_p[2] = v_mean[0] * s.J[1] + v_mean[1] * s.J[3];
  // dg = h (x dx + y dy) - dz / n; dh = k (x dx + y dy) + 2 / n^2 dz; dn = 2 (x, y, z).
  const T v_radial = v_g * s.h + v_h * s.k + 2 * v_n;
  v_p[0] += v_radial * x;
  v_p[1] += v_radial * y;
  v_p[2] += 2 * v_n * z - v_g / n + 2 * v_h * gap;
}

// The same for pinhole and ortho.
template <bool ortho, typename T>
STEADYVIEW_HOST_DEVICE void flat_backward(const Camera<T>& camera, const Projected<T>& s,
                                          const T* v_J, const T* v_mean, T* v_p, T* v_k) {
  T v_inverse = 0;
  const T f[2] = {camera.fx, camera.fy};
  for (int i = 0; i < 2; ++i) {
    v_k[i] = v_J[2 * i] * s.inverse + v_mean[i] * s.p[i] * s.inverse;
    v_k[2 + i] = v_mean[i];
    v_p[i] = v_mean[i] * f[i] * s.inverse;
    if constexpr (!ortho) {
      // Numbers for flags: the compiler makes no vector loop of conditions joined by |.
      const T slope = s.p[i] * s.inverse;
      const T above = slope < camera.low[i] ? T(0) : T(1),
              below = slope > camera.high[i] ? T(0) : T(1);
      const T free = above * below, held = 1 - free;
      const T v_u = -v_J[2 * i + 1] * s.J[2 * i], v_bound = held * v_u / f[i];
      v_k[i] -= v_J[2 * i + 1] * s.u[i] * s.inverse + v_bound * s.u[i];
      v_k[2 + i] -= v_bound;  // the bounds depend on the intrinsics
      v_p[i] += free * v_u * s.inverse;
      v_inverse +=
          f[i] * (v_J[2 * i] - v_J[2 * i + 1] * s.u[i] + v_mean[i] * s.p[i]) + free * v_u * s.p[i];
    }
  }
  v_p[2] = ortho ? T(0) : -v_inverse * s.inverse * s.inverse;
}

// v_cov: by xx, xy and yy. v_mean: by the mean on the image.
template <CameraModel model, typename T>
STEADYVIEW_HOST_DEVICE void project_backward(const Camera<T>& camera, const T* m, const T* scale,
                                             const Projected<T>& s, const T* v_mean, T v_depth,
                                             const T* v_cov, ProjectedGradient<T>& g) {
  constexpr bool ortho = model == CameraModel::ortho, curved = model == CameraModel::fisheye;
  T v_F[6], v_U[6], v_M[9];
  for (int j = 0; j < 3; ++j) {
    v_F[j] = 2 * v_cov[0] * s.F[j] + v_cov[1] * s.F[3 + j];
    v_F[3 + j] = 2 * v_cov[2] * s.F[3 + j] + v_cov[1] * s.F[j];
  }
  for (int i = 0; i < 2; ++i) {
    for (int j = 0; j < 3; ++j) {
      v_U[3 * i + j] = v_F[3 * i] * s.M[3 * j] + v_F[3 * i + 1] * s.M[3 * j + 1] +
                       v_F[3 * i + 2] * s.M[3 * j + 2];
    }
  }
  for (int i = 0; i < 3; ++i) {
    for (int j = 0; j < 3; ++j) v_M[3 * i + j] = s.U[i] * v_F[j] + s.U[3 + i] * v_F[3 + j];
  }
  // Scales and quaternion.
  T v_Q[9];
  for (int j = 0; j < 3; ++j) {
    g.scale[j] = v_M[j] * s.Q[j] + v_M[3 + j] * s.Q[3 + j] + v_M[6 + j] * s.Q[6 + j];
    for (int i = 0; i < 3; ++i) v_Q[3 * i + j] = v_M[3 * i + j] * scale[j];
  }
  const T w = s.q[0], x = s.q[1], y = s.q[2], z = s.q[3];
  const T v_q[4] = {
      2 * (x * (v_Q[7] - v_Q[5]) + y * (v_Q[2] - v_Q[6]) + z * (v_Q[3] - v_Q[1])),
      2 * (w * (v_Q[7] - v_Q[5]) + y * (v_Q[1] + v_Q[3]) + z * (v_Q[2] + v_Q[6]) -
           2 * x * (v_Q[4] + v_Q[8])),
      2 * (w * (v_Q[2] - v_Q[6]) + x * (v_Q[1] + v_Q[3]) + z * (v_Q[5] + v_Q[7]) -
           2 * y * (v_Q[0] + v_Q[8])),
      2 * (w * (v_Q[3] - v_Q[1]) + x * (v_Q[2] + v_Q[6]) + y * (v_Q[5] + v_Q[7]) -
           2 * z * (v_Q[0] + v_Q[4])),
  };
  const T along = w * v_q[0] + x * v_q[1] + y * v_q[2] + z * v_q[3];
  for (int i = 0; i < 4; ++i) g.quat[i] = (v_q[i] - along * s.q[i]) * s.norm;
  // The camera's rotation, through U = J R.
  const T* r = camera.r;
  T v_J[6] = {0, 0, 0, 0, 0, 0};
  for (int j = 0; j < 3; ++j) {
    v_J[0] += v_U[j] * r[j];
    v_J[1] += v_U[j] * r[6 + j];
    v_J[2] += v_U[3 + j] * r[3 + j];
    v_J[3] += v_U[3 + j] * r[6 + j];
    g.r[j] = s.J[0] * v_U[j];
    g.r[3 + j] = s.J[2] * v_U[3 + j];
    g.r[6 + j] = s.J[1] * v_U[j] + s.J[3] * v_U[3 + j];
    if constexpr (curved) {
      v_J[4] += v_U[j] * r[3 + j];
      v_J[5] += v_U[3 + j] * r[j];
      g.r[3 + j] += s.J[4] * v_U[j];
      g.r[j] += s.J[5] * v_U[3 + j];
    }
  }
  T v_p[3];
  if constexpr (curved) {
    fisheye_backward(camera, s, v_J, v_mean, v_p, g.k);
  } else {
    flat_backward<ortho>(camera, s, v_J, v_mean, v_p, g.k);
  }
  v_p[2] += v_depth;
  for (int i = 0; i < 3; ++i) {
    g.mean[i] = r[i] * v_p[0] + r[3 + i] * v_p[1] + r[6 + i] * v_p[2];
    g.t[i] = v_p[i];
    for (int j = 0; j < 3; ++j) g.r[3 * i + j] += v_p[i] * m[j];
  }
}

// The same for a camera, summed over its Gaussians: r, t and k of ProjectedGradient.
inline constexpr int kPoseSums = 16;
template <typename T>
STEADYVIEW_HOST_DEVICE void write_pose(const double* sums, T* viewmat, T* K) {
  for (int i = 0; i < 16; ++i) viewmat[i] = 0;
  for (int i = 0; i < 9; ++i) K[i] = 0;
  for (int i = 0; i < 3; ++i) {
    for (int j = 0; j < 3; ++j) viewmat[4 * i + j] = static_cast<T>(sums[3 * i + j]);
    viewmat[4 * i + 3] = static_cast<T>(sums[9 + i]);
  }
  K[0] = static_cast<T>(sums[12]);
  K[4] = static_cast<T>(sums[13]);
  K[2] = static_cast<T>(sums[14]);
  K[5] = static_cast<T>(sums[15]);
}

// v_cov of project_backward from the gradients by the conic and the compensation.
template <typename T>
STEADYVIEW_HOST_DEVICE void covariance_backward(const Projected<T>& s, T eps, const T* v_conic,
                                                T v_compensation, T* v_cov) {
  const T xx = s.xx + eps, yy = s.yy + eps, xy = s.xy, inverse = 1 / s.det;
  const T A = yy * inverse, B = -xy * inverse, C = xx * inverse;
  // The derivative of an inverse: -X v X, here of symmetric matrices.
  const T a = v_conic[0], b = v_conic[1] / 2, c = v_conic[2];
  const T left0 = A * a + B * b, left1 = A * b + B * c, right0 = B * a + C * b;
  const T right1 = B * b + C * c;
  v_cov[0] = -(left0 * A + left1 * B);
  v_cov[1] = -2 * (left0 * B + left1 * C);
  v_cov[2] = -(right0 * B + right1 * C);
  const T ratio = s.det0 * inverse, compensation = root(ratio);
  const T v_ratio = compensation > T(1e-6) ? v_compensation / (2 * compensation) : T(0);
  const T before = v_ratio * inverse, after = -before * ratio;
  v_cov[0] += before * s.yy + after * yy;
  v_cov[1] -= 2 * (before + after) * xy;
  v_cov[2] += before * s.xx + after * xx;
}

}  // namespace steadyview::gaussians
