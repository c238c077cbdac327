// Gathers the elements of a view, row-major.
#pragma once
#include <cstddef>
#include <vector>

#include "moai/device.h"
#include "src/wire/segment.h"

namespace moai::engine {

// out has view_bytes(view); host takes what the view spans. Requires: check_view(view, bytes of
// block).
void gather(Device& device, const wire::View& view, const std::byte* block,
            std::vector<std::byte>& host, std::byte* out);
bool is_row_major(const wire::View& view);

}  // namespace moai::engine
