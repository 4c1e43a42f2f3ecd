#include "motion/estimate.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace steadyview::motion {

PairEstimator::PairEstimator(const Layout& layout, const EstimateOptions& options)
    : low_pass_(layout), options_(options), system_(static_cast<size_t>(low_pass_.cells())) {
  const size_t cells = static_cast<size_t>(low_pass_.cells());
  for (auto* field :
       {&flow_x_, &flow_y_, &model_x_, &model_y_, &distance_, &flow_weight_, &inlier_}) {
    field->resize(cells);
  }
  sums_.resize(kResidualSums * cells);
  const size_t width = static_cast<size_t>(layout.width);
  flow_rows_.resize(static_cast<size_t>(layout.height) * low_pass_.terms() * 2);
  row_scratch_.resize(2 * width);
  column_sums_.resize(kResidualSums * width);
}

// The flow at the cells' centres, in analysis pixels: the mean of the four pixels around them.
void PairEstimator::sample_flow(const AnalysisFrame& first, const float* flow, int flow_width,
                                int flow_height, int flow_factor) {
  const Layout& layout = low_pass_.layout();
  const float scale = 0.25F * static_cast<float>(flow_factor);
  for (int row = 0; row < layout.rows; ++row) {
    const double y = (row + 0.5) * kCell / flow_factor;
    const int y1 = std::clamp(static_cast<int>(y), 0, flow_height - 1), y0 = std::max(y1 - 1, 0);
    for (int column = 0; column < layout.columns; ++column) {
      const double x = (column + 0.5) * kCell / flow_factor;
      const int x1 = std::clamp(static_cast<int>(x), 0, flow_width - 1), x0 = std::max(x1 - 1, 0);
      const size_t cell = static_cast<size_t>(row) * layout.columns + column;
      float sum[2];
      for (int i = 0; i < 2; ++i) {
        const auto at = [&](int fy, int fx) {
          return flow[(static_cast<int64_t>(fy) * flow_width + fx) * 2 + i];
        };
        sum[i] = scale * (at(y0, x0) + at(y0, x1) + at(y1, x0) + at(y1, x1));
      }
      const double px = (column + 0.5) * kCell + sum[0], py = (row + 0.5) * kCell + sum[1];
      const bool seen = px >= 0 && px <= layout.width && py >= 0 && py <= layout.height;
      flow_x_[cell] = seen ? sum[0] : 0;  // not seen also when NaN
      flow_y_[cell] = seen ? sum[1] : 0;
      flow_weight_[cell] = seen ? first.texture()[cell] : 0;
    }
  }
}

// The similarity that most of the texture agrees with: the best of the two-cell hypotheses, judged
// by the robust loss. Least squares from the median would be pulled by an object that holds nearly
// half of the texture. The draws are the same in every call.
bool PairEstimator::consensus(Model* model) {
  sample_.clear();
  const auto cells = static_cast<int>(flow_weight_.size());
  const int step = std::max(1, cells / 800);  // cells to judge by: a few hundred tell enough
  for (int c = step / 2; c < cells; c += step) {
    if (flow_weight_[static_cast<size_t>(c)] > 0.05F) sample_.push_back(c);
  }
  if (sample_.size() < 8) {
    sample_.clear();
    for (int c = 0; c < cells; ++c) {
      if (flow_weight_[static_cast<size_t>(c)] > 0) sample_.push_back(c);
    }
  }
  const size_t count = sample_.size();
  if (count < 2) return false;
  // x, y, flow x, flow y, weight of the sampled cells, one after another; cells of no weight fill
  // them up to whole vectors.
  const size_t filled = (count + 7) / 8 * 8;
  order_.assign(5 * filled, 0.0F);
  float *xs = order_.data(), *ys = xs + filled, *us = ys + filled;
  float *vs = us + filled, *ws = vs + filled;
  const int columns = low_pass_.layout().columns;
  for (size_t i = 0; i < count; ++i) {
    const auto c = static_cast<size_t>(sample_[i]);
    xs[i] = static_cast<float>(low_pass_.cell_x(sample_[i] % columns));
    ys[i] = static_cast<float>(low_pass_.cell_y(sample_[i] / columns));
    us[i] = flow_x_[c];
    vs[i] = flow_y_[c];
    ws[i] = flow_weight_[c];
  }
  const double tight = 0.5 * options_.consensus;
  const auto inverse = static_cast<float>(1 / (tight * tight));
  uint32_t state = 12345;
  const auto draw = [&] {
    state = state * 1664525U + 1013904223U;
    return static_cast<size_t>((static_cast<uint64_t>(state) * count) >> 32);
  };
  float best = -1;
  for (int trial = 0; trial < 96; ++trial) {
    const size_t i = draw(), j = draw();
    const float dx = xs[j] - xs[i], dy = ys[j] - ys[i], length = dx * dx + dy * dy;
    if (length < 16.0F * kPixels) continue;
    const float du = us[j] - us[i], dv = vs[j] - vs[i];
    const float da = (dx * du + dy * dv) / length, b = (dx * dv - dy * du) / length;
    const float tx = us[i] - da * xs[i] + b * ys[i], ty = vs[i] - b * xs[i] - da * ys[i];
    float lanes[8] = {};
    for (size_t k = 0; k < filled; k += 8) {
      for (size_t l = 0; l < 8; ++l) {
        const float ex = da * xs[k + l] - b * ys[k + l] + tx - us[k + l];
        const float ey = b * xs[k + l] + da * ys[k + l] + ty - vs[k + l];
        lanes[l] += ws[k + l] / (1 + (ex * ex + ey * ey) * inverse);
      }
    }
    float score = 0;
    for (float lane : lanes) score += lane;
    if (score <= best) continue;
    best = score;
    model->da = da;
    model->b = b;
    model->tx = tx;
    model->ty = ty;
  }
  if (best < 0) {  // all cells lie together
    model->tx = us[count / 2];
    model->ty = vs[count / 2];
  }
  return true;
}

// Median distance of the flow from the model, weighted by texture; up to twice the consensus.
double PairEstimator::median_distance() const {
  constexpr int bins = 128;
  double histogram[bins] = {}, total = 0;
  const double width = 2 * options_.consensus / bins;
  for (size_t c = 0; c < distance_.size(); ++c) {
    const int bin = static_cast<int>(std::min(std::sqrt(distance_[c]) / width, bins - 1.0));
    histogram[bin] += flow_weight_[c];
    total += flow_weight_[c];
  }
  double sum = 0;
  for (int bin = 0; bin < bins; ++bin) {
    sum += histogram[bin];
    if (sum >= 0.5 * total) return (bin + 0.5) * width;
  }
  return 2 * options_.consensus;
}

// Iteratively reweighted least squares with Geman-McClure weights from the consensus on: the
// similarity is fitted first, then the coefficients join from low to high frequency while the scale
// falls to the spread of the inliers.
bool PairEstimator::fit_flow(Estimate* result) {
  Model& model = result->model;
  const size_t cells = flow_x_.size();
  if (!consensus(&model)) return false;
  system_.isotropic = true;
  const auto reweight = [&](double scale) {
    low_pass_.evaluate(model, model_x_.data(), model_y_.data());
    kernels().robust_weights({.x = flow_x_.data(),
                              .y = flow_y_.data(),
                              .model_x = model_x_.data(),
                              .model_y = model_y_.data(),
                              .weight = flow_weight_.data(),
                              .count = static_cast<int64_t>(cells),
                              .scale = static_cast<float>(scale),
                              .distance = distance_.data(),
                              .robust = system_.xx.data()});
  };
  const auto right_side = [&] {
    for (size_t c = 0; c < cells; ++c) {
      system_.gx[c] = system_.xx[c] * (flow_x_[c] - model_x_[c]);
      system_.gy[c] = system_.xx[c] * (flow_y_[c] - model_y_[c]);
    }
  };
  // A second rigid motion leaves the median distance small; a bent field (rolling shutter,
  // parallax) makes it large, and then what is far from the similarity belongs to the scene too.
  reweight(options_.consensus);
  double scale =
      std::clamp(options_.spread * median_distance(), options_.scale_floor, options_.consensus);
  const int grid = low_pass_.layout().grid, iterations = options_.flow_iterations;
  for (int i = 0; i < iterations; ++i) {
    reweight(scale);
    right_side();
    if (!low_pass_.solve_similarity(system_, &model)) {
      if (i == 0) return false;
      break;
    }
    const int cutoff = std::min(grid, i - 1);
    if (cutoff >= 2) {
      low_pass_.evaluate(model, model_x_.data(), model_y_.data());
      right_side();
      low_pass_.solve_coefficients(system_, cutoff, options_.ridge, &model);
      // The inliers' spread: the mean distance under the weights.
      double spread = 0, total = 0;
      for (size_t c = 0; c < cells; ++c) {
        spread += static_cast<double>(system_.xx[c]) * distance_[c];
        total += system_.xx[c];
      }
      if (total > 0) {
        scale = std::clamp(2 * std::sqrt(spread / total), options_.scale_floor, scale);
      }
    }
  }
  reweight(scale);
  for (size_t c = 0; c < cells; ++c) {
    inlier_[c] = flow_weight_[c] > 0 ? system_.xx[c] / flow_weight_[c] : 0;
  }
  return true;
}

void PairEstimator::residual_pass(const AnalysisFrame& first, const AnalysisFrame& second,
                                  const Model& model) {
  const Layout& layout = low_pass_.layout();
  low_pass_.pixel_rows(model, flow_rows_.data());
  kernels().residual({.first = first.pairs(),
                      .second = second.pairs(),
                      .width = layout.width,
                      .height = layout.height,
                      .columns = layout.columns,
                      .rows = layout.rows,
                      .flow_rows = flow_rows_.data(),
                      .column_basis = low_pass_.pixel_columns(),
                      .terms = low_pass_.terms(),
                      .gain = static_cast<float>(gain_),
                      .offset = static_cast<float>(offset_),
                      .cells = sums_.data(),
                      .scratch = row_scratch_.data(),
                      .sums = column_sums_.data()});
}

// Brightness of the second frame over the first, from the inliers' means: I1 = gain I0 + offset.
void PairEstimator::update_exposure(const AnalysisFrame& first) {
  const size_t cells = inlier_.size();
  const float* mean = first.cell(kI);
  const float* error = sums_.data() + kE * cells;
  const float* inside = sums_.data() + kInside * cells;
  double n = 0, i1 = 0, i2 = 0, e1 = 0, ei = 0;
  for (size_t c = 0; c < cells; ++c) {
    if (inside[c] < 0.75F * kPixels) continue;
    const double w = inlier_[c], i = mean[c] / kPixels, e = error[c] / inside[c];
    n += w;
    i1 += w * i;
    i2 += w * i * i;
    e1 += w * e;
    ei += w * e * i;
  }
  if (!(n > 0)) return;
  const double spread = i2 * n - i1 * i1, level = 16 * kLevels;
  // A flat picture tells the offset only.
  const double wanted = (ei * n - e1 * i1) / (spread + n * n * level * level * 0.01);
  const double gain = std::clamp(gain_ + wanted, 0.25, 4.0) - gain_;
  const double offset = (e1 - gain * i1) / n;
  gain_ += gain;
  offset_ += offset;
  const float *ix = first.cell(kIIx), *iy = first.cell(kIIy);
  const float *gx = first.cell(kIx), *gy = first.cell(kIy);
  for (size_t c = 0; c < cells; ++c) {
    const float share = inside[c] / kPixels;
    const auto g = static_cast<float>(gain) * share, o = static_cast<float>(offset) * share;
    sums_[kEIx * cells + c] -= g * ix[c] + o * gx[c];
    sums_[kEIy * cells + c] -= g * iy[c] + o * gy[c];
  }
}

// Weighted normal equations of each cell. A cell's own step tells whether it follows the model.
void PairEstimator::photometric_system(const AnalysisFrame& first) {
  const size_t cells = inlier_.size();
  const float *xx = first.cell(kIxIx), *xy = first.cell(kIxIy), *yy = first.cell(kIyIy);
  const float *ex = sums_.data() + kEIx * cells, *ey = sums_.data() + kEIy * cells;
  const float* inside = sums_.data() + kInside * cells;
  const auto noise = static_cast<float>(options_.noise) * kLevels;
  const auto error = static_cast<float>(options_.model_error);
  const auto inverse = static_cast<float>(1 / (options_.refine_scale * options_.refine_scale));
  const float damping = kPixels * kTexture * kLevels * kLevels;
  for (size_t c = 0; c < cells; ++c) {
    const float share = inside[c] / kPixels;
    const float a = xx[c] + damping, b = xy[c], d = yy[c] + damping;
    const float over = 1 / (a * d - b * b);
    const float dx = (d * ex[c] - b * ey[c]) * over, dy = (a * ey[c] - b * ex[c]) * over;
    const float r = 1 / (1 + (dx * dx + dy * dy) * inverse);
    const float w = share > 0.75F ? inlier_[c] * r * r : 0;
    // The variance of e along the gradient: noise, and gradient times the model's own error.
    const float s = w / (noise * noise + error * error * (xx[c] + yy[c]));
    system_.xx[c] = s * share * xx[c];
    system_.xy[c] = s * share * xy[c];
    system_.yy[c] = s * share * yy[c];
    system_.gx[c] = -s * ex[c];
    system_.gy[c] = -s * ey[c];
    distance_[c] = w;
  }
}

// Gauss-Newton steps on the images themselves, which take the flow's tenth of a pixel to a
// hundredth. The gradient is the first frame's, so that noise does not bias the step.
bool PairEstimator::refine(const AnalysisFrame& first, const AnalysisFrame& second,
                           Estimate* result) {
  const size_t cells = inlier_.size();
  system_.isotropic = false;
  Model model = result->model;
  for (int i = 0; i < options_.refine_iterations; ++i) {
    residual_pass(first, second, model);
    update_exposure(first);
    photometric_system(first);
    if (!low_pass_.solve_similarity(system_, &model)) return false;
    // What the similarity's step explains is taken off before the coefficients see it.
    low_pass_.evaluate(result->model, model_x_.data(), model_y_.data());
    low_pass_.evaluate(model, flow_x_.data(), flow_y_.data());
    for (size_t c = 0; c < cells; ++c) {
      const float dx = flow_x_[c] - model_x_[c], dy = flow_y_[c] - model_y_[c];
      system_.gx[c] -= system_.xx[c] * dx + system_.xy[c] * dy;
      system_.gy[c] -= system_.xy[c] * dx + system_.yy[c] * dy;
    }
    low_pass_.solve_coefficients(system_, low_pass_.layout().grid, options_.ridge, &model);
    result->model = model;
  }
  std::copy(distance_.begin(), distance_.end(), inlier_.begin());
  return true;
}

Estimate PairEstimator::estimate(const AnalysisFrame& first, const AnalysisFrame& second,
                                 const float* flow, int flow_width, int flow_height,
                                 int flow_factor) {
  Estimate result;
  const size_t cells = inlier_.size();
  std::fill(inlier_.begin(), inlier_.end(), 0.0F);
  if (cells == 0) return result;
  if (first.equals(second)) {
    result.identical = result.solved = true;
    result.inliers = 1;
    std::fill(inlier_.begin(), inlier_.end(), 1.0F);
    return result;
  }
  if (flow) {
    sample_flow(first, flow, flow_width, flow_height, flow_factor);
    result.solved = fit_flow(&result);
  } else {
    std::copy(first.texture().begin(), first.texture().end(), flow_weight_.begin());
    std::fill(inlier_.begin(), inlier_.end(), 1.0F);
    result.solved = first.mean_texture() > 0 && options_.refine_iterations > 0;
  }
  gain_ = 1;
  offset_ = 0;
  // Where too few pixels are seen in both frames to refine the flow's motion, none vouch for it.
  if (result.solved && options_.refine_iterations > 0) {
    result.solved = refine(first, second, &result);
  }
  if (!result.solved) return {};

  // The similarity and the homography of the whole model, with the final weights.
  low_pass_.evaluate(result.model, model_x_.data(), model_y_.data());
  for (size_t c = 0; c < cells; ++c) {
    const float xy = system_.isotropic ? 0 : system_.xy[c];
    const float yy = system_.isotropic ? system_.xx[c] : system_.yy[c];
    system_.gx[c] = system_.xx[c] * model_x_[c] + xy * model_y_[c];
    system_.gy[c] = xy * model_x_[c] + yy * model_y_[c];
  }
  Model similarity;
  if (!low_pass_.solve_similarity(system_, &similarity)) return {};
  const double a = 1 + similarity.da, b = similarity.b, tx = similarity.tx, ty = similarity.ty;
  result.similarity = {a, b, tx, ty};
  result.homography = {a, -b, tx, b, a, ty, 0, 0, 1};  // stays where a homography is undetermined
  low_pass_.solve_homography(system_, model_x_.data(), model_y_.data(), result.homography.data());
  double follow = 0, texture = 0, weight = 0, error = 0;
  const float* absolute = sums_.data() + kAbsE * cells;
  const float* inside = sums_.data() + kInside * cells;
  for (size_t c = 0; c < cells; ++c) {
    texture += first.texture()[c];
    follow += static_cast<double>(first.texture()[c]) * inlier_[c];
    if (options_.refine_iterations == 0 || inside[c] < 0.75F * kPixels) continue;
    weight += inlier_[c];
    error += static_cast<double>(inlier_[c]) * absolute[c] / (inside[c] * kLevels * 255);
  }
  result.inliers = texture > 0 ? follow / texture : 0;
  result.residual = weight > 0 ? error / weight : 0;
  return result;
}

void PairEstimator::differences(const AnalysisFrame& first, const AnalysisFrame& second,
                                const Model& model, float least_texture, float* out) {
  gain_ = 1;
  offset_ = 0;
  residual_pass(first, second, model);
  const size_t cells = inlier_.size();
  const float* absolute = sums_.data() + kAbsE * cells;
  const float* inside = sums_.data() + kInside * cells;
  for (size_t c = 0; c < cells; ++c) {
    const bool seen = inside[c] >= 0.75F * kPixels && first.texture()[c] > least_texture;
    out[c] = seen ? absolute[c] / (inside[c] * kLevels) : std::numeric_limits<float>::quiet_NaN();
  }
}

}  // namespace steadyview::motion
