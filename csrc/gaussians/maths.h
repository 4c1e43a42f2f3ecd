#pragma once

// The formulas of projection and spherical harmonics, once for the CPU and CUDA kernels. Scalars
// only, without branches where it can be: the CPU kernels run them in loops that the compiler
// turns into vector instructions.

#include <cmath>

#include "common/sampling.h"

namespace steadyview::gaussians {

template <typename T>
STEADYVIEW_HOST_DEVICE T least(T a, T b) {
  return b < a ? b : a;
}
template <typename T>
STEADYVIEW_HOST_DEVICE T most(T a, T b) {
  return a < b ? b : a;
}
STEADYVIEW_HOST_DEVICE float root(float x) { return __builtin_sqrtf(x); }
STEADYVIEW_HOST_DEVICE double root(double x) { return __builtin_sqrt(x); }

// What the Gaussians of a camera share.
template <typename T>
struct Camera {
  T r[9], t[3];  // camera from world
  T fx, fy, cx, cy;
  T low[2], high[2];  // slopes x/z, y/z are held in these bounds where the projection is linearised
  T near_plane, far_plane, eps, clip, width, height;
  bool ortho;
};

template <typename T>
STEADYVIEW_HOST_DEVICE Camera<T> make_camera(const T* viewmat, const T* K, T width, T height) {
  Camera<T> camera{};
  for (int i = 0; i < 3; ++i) {
    for (int j = 0; j < 3; ++j) camera.r[3 * i + j] = viewmat[4 * i + j];
    camera.t[i] = viewmat[4 * i + 3];
  }
  camera.fx = K[0];
  camera.fy = K[4];
  camera.cx = K[2];
  camera.cy = K[5];
  camera.width = width;
  camera.height = height;
  // The image and 15 % of its size beyond each border.
  camera.low[0] = -(camera.cx + T(0.15) * width) / camera.fx;
  camera.low[1] = -(camera.cy + T(0.15) * height) / camera.fy;
  camera.high[0] = (width - camera.cx + T(0.15) * width) / camera.fx;
  camera.high[1] = (height - camera.cy + T(0.15) * height) / camera.fy;
  return camera;
}

// A Gaussian in a camera. Its covariance on the image is F F^T with F = J R M, J the derivative
// of the projection, M = rotation * diag(scales).
template <typename T>
struct Projected {
  T p[3];        // the mean in the camera
  T q[4], norm;  // unit quaternion, and 1 / its length before
  T Q[9], M[9];  // its rotation; the same times the scales
  T inverse;     // 1 / z
  T u[2];        // bounded slopes
  T J[4];        // J00, J02, J11, J12
  T U[6], F[6];  // J R, J R M
  T mean[2];
  T xx, xy, yy;  // covariance without eps
  T det0, det;   // its determinant, and that with eps
};

template <typename T>
STEADYVIEW_HOST_DEVICE void rotation(const T* q, T* Q) {
  const T w = q[0], x = q[1], y = q[2], z = q[3];
  Q[0] = 1 - 2 * (y * y + z * z);
  Q[1] = 2 * (x * y - w * z);
  Q[2] = 2 * (x * z + w * y);
  Q[3] = 2 * (x * y + w * z);
  Q[4] = 1 - 2 * (x * x + z * z);
  Q[5] = 2 * (y * z - w * x);
  Q[6] = 2 * (x * z - w * y);
  Q[7] = 2 * (y * z + w * x);
  Q[8] = 1 - 2 * (x * x + y * y);
}

template <bool ortho, typename T>
STEADYVIEW_HOST_DEVICE void project(const Camera<T>& camera, const T* m, const T* quat,
                                    const T* scale, Projected<T>& s) {
  for (int i = 0; i < 3; ++i) {
    s.p[i] = camera.r[3 * i] * m[0] + camera.r[3 * i + 1] * m[1] + camera.r[3 * i + 2] * m[2] +
             camera.t[i];
  }
  s.norm = 1 / root(quat[0] * quat[0] + quat[1] * quat[1] + quat[2] * quat[2] + quat[3] * quat[3]);
  for (int i = 0; i < 4; ++i) s.q[i] = quat[i] * s.norm;
  rotation(s.q, s.Q);
  for (int i = 0; i < 3; ++i) {
    for (int j = 0; j < 3; ++j) s.M[3 * i + j] = s.Q[3 * i + j] * scale[j];
  }
  s.inverse = ortho ? T(1) : 1 / s.p[2];
  const T x = s.p[0] * s.inverse, y = s.p[1] * s.inverse;
  s.u[0] = least(most(x, camera.low[0]), camera.high[0]);
  s.u[1] = least(most(y, camera.low[1]), camera.high[1]);
  s.J[0] = camera.fx * s.inverse;
  s.J[1] = ortho ? T(0) : -s.J[0] * s.u[0];
  s.J[2] = camera.fy * s.inverse;
  s.J[3] = ortho ? T(0) : -s.J[2] * s.u[1];
  s.mean[0] = camera.fx * x + camera.cx;
  s.mean[1] = camera.fy * y + camera.cy;
  for (int j = 0; j < 3; ++j) {
    s.U[j] = s.J[0] * camera.r[j] + s.J[1] * camera.r[6 + j];
    s.U[3 + j] = s.J[2] * camera.r[3 + j] + s.J[3] * camera.r[6 + j];
  }
  for (int i = 0; i < 2; ++i) {
    for (int j = 0; j < 3; ++j) {
      s.F[3 * i + j] =
          s.U[3 * i] * s.M[j] + s.U[3 * i + 1] * s.M[3 + j] + s.U[3 * i + 2] * s.M[6 + j];
    }
  }
  const T *a = s.F, *b = s.F + 3;
  s.xx = a[0] * a[0] + a[1] * a[1] + a[2] * a[2];
  s.xy = a[0] * b[0] + a[1] * b[1] + a[2] * b[2];
  s.yy = b[0] * b[0] + b[1] * b[1] + b[2] * b[2];
  // The squared cross product: nothing cancels, however thin the ellipse is.
  const T c0 = a[1] * b[2] - a[2] * b[1], c1 = a[2] * b[0] - a[0] * b[2];
  const T c2 = a[0] * b[1] - a[1] * b[0];
  s.det0 = c0 * c0 + c1 * c1 + c2 * c2;
  s.det = s.det0 + camera.eps * (s.xx + s.yy) + camera.eps * camera.eps;
}

// Gradients by what went into project(); cameras' parts are added up by the caller.
template <typename T>
struct ProjectedGradient {
  T mean[3], quat[4], scale[3];
  T r[9], t[3], k[4];  // by the camera: rotation, translation, (fx, fy, cx, cy)
};

// v_cov: by xx, xy and yy. v_mean: by the mean on the image.
template <bool ortho, typename T>
STEADYVIEW_HOST_DEVICE void project_backward(const Camera<T>& camera, const T* m, const T* scale,
                                             const Projected<T>& s, const T* v_mean, T v_depth,
                                             const T* v_cov, ProjectedGradient<T>& g) {
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
  T v_J[4] = {0, 0, 0, 0};
  for (int j = 0; j < 3; ++j) {
    v_J[0] += v_U[j] * r[j];
    v_J[1] += v_U[j] * r[6 + j];
    v_J[2] += v_U[3 + j] * r[3 + j];
    v_J[3] += v_U[3 + j] * r[6 + j];
    g.r[j] = s.J[0] * v_U[j];
    g.r[3 + j] = s.J[2] * v_U[3 + j];
    g.r[6 + j] = s.J[1] * v_U[j] + s.J[3] * v_U[3 + j];
  }
  T v_p[3], v_inverse = 0;
  const T f[2] = {camera.fx, camera.fy};
  for (int i = 0; i < 2; ++i) {
    g.k[i] = v_J[2 * i] * s.inverse + v_mean[i] * s.p[i] * s.inverse;
    g.k[2 + i] = v_mean[i];
    v_p[i] = v_mean[i] * f[i] * s.inverse;
    if constexpr (!ortho) {
      const T slope = s.p[i] * s.inverse;
      const bool bounded = (slope < camera.low[i]) | (slope > camera.high[i]);
      const T v_u = -v_J[2 * i + 1] * s.J[2 * i];
      g.k[i] -= v_J[2 * i + 1] * s.u[i] * s.inverse + (bounded ? v_u * s.u[i] / f[i] : T(0));
      g.k[2 + i] -= bounded ? v_u / f[i] : T(0);  // the bounds depend on the intrinsics
      v_p[i] += bounded ? T(0) : v_u * s.inverse;
      v_inverse += f[i] * (v_J[2 * i] - v_J[2 * i + 1] * s.u[i] + v_mean[i] * s.p[i]) +
                   (bounded ? T(0) : v_u * s.p[i]);
    }
  }
  v_p[2] = v_depth - (ortho ? T(0) : v_inverse * s.inverse * s.inverse);
  for (int i = 0; i < 3; ++i) {
    g.mean[i] = r[i] * v_p[0] + r[3 + i] * v_p[1] + r[6 + i] * v_p[2];
    g.t[i] = v_p[i];
    for (int j = 0; j < 3; ++j) g.r[3 * i + j] += v_p[i] * m[j];
  }
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
