// Strided views of a storage as SSA values: what a read shows and what a write makes of the
// contents.
#pragma once
#include "src/ir/build.h"
#include "src/wire/segment.h"

namespace moai::lower {

// The contents of a whole storage: `value` shows them through a dense view that starts at its first
// byte.
struct Contents {
  ir::ValueId value = ir::ValueId::none;
  DType dtype = DType::f32;
  Shape sizes, strides;
};

// Every index of the view once, in bounds, and none left out.
bool covers(const wire::View& view, int64_t count);
// Whether two indices of the view may show the same element.
bool overlaps(const wire::View& view);

// The value with its axes in the order of memory, biggest stride first; row-major it is the
// storage.
ir::ValueId memory_order(ir::Builder& b, const Contents& contents);

// Requires: view and contents of one dtype, the view inside the contents.
ir::ValueId read_view(ir::Builder& b, Contents& contents, const wire::View& view);
// New contents after `value` (of the view's sizes) was stored through the view. Requires:
// !overlaps(view).
Contents write_view(ir::Builder& b, const Contents& contents, const wire::View& view,
                    ir::ValueId value);

}  // namespace moai::lower
