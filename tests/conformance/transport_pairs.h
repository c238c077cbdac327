// Connected pairs of every transport, for tests that must hold on all of them.
#pragma once
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "moai/transport.h"
#include "src/base/clock.h"

namespace moai::transport::testing {

struct Pair {
  std::unique_ptr<Connection> client, server;
  std::shared_ptr<const Clock> clock;  // of a simulation; null: the real one
};

struct PairMaker {
  std::string name;
  std::function<Pair()> make;
};

// sim, shm, tcp, unix stream: the two ends as threads of this process.
const std::vector<PairMaker>& all_makers();
// The clock that deadlines refer to: the last made pair's.
uint64_t test_now_ns();
Deadline in(double seconds);

// Bytes that depend on their place and on `seed`.
std::vector<std::byte> pattern(size_t bytes, uint64_t seed);
// The next message, waiting for it at most so long.
StatusOr<Message> receive(Connection&, double seconds = 10);
// send and flush.
Status post(Connection&, uint8_t kind, std::span<const std::byte> body, double seconds = 10);
// A window travels in a message, as its two words.
Status post_window(Connection&, const Window&);
StatusOr<Window> receive_window(Connection&);

}  // namespace moai::transport::testing
