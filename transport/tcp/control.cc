#include "transport/tcp/control.h"

#include "src/base/bytes.h"

namespace moai::transport {

void put_control(std::byte* to, const Control& c) {
  store_le(to, c.tag);
  store_le(to + 8, c.a);
  store_le(to + 16, c.b);
  store_le(to + 24, c.c);
}

std::optional<Control> get_control(uint8_t kind, std::span<const std::byte> body) {
  if (kind < 1 || kind > 6 || body.size() < kControlBytes) return std::nullopt;
  const std::byte* p = body.data();
  return Control{static_cast<ControlKind>(kind), load_le<uint64_t>(p), load_le<uint64_t>(p + 8),
                 load_le<uint64_t>(p + 16), load_le<uint64_t>(p + 24)};
}

}  // namespace moai::transport
