#include <algorithm>
#include <new>
#include <random>
#include <vector>

#include "expect.h"
#include "matching/nearest.h"
#include "matching/sift.h"

using namespace steadyview::matching;

namespace {

// Every pair in turn, against the kernel, for sizes around its tiles.
void check(int64_t queries, int64_t trains, int length) {
  std::mt19937 random(static_cast<unsigned>(queries * 1000 + trains + length));
  const auto bytes = [&](int64_t count) {
    std::vector<uint8_t> values(static_cast<size_t>(count * length));
    // Few levels and both extremes, so that equal distances and the largest sums occur.
    for (uint8_t& value : values) value = static_cast<uint8_t>(random() % 2 * 255);
    return values;
  };
  const std::vector<uint8_t> query = bytes(queries), train = bytes(trains);
  std::vector<int32_t> index(static_cast<size_t>(queries)), nearest(index), second(index);
  nearest_two({.query = query.data(),
               .train = train.data(),
               .queries = queries,
               .trains = trains,
               .length = length,
               .index = index.data(),
               .nearest = nearest.data(),
               .second = second.data()});
  for (int64_t q = 0; q < queries; ++q) {
    std::vector<std::pair<int32_t, int32_t>> all;
    for (int64_t t = 0; t < trains; ++t) {
      int32_t distance = 0;
      for (int k = 0; k < length; ++k) {
        const int difference =
            query[static_cast<size_t>(q * length + k)] - train[static_cast<size_t>(t * length + k)];
        distance += difference * difference;
      }
      all.emplace_back(distance, static_cast<int32_t>(t));
    }
    std::sort(all.begin(), all.end());
    const auto i = static_cast<size_t>(q);
    EXPECT(index[i] == (trains > 0 ? all[0].second : -1));
    EXPECT(nearest[i] == (trains > 0 ? all[0].first : INT32_MAX));
    EXPECT(second[i] == (trains > 1 ? all[1].first : INT32_MAX));
  }
}

// Random images of awkward sizes; a shifted one has the same features, shifted.
void check_sift() {
  std::mt19937 random(7);
  SiftWorkspace workspace;
  for (const auto& [width, height] :
       {std::pair{1, 1}, {3, 90}, {6, 6}, {11, 7}, {37, 64}, {90, 70}}) {
    std::vector<uint8_t> gray(static_cast<size_t>(width * height));
    for (uint8_t& value : gray) value = static_cast<uint8_t>(random());
    const SiftFeatures found = find_sift(gray.data(), width, width, height, workspace);
    EXPECT(found.points.size() / 2 == found.descriptors.size() / kSiftLength);
    for (size_t i = 0; i < found.points.size(); i += 2) {
      EXPECT(found.points[i] > 0 && found.points[i] < static_cast<float>(width));
      EXPECT(found.points[i + 1] > 0 && found.points[i + 1] < static_cast<float>(height));
    }
  }
  const int width = 128, height = 96;
  std::vector<uint8_t> gray(width * height, 90);
  const auto blob = [&](int cx, int cy, int radius) {
    for (int y = -radius; y <= radius; ++y) {
      for (int x = -radius; x <= radius; ++x) {
        if (x * x + 2 * y * y <= radius * radius) {
          gray[static_cast<size_t>((cy + y) * width + cx + x)] = 200;
        }
      }
    }
  };
  const auto at = [&](int dx, int dy) {
    std::fill(gray.begin(), gray.end(), uint8_t{90});
    blob(40 + dx, 40 + dy, 6);
    blob(62 + dx, 50 + dy, 4);
    return find_sift(gray.data(), width, width, height, workspace);
  };
  const SiftFeatures still = at(0, 0), moved = at(8, 8);
  EXPECT(still.points.size() >= 4 && still.points.size() == moved.points.size());
  for (size_t i = 0; i < std::min(still.points.size(), moved.points.size()); ++i) {
    EXPECT_NEAR(still.points[i] + 8, moved.points[i], 0.01);
  }
}

// A slot that could not be given its memory is given it anew.
void check_workspace() {
  SiftWorkspace workspace;
  workspace.plane(0, 16, 16);
  bool thrown = false;
  try {
    workspace.plane(0, 3 << 29, INT32_MAX);  // beyond what can be addressed
  } catch (const std::bad_alloc&) {
    thrown = true;
  }
  EXPECT(thrown);
  const Plane plane = workspace.plane(0, 16, 16);
  float sum = 0;
  for (int64_t y = 0; y < 16; ++y) {
    for (int64_t x = 0; x < 16; ++x) sum += plane.row(y)[x];
  }
  EXPECT(sum == 0);
}

}  // namespace

int main() {
  check_workspace();
  check_sift();
  for (int64_t queries : {0, 1, 4, 5, 67}) {
    for (int64_t trains : {0, 1, 2, 15, 16, 17, 100}) {
      for (int length : {1, 7, 128}) check(queries, trains, length);
    }
  }
  check(3, 33, kMaxLength);
  return steadyview::test::report();
}
