#include "src/wire/outbox.h"

#include <bit>

#include "moai/limits.h"

namespace moai::wire {

namespace {
constexpr size_t kBatchBytesMax = kFrameBytesMax - kFrameHeaderBytes;
static_assert(std::endian::native == std::endian::little);
}  // namespace

Outbox::Outbox() { gathered_.reserve(kBatchBytesMax); }

Status Outbox::send(Connection& connection, Kind kind, Span body, Deadline deadline) {
  const size_t padded = (body.size() + 7) / 8 * 8;
  if (gathered_.size() + kBatchHeadBytes + padded > kBatchBytesMax) {
    MOAI_RETURN_IF_ERROR(pass_on(connection, deadline));
    if (kBatchHeadBytes + padded > kBatchBytesMax)
      return connection.send(static_cast<uint8_t>(kind), body, deadline);
  }
  const auto bytes = static_cast<uint32_t>(body.size());
  std::byte head[kBatchHeadBytes] = {};
  std::memcpy(head, &bytes, sizeof bytes);
  head[4] = static_cast<std::byte>(kind);
  gathered_.insert(gathered_.end(), head, head + kBatchHeadBytes);
  gathered_.insert(gathered_.end(), body.begin(), body.end());
  gathered_.resize(gathered_.size() + padded - body.size());
  count_++;
  return ok_status();
}

// A single message goes as itself.
Status Outbox::pass_on(Connection& connection, Deadline deadline) {
  if (count_ == 0) return ok_status();
  Span body = gathered_;
  auto kind = static_cast<uint8_t>(Kind::batch);
  if (count_ == 1) {
    uint32_t bytes = 0;
    std::memcpy(&bytes, body.data(), sizeof bytes);
    kind = static_cast<uint8_t>(body[4]);
    body = body.subspan(kBatchHeadBytes, bytes);
  }
  Status status = connection.send(kind, body, deadline);
  gathered_.clear();
  count_ = 0;
  return status;
}

Status Outbox::flush(Connection& connection, Deadline deadline) {
  MOAI_RETURN_IF_ERROR(pass_on(connection, deadline));
  return connection.flush(deadline);
}

}  // namespace moai::wire
