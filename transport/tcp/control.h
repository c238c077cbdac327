// Control frames of the stream transport: grants, and window accesses, which on other transports
// need no frame.
#pragma once
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

#include "transport/frame.h"

namespace moai::transport {

// Values are stable: append only.
enum class ControlKind : uint8_t {
  grant = 1,        // a: handle, b: bytes
  revoke = 2,       // a: handle
  write = 3,        // a: handle, b: offset; then the data
  read = 4,         // a: handle, b: offset, c: bytes, tag
  read_data = 5,    // tag; then the data, in order
  read_refused = 6  // tag, a: StatusCode
};

// Every control frame begins with these four words.
struct Control {
  ControlKind kind = ControlKind::grant;
  uint64_t tag = 0, a = 0, b = 0, c = 0;
};
inline constexpr uint32_t kControlBytes = 32;
inline constexpr uint32_t kControlDataMax = kFrameBodyMax - kControlBytes;

void put_control(std::byte* to, const Control&);
// Nothing when the kind is unknown or the body too short.
std::optional<Control> get_control(uint8_t kind, std::span<const std::byte> body);

}  // namespace moai::transport
