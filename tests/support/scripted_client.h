// A client of a session that a test drives message by message.
#pragma once
#include <catch2/catch.hpp>
#include <cstring>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "moai/transport.h"
#include "src/base/clock.h"
#include "src/wire/messages.h"
#include "src/wire/outbox.h"
#include "tests/support/segment_builder.h"

namespace moai::testing {

template <class T>
std::vector<std::byte> bytes_of(const std::vector<T>& values) {
  std::vector<std::byte> bytes(values.size() * sizeof(T));
  std::memcpy(bytes.data(), values.data(), bytes.size());
  return bytes;
}

inline std::vector<float> floats_of(const std::vector<std::byte>& bytes) {
  std::vector<float> values(bytes.size() / sizeof(float));
  std::memcpy(values.data(), bytes.data(), bytes.size());
  return values;
}

class ScriptedClient {
 public:
  explicit ScriptedClient(std::unique_ptr<Connection> connection)
      : connection_(std::move(connection)) {}

  template <class M>
  uint64_t send(wire::Kind kind, const M& message) {
    return send_bytes(kind, wire::encode(message));
  }
  // Returns the message's sequence number.
  uint64_t send_bytes(wire::Kind kind, const wire::Bytes& body) {
    REQUIRE(connection_->send(static_cast<uint8_t>(kind), body, in_seconds(10)).ok());
    REQUIRE(connection_->flush(in_seconds(10)).ok());
    return ++sent_;
  }

  // The next message of that kind; others on the way are kept for later.
  wire::Bytes await(wire::Kind kind) {
    Deadline deadline = in_seconds(20);
    while (true) {
      for (auto at = kept_.begin(); at != kept_.end(); ++at) {
        if (at->first != kind) continue;
        wire::Bytes body = std::move(at->second);
        kept_.erase(at);
        return body;
      }
      StatusOr<Message> message = connection_->next_message();
      if (message.ok()) {
        REQUIRE(wire::for_each_message(static_cast<wire::Kind>(message->kind), message->body,
                                       [&](wire::Kind k, wire::Span body) {
                                         kept_.emplace_back(k,
                                                            wire::Bytes(body.begin(), body.end()));
                                       })
                    .ok());
        continue;
      }
      INFO("waiting for message kind " << static_cast<int>(kind) << ": "
                                       << message.status().message());
      REQUIRE(message.status().code() == StatusCode::again);
      Status waited = connection_->wait(deadline);
      INFO(waited.message());
      REQUIRE((waited.ok() || waited.code() == StatusCode::unavailable));
    }
  }
  template <class M>
  M await_as(wire::Kind kind) {
    StatusOr<M> message = wire::decode<M>(await(kind));
    REQUIRE(message.ok());
    return *message;
  }
  bool has_kept(wire::Kind kind) const {
    for (const auto& [k, body] : kept_)
      if (k == kind) return true;
    return false;
  }
  wire::Done await_done(uint64_t seq) {
    while (true)
      if (auto done = await_as<wire::Done>(wire::Kind::done); done.seq >= seq) return done;
  }

  void upload(uint64_t storage, const std::vector<float>& values) {
    wire::Upload upload;
    upload.storage = storage;
    upload.data = bytes_of(values);
    upload.bytes = upload.data.size();
    send(wire::Kind::upload, upload);
  }
  // Elements of a contiguous f32 storage.
  std::vector<float> read(uint64_t storage, const Shape& sizes) {
    wire::View view;
    view.sizes = sizes;
    view.strides = contiguous_strides(sizes);
    return read(storage, view);
  }
  std::vector<float> read(uint64_t storage, const wire::View& view) {
    send_read(storage, view);
    auto data = await_as<wire::Data>(wire::Kind::data);
    REQUIRE(data.tag == tag_);
    return floats_of(data.data);
  }
  uint64_t send_read(uint64_t storage, const wire::View& view) {
    wire::Read read;
    read.storage = storage;
    read.view = view;
    read.tag = ++tag_;
    return send(wire::Kind::read, read);
  }

  // Ops and SegmentEnd of a segment that the server does not know.
  uint64_t define(const wire::Segment& segment, wire::Execute execute) {
    send_ops(segment);
    execute.segment = segment.id;
    return send(wire::Kind::segment_end, execute);
  }
  void send_ops(const wire::Segment& segment) {
    wire::Ops ops;
    ops.part = segment;
    send(wire::Kind::ops, ops);
  }

  Connection& connection() { return *connection_; }

 private:
  std::unique_ptr<Connection> connection_;
  std::vector<std::pair<wire::Kind, wire::Bytes>> kept_;
  uint64_t sent_ = 0, tag_ = 100;
};

// y = x w^T + b, and the parameter w is halved in place.
struct LinearSegment {
  SegmentBuilder builder;
  TensorArg x, w, b, y;
  LinearSegment() {
    x = builder.input(DType::f32, {2, 3});
    w = builder.input(DType::f32, {2, 3});
    b = builder.input(DType::f32, {2});
    y = builder.fresh(DType::f32, {2, 2});
    builder.op("linear").tensor(x).tensor(w).tensor(b).out({y});
    builder.op("mul.Scalar").tensor(w).scalar(0.5).out({w});
    builder.segment().id = {11, 22};
  }
  wire::Execute execute(uint64_t x_id, uint64_t w_id, uint64_t b_id, uint64_t y_id) const {
    wire::Execute e;
    e.segment = {11, 22};
    e.first_fresh_id = y_id;
    e.bindings = {{x.slot, x_id}, {w.slot, w_id}, {b.slot, b_id}};
    e.live_out = {w.slot, b.slot, y.slot};
    e.scalars = builder.scalars();
    return e;
  }
};

}  // namespace moai::testing
