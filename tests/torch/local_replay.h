// Runs a segment with PyTorch's CPU kernels: the other end of the bridge's recorder, for tests.
#pragma once
#include <ATen/core/Tensor.h>

#include <map>
#include <span>
#include <string>

#include "src/wire/messages.h"

namespace moai::test {

// Bytes by storage id.
using LocalStorages = std::map<uint64_t, at::Tensor>;

at::Tensor new_bytes(size_t bytes);
// Whether PyTorch has an op of this name that the CPU can run.
bool can_replay(const std::string& record_name);
// Runs all ops; fails when a word does not fit the schema, or a result its output.
Status replay(const wire::Segment& segment, const wire::Execute& execute, LocalStorages* storages);
// The elements of a view, row-major.
Status gather(const LocalStorages& storages, uint64_t id, const wire::View& view,
              std::span<std::byte> out);

}  // namespace moai::test
