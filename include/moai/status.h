// Status and StatusOr: how every room reports failure. Exceptions exist only at PyTorch's border.
#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <utility>

namespace moai {

enum class StatusCode : uint8_t {
  ok,
  invalid_argument,    // a person or a peer gave something malformed
  not_found,           // a name, file or id that does not exist
  unimplemented,       // op, dtype or layout without a lowering
  resource_exhausted,  // memory or another limit; nothing was changed
  out_of_range,        // an index on the device outside its bounds (sticky)
  unavailable,         // peer lost, server absent
  deadline_exceeded,   // a wait reached its deadline
  again,               // no credit or no data now; try later
  permission_denied,   // token or uid refused
  version_mismatch,    // the peer speaks another version
  interrupted,         // a signal asks the waiting thread to return
  internal,            // our own bug
};

const char* to_string(StatusCode code);

// A code and a sentence that begins with its subject and says what to do. Cheap when ok.
class [[nodiscard]] Status {
 public:
  Status() = default;
  Status(StatusCode code, std::string message) : code_(code), message_(std::move(message)) {}
  bool ok() const { return code_ == StatusCode::ok; }
  StatusCode code() const { return code_; }
  const std::string& message() const { return message_; }
  // "resource_exhausted: [plan] ..." for logs.
  std::string to_string() const;

 private:
  StatusCode code_ = StatusCode::ok;
  std::string message_;
};

inline Status ok_status() { return {}; }
inline Status invalid(std::string m) { return {StatusCode::invalid_argument, std::move(m)}; }
inline Status unimplemented(std::string m) { return {StatusCode::unimplemented, std::move(m)}; }
inline Status internal_error(std::string m) { return {StatusCode::internal, std::move(m)}; }
inline Status unavailable(std::string m) { return {StatusCode::unavailable, std::move(m)}; }

// A value or the Status that says why there is none.
template <class T>
class [[nodiscard]] StatusOr {
 public:
  StatusOr(Status status) : status_(std::move(status)) {}  // NOLINT
  StatusOr(T value) : value_(std::move(value)) {}          // NOLINT
  bool ok() const { return value_.has_value(); }
  const Status& status() const { return status_; }
  // Requires: ok().
  T& operator*() { return *value_; }
  const T& operator*() const { return *value_; }
  T* operator->() { return &*value_; }
  const T* operator->() const { return &*value_; }

 private:
  Status status_;
  std::optional<T> value_;
};

}  // namespace moai

#define MOAI_CONCAT_(a, b) a##b
#define MOAI_CONCAT(a, b) MOAI_CONCAT_(a, b)
#define MOAI_RETURN_IF_ERROR(expr)                                                  \
  do {                                                                              \
    if (::moai::Status moai_status = (expr); !moai_status.ok()) return moai_status; \
  } while (false)
#define MOAI_ASSIGN_OR_RETURN(lhs, expr) \
  MOAI_ASSIGN_OR_RETURN_(MOAI_CONCAT(moai_or_, __LINE__), lhs, expr)
#define MOAI_ASSIGN_OR_RETURN_(tmp, lhs, expr) \
  auto tmp = (expr);                           \
  if (!tmp.ok()) return tmp.status();          \
  lhs = std::move(*tmp)
