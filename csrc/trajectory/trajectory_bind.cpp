#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>

#include <stdexcept>
#include <string>

#include "trajectory/camera_path.h"
#include "trajectory/qp.h"

namespace py = pybind11;

namespace steadyview {
namespace {

using Array = py::array_t<double, py::array::c_style | py::array::forcecast>;

void expect_shape(const Array& array, const char* name, std::initializer_list<py::ssize_t> shape) {
  bool same = array.ndim() == static_cast<py::ssize_t>(shape.size());
  std::string want;
  int axis = 0;
  for (py::ssize_t size : shape) {
    same = same && array.shape(axis++) == size;
    want += (want.empty() ? "" : ", ") + std::to_string(size);
  }
  if (!same) throw std::invalid_argument(std::string(name) + " must have the shape (" + want + ")");
}

py::tuple solve_chain_qp(const Array& hessian, const Array& gradient, const Array& matrix,
                         const Array& lower, const Array& upper, const Array& start,
                         const Array& term_matrix, const Array& term_offset,
                         const Array& term_weight, const py::object& multipliers,
                         int max_iterations, double absolute, double relative) {
  if (hessian.ndim() != 4) throw std::invalid_argument("hessian must have four axes");
  const py::ssize_t frames = hessian.shape(0), reach = hessian.shape(1), size = hessian.shape(2);
  if (lower.ndim() != 2) throw std::invalid_argument("lower must have two axes");
  const py::ssize_t rows = lower.shape(1);
  expect_shape(hessian, "hessian", {frames, reach, size, size});
  expect_shape(gradient, "gradient", {frames, size});
  expect_shape(lower, "lower", {frames, rows});
  expect_shape(upper, "upper", {frames, rows});
  expect_shape(start, "start", {frames, size});
  const bool shared = matrix.ndim() == 2;
  if (shared)
    expect_shape(matrix, "matrix", {rows, size});
  else
    expect_shape(matrix, "matrix", {frames, rows, size});
  const py::ssize_t terms = term_offset.ndim() == 2 ? term_offset.shape(1) : 0;
  expect_shape(term_matrix, "term_matrix", {frames, terms, reach, size});
  expect_shape(term_offset, "term_offset", {frames, terms});
  expect_shape(term_weight, "term_weight", {frames, terms});
  Array x({frames, size}), y({frames, rows});
  std::copy(start.data(), start.data() + start.size(), x.mutable_data());
  std::fill(y.mutable_data(), y.mutable_data() + y.size(), 0.0);  // what an invalid problem returns
  const bool warm = !multipliers.is_none();
  if (warm) {
    const Array given = py::cast<Array>(multipliers);
    expect_shape(given, "multipliers", {frames, rows});
    std::copy(given.data(), given.data() + y.size(), y.mutable_data());
  }
  ChainQp qp;
  qp.frames = frames;
  qp.size = static_cast<int>(size);
  qp.reach = static_cast<int>(reach) - 1;
  qp.rows = static_cast<int>(rows);
  qp.hessian = hessian.data();
  qp.gradient = gradient.data();
  qp.matrix = matrix.data();
  qp.shared_matrix = shared;
  qp.lower = lower.data();
  qp.upper = upper.data();
  qp.terms = static_cast<int>(terms);
  qp.term_matrix = term_matrix.data();
  qp.term_offset = term_offset.data();
  qp.term_weight = term_weight.data();
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
  py::dict info;
  info["status"] = status_name(result.status);
  info["iterations"] = result.iterations;
  info["primal"] = result.primal;
  info["dual"] = result.dual;
  info["gap"] = result.gap;
  info["objective"] = result.objective;
  return py::make_tuple(x, y, info);
}

py::tuple camera_path(const Array& motion, const Array& times, const Array& confidence,
                      double width, double height, double crop_limit, double margin, double hold,
                      double zoom, const Array& weights, bool l1, int max_iterations,
                      const Array& settled) {
  const py::ssize_t frames = times.size();
  expect_shape(times, "times", {frames});
  expect_shape(motion, "motion", {frames > 0 ? frames - 1 : 0, 4});
  expect_shape(confidence, "confidence", {frames > 0 ? frames - 1 : 0});
  expect_shape(weights, "weights", {3});
  if (settled.ndim() != 2 || settled.shape(0) > frames)
    throw std::invalid_argument("settled must have two axes, and at most a row a frame");
  expect_shape(settled, "settled", {settled.shape(0), 4});
  Array path({frames, py::ssize_t(4)});
  CameraPathProblem problem;
  problem.frames = frames;
  problem.motion = motion.data();
  problem.times = times.data();
  problem.confidence = confidence.data();
  problem.width = width;
  problem.height = height;
  problem.crop_limit = crop_limit;
  problem.margin = margin;
  problem.hold = hold;
  problem.zoom = zoom;
  std::copy(weights.data(), weights.data() + 3, problem.weight);
  problem.l1 = l1;
  problem.settled = settled.data();
  problem.settled_frames = settled.shape(0);
  ChainQpOptions options;
  options.max_iterations = max_iterations;
  CameraPathResult result;
  double* data = path.mutable_data();
  {
    py::gil_scoped_release release;
    result = solve_camera_path(problem, options, data);
  }
  py::dict info;
  info["status"] = status_name(result.status);
  info["iterations"] = result.iterations;
  info["violation"] = result.violation;
  info["primal"] = result.primal;
  info["dual"] = result.dual;
  info["gap"] = result.gap;
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
