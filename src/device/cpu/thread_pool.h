// Fork-join pool. The caller takes chunks too, and waits for chunks, never for workers: one that
// the machine has no processor for takes none and delays nobody. Workers spin for a moment, then
// sleep in the kernel.
//
// Nothing is allocated per call. One run at a time, not nestable, bodies must not throw.
#pragma once
#include <algorithm>
#include <atomic>
#include <cstdint>
#include <memory>
#include <thread>
#include <type_traits>
#include <vector>

namespace moai::cpu {

class ThreadPool {
 public:
  // Where the system starts fewer, it has those, and says so.
  explicit ThreadPool(int threads);
  ~ThreadPool();
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  int size() const { return size_; }

  // body(chunk, thread) for every chunk in [0, count), thread in [0, size()). Which thread takes a
  // chunk is open, so a result may depend on the chunk alone.
  template <class Body>
  void run(int64_t count, Body&& body) {
    if (size_ == 1 || count <= 1) {
      for (int64_t i = 0; i < count; i++) body(i, 0);
      return;
    }
    using Raw = std::remove_reference_t<Body>;
    call_ = [](void* context, int64_t chunk, int thread) {
      (*static_cast<Raw*>(context))(chunk, thread);
    };
    context_ = const_cast<void*>(static_cast<const void*>(std::addressof(body)));
    for (int64_t first = 0; first < count; first += kChunksMax)
      fork_join(first, std::min(kChunksMax, count - first));
    context_ = nullptr;
  }

 private:
  static constexpr int64_t kChunksMax = UINT32_MAX;

  void fork_join(int64_t first, int64_t count);
  void take_chunks(int thread);
  void work(int thread);

  int size_;  // set before the first run
  const bool may_spin_;
  std::vector<std::thread> workers_;
  // Of the run under way: read by who holds one of its chunks.
  void (*call_)(void*, int64_t, int) = nullptr;
  void* context_ = nullptr;
  int64_t end_ = 0;  // one past its last chunk
  std::atomic<bool> stop_{false};
  // Number of the run in the upper half, chunks that nobody took in the lower: taking one is one
  // exchange, which fails once the run is another.
  alignas(64) std::atomic<uint64_t> ticket_{0};
  alignas(64) std::atomic<uint32_t> run_{0};   // what sleeping workers watch
  alignas(64) std::atomic<uint32_t> left_{0};  // chunks that are not done
};

}  // namespace moai::cpu
