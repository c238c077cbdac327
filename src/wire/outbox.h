// What goes out: messages gather until a flush and then share a frame, so that a step costs few of
// them.
//
// Several messages travel as one of kind `batch`: per message u32 bytes, u8 kind, three zeros, the
// body, zeros up to a multiple of 8. Each counts as a message of its own.
#pragma once
#include <cstring>

#include "moai/transport.h"
#include "src/wire/messages.h"

namespace moai::wire {

class Outbox {
 public:
  Outbox();

  // Queues it. What would not fit a frame with the rest goes out at once, after the rest.
  Status send(Connection& connection, Kind kind, Span body, Deadline deadline);
  template <class M>
  Status send(Connection& connection, Kind kind, const M& message, Deadline deadline) {
    return send(connection, kind, encoder_.encode(message), deadline);
  }
  Status flush(Connection& connection, Deadline deadline);
  bool is_empty() const { return count_ == 0; }

 private:
  Status pass_on(Connection& connection, Deadline deadline);
  Encoder encoder_;
  Bytes gathered_;
  size_t count_ = 0;
};

inline constexpr size_t kBatchHeadBytes = 8;

// Calls each(kind, body) for the messages of a batch, or for the one that it is. Returns
// invalid_argument where the batch is malformed; the messages before that were seen.
template <class Each>
Status for_each_message(Kind kind, Span body, Each each) {
  if (kind != Kind::batch) {
    each(kind, body);
    return ok_status();
  }
  while (!body.empty()) {
    uint32_t bytes = 0;
    if (body.size() < kBatchHeadBytes) return invalid("[wire] a batch of messages ends inside one");
    std::memcpy(&bytes, body.data(), sizeof bytes);
    auto inner = static_cast<Kind>(body[4]);
    body = body.subspan(kBatchHeadBytes);
    if (bytes > body.size()) return invalid("[wire] a batch of messages ends inside one");
    if (inner == Kind::batch) return invalid("[wire] a batch of messages holds another one");
    each(inner, body.first(bytes));
    size_t padded = (size_t{bytes} + 7) / 8 * 8;
    body = body.subspan(padded < body.size() ? padded : body.size());
  }
  return ok_status();
}

}  // namespace moai::wire
