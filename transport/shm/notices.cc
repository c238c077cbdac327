#include "transport/shm/notices.h"

#include <string>

#include "moai/limits.h"
#include "src/base/bytes.h"
#include "transport/socket_io.h"

namespace moai::transport {

// 24 bytes: u32 kind, u32 zero, u64 handle, u64 bytes.
Status send_notice(int socket, const Notice& n, int fd, Deadline d) {
  std::byte raw[24] = {};
  store_le(raw, static_cast<uint32_t>(n.kind));
  store_le(raw + 8, n.handle);
  store_le(raw + 16, n.bytes);
  return send_with_fds(socket, raw, fd < 0 ? std::span<const int>() : std::span<const int>(&fd, 1),
                       d);
}

StatusOr<NoticeReader::Received> NoticeReader::next(int socket) {
  while (have_ < kBytes) {
    auto n = receive_some(socket, std::span(raw_).subspan(have_), fds_);
    if (!n.ok()) return n.status();
    have_ += *n;
  }
  have_ = 0;
  if (fds_.size() > 1) return invalid("[transport] the peer sent more descriptors than it said");
  const uint32_t kind = load_le<uint32_t>(raw_);
  if (kind < 1 || kind > 3)
    return invalid("[transport] an unknown notice came over the control socket");
  Received r;
  r.notice = {static_cast<NoticeKind>(kind), load_le<uint64_t>(raw_ + 8),
              load_le<uint64_t>(raw_ + 16)};
  if (!fds_.empty()) r.fd = std::move(fds_[0]);
  fds_.clear();
  return r;
}

Status PeerWindows::apply(NoticeReader::Received r) {
  const uint64_t slot = slot_of(r.notice.handle);
  if (slot >= kRegionsMax)
    return invalid("[transport] the peer named a region of an impossible slot");
  while (memory_.size() <= slot) memory_.emplace_back();
  switch (r.notice.kind) {
    case NoticeKind::grant: return grant(slot, std::move(r));
    case NoticeKind::revoke: grants_.revoke(r.notice.handle); return {};
    case NoticeKind::drop:
      grants_.forget(slot);
      memory_[slot].reset();
      return {};
  }
  return {};
}

Status PeerWindows::grant(size_t slot, NoticeReader::Received r) {
  const uint64_t bytes = r.notice.bytes;
  if (r.fd.is_open()) {
    grants_.forget(slot);
    MOAI_RETURN_IF_ERROR(check_shared_memory(r.fd.fd(), bytes));
    MOAI_ASSIGN_OR_RETURN(memory_[slot], Mapping::shared(r.fd.fd(), bytes));
  }
  if (memory_[slot].bytes() == 0 || memory_[slot].bytes() != bytes)
    return invalid("[transport] the peer granted memory that it did not send");
  return grants_.grant({r.notice.handle, bytes});
}

StatusOr<std::span<std::byte>> PeerWindows::access(const Window& w, uint64_t offset,
                                                   uint64_t bytes) {
  MOAI_RETURN_IF_ERROR(grants_.check(w, offset, bytes));
  return std::span(memory_[slot_of(w.handle)].data() + offset, bytes);
}

}  // namespace moai::transport
