#pragma once

#include <cmath>
#include <cstdint>
#include <cstdio>
#include <memory>

// The checks of the C++ tests: a failed one is printed and counted; main returns report().
namespace steadyview::test {

// On the heap and of the exact size: under the sanitizers what lies beside may not be touched.
template <typename T>
std::unique_ptr<T[]> exact(int64_t count) {
  return std::unique_ptr<T[]>(new T[static_cast<size_t>(count)]);
}

inline int failures = 0;

inline void expect(bool ok, const char* what, const char* file, int line) {
  if (ok) return;
  ++failures;
  std::printf("%s:%d: failed: %s\n", file, line, what);
}

inline void expect_near(double a, double b, double tolerance, const char* what, const char* file,
                        int line) {
  if (std::abs(a - b) <= tolerance) return;
  ++failures;
  std::printf("%s:%d: %s: %.17g and %.17g differ by more than %g\n", file, line, what, a, b,
              tolerance);
}

inline int report() {
  std::printf(failures ? "%d checks failed\n" : "all checks passed\n", failures);
  return failures != 0;
}

}  // namespace steadyview::test

#define EXPECT(condition) steadyview::test::expect((condition), #condition, __FILE__, __LINE__)
#define EXPECT_NEAR(a, b, tolerance) \
  steadyview::test::expect_near((a), (b), (tolerance), #a " == " #b, __FILE__, __LINE__)
