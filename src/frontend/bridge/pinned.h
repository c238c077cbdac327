// Pinned host memory. Plain pages here: the transport registers what it needs at first transfer.
#pragma once
#include <c10/core/Allocator.h>

namespace moai::bridge {

c10::Allocator* pinned_allocator();
bool is_pinned(const void* p);

}  // namespace moai::bridge
