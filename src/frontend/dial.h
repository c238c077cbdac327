// Finds a server that answers and agrees on a session with it.
#pragma once
#include <functional>
#include <memory>
#include <string>

#include "moai/transport.h"
#include "src/wire/messages.h"

namespace moai::frontend {

struct DialOptions {
  std::string servers;  // URL[,URL...], tried in this order
  std::string command;  // for moreh-smi
  double seconds = 30;
  std::function<bool()> is_stopped;
  std::function<void(const std::string& try_text)> on_try;  // "URL (attempt 2 of 3)"; may be empty
};

struct Dialed {
  std::unique_ptr<Connection> connection;
  wire::Hello peer;
  std::string url;
};

// Goes over the list three times; the failure names all of it and what to do.
StatusOr<Dialed> dial(const DialOptions& options);

}  // namespace moai::frontend
