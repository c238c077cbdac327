// Messages between the supervisor and a worker: small records of one binary over a socket pair.
#pragma once
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <mutex>
#include <string>
#include <thread>

#include "moai/status.h"
#include "src/engine/block_pool.h"
#include "transport/open/open.h"

namespace moai::engine {

enum class ControlKind : uint32_t {
  extent_want,   // worker: bytes
  extent_given,  // supervisor: bytes lent (0: none left), bytes still free
  extent_back,   // worker: bytes
  extent_ask,    // worker: how much is free? answered by extent_given with 0 lent
  job,           // worker: pid of the client; text: its command line
  stats,         // worker: live bytes, busy ns; text: a note for moai smi
};

struct ControlMessage {
  ControlKind kind = ControlKind::stats;
  uint64_t a = 0, b = 0;
  char text[232] = {};  // ends with 0
};

void set_text(ControlMessage& message, const std::string& text);
// Both fail with unavailable when the other end is gone; receive with `again` when nothing is
// there.
Status send_control(int fd, const ControlMessage& message);
StatusOr<ControlMessage> receive_control(int fd);

// The worker's end: asks for memory and waits for the answer; a thread of its own watches for the
// end of the supervisor, which ends this process at once.
class SupervisorLink final : public MemoryLender {
 public:
  explicit SupervisorLink(int fd);
  uint64_t borrow(uint64_t bytes) override;
  void give_back(uint64_t bytes) override;
  uint64_t available() override;
  void send(const ControlMessage& message);

 private:
  ControlMessage ask(const ControlMessage& question);
  void watch();
  int fd_;
  std::mutex ask_mutex_, mutex_;
  std::condition_variable answered_;
  bool has_answer_ = false;
  ControlMessage answer_;
};

}  // namespace moai::engine
