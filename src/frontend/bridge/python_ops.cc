// torch.ops.moai: what the Python part of the bridge calls. Operators, so that exceptions arrive as
// the right Python classes.
#include <torch/library.h>

#include "src/frontend/bridge/allocator.h"
#include "src/frontend/bridge/errors.h"
#include "src/frontend/bridge/generator.h"
#include "src/frontend/bridge/guard.h"
#include "src/frontend/bridge/register.h"
#include "src/frontend/bridge/runtime.h"
#include "src/frontend/bridge/stats.h"
#include "src/frontend/bridge/tensors.h"

namespace moai::bridge {
namespace {

c10::Dict<std::string, int64_t> fallbacks() {
  c10::Dict<std::string, int64_t> d;
  for (auto& [op, count] : runtime().fallbacks()) d.insert(op, static_cast<int64_t>(count.calls));
  return d;
}

// In the order of _memory.py's NAMES.
std::vector<int64_t> memory() {
  MemoryCounts c = memory_counts();
  std::vector<int64_t> v;
  for (uint64_t n :
       {c.live_bytes, c.peak_bytes, c.reserved_bytes, c.reserved_peak_bytes, c.allocations, c.frees,
        c.live_count, c.peak_count, c.out_of_memory, c.allocated_bytes, c.freed_bytes})
    v.push_back(static_cast<int64_t>(n));
  return v;
}

int64_t total_memory() {
  return static_cast<int64_t>(runtime().total_memory(/*may_connect=*/true));
}

void empty_device_cache() {
  empty_cache();
  if (runtime().session().is_connected()) runtime().cut();
}

void cut(bool is_step) {
  // A step on the cpu says nothing to a server that nobody talked to.
  if (is_step && runtime().recorder().ops_recorded() == 0) return;
  runtime().cut(is_step);
}

void wait_plans() {
  if (!runtime().session().is_connected()) return;
  runtime().cut();
  throw_if_error(runtime().session().sync(/*plans=*/true));
}

double elapsed(int64_t first, int64_t second) {
  return elapsed_ms(reinterpret_cast<void*>(first), reinterpret_cast<void*>(second));
}

void resize_storage_of(const at::Tensor& t, int64_t bytes) {
  resize_storage(t.storage().unsafeGetStorageImpl(), static_cast<size_t>(bytes));
}

void close() {
  if (!has_runtime() || runtime().is_bad_fork() || !runtime().session().is_connected()) return;
  runtime().cut();
  runtime().session().close();
}

void hint(std::string key, std::string value) {
  throw_if_error(runtime().session().hint(key, value));
}

bool is_bad_fork() { return has_runtime() && runtime().is_bad_fork(); }
bool wants_stats() { return has_runtime() && runtime().stats_lines().has_begun(); }
void tell_stats(std::string json) {
  // Once `moai run` is gone, nobody is left who misses them.
  if (has_runtime()) (void)runtime().stats_lines().tell(json);
}
bool is_connected() { return has_runtime() && runtime().session().is_connected(); }

}  // namespace

void register_python_ops() {
  auto& lib = *new torch::Library(torch::Library::DEF, "moai", std::nullopt, __FILE__, __LINE__);
  lib.def("fallbacks", &fallbacks);
  lib.def("stats", &stats_json);
  lib.def("wants_stats", &wants_stats);
  lib.def("tell_stats", &tell_stats);
  lib.def("memory", &memory);
  lib.def("default_generator", [] { return default_generator(); });
  lib.def("total_memory", &total_memory);
  lib.def("reset_peak_memory", &reset_peak_memory);
  lib.def("reset_accumulated_memory", &reset_accumulated_memory);
  lib.def("empty_cache", &empty_device_cache);
  lib.def("cut", &cut);
  lib.def("synchronize", [] { runtime().synchronize(); });
  lib.def("wait_plans", &wait_plans);
  lib.def("elapsed", &elapsed);
  lib.def("resize_storage", &resize_storage_of);
  lib.def("hint", &hint);
  lib.def("is_bad_fork", &is_bad_fork);
  lib.def("is_connected", &is_connected);
  lib.def("close", &close);
}

}  // namespace moai::bridge
