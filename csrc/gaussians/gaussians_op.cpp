#include "gaussians/gaussians_op.h"

#include <ATen/ops/empty.h>

#include <cmath>

#include "common/check.h"
#include "gaussians/dispatch_op.h"
#include "gaussians/gaussians.h"

namespace steadyview {
namespace {

using gaussians::CameraModel;
using gaussians::check_argument;
using gaussians::check_size;
using gaussians::contiguous;
using gaussians::data;
using gaussians::dispatch;

struct Arguments {
  const char* op;
  const at::Tensor& like;  // checked to be floating

  void operator()(const char* name, const at::Tensor& tensor,
                  std::initializer_list<int64_t> sizes) const {
    check_argument(op, name, tensor, like, sizes);
  }
  void integers(const char* name, const at::Tensor& tensor, at::ScalarType type,
                std::initializer_list<int64_t> sizes) const {
    check::like(op, name, tensor, type, like.device());
    check::shape(op, name, tensor, sizes);
  }
};

// Numbers of the cameras on the host; they must be finite.
at::Tensor on_host(const char* op, const char* name, const at::Tensor& tensor) {
  const at::Tensor host = tensor.detach().to(at::kCPU, at::kDouble).contiguous();
  const double* x = host.const_data_ptr<double>();
  for (int64_t i = 0; i < host.numel(); ++i) {
    if (!std::isfinite(x[i])) check::fail(op, name, " must be finite");
  }
  return host;
}

// What is not looked at must be what it is taken for, but for the rounding of an inverse.
bool near(double x, double wanted, double scale = 1) {
  return std::abs(x - wanted) <= 1e-5 * scale;
}

void check_cameras(const char* op, const at::Tensor& viewmats, const at::Tensor& Ks) {
  const at::Tensor views = on_host(op, "viewmats", viewmats), inner = on_host(op, "Ks", Ks);
  for (int64_t c = 0; c < views.size(0); ++c) {
    const double* v = views.const_data_ptr<double>() + 16 * c + 12;
    const double* K = inner.const_data_ptr<double>() + 9 * c;
    if (!(near(v[0], 0) && near(v[1], 0) && near(v[2], 0) && near(v[3], 1))) {
      check::fail(op, "viewmats must have the last row 0 0 0 1, got ", v[0], " ", v[1], " ", v[2],
                  " ", v[3], " (is it transposed?)");
    }
    if (!(K[0] > 0 && K[4] > 0)) {
      check::fail(op, "Ks must have focal lengths above 0, got ", K[0], " and ", K[4]);
    }
    if (!(near(K[1], 0, K[0]) && near(K[3], 0, K[4]) && near(K[6], 0) && near(K[7], 0) &&
          near(K[8], 1))) {
      check::fail(op, "Ks must be fx 0 cx, 0 fy cy, 0 0 1, got ", K[0], " ", K[1], " ", K[2], ", ",
                  K[3], " ", K[4], " ", K[5], ", ", K[6], " ", K[7], " ", K[8]);
    }
  }
}

// The inputs of the projection, contiguous.
struct Seen {
  at::Tensor means, quats, scales, opacities, viewmats, Ks;
  int64_t width, height;
  double eps2d;
  int64_t model;

  void check(const char* op) const {
    check::floating(op, "means", means);
    const int64_t n = means.dim() == 2 ? means.size(0) : -1;
    const Arguments argument{op, means};
    argument("means", means, {-1, 3});
    argument("quats", quats, {n, 4});
    argument("scales", scales, {n, 3});
    if (opacities.defined()) argument("opacities", opacities, {n});
    argument("viewmats", viewmats, {-1, 4, 4});
    argument("Ks", Ks, {viewmats.size(0), 3, 3});
    check_size(op, width, height);
    if (model < 0 || model > 2) check::fail(op, "camera_model must be 0, 1 or 2, got ", model);
    if (!(eps2d >= 0)) check::fail(op, "eps2d must be at least 0, got ", eps2d);
  }

  template <typename T>
  gaussians::Projection<T> params() const {
    gaussians::Projection<T> p{};
    p.means = data<T>(means);
    p.quats = data<T>(quats);
    p.scales = data<T>(scales);
    p.opacities = data<T>(opacities);
    p.viewmats = data<T>(viewmats);
    p.Ks = data<T>(Ks);
    p.count = means.size(0);
    p.cameras = viewmats.size(0);
    p.width = width;
    p.height = height;
    p.model = static_cast<CameraModel>(model);
    p.eps2d = eps2d;
    return p;
  }
};

}  // namespace

std::tuple<at::Tensor, at::Tensor, at::Tensor, at::Tensor, at::Tensor, at::Tensor>
project_gaussians(const at::Tensor& means, const at::Tensor& quats, const at::Tensor& scales,
                  const std::optional<at::Tensor>& opacities, const at::Tensor& viewmats,
                  const at::Tensor& Ks, int64_t width, int64_t height, double eps2d,
                  double near_plane, double far_plane, double radius_clip, bool compensate,
                  int64_t camera_model) {
  constexpr const char* op = "project_gaussians";
  const Seen seen{means.contiguous(),
                  quats.contiguous(),
                  scales.contiguous(),
                  contiguous(opacities),
                  viewmats.contiguous(),
                  Ks.contiguous(),
                  width,
                  height,
                  eps2d,
                  camera_model};
  seen.check(op);
  check_cameras(op, viewmats, Ks);
  if (!(near_plane < far_plane)) {
    check::fail(op, "near_plane must be below far_plane, got ", near_plane, " and ", far_plane);
  }
  const int64_t C = viewmats.size(0), N = means.size(0);
  const auto whole = means.options();
  at::Tensor radii = at::empty({C, N, 2}, whole.dtype(at::kInt));
  at::Tensor means2d = at::empty({C, N, 2}, whole), depths = at::empty({C, N}, whole);
  at::Tensor conics = at::empty({C, N, 3}, whole);
  at::Tensor compensations =
      at::empty(compensate ? at::IntArrayRef({C, N}) : at::IntArrayRef({0}), whole);
  at::Tensor invalid = at::empty({C}, whole.dtype(at::kLong));
  dispatch(
      op, means,
      [&]<typename T>() {
        gaussians::Projection<T> p = seen.params<T>();
        p.near_plane = near_plane;
        p.far_plane = far_plane;
        p.radius_clip = radius_clip;
        p.radii = radii.mutable_data_ptr<int>();
        p.means2d = means2d.mutable_data_ptr<T>();
        p.depths = depths.mutable_data_ptr<T>();
        p.conics = conics.mutable_data_ptr<T>();
        p.compensations = compensate ? compensations.mutable_data_ptr<T>() : nullptr;
        p.invalid = invalid.mutable_data_ptr<int64_t>();
        return p;
      },
      [](const auto& params) { gaussians::project_cpu(params); },
      STEADYVIEW_GAUSSIANS_CUDA(gaussians::project_cuda));
  return {means2d, depths, conics, compensations, radii, invalid};
}

std::tuple<at::Tensor, at::Tensor, at::Tensor, at::Tensor, at::Tensor> project_gaussians_backward(
    const at::Tensor& grad_means2d, const at::Tensor& grad_depths, const at::Tensor& grad_conics,
    const std::optional<at::Tensor>& grad_compensations, const at::Tensor& means,
    const at::Tensor& quats, const at::Tensor& scales, const at::Tensor& viewmats,
    const at::Tensor& Ks, const at::Tensor& radii, int64_t width, int64_t height, double eps2d,
    int64_t camera_model, bool by_camera) {
  constexpr const char* op = "project_gaussians_backward";
  const Seen seen{means.contiguous(),
                  quats.contiguous(),
                  scales.contiguous(),
                  {},
                  viewmats.contiguous(),
                  Ks.contiguous(),
                  width,
                  height,
                  eps2d,
                  camera_model};
  seen.check(op);
  const int64_t C = viewmats.size(0), N = means.size(0);
  const Arguments argument{op, means};
  argument("grad_means2d", grad_means2d, {C, N, 2});
  argument("grad_depths", grad_depths, {C, N});
  argument("grad_conics", grad_conics, {C, N, 3});
  if (grad_compensations) argument("grad_compensations", *grad_compensations, {C, N});
  argument.integers("radii", radii, at::kInt, {C, N, 2});
  const at::Tensor by_means2d = grad_means2d.contiguous(), by_depths = grad_depths.contiguous();
  const at::Tensor by_conics = grad_conics.contiguous(), size = radii.contiguous();
  const at::Tensor by_compensations = contiguous(grad_compensations);
  const auto options = means.options();
  at::Tensor grad_means = at::empty({N, 3}, options), grad_quats = at::empty({N, 4}, options);
  at::Tensor grad_scales = at::empty({N, 3}, options);
  at::Tensor grad_viewmats = at::empty({by_camera ? C : 0, 4, 4}, options);
  at::Tensor grad_Ks = at::empty({by_camera ? C : 0, 3, 3}, options);
  dispatch(
      op, means,
      [&]<typename T>() {
        gaussians::ProjectionGradient<T> g{};
        g.forward = seen.params<T>();
        g.forward.radii = const_cast<int*>(size.const_data_ptr<int>());
        g.grad_means2d = data<T>(by_means2d);
        g.grad_depths = data<T>(by_depths);
        g.grad_conics = data<T>(by_conics);
        g.grad_compensations = data<T>(by_compensations);
        g.grad_means = grad_means.mutable_data_ptr<T>();
        g.grad_quats = grad_quats.mutable_data_ptr<T>();
        g.grad_scales = grad_scales.mutable_data_ptr<T>();
        g.grad_viewmats = by_camera ? grad_viewmats.mutable_data_ptr<T>() : nullptr;
        g.grad_Ks = by_camera ? grad_Ks.mutable_data_ptr<T>() : nullptr;
        return g;
      },
      [](const auto& params) { gaussians::project_gradient_cpu(params); },
      STEADYVIEW_GAUSSIANS_CUDA(gaussians::project_gradient_cuda));
  return {grad_means, grad_quats, grad_scales, grad_viewmats, grad_Ks};
}

namespace {

struct Coloured {
  at::Tensor directions, coefficients, masks;
  int64_t degree;

  void check(const char* op) const {
    check::floating(op, "coeffs", coefficients);
    const int64_t m = coefficients.dim() > 0 ? coefficients.size(0) : -1;
    const Arguments argument{op, coefficients};
    argument("coeffs", coefficients, {m, -1, 3});
    argument("dirs", directions, {m, 3});
    if (masks.defined()) argument.integers("masks", masks, at::kBool, {m});
    if (degree < 0 || degree > 4) check::fail(op, "degree must be in [0, 4], got ", degree);
    if ((degree + 1) * (degree + 1) > coefficients.size(1)) {
      check::fail(op, "coeffs must have at least (degree + 1)^2 = ", (degree + 1) * (degree + 1),
                  " terms, got ", coefficients.size(1));
    }
  }

  template <typename T>
  gaussians::Harmonics<T> params() const {
    return {.directions = data<T>(directions),
            .coefficients = data<T>(coefficients),
            .masks = data<bool>(masks),
            .count = coefficients.size(0),
            .terms = coefficients.size(1),
            .degree = static_cast<int>(degree),
            .colors = nullptr};
  }
};

}  // namespace

at::Tensor evaluate_harmonics(const at::Tensor& directions, const at::Tensor& coefficients,
                              const std::optional<at::Tensor>& masks, int64_t degree) {
  constexpr const char* op = "spherical_harmonics";
  const Coloured h{directions.contiguous(), coefficients.contiguous(), contiguous(masks), degree};
  h.check(op);
  at::Tensor colors = at::empty({coefficients.size(0), 3}, coefficients.options());
  dispatch(
      op, coefficients,
      [&]<typename T>() {
        gaussians::Harmonics<T> params = h.params<T>();
        params.colors = colors.mutable_data_ptr<T>();
        return params;
      },
      [](const auto& params) { gaussians::harmonics_cpu(params); },
      STEADYVIEW_GAUSSIANS_CUDA(gaussians::harmonics_cuda));
  return colors;
}

std::tuple<at::Tensor, at::Tensor> evaluate_harmonics_backward(
    const at::Tensor& grad_colors, const at::Tensor& directions, const at::Tensor& coefficients,
    const std::optional<at::Tensor>& masks, int64_t degree, bool by_directions) {
  constexpr const char* op = "spherical_harmonics_backward";
  const Coloured h{directions.contiguous(), coefficients.contiguous(), contiguous(masks), degree};
  h.check(op);
  Arguments{op, coefficients}("grad_colors", grad_colors, {coefficients.size(0), 3});
  const at::Tensor grad = grad_colors.contiguous();
  at::Tensor by_coefficients =
      on_huge_pages(at::empty(coefficients.sizes(), coefficients.options()));
  at::Tensor by_dirs = at::empty({by_directions ? directions.size(0) : 0, 3}, directions.options());
  dispatch(
      op, coefficients,
      [&]<typename T>() {
        return gaussians::HarmonicsGradient<T>{
            .forward = h.params<T>(),
            .grad_colors = data<T>(grad),
            .grad_coefficients = by_coefficients.mutable_data_ptr<T>(),
            .grad_directions = by_directions ? by_dirs.mutable_data_ptr<T>() : nullptr};
      },
      [](const auto& params) { gaussians::harmonics_gradient_cpu(params); },
      STEADYVIEW_GAUSSIANS_CUDA(gaussians::harmonics_gradient_cuda));
  return {by_coefficients, by_dirs};
}

}  // namespace steadyview
