#include <atomic>
#include <stdexcept>
#include <thread>
#include <vector>

#include "common/parallel.h"
#include "tests/expect.h"

using steadyview::parallel_for;

int main() {
  for (int threads : {1, 2, 5}) {
    steadyview::set_num_threads(threads);
    for (int repeat = 0; repeat < 200; ++repeat) {
      std::vector<int> hits(1003, 0);
      parallel_for(0, 1003, 17, [&](int64_t first, int64_t last) {
        for (int64_t i = first; i < last; ++i) ++hits[i];
      });
      bool once = true;
      for (int hit : hits) once &= hit == 1;
      EXPECT(once);
    }
  }
  bool thrown = false;
  try {
    parallel_for(0, 100, 1, [](int64_t first, int64_t) {
      if (first == 50) throw std::runtime_error("fifty");
    });
  } catch (const std::runtime_error&) {
    thrown = true;
  }
  EXPECT(thrown);

  // Nested calls and calls from several threads at once neither wait nor lose work.
  std::atomic<int64_t> sum{0};
  std::vector<std::thread> callers;
  for (int caller = 0; caller < 4; ++caller) {
    callers.emplace_back([&] {
      for (int repeat = 0; repeat < 50; ++repeat) {
        parallel_for(0, 10, 1, [&](int64_t, int64_t) {
          parallel_for(0, 10, 2, [&](int64_t first, int64_t last) { sum += last - first; });
        });
      }
    });
  }
  for (auto& caller : callers) caller.join();
  EXPECT(sum == 4 * 50 * 100);
  parallel_for(0, 0, 1, [](int64_t, int64_t) { EXPECT(false); });
  return steadyview::test::report();
}
