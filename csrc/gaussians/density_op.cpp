#include "gaussians/density.h"
#include "gaussians/dispatch_op.h"
#include "gaussians/gaussians_op.h"

namespace steadyview {

void gather_gradients(const at::Tensor& gradients, const at::Tensor& radii, double scale_x,
                      double scale_y, const at::Tensor& sums, const at::Tensor& counts) {
  constexpr const char* op = "gather_gradients";
  check::like(op, "gradients", gradients, at::kFloat, at::kCPU);
  check::shape(op, "gradients", gradients, {-1, -1, 2});
  const int64_t images = gradients.size(0), rows = gradients.size(1);
  check::like(op, "radii", radii, at::kInt, at::kCPU);
  check::shape(op, "radii", radii, {images, rows, 2});
  gaussians::check_argument(op, "sums", sums, gradients, {rows});
  gaussians::check_argument(op, "counts", counts, gradients, {rows});
  for (const at::Tensor* tensor : {&gradients, &radii, &sums, &counts}) {
    if (!tensor->is_contiguous()) check::fail(op, "tensors must be contiguous");
  }
  set_num_threads(at::get_num_threads());
  gaussians::gather_gradients_cpu({.gradients = gradients.const_data_ptr<float>(),
                                   .radii = radii.const_data_ptr<int>(),
                                   .images = images,
                                   .rows = rows,
                                   .scale_x = static_cast<float>(scale_x),
                                   .scale_y = static_cast<float>(scale_y),
                                   .sums = sums.mutable_data_ptr<float>(),
                                   .counts = counts.mutable_data_ptr<float>()});
}

}  // namespace steadyview
