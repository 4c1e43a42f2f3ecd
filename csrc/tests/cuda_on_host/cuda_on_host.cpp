// Runs the threads of a block as fibers: a thread that waits for others leaves its fiber, and the
// next thread goes on in another.

#include <cuda_runtime.h>
#include <ucontext.h>

#include <csetjmp>
#include <cstdio>
#include <memory>
#include <mutex>
#include <vector>

dim3 threadIdx, blockIdx, blockDim, gridDim;

namespace cuda_on_host {
namespace {

enum class State { idle, runs, waits_for_warp, waits_for_block };

struct Fiber {
  static constexpr size_t kStack = 256 << 10;
  std::unique_ptr<char[]> stack{new char[kStack]};
  ucontext_t first;  // swapcontext is a system call: later switches jump
  jmp_buf here;
  bool begun = false;
  State state = State::idle;
  unsigned thread = 0;
};

[[noreturn]] void give_up(const char* message) {
  std::fprintf(stderr, "cuda_on_host: %s (block %u, thread %u)\n", message, blockIdx.x,
               threadIdx.x);
  std::abort();
}

class Block {
 public:
  void run(const std::function<void()>& thread) {
    body_ = &thread;
    next_ = 0;
    words_.assign(2 * ((blockDim.x + 31) / 32 * 32), 0);
    turns_.assign(blockDim.x, 0);
    for (;;) {
      if (next_ < blockDim.x) {
        enter(idle_fiber());
      } else if (!release()) {
        break;
      }
    }
  }

  bool meet_block(bool value) {
    all_ = all_ && value;
    leave(State::waits_for_block);
    return result_;
  }

  // Two rows of words, in turn: a thread may bring its next word while others still read.
  const uint64_t* meet_warp(uint64_t word) {
    const unsigned thread = threadIdx.x, row = turns_[thread]++ % 2;
    uint64_t* words = words_.data() + row * (words_.size() / 2);
    words[thread] = word;
    leave(State::waits_for_warp);
    return words + thread / 32 * 32;
  }

 private:
  Fiber& idle_fiber() {
    for (auto& fiber : fibers_) {
      if (fiber->state == State::idle) return *fiber;
    }
    fibers_.push_back(std::make_unique<Fiber>());
    Fiber& fiber = *fibers_.back();
    getcontext(&fiber.first);
    fiber.first.uc_stack.ss_sp = fiber.stack.get();
    fiber.first.uc_stack.ss_size = Fiber::kStack;
    makecontext(&fiber.first, &Block::begin, 0);
    return fiber;
  }

  static void begin();

  // Runs in a fiber, again and again: threads that have not begun.
  void work() {
    for (;;) {
      while (next_ < blockDim.x) {
        current_->thread = next_++;
        threadIdx.x = current_->thread;
        (*body_)();
      }
      leave(State::idle);
    }
  }

  void enter(Fiber& fiber) {
    current_ = &fiber;
    fiber.state = State::runs;
    threadIdx.x = fiber.thread;
    if (_setjmp(scheduler_)) return;
    if (fiber.begun) _longjmp(fiber.here, 1);
    fiber.begun = true;
    setcontext(&fiber.first);
  }

  void leave(State state) {
    Fiber& fiber = *current_;
    fiber.state = state;
    if (!_setjmp(fiber.here)) _longjmp(scheduler_, 1);
  }

  // Lets those go on that have met; false when all threads have ended.
  bool release() {
    std::vector<Fiber*> waiting(blockDim.x, nullptr);
    unsigned for_block = 0, in_all = 0;
    for (auto& fiber : fibers_) {
      if (fiber->state == State::idle) continue;
      waiting[fiber->thread] = fiber.get();
      for_block += fiber->state == State::waits_for_block;
      ++in_all;
    }
    if (in_all == 0) return false;
    if (for_block == in_all) {
      result_ = all_;
      all_ = true;
      for (Fiber* fiber : waiting) {
        if (fiber) enter(*fiber);
      }
      return true;
    }
    bool released = false;
    for (unsigned warp = 0; warp < blockDim.x; warp += 32) {
      unsigned met = 0;
      for (unsigned lane = warp; lane < warp + 32 && lane < blockDim.x; ++lane) {
        met += waiting[lane] && waiting[lane]->state == State::waits_for_warp;
      }
      if (met == 0) continue;
      if (met < 32) give_up("threads of a warp wait for others that ended or wait elsewhere");
      for (unsigned lane = warp; lane < warp + 32; ++lane) enter(*waiting[lane]);
      released = true;
    }
    return released;
  }

  const std::function<void()>* body_ = nullptr;
  unsigned next_ = 0;
  bool all_ = true, result_ = true;
  std::vector<uint64_t> words_;
  std::vector<unsigned> turns_;
  std::vector<std::unique_ptr<Fiber>> fibers_;
  Fiber* current_ = nullptr;
  jmp_buf scheduler_;
};

Block block;  // the one that runs: shared memory is static, too
std::mutex one_kernel;

void Block::begin() { block.work(); }

}  // namespace

void run(unsigned blocks, unsigned threads, const std::function<void()>& thread) {
  const std::lock_guard<std::mutex> lock(one_kernel);
  gridDim = blocks;
  blockDim = threads;
  for (unsigned i = 0; i < blocks; ++i) {
    blockIdx.x = i;
    block.run(thread);
  }
}

bool meet_block(bool value) { return block.meet_block(value); }
const uint64_t* meet_warp(uint64_t word) { return block.meet_warp(word); }

}  // namespace cuda_on_host
