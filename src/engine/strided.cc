#include "src/engine/strided.h"

#include <cstring>

namespace moai::engine {

bool is_row_major(const wire::View& view) {
  int64_t step = 1;
  for (int i = view.sizes.rank() - 1; i >= 0; i--) {
    if (view.sizes[i] == 0) return true;
    if (view.sizes[i] == 1) continue;
    if (view.strides[i] != step) return false;
    step *= view.sizes[i];
  }
  return true;
}

namespace {

struct Extent {
  int64_t low, high;  // elements
};

Extent extent_of(const wire::View& view) {
  Extent e{view.offset, view.offset};
  for (int i = 0; i < view.sizes.rank(); i++) {
    int64_t reach = (view.sizes[i] - 1) * view.strides[i];
    (reach < 0 ? e.low : e.high) += reach;
  }
  return e;
}

template <size_t kSize>
void copy_row(const std::byte* from, int64_t stride, int64_t count, std::byte* to) {
  for (int64_t i = 0; i < count; i++)
    std::memcpy(to + i * static_cast<int64_t>(kSize),
                from + i * stride * static_cast<int64_t>(kSize), kSize);
}

void copy_row_of(size_t size, const std::byte* from, int64_t stride, int64_t count, std::byte* to) {
  switch (size) {
    case 1: return copy_row<1>(from, stride, count, to);
    case 2: return copy_row<2>(from, stride, count, to);
    case 4: return copy_row<4>(from, stride, count, to);
    case 8: return copy_row<8>(from, stride, count, to);
    default: return copy_row<16>(from, stride, count, to);
  }
}

}  // namespace

void gather(Device& device, const wire::View& view, const std::byte* block,
            std::vector<std::byte>& host, std::byte* out) {
  int64_t count = view.sizes.numel();
  if (count == 0) return;
  auto size = static_cast<int64_t>(size_of(view.dtype));
  if (is_row_major(view))
    return device.copy_out(out, block + view.offset * size, static_cast<uint64_t>(count * size));

  // One copy of what the view spans, then rows on the host: a device has no strided copy.
  Extent span = extent_of(view);
  host.resize(static_cast<size_t>((span.high - span.low + 1) * size));
  device.copy_out(host.data(), block + span.low * size, host.size());
  int last = view.sizes.rank() - 1;
  int64_t row = view.sizes[last], at = view.offset - span.low;
  Shape index = Shape::filled(last, 0);
  for (int64_t done = 0; done < count; done += row) {
    copy_row_of(static_cast<size_t>(size), host.data() + at * size, view.strides[last], row,
                out + done * size);
    for (int d = last - 1; d >= 0; d--) {
      at += view.strides[d];
      if (++index[d] < view.sizes[d]) break;
      at -= view.strides[d] * view.sizes[d];
      index[d] = 0;
    }
  }
}

}  // namespace moai::engine
