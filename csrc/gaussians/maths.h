#pragma once

// The formulas of projection and spherical harmonics, once for the CPU and CUDA kernels. Scalars
// only, without branches where it can be: the CPU kernels run them in loops that the compiler
// turns into vector instructions.

#include <cmath>

#include "common/sampling.h"
#include "gaussians/gaussians.h"
#include "gaussians/logarithm.h"

namespace steadyview::gaussians {

template <typename T>
STEADYVIEW_HOST_DEVICE T least(T a, T b) {
  return b < a ? b : a;
}
template <typename T>
STEADYVIEW_HOST_DEVICE T most(T a, T b) {
  return a < b ? b : a;
}
#if defined(__CUDACC__)
STEADYVIEW_HOST_DEVICE float root(float x) { return sqrtf(x); }
STEADYVIEW_HOST_DEVICE double root(double x) { return sqrt(x); }
STEADYVIEW_HOST_DEVICE float angle(float y, float x) { return atan2f(y, x); }
STEADYVIEW_HOST_DEVICE double angle(double y, double x) { return atan2(y, x); }
STEADYVIEW_HOST_DEVICE float ceiling(float x) { return ceilf(x); }
STEADYVIEW_HOST_DEVICE double ceiling(double x) { return ceil(x); }
#else
STEADYVIEW_HOST_DEVICE float root(float x) { return __builtin_sqrtf(x); }
STEADYVIEW_HOST_DEVICE double root(double x) { return __builtin_sqrt(x); }
STEADYVIEW_HOST_DEVICE float angle(float y, float x) { return __builtin_atan2f(y, x); }
STEADYVIEW_HOST_DEVICE double angle(double y, double x) { return __builtin_atan2(y, x); }
STEADYVIEW_HOST_DEVICE float ceiling(float x) { return __builtin_ceilf(x); }
STEADYVIEW_HOST_DEVICE double ceiling(double x) { return __builtin_ceil(x); }
#endif

// What the Gaussians of a camera share.
template <typename T>
struct Camera {
  T r[9], t[3];  // camera from world
  T fx, fy, cx, cy;
  T low[2], high[2];  // slopes x/z, y/z are held in these bounds where the projection is linearised
  T near_plane, far_plane, eps, clip, width, height;
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

template <typename T>
STEADYVIEW_HOST_DEVICE Camera<T> camera_of(const Projection<T>& p, int64_t c) {
  Camera<T> camera = make_camera(p.viewmats + 16 * c, p.Ks + 9 * c, static_cast<T>(p.width),
                                 static_cast<T>(p.height));
  camera.near_plane = static_cast<T>(p.near_plane);
  camera.far_plane = static_cast<T>(p.far_plane);
  camera.eps = static_cast<T>(p.eps2d);
  camera.clip = static_cast<T>(p.radius_clip);
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
  T J[6];        // J00, J02, J11, J12, and of the fisheye J01, J10
  T g, h, k;     // of the fisheye: see below
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

// The equidistant fisheye: a point at the angle a from the axis is drawn at f a from the centre, so
// its mean is f (x, y) g with g = a / l, l^2 = x^2 + y^2. h = (dg/dl) / l and k = (dh/dl) / l.
// Near the axis, where the formulas cancel, their series in (l / z)^2.
template <typename T>
STEADYVIEW_HOST_DEVICE void fisheye(const T* p, T& g, T& h, T& k) {
  const T z = p[2], s = p[0] * p[0] + p[1] * p[1], n = s + z * z, l = root(s);
  const T q = s / (z * z), i = 1 / z, i3 = i * i * i;
  const bool close = (z > 0) & (q < (sizeof(T) == 4 ? T(0.03) : T(1e-3)));
  const T sg = i * (1 + q * (T(-1) / 3 + q * (T(1) / 5 + q * (T(-1) / 7 + q * (T(1) / 9)))));
  const T sh =
      i3 * (T(-2) / 3 + q * (T(4) / 5 + q * (T(-6) / 7 + q * (T(8) / 9 - q * (T(10) / 11)))));
  const T sk =
      i3 * i * i *
      (T(8) / 5 + q * (T(-24) / 7 + q * (T(48) / 9 + q * (T(-80) / 11 + q * (T(120) / 13)))));
  const T fg = angle(l, z) / l, fh = (z / n - fg) / s, fk = -(2 * z / (n * n) + 3 * fh) / s;
  g = close ? sg : fg;
  h = close ? sh : fh;
  k = close ? sk : fk;
}

template <CameraModel model, typename T>
STEADYVIEW_HOST_DEVICE void project(const Camera<T>& camera, const T* m, const T* quat,
                                    const T* scale, Projected<T>& s) {
  constexpr bool ortho = model == CameraModel::ortho, curved = model == CameraModel::fisheye;
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
  if constexpr (curved) {
    fisheye(s.p, s.g, s.h, s.k);
    const T px = s.p[0], py = s.p[1], slope = -1 / (px * px + py * py + s.p[2] * s.p[2]);
    s.J[0] = camera.fx * (s.g + px * px * s.h);
    s.J[1] = camera.fx * px * slope;
    s.J[2] = camera.fy * (s.g + py * py * s.h);
    s.J[3] = camera.fy * py * slope;
    s.J[4] = camera.fx * px * py * s.h;
    s.J[5] = camera.fy * px * py * s.h;
    s.mean[0] = camera.fx * px * s.g + camera.cx;
    s.mean[1] = camera.fy * py * s.g + camera.cy;
  } else {
    s.J[0] = camera.fx * s.inverse;
    s.J[1] = ortho ? T(0) : -s.J[0] * s.u[0];
    s.J[2] = camera.fy * s.inverse;
    s.J[3] = ortho ? T(0) : -s.J[2] * s.u[1];
    s.mean[0] = camera.fx * x + camera.cx;
    s.mean[1] = camera.fy * y + camera.cy;
  }
  for (int j = 0; j < 3; ++j) {
    s.U[j] = s.J[0] * camera.r[j] + s.J[1] * camera.r[6 + j];
    s.U[3 + j] = s.J[2] * camera.r[3 + j] + s.J[3] * camera.r[6 + j];
    if constexpr (curved) {
      s.U[j] += s.J[4] * camera.r[3 + j];
      s.U[3 + j] += s.J[5] * camera.r[j];
    }
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

// What a camera sees of a Gaussian.
template <typename T>
struct Sight {
  T mean[2], depth, conic[3], compensation, radius[2];
  T seen, valid;  // 1 or 0
};

// 1 or 0: conditions joined by && would be branches.
template <typename T>
STEADYVIEW_HOST_DEVICE T flag(bool condition) {
  return condition ? T(1) : T(0);
}
template <typename T>
STEADYVIEW_HOST_DEVICE T finite(T x) {
  return flag<T>(x - x == 0);
}

template <CameraModel model, bool antialiased, typename T>
STEADYVIEW_HOST_DEVICE void see(const Camera<T>& camera, const T* m, const T* quat, const T* scale,
                                T own_opacity, Sight<T>& out) {
  Projected<T> s;
  project<model>(camera, m, quat, scale, s);
  const T compensation = root(s.det0 / s.det);
  const T opacity = antialiased ? own_opacity * compensation : own_opacity;
  // Where the opacity falls to kSmallestAlpha, and 3.33 sigma at most.
  const T ratio = most(opacity * T(1 / kSmallestAlpha), T(1));
  const T reach = least(root(2 * logarithm(ratio)), T(3.33));
  const T rx = ceiling(least(reach * root(s.xx + camera.eps), T(1e9)));
  const T ry = ceiling(least(reach * root(s.yy + camera.eps), T(1e9)));
  const T sum = m[0] + m[1] + m[2] + s.norm + scale[0] + scale[1] + scale[2] + own_opacity;
  const T result = s.mean[0] + s.mean[1] + s.xx + s.yy + 1 / s.det;
  const T inside = least(flag<T>(s.p[2] > camera.near_plane), flag<T>(s.p[2] < camera.far_plane));
  const T valid = least(finite(sum), most(1 - inside, finite(result)));
  const T big = least(flag<T>(opacity >= T(kSmallestAlpha)), flag<T>(most(rx, ry) > camera.clip));
  const T in_x = least(flag<T>(s.mean[0] + rx > 0), flag<T>(s.mean[0] - rx < camera.width));
  const T in_y = least(flag<T>(s.mean[1] + ry > 0), flag<T>(s.mean[1] - ry < camera.height));
  const T inverse = 1 / s.det;
  out.seen = inside * valid * big * in_x * in_y;
  out.valid = valid;
  out.radius[0] = rx;
  out.radius[1] = ry;
  out.mean[0] = s.mean[0];
  out.mean[1] = s.mean[1];
  out.depth = s.p[2];
  out.conic[0] = (s.yy + camera.eps) * inverse;
  out.conic[1] = -s.xy * inverse;
  out.conic[2] = (s.xx + camera.eps) * inverse;
  out.compensation = compensation;
}

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
