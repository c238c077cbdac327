// Operators whose result has as many elements as the data says: the number is computed on the
// device and read, the rest stays there.
#include <ATen/core/Tensor.h>
#include <ATen/ops/all.h>
#include <ATen/ops/amin.h>
#include <ATen/ops/any.h>
#include <ATen/ops/broadcast_tensors.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/cumsum.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/eq.h>
#include <ATen/ops/full.h>
#include <ATen/ops/index_add.h>
#include <ATen/ops/index_select.h>
#include <ATen/ops/ne.h>
#include <ATen/ops/nonzero_static.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/ones_like.h>
#include <ATen/ops/scatter.h>
#include <ATen/ops/sort.h>
#include <ATen/ops/stack.h>
#include <ATen/ops/sub.h>
#include <ATen/ops/sum.h>
#include <ATen/ops/zeros.h>
#include <ATen/ops/zeros_like.h>

#include "src/frontend/bridge/decompose.h"

namespace moai::bridge {
namespace {

using at::Tensor;

Tensor nonzero(const Tensor& self) {
  int64_t count = at::sum(at::ne(self, 0)).item<int64_t>();
  return at::nonzero_static(self, count);
}

Tensor masked_select(const Tensor& self, const Tensor& mask) {
  TORCH_CHECK(mask.scalar_type() == at::kBool,
              "masked_select: expected BoolTensor for mask, but got ", mask.scalar_type());
  std::vector<Tensor> both = at::broadcast_tensors({self, mask});
  Tensor places = nonzero(both[1].reshape({-1})).select(1, 0);
  return at::index_select(both[0].reshape({-1}), 0, places);
}

bool equal(const Tensor& self, const Tensor& other) {
  TORCH_CHECK(self.scalar_type() == other.scalar_type(), "Expected object of data type ",
              self.scalar_type(), " but got data type ", other.scalar_type(),
              " for argument 'other' in call to equal");
  if (self.sizes() != other.sizes()) return false;
  return self.numel() == 0 || at::all(at::eq(self, other)).item<bool>();
}

// [2, 1, 3] -> [0, 0, 1, 2, 2, 2]: each element is the number of groups that have ended before it.
Tensor repeat_interleave(const Tensor& repeats, std::optional<int64_t> output_size) {
  TORCH_CHECK(repeats.dim() == 1, "repeat_interleave only accept 1D vector as repeat");
  TORCH_CHECK(repeats.scalar_type() == at::kLong || repeats.scalar_type() == at::kInt,
              "repeats has to be Long or Int tensor");
  if (repeats.numel() == 0) return at::empty({0}, repeats.options());
  if (!output_size) {
    Tensor facts = at::stack({at::sum(repeats), at::amin(repeats).to(at::kLong)}).cpu();
    TORCH_CHECK(facts[1].item<int64_t>() >= 0, "repeats can not be negative");
    output_size = facts[0].item<int64_t>();
  }
  Tensor ends = at::cumsum(repeats, 0, at::kLong);
  Tensor ended =
      at::index_add(at::zeros({*output_size + 1}, ends.options()), 0, ends, at::ones_like(ends));
  return at::cumsum(ended.slice(0, 0, *output_size), 0, repeats.scalar_type());
}

// Runs of equal neighbours along dimension 0: the number of the run that each element is in, and
// where each run begins.
struct Runs {
  Tensor number, first;
};

Runs runs_of(const Tensor& v) {
  auto options = v.options().dtype(at::kLong);
  const int64_t n = v.size(0);
  if (n == 0) return {at::empty({0}, options), at::empty({0}, options)};
  Tensor differs = at::ne(v.slice(0, 1, n), v.slice(0, 0, n - 1));
  if (differs.dim() > 1) differs = at::any(differs.flatten(1), 1);
  Tensor begins = at::cat({at::ones({1}, options.dtype(at::kBool)), differs});
  return {at::sub(at::cumsum(begins, 0, at::kLong), 1), nonzero(begins).select(1, 0)};
}

Tensor lengths_of(const Runs& r, int64_t total) {
  const int64_t count = r.first.numel();
  Tensor end = at::full({count ? 1 : 0}, total, r.first.options());
  return at::sub(at::cat({r.first.slice(0, 1, count), end}), r.first);
}

using Three = std::tuple<Tensor, Tensor, Tensor>;

Three unique_consecutive(const Tensor& self, bool wants_inverse, bool wants_counts,
                         std::optional<int64_t> dim) {
  Tensor v = dim ? self.movedim(*dim, 0) : self.reshape({-1});
  Runs r = runs_of(v);
  Tensor none = at::empty({0}, self.options().dtype(at::kLong));
  Tensor values = at::index_select(v, 0, r.first);
  return {dim ? values.movedim(0, *dim).contiguous() : values,
          !wants_inverse ? none
          : dim          ? r.number
                         : r.number.reshape(self.sizes()),
          wants_counts ? lengths_of(r, v.size(0)) : none};
}

Three unique2(const Tensor& self, bool, bool wants_inverse, bool wants_counts) {
  Tensor flat = self.reshape({-1});
  auto [sorted, places] = at::sort(flat);
  Runs r = runs_of(sorted);
  Tensor none = at::empty({0}, self.options().dtype(at::kLong));
  Tensor inverse = none;
  if (wants_inverse)
    inverse = at::scatter(at::zeros_like(places), 0, places, r.number).reshape(self.sizes());
  return {at::index_select(sorted, 0, r.first), inverse,
          wants_counts ? lengths_of(r, flat.numel()) : none};
}

std::tuple<Tensor, Tensor> unique(const Tensor& self, bool sorted, bool wants_inverse) {
  auto [values, inverse, counts] = unique2(self, sorted, wants_inverse, false);
  return {values, inverse};
}

}  // namespace

void add_dynamic_parts(KernelTable& parts) {
  parts.add("nonzero", &nonzero);
  parts.add("masked_select", &masked_select);
  parts.add("equal", &equal);
  parts.add("repeat_interleave.Tensor", &repeat_interleave);
  parts.add("_unique2", &unique2);
  parts.add("_unique", &unique);
  parts.add("unique_consecutive", &unique_consecutive);
}

}  // namespace moai::bridge
