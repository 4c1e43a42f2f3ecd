// NumPy bindings of the matching room.
#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>

#include <stdexcept>

#include "matching/nearest.h"

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

}  // namespace

void register_matching(py::module_& module) {
  module.def("nearest_two", &nearest_two, py::arg("query"), py::arg("train"));
}

}  // namespace steadyview
