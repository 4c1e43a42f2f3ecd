// NumPy bindings of the matching room.
#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>

#include <algorithm>
#include <stdexcept>

#include "matching/nearest.h"
#include "matching/sift.h"

namespace py = pybind11;

namespace steadyview {
namespace {

using Bytes = py::array_t<uint8_t, py::array::c_style>;

py::tuple nearest_two(const Bytes& query, const Bytes& train) {
  if (query.ndim() != 2 || train.ndim() != 2 || query.shape(1) != train.shape(1)) {
    throw std::invalid_argument("query and train must be (count, length) of one length, uint8");
  }
  const auto length = query.shape(1);
  if (length < 1 || length > matching::kMaxLength) {
    throw std::invalid_argument("descriptors must have 1 to 512 bytes");
  }
  const auto queries = query.shape(0);
  py::array_t<int32_t> index(queries), nearest(queries), second(queries);
  const matching::NearestParams params{.query = query.data(),
                                       .train = train.data(),
                                       .queries = queries,
                                       .trains = train.shape(0),
                                       .length = static_cast<int>(length),
                                       .index = index.mutable_data(),
                                       .nearest = nearest.mutable_data(),
                                       .second = second.mutable_data()};
  {
    py::gil_scoped_release release;
    matching::nearest_two(params);
  }
  return py::make_tuple(index, nearest, second);
}

py::tuple find_sift(matching::SiftWorkspace& workspace, const Bytes& gray) {
  if (gray.ndim() != 2) throw std::invalid_argument("gray must be (height, width) of uint8");
  const auto height = static_cast<int>(gray.shape(0)), width = static_cast<int>(gray.shape(1));
  if (gray.shape(0) > 32767 || gray.shape(1) > 32767) {
    throw std::invalid_argument("gray must be at most 32767 pixels wide and high");
  }
  matching::SiftFeatures found;
  if (gray.size() > 0) {
    py::gil_scoped_release release;
    found = matching::find_sift(gray.data(), width, width, height, workspace);
  }
  const auto count = static_cast<py::ssize_t>(found.points.size() / 2);
  py::array_t<float> points({count, py::ssize_t{2}});
  py::array_t<uint8_t> descriptors({count, py::ssize_t{matching::kSiftLength}});
  std::copy(found.points.begin(), found.points.end(), points.mutable_data());
  std::copy(found.descriptors.begin(), found.descriptors.end(), descriptors.mutable_data());
  return py::make_tuple(points, descriptors);
}

}  // namespace

void register_matching(py::module_& module) {
  module.def("nearest_two", &nearest_two, py::arg("query"), py::arg("train"));
  // One thread at a time may use a finder.
  py::class_<matching::SiftWorkspace>(module, "SiftFinder", py::module_local())
      .def(py::init<>())
      .def("find", &find_sift, py::arg("gray"));
}

}  // namespace steadyview
