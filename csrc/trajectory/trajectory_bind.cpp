#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>

#include <algorithm>
#include <stdexcept>
#include <string>

#include "trajectory/camera_path.h"
#include "trajectory/qp.h"

namespace py = pybind11;

namespace steadyview {
namespace {

using Array = py::array_t<double, py::array::c_style | py::array::forcecast>;

void expect_axes(const Array& array, const char* name, py::ssize_t axes) {
  if (array.ndim() != axes)
    throw std::invalid_argument(std::string(name) + " must have " + std::to_string(axes) + " axes");
}

// The array's data, where it has the shape.
const double* shaped(const Array& array, const char* name,
                     std::initializer_list<py::ssize_t> shape) {
  bool same = array.ndim() == static_cast<py::ssize_t>(shape.size());
  std::string want;
  int axis = 0;
  for (py::ssize_t size : shape) {
    same = same && array.shape(axis++) == size;
    want += (want.empty() ? "" : ", ") + std::to_string(size);
  }
  if (!same) throw std::invalid_argument(std::string(name) + " must have the shape (" + want + ")");
  return array.data();
}

// What both solvers report.
template <class Result>
py::dict report(const Result& result) {
  py::dict info;
  info["status"] = status_name(result.status);
  info["iterations"] = result.iterations;
  info["primal"] = result.primal;
  info["dual"] = result.dual;
  info["gap"] = result.gap;
  return info;
}

py::tuple solve_chain_qp(const Array& hessian, const Array& gradient, const Array& matrix,
                         const Array& lower, const Array& upper, const Array& start,
                         const Array& term_matrix, const Array& term_offset,
                         const Array& term_weight, const py::object& multipliers,
                         int max_iterations, double absolute, double relative) {
  expect_axes(hessian, "hessian", 4);
  expect_axes(lower, "lower", 2);
  const py::ssize_t frames = hessian.shape(0), reach = hessian.shape(1), size = hessian.shape(2);
  const py::ssize_t rows = lower.shape(1);
  const py::ssize_t terms = term_offset.ndim() == 2 ? term_offset.shape(1) : 0;
  ChainQp qp;
  qp.frames = frames;
  qp.size = static_cast<int>(size);
  qp.reach = static_cast<int>(reach) - 1;
  qp.rows = static_cast<int>(rows);
  qp.hessian = shaped(hessian, "hessian", {frames, reach, size, size});
  qp.gradient = shaped(gradient, "gradient", {frames, size});
  qp.shared_matrix = matrix.ndim() == 2;
  qp.matrix = qp.shared_matrix ? shaped(matrix, "matrix", {rows, size})
                               : shaped(matrix, "matrix", {frames, rows, size});
  qp.lower = shaped(lower, "lower", {frames, rows});
  qp.upper = shaped(upper, "upper", {frames, rows});
  qp.terms = static_cast<int>(terms);
  qp.term_matrix = shaped(term_matrix, "term_matrix", {frames, terms, reach, size});
  qp.term_offset = shaped(term_offset, "term_offset", {frames, terms});
  qp.term_weight = shaped(term_weight, "term_weight", {frames, terms});

  Array x({frames, size}), y({frames, rows});
  std::copy_n(shaped(start, "start", {frames, size}), x.size(), x.mutable_data());
  std::fill_n(y.mutable_data(), y.size(), 0.0);  // what an invalid problem returns
  const bool warm = !multipliers.is_none();
  if (warm) {
    const Array given = py::cast<Array>(multipliers);
    std::copy_n(shaped(given, "multipliers", {frames, rows}), y.size(), y.mutable_data());
  }
  ChainQpOptions options;
  options.max_iterations = max_iterations;
  options.absolute = absolute;
  options.relative = relative;
  ChainQpResult result;
  double* x_data = x.mutable_data();
  double* y_data = y.mutable_data();
  {
    py::gil_scoped_release release;
    result = solve(qp, options, x_data, y_data, warm);
  }
  py::dict info = report(result);
  info["objective"] = result.objective;
  return py::make_tuple(x, y, info);
}

py::tuple camera_path(const Array& motion, const Array& times, const Array& confidence,
                      double width, double height, double crop_limit, double margin, double hold,
                      double zoom, const Array& weights, bool l1, int max_iterations,
                      const Array& settled) {
  const py::ssize_t frames = times.size();
  expect_axes(settled, "settled", 2);
  if (settled.shape(0) > frames)
    throw std::invalid_argument("settled must have at most a row a frame");
  const py::ssize_t transitions = frames > 0 ? frames - 1 : 0;
  Array path({frames, py::ssize_t(4)});
  CameraPathProblem problem;
  problem.frames = frames;
  problem.motion = shaped(motion, "motion", {transitions, 4});
  problem.times = shaped(times, "times", {frames});
  problem.confidence = shaped(confidence, "confidence", {transitions});
  problem.width = width;
  problem.height = height;
  problem.crop_limit = crop_limit;
  problem.margin = margin;
  problem.hold = hold;
  problem.zoom = zoom;
  std::copy_n(shaped(weights, "weights", {3}), 3, problem.weight);
  problem.l1 = l1;
  problem.settled = shaped(settled, "settled", {settled.shape(0), 4});
  problem.settled_frames = settled.shape(0);
  ChainQpOptions options;
  options.max_iterations = max_iterations;
  CameraPathResult result;
  double* data = path.mutable_data();
  {
    py::gil_scoped_release release;
    result = solve_camera_path(problem, options, data);
  }
  py::dict info = report(result);
  info["violation"] = result.violation;
  return py::make_tuple(path, info);
}

}  // namespace

void register_trajectory(py::module_& module) {
  module.def("solve_chain_qp", &solve_chain_qp, py::arg("hessian"), py::arg("gradient"),
             py::arg("matrix"), py::arg("lower"), py::arg("upper"), py::arg("start"),
             py::arg("term_matrix"), py::arg("term_offset"), py::arg("term_weight"),
             py::arg("multipliers") = py::none(), py::arg("max_iterations") = 100,
             py::arg("absolute") = 1e-8, py::arg("relative") = 1e-9,
             "Interior-point solution of a chain QP (csrc/trajectory/qp.h): x, multipliers, info.");
  module.def("camera_path", &camera_path, py::arg("motion"), py::arg("times"),
             py::arg("confidence"), py::arg("width"), py::arg("height"), py::arg("crop_limit"),
             py::arg("margin"), py::arg("hold"), py::arg("zoom"), py::arg("weights"), py::arg("l1"),
             py::arg("max_iterations") = 100,
             py::arg("settled") = Array(std::vector<py::ssize_t>{0, 4}),
             "The smooth camera path of one shot (csrc/trajectory/camera_path.h): path, info.");
}

}  // namespace steadyview
