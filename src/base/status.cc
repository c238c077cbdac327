#include "moai/status.h"

namespace moai {

const char* to_string(StatusCode code) {
  switch (code) {
    case StatusCode::ok: return "ok";
    case StatusCode::invalid_argument: return "invalid_argument";
    case StatusCode::not_found: return "not_found";
    case StatusCode::unimplemented: return "unimplemented";
    case StatusCode::resource_exhausted: return "resource_exhausted";
    case StatusCode::out_of_range: return "out_of_range";
    case StatusCode::unavailable: return "unavailable";
    case StatusCode::deadline_exceeded: return "deadline_exceeded";
    case StatusCode::again: return "again";
    case StatusCode::permission_denied: return "permission_denied";
    case StatusCode::version_mismatch: return "version_mismatch";
    case StatusCode::interrupted: return "interrupted";
    case StatusCode::internal: return "internal";
  }
  return "unknown";
}

std::string Status::to_string() const {
  if (ok()) return "ok";
  return std::string(moai::to_string(code_)) + ": " + message_;
}

}  // namespace moai
