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
  const T result = s.mean[0] + s.mean[1] + s.xx + s.yy + s.det + 1 / s.det;
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

}  // namespace steadyview::gaussians
