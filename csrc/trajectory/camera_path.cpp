#include "trajectory/camera_path.h"

#include <algorithm>
#include <cmath>
#include <complex>
#include <limits>
#include <vector>

namespace steadyview {
namespace {

using Complex = std::complex<double>;
constexpr int rows = 9;
constexpr double shortest_step = 0.25;  // of the median one

// A difference of the composed path over the frames first..first+order:
// sum_j e[j] u_{first+j} + (0, offset), where u is a pair of complex numbers (r alpha, tau).
struct Difference {
  Complex e[4];
  Complex offset;
};

Difference combine(const Difference& later, const Difference& earlier, int order, double scale) {
  Difference d{};
  for (int j = 0; j < order; ++j) {
    d.e[j + 1] += later.e[j] * scale;
    d.e[j] -= earlier.e[j] * scale;
  }
  d.offset = (later.offset - earlier.offset) * scale;
  return d;
}

// The largest coefficient: dividing by it turns px/s^k into px/frame^k.
double size(const Difference& d) {
  double largest = 0;
  for (const Complex& e : d.e) largest = std::max(largest, std::abs(e));
  return largest;
}

class Builder {
 public:
  explicit Builder(const CameraPathProblem& problem)
      : problem_(problem),
        frames_(problem.frames),
        radius_(0.5 * std::hypot(problem.width, problem.height)),
        largest_(1 - 2 * problem.margin / std::min(problem.width, problem.height)) {
    const double none[4] = {largest_, 0, 0, 0};
    const int64_t settled = problem.settled_frames;
    const double* origin = settled > 0 ? problem.settled + 4 * (settled - 1) : none;
    for (int i = 0; i < 4; ++i) origin_[i] = origin[i] * (i < 2 ? radius_ : 1);
    for (int order = 1; order <= 3; ++order) {
      if (problem.weight[order - 1] > 0) reach_ = order;
      differences_[order - 1].reserve(static_cast<size_t>(std::max<int64_t>(frames_ - order, 0)));
    }
    time_steps();
    differences();
  }

  double largest() const { return largest_; }

  // No correction (or the largest window that keeps the margin) is the best path: no difference
  // that is weighted is more than a billionth of a pixel a frame.
  bool rests() const {
    for (int64_t i = 0; i < 4 * problem_.settled_frames; ++i)
      if (problem_.settled[i] != (i % 4 ? 0 : largest_)) return false;
    for (int order = 1; order <= reach_; ++order) {
      if (problem_.weight[order - 1] == 0) continue;
      for (const Difference& d : differences_[order - 1]) {
        Complex sum = 0;
        for (const Complex& e : d.e) sum += e;
        if (std::abs(sum) * radius_ + std::abs(d.offset) > 1e-9 * size(d)) return false;
      }
    }
    return true;
  }

  ChainQp build() {
    const size_t T = static_cast<size_t>(frames_);
    hessian_.assign(T * 4 * 16, 0);
    gradient_.assign(T * 4, 0);
    if (problem_.l1) {
      term_matrix_.assign(T * 12 * 16, 0);
      term_offset_.assign(T * 12, 0);
      term_weight_.assign(T * 12, 0);
    }
    const double unit = cost_unit();
    // A settled frame is no variable: its place in the chain is held by a lone zero.
    for (int64_t i = 0; i < 4 * problem_.settled_frames; ++i)
      hessian_[size_t(i / 4 * 64 + i % 4 * 5)] = 1;
    for (int64_t t = problem_.settled_frames; t < frames_; ++t) {
      const double dt = unit * frame_time(t);
      double* block = hessian_.data() + t * 64;
      const double pull[4] = {problem_.zoom * dt, problem_.hold * dt, problem_.hold * dt,
                              problem_.hold * dt};
      for (int i = 0; i < 4; ++i) {
        block[i * 4 + i] += 2 * pull[i];
        gradient_[size_t(t * 4 + i)] += 2 * pull[i] * (origin_[i] - (i == 0 ? radius_ : 0));
      }
    }
    for (int order = 1; order <= reach_; ++order)
      if (problem_.weight[order - 1] > 0)
        for (int64_t t = 0; t + order < frames_; ++t) add(t, order, unit);
    constrain();

    ChainQp qp;
    qp.frames = frames_;
    qp.size = 4;
    qp.reach = 3;
    qp.rows = rows;
    qp.hessian = hessian_.data();
    qp.gradient = gradient_.data();
    qp.matrix = matrix_;
    qp.shared_matrix = true;
    qp.lower = lower_.data();
    qp.upper = upper_.data();
    if (problem_.l1) {
      qp.terms = 12;
      qp.term_matrix = term_matrix_.data();
      qp.term_offset = term_offset_.data();
      qp.term_weight = term_weight_.data();
    }
    return qp;
  }

  // Variables are offsets from the last settled row, or from no correction: the solver's accuracy,
  // relative to the cost, then is one of what is to be found.
  void to_variables(double* path) const {
    for (int64_t j = 0; j < 4 * frames_; ++j)
      path[j] = path[j] * (j % 4 < 2 ? radius_ : 1) - origin_[j % 4];
  }
  void from_variables(double* path) const {
    for (int64_t j = 0; j < 4 * frames_; ++j)
      path[j] = (path[j] + origin_[j % 4]) / (j % 4 < 2 ? radius_ : 1);
  }

 private:
  double step(int64_t t) const { return steps_[size_t(t)]; }

  // The intervals; one far below the median counts as that: the cost's coefficients grow as
  // step^-6.
  void time_steps() {
    for (int64_t t = 0; t + 1 < frames_; ++t)
      steps_.push_back(problem_.times[t + 1] - problem_.times[t]);
    if (steps_.empty()) return;
    std::vector<double> sorted(steps_);
    const auto middle = sorted.begin() + static_cast<std::ptrdiff_t>(sorted.size() / 2);
    std::nth_element(sorted.begin(), middle, sorted.end());
    median_step_ = *middle;
    for (double& step : steps_)
      if (step < shortest_step * median_step_) step = median_step_;
  }

  // The time a frame stands for.
  double frame_time(int64_t t) const {
    if (frames_ == 1) return 1;
    const double before = t > 0 ? step(t - 1) : step(t), after = t + 1 < frames_ ? step(t) : before;
    return 0.5 * (before + after);
  }

  void differences() {
    for (int64_t t = 0; t + 1 < frames_; ++t) {
      const double* f = problem_.motion + t * 4;
      const double rate = 1 / step(t);
      Difference d{};
      d.e[0] = Complex(f[0], f[1]) * rate;
      d.e[1] = -rate;
      d.offset = Complex(f[2], f[3]) * rate;
      differences_[0].push_back(d);
    }
    for (int64_t t = 0; t + 2 < frames_ && reach_ >= 2; ++t)
      differences_[1].push_back(combine(differences_[0][size_t(t) + 1], differences_[0][size_t(t)],
                                        2, 2 / (step(t) + step(t + 1))));
    for (int64_t t = 0; t + 3 < frames_ && reach_ >= 3; ++t)
      differences_[2].push_back(
          combine(differences_[1][size_t(t) + 1], differences_[1][size_t(t)], 3, 1 / step(t + 1)));
  }

  // The time a difference stands for, less where the motion is not to be trusted.
  double share(int64_t t, int order) const {
    const double time = order == 2 ? 0.5 * (step(t) + step(t + 1)) : step(t + (order == 3));
    double trust = 1;
    if (problem_.confidence)
      for (int j = 0; j < order; ++j) trust = std::min(trust, problem_.confidence[t + j]);
    return time * trust;
  }

  // Brings the largest coefficients of the cost near 1: a time constant of seconds makes them 1e9.
  double cost_unit() const {
    const double dt = median_step_;
    double largest = std::max(problem_.hold, problem_.zoom);
    double power = 1;
    for (int order = 1; order <= reach_; ++order) {
      power *= problem_.l1 ? dt : dt * dt;
      largest = std::max(largest, problem_.weight[order - 1] / power);
    }
    return 1 / (largest * dt);
  }

  // How many of the frames t..t+order are settled.
  int settled(int64_t t, int order) const {
    return static_cast<int>(std::clamp<int64_t>(problem_.settled_frames - t, 0, order + 1));
  }

  // What a difference is while its variables are 0.
  void at_origin(int64_t t, int order, const Difference& d, Complex value[2]) const {
    value[0] = 0;
    value[1] = d.offset;
    for (int j = 0; j <= order; ++j) {
      Complex turned(origin_[0], origin_[1]), moved(origin_[2], origin_[3]);
      if (t + j < problem_.settled_frames) {
        const double* b = problem_.settled + (t + j) * 4;
        turned = Complex(b[0], b[1]) * radius_;
        moved = Complex(b[2], b[3]);
      }
      value[0] += d.e[j] * turned;
      value[1] += d.e[j] * moved;
    }
  }

  void add(int64_t t, int order, double unit) {
    const Difference& d = differences_[order - 1][size_t(t)];
    if (settled(t, order) > order) return;  // no variable in it
    const double w = unit * share(t, order) * problem_.weight[order - 1];
    if (problem_.l1) {
      add_term(t, order, d, w);
      return;
    }
    const int known = settled(t, order);
    Complex value[2];
    at_origin(t, order, d, value);
    for (int i = known; i <= order; ++i) {
      for (int j = known; j <= i; ++j) {
        const Complex h = 2 * w * std::conj(d.e[i]) * d.e[j];
        double* block = hessian_.data() + ((t + i) * 4 + (i - j)) * 16;
        for (int pair = 0; pair < 4; pair += 2) {
          block[pair * 4 + pair] += h.real();
          block[pair * 4 + pair + 1] -= h.imag();
          block[(pair + 1) * 4 + pair] += h.imag();
          block[(pair + 1) * 4 + pair + 1] += h.real();
        }
      }
      double* gradient = gradient_.data() + (t + i) * 4;
      for (int pair = 0; pair < 2; ++pair) {
        const Complex g = 2 * w * std::conj(d.e[i]) * value[pair];
        gradient[2 * pair] += g.real();
        gradient[2 * pair + 1] += g.imag();
      }
    }
  }

  void add_term(int64_t t, int order, const Difference& d, double w) {
    const int64_t last = t + order;
    const int base = (order - 1) * 4;
    // Differences in pixels a frame: the rows of all orders are then near 1.
    const double scale = size(d);
    const int known = settled(t, order);
    Complex value[2];
    at_origin(t, order, d, value);
    for (int j = known; j <= order; ++j)
      for (int pair = 0; pair < 4; pair += 2)
        for (int part = 0; part < 2; ++part) {
          double* row =
              term_matrix_.data() + ((last * 12 + base + pair + part) * 4 + order - j) * 4;
          row[pair + part] = d.e[j].real() / scale;
          row[pair + 1 - part] = (part ? 1 : -1) * d.e[j].imag() / scale;
        }
    for (int i = 0; i < 4; ++i)
      term_offset_[size_t(last) * 12 + base + i] =
          -(i % 2 ? value[i / 2].imag() : value[i / 2].real()) / scale;
    for (int i = 0; i < 4; ++i) term_weight_[size_t(last) * 12 + base + i] = w * scale;
  }

  // The corner that reaches furthest to a side is the one of that side: eight one-sided rows.
  void constrain() {
    const double w = 0.5 * problem_.width / radius_, h = 0.5 * problem_.height / radius_;
    const double inf = std::numeric_limits<double>::infinity();
    int row = 0;
    double lower[rows], upper[rows];
    for (int axis = 0; axis < 2; ++axis)
      for (int side = -1; side <= 1; side += 2)
        for (int other = -1; other <= 1; other += 2, ++row) {
          double* c = matrix_ + row * 4;
          c[0] = side * (axis ? h : w);
          c[1] = other * (axis ? w : h);
          c[2 + axis] = 1;
          const double half = 0.5 * (axis ? problem_.height : problem_.width) - problem_.margin;
          lower[row] = side < 0 ? -half : -inf;
          upper[row] = side > 0 ? half : inf;
        }
    matrix_[row * 4] = 1;
    lower[row] = problem_.crop_limit * radius_;
    upper[row] = inf;
    for (int i = 0; i < rows; ++i)
      for (int j = 0; j < 4; ++j) {
        lower[i] -= matrix_[i * 4 + j] * origin_[j];
        upper[i] -= matrix_[i * 4 + j] * origin_[j];
      }
    lower_.assign(size_t(problem_.settled_frames * rows), -inf);
    upper_.assign(size_t(problem_.settled_frames * rows), inf);
    for (int64_t t = problem_.settled_frames; t < frames_; ++t) {
      lower_.insert(lower_.end(), lower, lower + rows);
      upper_.insert(upper_.end(), upper, upper + rows);
    }
  }

  const CameraPathProblem& problem_;
  int64_t frames_;
  double radius_;     // px
  double largest_;    // a of the largest centred window
  double origin_[4];  // of the variables
  int reach_ = 0;
  std::vector<double> steps_;  // s
  double median_step_ = 1;     // s
  std::vector<Difference> differences_[3];
  std::vector<double> hessian_, gradient_, lower_, upper_;
  std::vector<double> term_matrix_, term_offset_, term_weight_;
  double matrix_[rows * 4] = {};
};

// How far the output's corners leave the source (less the margin), and a the limit, in px.
// Infinite for a row that is not finite: max() drops a NaN.
double violation(const CameraPathProblem& problem, const double* b) {
  if (!std::isfinite(b[0] + b[1] + b[2] + b[3])) return std::numeric_limits<double>::infinity();
  const double half_w = 0.5 * problem.width, half_h = 0.5 * problem.height;
  const double x = half_w * std::abs(b[0]) + half_h * std::abs(b[1]) + std::abs(b[2]);
  const double y = half_h * std::abs(b[0]) + half_w * std::abs(b[1]) + std::abs(b[3]);
  return std::max({x + problem.margin - half_w, y + problem.margin - half_h,
                   (problem.crop_limit - b[0]) * half_w});
}

// Pulls a row that is outside towards the middle of what is allowed, just far enough.
double make_feasible(const CameraPathProblem& problem, double largest, double* b) {
  double outside = violation(problem, b);
  if (outside <= 0) return 0;
  const double centre[4] = {0.5 * (problem.crop_limit + largest), 0, 0, 0};
  const double room = -violation(problem, centre);
  for (int attempt = 0; attempt < 4 && std::isfinite(outside) && outside > 0 && room > 0;
       ++attempt) {
    const double keep = std::max(0.0, 1 - (outside / (outside + room)) * (1 + 1e-12) - 1e-16);
    for (int i = 0; i < 4; ++i) b[i] = centre[i] + keep * (b[i] - centre[i]);
    outside = violation(problem, b);
  }
  if (outside > 0) {
    std::copy(centre, centre + 4, b);
    outside = violation(problem, b);
  }
  return std::max(outside, 0.0);
}

}  // namespace

CameraPathResult solve_camera_path(const CameraPathProblem& problem, const ChainQpOptions& options,
                                   double* path, bool warm) {
  CameraPathResult result;
  Builder builder(problem);
  const double largest = builder.largest();
  const double room = largest - problem.crop_limit;
  if (problem.frames == 0) return result;
  if (builder.rests() || room <= 1e-9) {
    const double a = std::max(largest, problem.crop_limit);
    for (int64_t t = 0; t < problem.frames; ++t) {
      const double still[4] = {a, 0, 0, 0};
      std::copy(still, still + 4, path + t * 4);
    }
    std::copy(problem.settled, problem.settled + 4 * problem.settled_frames, path);
    if (problem.settled_frames < problem.frames)
      result.violation = std::max(0.0, violation(problem, path + 4 * problem.settled_frames));
    if (result.violation > 1e-9) result.status = ChainQpStatus::invalid;  // no room for the margin
    return result;
  }
  const ChainQp qp = builder.build();
  if (!warm)
    for (int64_t t = 0; t < problem.frames; ++t) {
      const double middle[4] = {problem.crop_limit + 0.5 * room, 0, 0, 0};
      std::copy(middle, middle + 4, path + t * 4);
    }
  std::copy(problem.settled, problem.settled + 4 * problem.settled_frames, path);
  builder.to_variables(path);
  ChainQpOptions accuracy = options;
  if (problem.l1) {  // far below a pixel; its last digits are ill-conditioned
    accuracy.absolute = std::max(accuracy.absolute, 1e-7);
    accuracy.relative = std::max(accuracy.relative, 1e-6);
  }
  const ChainQpResult solved = solve(qp, accuracy, path);
  builder.from_variables(path);
  result.status = solved.status;
  result.iterations = solved.iterations;
  result.primal = solved.primal;
  result.dual = solved.dual;
  result.gap = solved.gap;
  std::copy(problem.settled, problem.settled + 4 * problem.settled_frames, path);
  for (int64_t t = problem.settled_frames; t < problem.frames; ++t)
    result.violation = std::max(result.violation, make_feasible(problem, largest, path + t * 4));
  return result;
}

}  // namespace steadyview
