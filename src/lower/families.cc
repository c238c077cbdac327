// The op map: every family once. A new family is one line here and one file.
#include "src/lower/op_context.h"

namespace moai::lower {
namespace {

constexpr std::span<const OpRow> (*kFamilies[])() = {
    pointwise_ops, activation_ops, create_ops,    reduce_ops,      scan_ops, matrix_ops,
    random_ops,    layout_ops,     index_ops,     fancy_index_ops, sort_ops, foreach_ops,
    optimizer_ops, conv_ops,       pool_ops,      resize_ops,      pad_ops,  norm_ops,
    loss_ops,      embedding_ops,  attention_ops, recurrent_ops,
};

}  // namespace

std::vector<OpRow> all_ops() {
  std::vector<OpRow> rows;
  for (auto family : kFamilies) {
    std::span<const OpRow> more = family();
    rows.insert(rows.end(), more.begin(), more.end());
  }
  return rows;
}

}  // namespace moai::lower
