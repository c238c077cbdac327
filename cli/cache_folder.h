// Where this user's moai keeps what it can make again.
#pragma once
#include <filesystem>

#include "moai/status.h"

namespace moai::cli {

// MOAI_CACHE, else moai in XDG_CACHE_HOME, else ~/.cache/moai; it need not be there.
StatusOr<std::filesystem::path> cache_folder();
// The same, made if need be. Refuses one that others can write: what lies in it is run.
StatusOr<std::filesystem::path> make_cache_folder();

}  // namespace moai::cli
