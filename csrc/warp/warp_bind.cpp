// The planar warp for steadyview._core. Python's FrameWarper prepares what is passed here.
#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>

#include <stdexcept>
#include <string>
#include <vector>

#include "warp/planar.h"

namespace py = pybind11;

namespace steadyview {
namespace {

using Doubles = py::array_t<double, py::array::c_style | py::array::forcecast>;

void check_plane(const py::array& plane, int64_t bytes, const std::string& name) {
  if (plane.ndim() != 2 || plane.itemsize() != bytes || plane.dtype().kind() != 'u') {
    throw std::invalid_argument(name + " must be a 2-D array of " +
                                (bytes == 1 ? "uint8" : "uint16") + ", got " +
                                std::string(py::str(plane.dtype())) + " of " +
                                std::to_string(plane.ndim()) + " dimensions");
  }
  if (plane.shape(1) > 1 && plane.strides(1) != bytes) {
    throw std::invalid_argument(name +
                                " must have its columns next to each other, got a stride of " +
                                std::to_string(plane.strides(1)) + " bytes");
  }
}

PlaneWarp make_plane(py::array& source, py::array& output, int64_t bytes) {
  check_plane(source, bytes, "frame_planes");
  check_plane(output, bytes, "out");
  if (source.size() == 0) throw std::invalid_argument("frame_planes must not be empty");
  PlaneWarp plane{};
  plane.source = source.data();
  plane.source_stride = source.strides(0);
  plane.source_height = source.shape(0);
  plane.source_width = source.shape(1);
  plane.output = output.mutable_data();  // throws when read-only
  plane.output_stride = output.strides(0);
  plane.output_height = output.shape(0);
  plane.output_width = output.shape(1);
  plane.sample_bytes = static_cast<int>(bytes);
  return plane;
}

// matrices (P, 3, 3); displacements (P, 2, K, K) or None; bases (P, 2, 2): scale, then offset.
void warp(const py::list& sources, const py::list& outputs, const Doubles& matrices,
          const py::object& displacements, const Doubles& bases, int filter, int max_value) {
  const py::ssize_t count = static_cast<py::ssize_t>(sources.size());
  if (static_cast<py::ssize_t>(outputs.size()) != count || matrices.size() != count * 9 ||
      bases.size() != count * 4 || filter < 0 || filter > 3 || max_value < 1 || max_value > 65535) {
    throw std::invalid_argument("warp_planes: arguments do not fit each other");
  }
  Doubles coefficients;
  int terms = 0;
  if (!displacements.is_none()) {
    coefficients = displacements.cast<Doubles>();
    if (coefficients.ndim() != 4 || coefficients.shape(0) != count || coefficients.shape(1) != 2 ||
        coefficients.shape(2) != coefficients.shape(3) || coefficients.shape(3) > 32) {
      throw std::invalid_argument("displacement must be (2, K, K) with K <= 32");
    }
    terms = static_cast<int>(coefficients.shape(3));
  }
  std::vector<py::array> held;  // keeps the memory while the lock is released
  std::vector<PlaneWarp> planes;
  for (py::ssize_t i = 0; i < count; ++i) {
    py::array source = sources[i].cast<py::array>(), output = outputs[i].cast<py::array>();
    PlaneWarp plane = make_plane(source, output, max_value > 255 ? 2 : 1);
    plane.max_value = max_value;
    plane.filter = static_cast<Filter>(filter);
    for (int k = 0; k < 9; ++k) plane.source_from_output[k] = matrices.data()[9 * i + k];
    for (int k = 0; k < 2; ++k) {
      plane.basis_scale[k] = bases.data()[4 * i + k];
      plane.basis_offset[k] = bases.data()[4 * i + 2 + k];
    }
    plane.terms = terms;
    plane.displacement = terms ? coefficients.data() + i * 2 * terms * terms : nullptr;
    planes.push_back(plane);
    held.push_back(std::move(source));
    held.push_back(std::move(output));
  }
  py::gil_scoped_release release;
  warp_planes(planes.data(), static_cast<int>(planes.size()));
}

}  // namespace

void register_warp(py::module_& module) {
  module.def("warp_planes", &warp, py::arg("sources"), py::arg("outputs"), py::arg("matrices"),
             py::arg("displacements"), py::arg("bases"), py::arg("filter"), py::arg("max_value"));
}

}  // namespace steadyview
