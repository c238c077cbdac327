// A pair of connections inside one process whose time, delays and faults follow from a seed. For
// tests of whatever stands on a Connection: no descriptor, no real clock, no thread of its own.
#pragma once
#include <functional>
#include <memory>

#include "moai/clock.h"
#include "moai/transport.h"

namespace moai::transport {

struct SimOptions {
  uint64_t delay_ns_max = 100'000;  // a frame is under way for 0 to this long; the order stays
  uint64_t queue_bytes = kRingToServerBytes;  // under way each way; a sender waits beyond
  // Faults, counted in frames sent by either side.
  uint64_t cut_at_frame =
      UINT64_MAX;  // this frame and all later ones are lost, both ends see the end
  uint64_t flip_at_frame = UINT64_MAX;  // one bit of this frame changes
  uint64_t start_ns = 1;                // the clock's first value
  // What a wait does when nothing is under way. Without it the other end cannot act either, so time
  // jumps to the deadline. With two threads it gives way to the other one; then time moves by
  // idle_ns.
  std::function<void()> idle;
  uint64_t idle_ns = 1'000'000;
};

struct SimPair {
  std::unique_ptr<Connection> client, server;
  std::shared_ptr<const Clock> clock;  // deadlines are measured on it
};

SimPair make_sim_pair(uint64_t seed, SimOptions options = {});

}  // namespace moai::transport
