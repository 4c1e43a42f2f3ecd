#include <pthread.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cstdlib>
#include <stdexcept>
#include <thread>
#include <vector>

#include "common/parallel.h"
#include "tests/expect.h"

using steadyview::parallel_for;

namespace {

bool covers_all() {
  std::atomic<int64_t> sum{0};
  parallel_for(0, 1000, 3, [&](int64_t first, int64_t last) { sum += last - first; });
  return sum == 1000;
}

// Whether `check` holds in a forked child, which has none of the parent's threads.
template <class Check>
bool in_child(Check check) {
  const pid_t child = fork();
  if (child == 0) {
    alarm(30);  // instead of waiting for ever for a thread that is not there
    _exit(check() ? 0 : 1);
  }
  int status = 1;
  return child > 0 && waitpid(child, &status, 0) == child && WIFEXITED(status) &&
         WEXITSTATUS(status) == 0;
}

// No thread can be started: the default stack is larger than the address space.
bool covers_all_without_threads() {
#if defined(__GLIBC__)
  pthread_attr_t attributes;
  pthread_attr_init(&attributes);
  pthread_attr_setstacksize(&attributes, size_t{1} << 47);
  if (pthread_setattr_default_np(&attributes) != 0) return false;
#endif
  return covers_all() && covers_all();
}

}  // namespace

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

  steadyview::set_num_threads(4);
  EXPECT(covers_all());
  EXPECT(in_child(covers_all));
  EXPECT(in_child(covers_all_without_threads));
  EXPECT(covers_all());
  return steadyview::test::report();
}
