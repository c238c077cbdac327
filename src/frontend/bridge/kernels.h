// Kernels with code of their own: factories, metadata, copies, predicates, indexing, attention.
#pragma once

namespace torch {
class Library;
}

namespace moai::bridge {

void register_factories(torch::Library& lib);  // factories.cc
void register_indexing(torch::Library& lib);   // indexing.cc
void register_attention(torch::Library& lib);  // attention.cc
void register_cat(torch::Library& lib);        // cat.cc
// Not kernels: what the profiler asks of a device.
void register_profiler();  // profiler.cc

}  // namespace moai::bridge
