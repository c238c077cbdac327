// Runs a hand-written segment through lower() and the reference evaluator.
#pragma once
#include <catch2/catch.hpp>
#include <cmath>
#include <cstring>
#include <map>
#include <string>
#include <vector>

#include "src/ir/eval.h"
#include "src/ir/verify.h"
#include "src/lower/lower.h"
#include "tests/support/segment_builder.h"

namespace moai::testing {

class Harness : public SegmentBuilder {
 public:
  // A bound tensor with these elements.
  TensorArg given(DType dtype, const Shape& sizes, const std::vector<double>& values) {
    TensorArg t = input(dtype, sizes);
    ir::Tensor data{{dtype, {sizes.numel()}}, {}};
    data.data.resize(data.type.bytes());
    for (size_t i = 0; i < values.size(); i++)
      ir::set_real(data, static_cast<int64_t>(i), values[i]);
    data_[t.slot] = std::move(data);
    return t;
  }
  TensorArg given(const Shape& sizes, const std::vector<double>& values) {
    return given(DType::f32, sizes, values);
  }

  Status status() {
    std::vector<uint32_t> live;
    Status valid = wire::verify(segment());
    return valid.ok() ? lower::lower(segment(), live).status() : valid;
  }

  // Runs with `slots` alive; contents of each by slot.
  void run(const std::vector<uint32_t>& slots) {
    Status valid = wire::verify(segment());
    INFO(valid.message());
    REQUIRE(valid.ok());
    StatusOr<ir::Graph> graph = lower::lower(segment(), slots);
    INFO(graph.status().message());
    REQUIRE(graph.ok());
    graph_ = *graph;
    Status sound = ir::verify(graph_);
    INFO(sound.message());
    REQUIRE(sound.ok());
    std::vector<ir::Tensor> inputs;
    for (const ir::Input& in : graph_.inputs()) inputs.push_back(bind(in));
    auto results = ir::eval(graph_, inputs);
    INFO(results.status().message());
    REQUIRE(results.ok());
    for (size_t i = 0; i < graph_.outputs().size(); i++)
      results_[graph_.outputs()[i].slot] = (*results)[i];
  }

  // Elements of a contiguous tensor that starts its storage. Requires: run() with its slot.
  std::vector<double> values(TensorArg t) {
    REQUIRE(results_.count(t.slot));
    ir::Tensor flat = results_[t.slot];
    const wire::View& v = segment().views[t.view];
    REQUIRE(flat.data.size() >= static_cast<size_t>(v.sizes.numel()) * size_of(v.dtype));
    flat.type = {v.dtype, {v.sizes.numel()}};
    std::vector<double> out;
    for (int64_t i = 0; i < v.sizes.numel(); i++) out.push_back(ir::get_real(flat, i));
    return out;
  }
  std::vector<double> result(TensorArg t) {
    run({t.slot});
    return values(t);
  }
  const ir::Graph& graph() const { return graph_; }
  const ir::Tensor& contents(uint32_t slot) { return results_[slot]; }
  void bind_bytes(uint32_t slot, std::vector<std::byte> bytes) { bytes_[slot] = std::move(bytes); }

 private:
  ir::Tensor bind(const ir::Input& in) {
    if (in.kind == ir::Input::Kind::storage && bytes_.count(in.index))
      return {graph_.type(in.value), bytes_[in.index]};
    if (in.kind == ir::Input::Kind::storage) {
      ir::Tensor t = data_[in.index];
      t.type = graph_.type(in.value);
      t.data.resize(t.type.bytes());
      return t;
    }
    ir::Tensor t{graph_.type(in.value), std::vector<std::byte>(8)};
    uint64_t bits = scalars()[in.index];
    std::memcpy(t.data.data(), &bits, 8);
    return t;
  }

  std::map<uint32_t, ir::Tensor> data_;
  std::map<uint32_t, std::vector<std::byte>> bytes_;
  ir::Graph graph_;
  std::map<uint32_t, ir::Tensor> results_;
};

inline void check_close(const std::vector<double>& got, const std::vector<double>& want,
                        double tolerance = 1e-5) {
  REQUIRE(got.size() == want.size());
  for (size_t i = 0; i < got.size(); i++) {
    INFO("element " << i << ": got " << got[i] << ", want " << want[i]);
    const bool same = got[i] == want[i] || (std::isnan(got[i]) && std::isnan(want[i]));
    CHECK((same || std::abs(got[i] - want[i]) <= tolerance * std::max(1.0, std::abs(want[i]))));
  }
}

}  // namespace moai::testing
