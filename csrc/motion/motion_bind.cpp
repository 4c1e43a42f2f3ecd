// NumPy bindings of the motion room: checks, and results as plain dictionaries.
#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <optional>
#include <stdexcept>
#include <string>

#include "motion/estimate.h"

namespace py = pybind11;

namespace steadyview {
namespace {

using motion::AnalysisFrame;
using motion::Estimate;
using motion::EstimateOptions;
using motion::Layout;
using motion::PairEstimator;

std::unique_ptr<AnalysisFrame> make_frame(const py::array& luma, int factor, int depth) {
  const bool wide = py::isinstance<py::array_t<uint16_t>>(luma);
  if (luma.ndim() != 2 || !(wide || py::isinstance<py::array_t<uint8_t>>(luma))) {
    throw std::invalid_argument("luma must be (height, width) of uint8 or uint16");
  }
  if (factor < 1 || factor > 64 || luma.shape(0) < factor || luma.shape(1) < factor) {
    throw std::invalid_argument("factor must be from 1 to 64 and no larger than the frame");
  }
  if (depth < 8 || depth > (wide ? 16 : 8)) throw std::invalid_argument("depth does not fit luma");
  if (luma.strides(1) != luma.itemsize()) throw std::invalid_argument("luma's rows must be dense");
  const motion::Plane plane{.data = luma.data(),
                            .stride = luma.strides(0),
                            .bytes = wide ? 2 : 1,
                            .depth = depth,
                            .width = static_cast<int>(luma.shape(1)),
                            .height = static_cast<int>(luma.shape(0))};
  py::gil_scoped_release release;
  return std::make_unique<AnalysisFrame>(plane, factor);
}

py::array_t<uint8_t> small(const AnalysisFrame& frame, int factor) {
  if (factor < 1 || factor > frame.width() || factor > frame.height()) {
    throw std::invalid_argument("factor must be from 1 to the frame's size");
  }
  py::array_t<uint8_t> image({frame.height() / factor, frame.width() / factor});
  uint8_t* out = image.mutable_data();
  py::gil_scoped_release release;
  frame.small(factor, out);
  return image;
}

EstimateOptions read_options(const py::dict& values) {
  EstimateOptions options;
  for (const auto& [key, value] : values) {
    const auto name = key.cast<std::string>();
    if (name == "flow_iterations") {
      options.flow_iterations = value.cast<int>();
    } else if (name == "refine_iterations") {
      options.refine_iterations = value.cast<int>();
    } else if (name == "scale_floor") {
      options.scale_floor = value.cast<double>();
    } else if (name == "consensus") {
      options.consensus = value.cast<double>();
    } else if (name == "spread") {
      options.spread = value.cast<double>();
    } else if (name == "refine_scale") {
      options.refine_scale = value.cast<double>();
    } else if (name == "ridge") {
      options.ridge = value.cast<double>();
    } else if (name == "noise") {
      options.noise = value.cast<double>();
    } else if (name == "model_error") {
      options.model_error = value.cast<double>();
    } else {
      throw std::invalid_argument("unknown option " + name);
    }
  }
  return options;
}

std::unique_ptr<PairEstimator> make_estimator(int width, int height, double frame_width,
                                              double frame_height, int grid,
                                              const py::dict& options) {
  if (width < 1 || height < 1 || frame_width < width || frame_height < height) {
    throw std::invalid_argument("the analysis image must be within the frame");
  }
  if (grid < 1 || grid > motion::kMaxGrid) throw std::invalid_argument("grid must be from 1 to 8");
  return std::make_unique<PairEstimator>(Layout{.width = width,
                                                .height = height,
                                                .columns = width / motion::kCell,
                                                .rows = height / motion::kCell,
                                                .frame_width = frame_width,
                                                .frame_height = frame_height,
                                                .grid = grid},
                                         read_options(options));
}

using Flow = py::array_t<float, py::array::c_style | py::array::forcecast>;
using Doubles = py::array_t<double, py::array::c_style | py::array::forcecast>;

void check_frames(const Layout& layout, const AnalysisFrame& first, const AnalysisFrame& second) {
  for (const AnalysisFrame* frame : {&first, &second}) {
    if (frame->width() != layout.width || frame->height() != layout.height) {
      throw std::invalid_argument("frames must have the estimator's size");
    }
  }
}

py::dict estimate(PairEstimator& self, const AnalysisFrame& first, const AnalysisFrame& second,
                  const std::optional<Flow>& flow, int flow_factor) {
  const Layout& layout = self.layout();
  check_frames(layout, first, second);
  if (flow && (flow->ndim() != 3 || flow->shape(2) != 2 || flow->size() == 0 || flow_factor < 1)) {
    throw std::invalid_argument("flow must be (height, width, 2), flow_factor at least 1");
  }
  const float* field = flow ? flow->data() : nullptr;
  const int flow_height = flow ? static_cast<int>(flow->shape(0)) : 0;
  const int flow_width = flow ? static_cast<int>(flow->shape(1)) : 0;
  Estimate result;
  {
    py::gil_scoped_release release;
    result = self.estimate(first, second, field, flow_width, flow_height, flow_factor);
  }
  const int grid = layout.grid;
  py::array_t<double> coefficients({2, grid, grid}), similarity(4), model(4), homography({3, 3});
  for (size_t i = 0; i < 2; ++i) {
    std::copy_n(result.model.coefficients[i].data(), grid * grid,
                coefficients.mutable_data() + static_cast<int64_t>(i) * grid * grid);
  }
  std::copy_n(result.similarity.data(), 4, similarity.mutable_data());
  std::copy_n(result.homography.data(), 9, homography.mutable_data());
  const double parts[4] = {1 + result.model.da, result.model.b, result.model.tx, result.model.ty};
  std::copy_n(parts, 4, model.mutable_data());
  py::dict out;
  out["solved"] = result.solved;
  out["identical"] = result.identical;
  out["similarity"] = similarity;
  out["homography"] = homography;
  out["model_similarity"] = model;
  out["model_coefficients"] = coefficients;
  out["inliers"] = result.inliers;
  out["residual"] = result.residual;
  return out;
}

py::array_t<float> differences(PairEstimator& self, const AnalysisFrame& first,
                               const AnalysisFrame& second, const Doubles& similarity,
                               const Doubles& coefficients, float least_texture) {
  const Layout& layout = self.layout();
  check_frames(layout, first, second);
  if (similarity.size() != 4 || coefficients.size() != 2 * layout.grid * layout.grid) {
    throw std::invalid_argument("a model has 4 numbers and 2 x grid x grid coefficients");
  }
  const double* parts = similarity.data();
  motion::Model model;
  model.da = parts[0] - 1;
  model.b = parts[1];
  model.tx = parts[2];
  model.ty = parts[3];
  for (size_t i = 0; i < 2; ++i) {
    const int terms = layout.grid * layout.grid;
    std::copy_n(coefficients.data() + static_cast<int64_t>(i) * terms, terms,
                model.coefficients[i].data());
  }
  py::array_t<float> out({layout.rows, layout.columns});
  float* cells = out.mutable_data();
  py::gil_scoped_release release;
  self.differences(first, second, model, least_texture, cells);
  return out;
}

// Root mean square gradient of each cell, grey levels a pixel: (rows, columns).
py::array_t<float> gradients(const AnalysisFrame& self) {
  py::array_t<float> out({self.rows(), self.columns()});
  const float *xx = self.cell(motion::kIxIx), *yy = self.cell(motion::kIyIy);
  for (int64_t c = 0; c < self.cell_count(); ++c) {
    out.mutable_data()[c] = std::sqrt((xx[c] + yy[c]) / motion::kPixels) / motion::kLevels;
  }
  return out;
}

py::array_t<float> weights(const PairEstimator& self) {
  const Layout& layout = self.layout();
  py::array_t<float> out({layout.rows, layout.columns});
  std::copy(self.weights().begin(), self.weights().end(), out.mutable_data());
  return out;
}

}  // namespace

void register_motion(py::module_& module) {
  py::class_<AnalysisFrame>(module, "AnalysisFrame", py::module_local())
      .def(py::init(&make_frame), py::arg("luma"), py::arg("factor"), py::arg("depth"))
      .def_property_readonly("width", &AnalysisFrame::width)
      .def_property_readonly("height", &AnalysisFrame::height)
      .def_property_readonly("texture", &AnalysisFrame::mean_texture)
      .def("gradients", &gradients)
      .def("small", &small, py::arg("factor"));
  py::class_<PairEstimator>(module, "PairEstimator", py::module_local())
      .def(py::init(&make_estimator), py::arg("width"), py::arg("height"), py::arg("frame_width"),
           py::arg("frame_height"), py::arg("grid"), py::arg("options") = py::dict())
      .def("estimate", &estimate, py::arg("first"), py::arg("second"), py::arg("flow").none(true),
           py::arg("flow_factor"))
      .def("differences", &differences, py::arg("first"), py::arg("second"), py::arg("similarity"),
           py::arg("coefficients"), py::arg("least_texture"))
      .def("weights", &weights);
}

}  // namespace steadyview
