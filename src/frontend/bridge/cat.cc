// torch.cat of contiguous tensors of one dtype and rank, recorded without boxing their list.
#include <ATen/core/IListRef.h>
#include <ATen/core/boxing/impl/boxing.h>
#include <torch/library.h>

#include "src/frontend/bridge/boxed.h"
#include "src/frontend/bridge/device.h"
#include "src/frontend/bridge/kernels.h"
#include "src/frontend/bridge/runtime.h"
#include "src/frontend/bridge/tensors.h"

namespace moai::bridge {
namespace {

using at::ITensorListRef;
using at::Tensor;

constexpr size_t kPartsMax = 16;

const OpInfo& cat_info() {
  static const OpInfo& info =
      op_info(c10::Dispatcher::singleton().findSchemaOrThrow("aten::cat", ""));
  return info;
}

// What the regular case needs to know of the list; the boxed kernel takes all else, errors too.
// Rank 4 and 5 are its business when they may be channels-last.
class Parts {
 public:
  Parts(const ITensorListRef& list, int64_t dim) {
    if (list.size() > kPartsMax) return;
    for (const Tensor& t : list) {
      if (!is_regular(t)) return;
      const Tensor& first = count_ ? *tensors_[0] : t;
      if (count_ == 0) {
        axis_ = dim < 0 ? dim + t.dim() : dim;
        if (axis_ < 0 || axis_ >= t.dim()) return;
        sizes_ = c10::DimVector(t.sizes());
      } else if (!joins(first, t)) {
        return;
      }
      tensors_[count_] = &t, storages_[count_++] = storage_of(t);
    }
    is_regular_ = count_ > 0 && cat_info().is_supported(*dtype_of(tensors_[0]->scalar_type()));
  }
  bool is_regular() const { return is_regular_; }
  Tensor record(int64_t dim) const {
    runtime().check_usable();
    Tensor result = empty_device(sizes_, tensors_[0]->scalar_type());
    if (result.numel() == 0) return result;
    frontend::Storage* to = storage_of(result);
    frontend::Recorder& r = runtime().recorder();
    {
      std::lock_guard lock(r.mutex());
      r.begin(cat_info().wire_name);
      r.list(count_);
      for (size_t i = 0; i < count_; i++) r.tensor(storages_[i], view_ref_of(*tensors_[i]));
      r.integer(dim);
      r.outputs(1);
      r.tensor(to, view_ref_of(result));
      r.end();
    }
    runtime().after_record();
    return result;
  }

 private:
  static bool is_regular(const Tensor& t) {
    return t.defined() && is_device(t) && !t.is_complex() && t.dim() != 4 && t.dim() != 5 &&
           t.is_contiguous() && is_expressible(t) && t.numel() > 0;
  }
  bool joins(const Tensor& first, const Tensor& t) {
    if (t.scalar_type() != first.scalar_type() || t.dim() != first.dim()) return false;
    for (int64_t d = 0; d < t.dim(); d++)
      if (d != axis_ && t.size(d) != first.size(d)) return false;
    sizes_[static_cast<size_t>(axis_)] += t.size(axis_);
    return true;
  }

  std::array<const Tensor*, kPartsMax> tensors_;
  std::array<frontend::Storage*, kPartsMax> storages_;
  size_t count_ = 0;
  int64_t axis_ = 0;
  c10::DimVector sizes_;
  bool is_regular_ = false;
};

Tensor cat(const ITensorListRef& tensors, int64_t dim) {
  Parts parts(tensors, dim);
  if (parts.is_regular()) return parts.record(dim);
  static const auto boxed = c10::BoxedKernel::makeFromFunction<&boxed_kernel>();
  return c10::impl::BoxedKernelWrapper<Tensor(const ITensorListRef&, int64_t)>::call(
      boxed, cat_info().op, kDeviceKeys, tensors, dim);
}

}  // namespace

void register_cat(torch::Library& lib) { lib.impl("cat", &cat); }

}  // namespace moai::bridge
