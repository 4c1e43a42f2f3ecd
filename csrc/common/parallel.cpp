#include "common/parallel.h"

#include <pthread.h>

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <exception>
#include <mutex>
#include <new>
#include <system_error>
#include <thread>
#include <utility>

namespace steadyview {
namespace {

// One loop in flight: chunks are handed out by a counter.
struct Loop {
  int64_t begin, end, grain;
  const std::function<void(int64_t, int64_t)>* body;
  std::atomic<int64_t> next{0};
  std::exception_ptr error{};
  std::mutex error_mutex{};

  void work() {
    for (;;) {
      const int64_t first = begin + next.fetch_add(1) * grain;
      if (first >= end) return;
      try {
        (*body)(first, std::min(first + grain, end));
      } catch (...) {
        std::lock_guard lock(error_mutex);
        if (!error) error = std::current_exception();
        next.store((end - begin) / grain + 1);
      }
    }
  }
};

class Pool {
 public:
  static Pool& get() {
    static Pool* pool = new Pool;  // never destroyed: its threads may outlive static destructors
    return *pool;
  }

  void run(Loop& loop) {
    std::unique_lock owner(owner_, std::defer_lock);
    const int64_t chunks = (loop.end - loop.begin + loop.grain - 1) / loop.grain;
    const int helpers = static_cast<int>(std::min<int64_t>(num_threads(), chunks)) - 1;
    const Crew crew = crew_;
    if (inside_ || helpers <= 0) {
      loop.work();
    } else if (crew) {
      crew([](void* some) { work_inside(*static_cast<Loop*>(some)); }, &loop);
    } else if (!owner.try_lock()) {
      loop.work();
    } else {
      {
        std::lock_guard lock(mutex_);
        while (threads_ < helpers && start_thread()) {
        }
        loop_ = &loop;
        wanted_ = helpers;
        ++generation_;
      }
      wake_.notify_all();
      work_inside(loop);
      std::unique_lock lock(mutex_);
      loop_ = nullptr;  // late wakers find nothing
      done_.wait(lock, [&] { return active_ == 0; });
    }
    if (loop.error) std::rethrow_exception(loop.error);
  }

  void use_crew(Crew crew) { crew_ = crew; }

  // A forked child has none of the threads: it starts afresh.
  void reset_after_fork() { new (this) Pool; }

 private:
  Pool() {
    static std::once_flag once;
    std::call_once(
        once, [] { pthread_atfork(nullptr, nullptr, [] { Pool::get().reset_after_fork(); }); });
  }

  static void work_inside(Loop& loop) {
    const bool before = std::exchange(inside_, true);
    loop.work();
    inside_ = before;
  }

  // False when the system has no more threads to give: the loop does with those there are.
  bool start_thread() {
    try {
      std::thread([this] { serve(); }).detach();
    } catch (const std::system_error&) {
      return false;
    }
    ++threads_;
    return true;
  }

  // What a thread of the pool does for ever.
  void serve() {
    inside_ = true;
    uint64_t seen = 0;
    std::unique_lock lock(mutex_);
    for (;;) {
      wake_.wait(lock, [&] { return generation_ != seen; });
      seen = generation_;
      if (!loop_ || wanted_ == 0) continue;
      --wanted_;
      ++active_;
      Loop* loop = loop_;
      lock.unlock();
      loop->work();
      lock.lock();
      if (--active_ == 0) done_.notify_one();
    }
  }

  std::mutex owner_;  // held by the caller whose loop the threads work on
  std::mutex mutex_;  // guards what follows
  std::condition_variable wake_, done_;
  Loop* loop_ = nullptr;
  uint64_t generation_ = 0;
  int wanted_ = 0, active_ = 0, threads_ = 0;
  std::atomic<Crew> crew_{nullptr};
  static thread_local bool inside_;
};

thread_local bool Pool::inside_ = false;

std::atomic<int> requested_threads{0};

}  // namespace

void set_num_threads(int count) { requested_threads = std::max(count, 0); }

int num_threads() {
  const int requested = requested_threads;
  return requested > 0 ? requested
                       : std::max(1, static_cast<int>(std::thread::hardware_concurrency()));
}

void use_crew(Crew crew) { Pool::get().use_crew(crew); }

void parallel_for(int64_t begin, int64_t end, int64_t grain,
                  const std::function<void(int64_t, int64_t)>& body) {
  if (begin >= end) return;
  Loop loop{.begin = begin, .end = end, .grain = std::max<int64_t>(grain, 1), .body = &body};
  Pool::get().run(loop);
}

}  // namespace steadyview
