// Replays a segment: one row of the op map per op.
#include "src/lower/lower.h"

#include <unordered_map>

#include "src/lower/op_context.h"
#include "src/lower/replay.h"

namespace moai::lower {
namespace {

using OpMap = std::unordered_map<std::string_view, OpRow>;

const OpMap& op_map() {
  static const OpMap map = [] {
    OpMap m;
    for (const OpRow& row : all_ops()) m.emplace(row.name, row);
    return m;
  }();
  return map;
}

Status at_op(const wire::Segment& segment, size_t op, const Status& why) {
  return {why.code(), "[lower] op " + std::to_string(op) + " " +
                          segment.names[segment.op_name[op]] + ": " + why.message()};
}

}  // namespace

std::vector<SupportedOp> supported_ops() {
  std::vector<SupportedOp> ops;
  for (const OpRow& row : all_ops()) ops.push_back({std::string(row.name), row.dtypes});
  return ops;
}

StatusOr<ir::Graph> lower(const wire::Segment& segment, std::span<const uint32_t> live_out) {
  ir::Graph graph;
  ir::Builder builder(graph);
  Replay replay(segment, builder);
  uint32_t scalar_index = 0;
  for (size_t op = 0; op < segment.op_count(); op++) {
    builder.set_source(static_cast<uint32_t>(op));
    auto row = op_map().find(segment.names[segment.op_name[op]]);
    if (row == op_map().end())
      return at_op(
          segment, op,
          unimplemented("the server does not have this operator; run it on the CPU: x.cpu()"));
    OpContext context(replay, segment, op, &scalar_index);
    row->second.lower(context);
    if (context.args.failed())
      return at_op(segment, op, invalid("an argument is of another kind than its schema says"));
    if (!builder.status().ok()) return at_op(segment, op, builder.status());
  }
  replay.set_outputs(live_out);
  if (!builder.status().ok())
    return Status(builder.status().code(), "[lower] outputs: " + builder.status().message());
  return graph;
}

}  // namespace moai::lower
