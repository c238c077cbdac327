// Bytes between storages and the host, below the level of tensors.
#include "src/frontend/bridge/raw_copy.h"

#include <algorithm>
#include <cstring>

#include "src/frontend/bridge/errors.h"
#include "src/frontend/bridge/runtime.h"

namespace moai::bridge {

bool has_contents(const frontend::Storage* storage) {
  std::lock_guard lock(runtime().recorder().mutex());
  return runtime().recorder().has_contents(storage);
}

void record_copy(frontend::Storage* target, const wire::View& to, frontend::Storage* source,
                 const wire::View& from) {
  frontend::Recorder& r = runtime().recorder();
  {
    std::lock_guard lock(r.mutex());
    r.begin("copy");
    r.tensor(target, to);
    r.tensor(source, from);
    r.integer(0);
    r.outputs(1);
    r.tensor(target, to);
    r.end();
  }
  runtime().after_record();
}

void copy_bytes(frontend::Storage* target, frontend::Storage* source, size_t bytes) {
  if (bytes == 0 || !has_contents(source)) return;
  wire::View view;
  view.dtype = DType::u8;
  view.sizes = Shape{static_cast<int64_t>(bytes)};
  view.strides = Shape{1};
  record_copy(target, view, source, view);
}

void read_view(frontend::Storage* source, const wire::View& view, std::span<std::byte> out) {
  runtime().check_usable();
  if (out.empty()) return;
  if (!has_contents(source)) {
    std::memset(out.data(), 0, out.size());
    return;
  }
  runtime().reads().note_read();
  throw_if_error(runtime().recorder().read(source, view, out));
}

void upload(frontend::Storage* target, std::span<const std::byte> data) {
  runtime().check_usable();
  if (!data.empty()) throw_if_error(runtime().recorder().upload(target, data));
}

}  // namespace moai::bridge
