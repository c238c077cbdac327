// One connection between two processes: frames (small, ordered, exactly once) and windows (large,
// one-sided). It never looks inside a payload.
//
// Thread rule: a Connection is used by whoever holds the caller's mutex; wake() alone may be called
// from anywhere. No call aborts or throws; after the handshake nothing allocates but
// next_message(), when a message is longer than those that came before.
#pragma once
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "moai/clock.h"
#include "moai/limits.h"
#include "moai/status.h"

namespace moai {

// A piece of the peer's memory that this side may write (or read) until it is revoked.
struct Window {
  uint64_t handle = 0;  // generation:24, slot:40; never a pointer
  uint64_t bytes = 0;
};

// Local memory that transfers may use: registered once. Move-only owner of a mapping.
struct Region {
  std::byte* data = nullptr;
  uint64_t bytes = 0;
  uint64_t slot = 0;  // of the connection that made it
};

// A message: what one or more frames carried. `kind` belongs to src/wire.
struct Message {
  uint8_t kind = 0;
  uint64_t seq = 0;  // of its last frame
  std::vector<std::byte> body;
};

struct PathInfo {
  std::string transport;  // "shm", "tcp", "sim"
  std::string text;       // "shm, same host" or "tcp 127.0.0.1:7780: not the same host"
};

struct TransportCounters {
  uint64_t frames_sent = 0, frames_received = 0;
  uint64_t bytes_sent = 0, bytes_received = 0;  // frames, headers included
  uint64_t window_bytes_out = 0, window_bytes_in = 0;
  uint64_t credit_waits = 0, doorbells = 0;
};

class Connection {
 public:
  virtual ~Connection() = default;

  // Queues a message; frames leave at flush() or when the ring fills. A message over the free ring
  // space is sent piecewise: then this call waits for the peer, at most until the deadline.
  virtual Status send(uint8_t kind, std::span<const std::byte> body, Deadline) = 0;
  // One doorbell, futex wake or writev. Waits only for socket space.
  virtual Status flush(Deadline) = 0;
  // The next whole message, or code `again` when none has arrived. Bytes are a private copy,
  // checked. The buffer that `into` had comes back in a later message.
  virtual Status next_message(Message& into) = 0;
  StatusOr<Message> next_message() {
    Message message;
    MOAI_RETURN_IF_ERROR(next_message(message));
    return message;
  }
  // Sleeps until a message may be there, wake() was called, or the deadline. Returns ok,
  // deadline_exceeded (without a text: it is no failure), unavailable (peer gone).
  virtual Status wait(Deadline) = 0;
  // Ends another thread's wait() early.
  virtual void wake() = 0;

  // Makes memory of this side that the peer may write and read; it learns of it through grant().
  virtual StatusOr<Region> make_region(uint64_t bytes) = 0;
  virtual void free_region(Region) = 0;
  // The peer may use the region from now on. The Window travels to the peer in a message of the
  // caller.
  virtual StatusOr<Window> grant(const Region&) = 0;
  virtual Status revoke(const Window&) = 0;
  // Copies into or out of the peer's window. Data is in place before any message that is sent later
  // arrives.
  virtual Status write(const Window&, uint64_t to, std::span<const std::byte> from, Deadline) = 0;
  virtual Status read(const Window&, uint64_t from, std::span<std::byte> to, Deadline) = 0;

  // A descriptor that polls readable when a message may be there (for an event loop); -1 when there
  // is none.
  virtual int event_fd() const = 0;
  virtual const PathInfo& path() const = 0;
  virtual TransportCounters counters() const = 0;
  // Both ends free everything; returns within 2 s. Later calls return unavailable.
  virtual void close() = 0;
};

}  // namespace moai
