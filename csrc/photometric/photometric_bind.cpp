// NumPy binding of the photometric room.
#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <optional>
#include <stdexcept>

#include "photometric/photometric.h"

namespace py = pybind11;

namespace steadyview {
namespace {

using Floats = py::array_t<float, py::array::c_style>;

py::tuple photometric_loss(const Floats& image, const Floats& target,
                           const std::optional<Floats>& mask, float scale, float ssim_weight) {
  if (image.ndim() != 3 || target.ndim() != 3 || image.shape(0) != target.shape(0) ||
      image.shape(1) != target.shape(1) || image.shape(2) != target.shape(2)) {
    throw std::invalid_argument("image and target must be (height, width, channels) of one size");
  }
  if (image.shape(2) < 1 || image.shape(2) > photometric::kMaxChannels) {
    throw std::invalid_argument("image must have 1 to 16 channels");
  }
  if (mask &&
      (mask->ndim() != 2 || mask->shape(0) != image.shape(0) || mask->shape(1) != image.shape(1))) {
    throw std::invalid_argument("mask must be (height, width)");
  }
  py::array_t<float> gradient({image.shape(0), image.shape(1), image.shape(2)});
  const photometric::LossParams params{.image = image.data(),
                                       .target = target.data(),
                                       .mask = mask ? mask->data() : nullptr,
                                       .height = image.shape(0),
                                       .width = image.shape(1),
                                       .channels = static_cast<int>(image.shape(2)),
                                       .scale = scale,
                                       .ssim_weight = ssim_weight,
                                       .gradient = gradient.mutable_data()};
  double loss;
  {
    py::gil_scoped_release release;
    loss = photometric::loss_and_gradient(params);
  }
  return py::make_tuple(loss, gradient);
}

}  // namespace

void register_photometric(py::module_& module) {
  module.def("photometric_loss", &photometric_loss, py::arg("image"), py::arg("target"),
             py::arg("mask"), py::arg("scale"), py::arg("ssim_weight"));
}

}  // namespace steadyview
