// Bytes between storages and the host, below the level of tensors.
#pragma once
#include <cstddef>
#include <span>

#include "src/frontend/capture.h"

namespace moai::bridge {

// Records that the elements of `from` go into those of `to`: views of equal sizes.
void record_copy(frontend::Storage* target, const wire::View& to, frontend::Storage* source,
                 const wire::View& from);
// The first `bytes` of `source` into `target`; a record. Does nothing while the source has no
// contents.
void copy_bytes(frontend::Storage* target, frontend::Storage* source, size_t bytes);
// All elements of a view, row-major; zeros while the storage has no contents. Waits.
void read_view(frontend::Storage* source, const wire::View& view, std::span<std::byte> out);
// Fills a storage without contents.
void upload(frontend::Storage* target, std::span<const std::byte> data);
bool has_contents(const frontend::Storage* storage);

}  // namespace moai::bridge
