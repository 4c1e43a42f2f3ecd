#pragma once

#include <cstdint>
#include <functional>

namespace steadyview {

// Threads that parallel_for uses, the caller's included. 0 means one a processor.
void set_num_threads(int count);
int num_threads();

// Calls body(first, last) for consecutive chunks of at most `grain` items that cover [begin, end).
// The chunks do not depend on the number of threads, so results do not either. The caller works
// too. When the pool is busy with another caller's loop (or the call is nested), the caller runs
// all its chunks alone: stages of a pipeline then share the processors without waiting for each
// other; likewise when no thread can be started. An exception from body is rethrown in the caller.
void parallel_for(int64_t begin, int64_t end, int64_t grain,
                  const std::function<void(int64_t, int64_t)>& body);

// Threads of another library for loops to run on: calls work(loop) in some threads at once, the
// caller's among them, and returns when all calls have. Two pools of which one spins while it waits
// (OpenMP's does, for milliseconds) share the processors badly.
using Crew = void (*)(void (*work)(void*), void* loop);

// Null, or in a forked child, which has none of the threads: this library's own.
void use_crew(Crew crew);

}  // namespace steadyview
