#include <algorithm>
#include <cmath>
#include <limits>
#include <random>
#include <vector>

#include "tests/expect.h"
#include "trajectory/camera_path.h"
#include "trajectory/qp.h"

using namespace steadyview;

namespace {

using Values = std::vector<double>;

// A convex chain with a strictly feasible middle: every size, reach and number of rows.
struct Chain {
  Values hessian, gradient, matrix, lower, upper, x, multipliers;
  ChainQp qp;

  Chain(int64_t frames, int size, int reach, int rows, unsigned seed) {
    std::mt19937 random(seed);
    std::normal_distribution<double> normal;
    const size_t T = static_cast<size_t>(frames), n = static_cast<size_t>(size);
    const size_t m = static_cast<size_t>(rows), blocks = static_cast<size_t>(reach) + 1;
    hessian.assign(T * blocks * n * n, 0);
    for (size_t t = 0; t < T; ++t)
      for (size_t k = 0; k < blocks; ++k)
        for (size_t i = 0; i < n; ++i)
          for (size_t j = 0; j < n; ++j) {
            double& h = hessian[((t * blocks + k) * n + i) * n + j];
            if (k > 0) h = 0.1 / static_cast<double>(n) * normal(random);
            if (k == 0 && i == j) h = 2;  // diagonally dominant
          }
    for (size_t i = 0; i < T * n; ++i) gradient.push_back(normal(random));
    for (size_t i = 0; i < T * m * n; ++i) matrix.push_back(normal(random));
    for (size_t i = 0; i < T * m; ++i) {
      lower.push_back(i % 3 ? -0.2 : -std::numeric_limits<double>::infinity());
      upper.push_back(i % 5 ? 0.3 : std::numeric_limits<double>::infinity());
    }
    x.assign(T * n, 0);
    multipliers.assign(T * m, 0);
    qp.frames = frames;
    qp.size = size;
    qp.reach = reach;
    qp.rows = rows;
    qp.hessian = hessian.data();
    qp.gradient = gradient.data();
    qp.matrix = matrix.data();
    qp.lower = lower.data();
    qp.upper = upper.data();
  }

  // Largest component of Hx + q + C'y, and largest violation.
  void residuals(double& dual, double& primal) const {
    const int n = qp.size, m = qp.rows, blocks = qp.reach + 1;
    Values g(gradient);
    for (int64_t t = 0; t < qp.frames; ++t) {
      for (int k = 0; k < blocks && k <= t; ++k)
        for (int i = 0; i < n; ++i)
          for (int j = 0; j < n; ++j) {
            const double h = hessian[size_t(((t * blocks + k) * n + i) * n + j)];
            g[size_t(t * n + i)] += h * x[size_t((t - k) * n + j)];
            if (k > 0) g[size_t((t - k) * n + j)] += h * x[size_t(t * n + i)];
          }
      for (int r = 0; r < m; ++r) {
        double z = 0;
        for (int i = 0; i < n; ++i) {
          const double c = matrix[size_t((t * m + r) * n + i)];
          z += c * x[size_t(t * n + i)];
          g[size_t(t * n + i)] += c * multipliers[size_t(t * m + r)];
        }
        primal = std::max({primal, lower[size_t(t * m + r)] - z, z - upper[size_t(t * m + r)]});
      }
    }
    for (double v : g) dual = std::max(dual, std::abs(v));
  }
};

void expect_solved(int64_t frames, int size, int reach, int rows) {
  Chain chain(frames, size, reach, rows, static_cast<unsigned>(size * 4 + reach));
  const ChainQpResult result = solve(chain.qp, {}, chain.x.data(), chain.multipliers.data());
  EXPECT(result.status == ChainQpStatus::solved);
  double dual = 0, primal = 0;
  chain.residuals(dual, primal);
  EXPECT_NEAR(dual, 0, 1e-7);
  EXPECT_NEAR(primal, 0, 1e-7);
}

void test_all_sizes() {
  for (int size = 1; size <= 8; ++size)
    for (int reach = 0; reach <= 3; ++reach)
      for (int64_t frames : {1, 2, 3, 4, 17}) expect_solved(frames, size, reach, size + 3);
}

// Chains longer than the caches are fetched ahead, in buffers of their own pages.
void test_long_chains() {
  expect_solved(4'000, 6, 3, 9);
  expect_solved(70'000, 1, 2, 1);
}

// 15 rows: every frame has the same bounds, which are kept once.
void test_bounds_that_repeat() {
  for (int size : {1, 3, 6}) expect_solved(30, size, 3, 15);
}

void test_refuses_what_is_no_problem() {
  Chain chain(5, 2, 1, 3, 1);
  chain.lower[4] = 1;
  chain.upper[4] = 0;
  EXPECT(solve(chain.qp, {}, chain.x.data()).status == ChainQpStatus::invalid);
  chain.qp.size = 9;
  EXPECT(solve(chain.qp, {}, chain.x.data()).status == ChainQpStatus::invalid);
  chain.qp.frames = 0;
  chain.qp.size = 2;
  EXPECT(solve(chain.qp, {}, chain.x.data()).status == ChainQpStatus::solved);
}

// Concave and unbounded: the iterates run off to infinity, and the best finite one is returned.
void test_iterates_that_break_down() {
  Values hessian(6, -1e100), gradient(6, 1), x(6, 0), multipliers(6, 0);
  const Values matrix(6, 1), lower(6, -1e300), upper(6, std::numeric_limits<double>::infinity());
  ChainQp qp;
  qp.frames = 6;
  qp.size = qp.rows = 1;
  qp.hessian = hessian.data();
  qp.gradient = gradient.data();
  qp.matrix = matrix.data();
  qp.lower = lower.data();
  qp.upper = upper.data();
  const ChainQpResult result = solve(qp, {}, x.data(), multipliers.data());
  EXPECT(result.status == ChainQpStatus::stalled);
  EXPECT(std::isfinite(result.dual + result.objective));
  for (double v : x) EXPECT(std::isfinite(v));
  for (double v : multipliers) EXPECT(std::isfinite(v));
}

// A start that is no number: the frame it is in looks at the centre, inside the margin.
void test_path_that_is_not_finite() {
  const Values motion{1, 0, 5, 0, 1, 0, -5, 0, 1, 0, 5, 0, 1, 0, -5, 0}, times{0, 1, 2, 3, 4};
  for (double bad : {NAN, INFINITY, -INFINITY})
    for (size_t at = 0; at < 4; ++at) {
      Values path;
      for (int t = 0; t < 5; ++t) path.insert(path.end(), {0.85, 0, 0, 0});
      path[8 + at] = bad;
      CameraPathProblem problem;
      problem.frames = 5;
      problem.motion = motion.data();
      problem.times = times.data();
      problem.width = 640;
      problem.height = 360;
      problem.margin = 9;
      problem.weight[2] = 0.4;
      const CameraPathResult result = solve_camera_path(problem, {}, path.data(), true);
      EXPECT(result.status == ChainQpStatus::invalid);
      EXPECT(result.violation == 0);
      EXPECT(path[8] >= 0.8 && path[8] <= 0.95);
      EXPECT(path[9] == 0 && path[10] == 0 && path[11] == 0);
    }
}

void test_margin_without_room() {
  const Values motion{1, 0, 5, 0}, times{0, 1};
  Values path(8);
  CameraPathProblem problem;
  problem.frames = 2;
  problem.motion = motion.data();
  problem.times = times.data();
  problem.width = 640;
  problem.height = 360;
  problem.margin = 46;  // 0.8 leaves 36
  problem.weight[0] = 1;
  CameraPathResult result = solve_camera_path(problem, {}, path.data());
  EXPECT(result.status == ChainQpStatus::invalid);
  EXPECT_NEAR(result.violation, 10, 1e-9);
  EXPECT(path == (Values{0.8, 0, 0, 0, 0.8, 0, 0, 0}));
  problem.margin = 36;
  result = solve_camera_path(problem, {}, path.data());
  EXPECT(result.status == ChainQpStatus::solved);
  EXPECT(result.violation <= 1e-9);
}

// From settled rows of the best path, the rest of it is best; and they come back untouched.
void test_settled_rows(CameraPathProblem problem, const Values& best) {
  for (int64_t settled : {int64_t{1}, int64_t{2}, int64_t{3}, problem.frames / 2, problem.frames}) {
    if (settled > problem.frames) continue;
    const Values rows(best.begin(), best.begin() + settled * 4);  // not a value more to read
    problem.settled = rows.data();
    problem.settled_frames = settled;
    Values path(best.size());
    const CameraPathResult result = solve_camera_path(problem, {}, path.data());
    EXPECT(result.status == ChainQpStatus::solved);
    EXPECT(std::equal(rows.begin(), rows.end(), path.begin()));
    // L2 stops at a gap of 1e-9 of the cost of doing nothing, 1e-5 here: what pulls a frame weighs
    // 3e-9 a square pixel, and over 60 frames 7 px cost as much.
    for (size_t j = 0; j < path.size(); ++j)
      EXPECT(std::abs(path[j] - best[j]) < (problem.l1 ? 1e-4 : 7));
  }
}

void test_camera_path(bool l1, int64_t frames) {
  std::mt19937 random(3);
  std::normal_distribution<double> normal;
  Values motion, times, path(static_cast<size_t>(frames) * 4);
  for (int64_t t = 0; t < frames; ++t) {
    times.push_back(static_cast<double>(t) / 30);
    if (t + 1 < frames)
      motion.insert(motion.end(),
                    {1, 0.004 * normal(random), 6 * normal(random), 6 * normal(random)});
  }
  CameraPathProblem problem;
  problem.frames = frames;
  problem.motion = motion.data();
  problem.times = times.data();
  problem.width = 640;
  problem.height = 360;
  problem.zoom = 0.02;
  problem.l1 = l1;
  problem.weight[0] = l1 ? 0.3 : 0;
  problem.weight[1] = l1 ? 1e-3 : 0;
  problem.weight[2] = l1 ? 4e-3 : 0.4;
  if (l1) problem.hold = problem.zoom = 1e-5;
  const CameraPathResult result = solve_camera_path(problem, {}, path.data());
  EXPECT(result.status == ChainQpStatus::solved);
  EXPECT(result.violation <= 1e-9);
  for (size_t t = 0; t < static_cast<size_t>(frames); ++t) {
    const double *b = path.data() + t * 4, x = std::abs(b[2]), y = std::abs(b[3]);
    EXPECT(320 * b[0] + 180 * std::abs(b[1]) + x <= 320 + 1e-9);
    EXPECT(180 * b[0] + 320 * std::abs(b[1]) + y <= 180 + 1e-9);
    EXPECT(b[0] >= 0.8 - 1e-9);
  }
  // A solver that is stopped at once still gives a path inside.
  ChainQpOptions stopped;
  stopped.max_iterations = 1;
  EXPECT(solve_camera_path(problem, stopped, path.data()).violation <= 1e-9);
  solve_camera_path(problem, {}, path.data());
  test_settled_rows(problem, path);
}

}  // namespace

int main() {
  test_all_sizes();
  test_long_chains();
  test_bounds_that_repeat();
  test_refuses_what_is_no_problem();
  test_iterates_that_break_down();
  test_path_that_is_not_finite();
  test_margin_without_room();
  for (int64_t frames : {1, 2, 3, 4, 5, 60})
    for (bool l1 : {false, true}) test_camera_path(l1, frames);
  return test::report();
}
