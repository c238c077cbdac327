// A session against a scripted client: order, bindings, errors, memory.
#include <unistd.h>

#include <catch2/catch.hpp>
#include <filesystem>
#include <thread>

#include "src/device/open/open.h"
#include "src/engine/compile.h"
#include "src/engine/replay.h"
#include "src/engine/session.h"
#include "tests/support/scripted_client.h"
#include "transport/open/open.h"
#include "transport/socket_pair.h"

namespace moai::engine {
namespace {

using testing::LinearSegment;
using testing::ScriptedClient;
using testing::SegmentBuilder;
using wire::Kind;

constexpr uint64_t kMemory = 8 << 20;

// A session on a thread of its own, and its client.
class Pair {
 public:
  explicit Pair(uint64_t memory_bytes = kMemory, const std::string& record_path = "") {
    auto sockets = transport::socket_pair();
    REQUIRE(sockets.ok());
    server_ = std::thread(
        [this, memory_bytes, record_path, socket = std::move(sockets->second)]() mutable {
          auto opened = transport::open_server(std::move(socket), {}, in_seconds(10));
          std::unique_ptr<Device> device = open_device("cpu", {1, memory_bytes});
          FixedLender lender(memory_bytes);
          SessionOptions options;
          options.memory_bytes = memory_bytes;
          options.record_path = record_path;
          options.compiler = make_compiler({});
          options.op_names = {"neg"};
          options.op_dtype_masks = {mask_of(DType::f32)};
          end = Session(std::move(opened->connection), *device, lender, std::move(options)).run();
        });
    auto opened = transport::open_client(std::move(sockets->first), {}, in_seconds(10));
    REQUIRE(opened.ok());
    client = std::make_unique<ScriptedClient>(std::move(opened->connection));
  }
  ~Pair() { finish(); }
  void finish() {
    if (!server_.joinable()) return;
    client->connection().close();
    server_.join();
  }
  std::unique_ptr<ScriptedClient> client;
  Status end;

 private:
  std::thread server_;
};

const std::vector<float> kX{1, 2, 3, 4, 5, 6}, kW{1, 0, 0, 0, 1, 0}, kB{10, 20};

void upload_linear(ScriptedClient& client) {
  client.upload(1, kX);
  client.upload(2, kW);
  client.upload(3, kB);
}

TEST_CASE("a linear layer runs twice, updates its weight in place and is read back") {
  Pair pair;
  ScriptedClient& client = *pair.client;
  CHECK(client.await_as<wire::OpTable>(Kind::op_table).names == std::vector<std::string>{"neg"});
  LinearSegment linear;
  upload_linear(client);
  uint64_t seq = client.define(linear.builder.segment(), linear.execute(1, 2, 3, 4));
  client.await_done(seq);
  CHECK(client.read(4, {2, 2}) == std::vector<float>{11, 22, 14, 25});
  CHECK(client.read(2, {2, 3}) == std::vector<float>{0.5, 0, 0, 0, 0.5, 0});

  // Again, by name: only what changed is bound, and the old result dies.
  wire::Execute again = linear.execute(1, 2, 3, 5);
  again.is_whole = false;
  again.bindings.clear();
  again.deaths = {4};
  seq = client.send(Kind::execute, again);
  wire::Done done = client.await_done(seq);
  CHECK(done.plans_built == 1);
  CHECK(done.plan_hits == 1);
  CHECK(done.live_bytes == 4 * 256);
  CHECK(done.peak_bytes >= done.live_bytes);
  CHECK(client.read(5, {2, 2}) == std::vector<float>{10.5, 21, 12, 22.5});
  CHECK(client.read(2, {2, 3}) == std::vector<float>{0.25, 0, 0, 0, 0.25, 0});
}

TEST_CASE("a steady step allocates nothing on the device") {
  Pair pair;
  ScriptedClient& client = *pair.client;
  LinearSegment linear;
  upload_linear(client);
  client.define(linear.builder.segment(), linear.execute(1, 2, 3, 4));
  uint64_t allocations = 0;
  for (uint64_t id = 5; id < 15; id++) {
    wire::Execute next = linear.execute(1, 2, 3, id);
    next.deaths = {id - 1};
    wire::Done done = client.await_done(client.send(Kind::execute, next));
    if (id == 6) allocations = done.run_allocations;
    if (id > 6) CHECK(done.run_allocations == allocations);
  }
}

TEST_CASE("a step that came as one batch is answered by one") {
  Pair pair;
  ScriptedClient& client = *pair.client;
  client.await(Kind::op_table);
  LinearSegment linear;
  upload_linear(client);
  client.await_done(client.define(linear.builder.segment(), linear.execute(1, 2, 3, 4)));
  uint64_t received = client.connection().counters().frames_received;
  wire::Outbox outbox;
  wire::Upload upload;
  upload.storage = 5;
  upload.data = testing::bytes_of(std::vector<float>{0, 0, 0, 1, 1, 1});
  upload.bytes = upload.data.size();
  REQUIRE(outbox.send(client.connection(), Kind::upload, upload, in_seconds(10)).ok());
  REQUIRE(
      outbox.send(client.connection(), Kind::execute, linear.execute(5, 2, 3, 6), in_seconds(10))
          .ok());
  REQUIRE(outbox.flush(client.connection(), in_seconds(10)).ok());
  client.await(Kind::done);
  CHECK(client.connection().counters().frames_received == received + 1);
  CHECK(client.read(6, {2, 2}) == std::vector<float>{10, 20, 10.5, 20.5});
}

TEST_CASE("when plans are waited for, all that came before is built, and the figures are there") {
  Pair pair;
  ScriptedClient& client = *pair.client;
  LinearSegment linear;
  upload_linear(client);
  client.define(linear.builder.segment(), linear.execute(1, 2, 3, 4));
  client.upload(9, kX);
  client.send(Kind::sync, wire::Sync{77, true});
  CHECK(client.await_as<wire::Data>(Kind::data).tag == 77);
  wire::Done last;
  while (client.has_kept(Kind::done)) last = client.await_as<wire::Done>(Kind::done);
  CHECK(last.plans_built == 1);
  CHECK(last.kernels_built > 0);
  CHECK(last.live_bytes == 5 * 256);  // the last upload too, though no execution followed it
}

TEST_CASE("an unknown segment is asked for, and what came after it waits") {
  Pair pair;
  ScriptedClient& client = *pair.client;
  LinearSegment linear;
  upload_linear(client);
  uint64_t seq = client.send(Kind::execute, linear.execute(1, 2, 3, 4));
  wire::View whole;
  whole.sizes = {2, 2};
  whole.strides = {2, 1};
  client.send_read(4, whole);
  auto need = client.await_as<wire::NeedSegment>(Kind::need_segment);
  CHECK(need.segment == linear.builder.segment().id);
  CHECK(need.seq == seq);
  client.send_ops(linear.builder.segment());
  client.send(Kind::segment_def, wire::SegmentDef{need.segment});
  auto data = client.await_as<wire::Data>(Kind::data);
  CHECK(testing::floats_of(data.data) == std::vector<float>{11, 22, 14, 25});
}

// A fresh tensor too large for the device, beside an in-place update.
struct LargeSegment {
  SegmentBuilder builder;
  testing::TensorArg x, y;
  LargeSegment() {
    x = builder.input(DType::f32, {6});
    y = builder.fresh(DType::f32, {int64_t{kMemory}});
    builder.op("mul.Scalar").tensor(x).scalar(2.0).out({x});
    builder.op("full")
        .integers({int64_t{kMemory}})
        .scalar(1.0)
        .none()
        .none()
        .none()
        .none()
        .out({y});
    builder.segment().id = {5, 5};
  }
  wire::Execute execute(uint64_t x_id, uint64_t y_id) const {
    wire::Execute e;
    e.segment = {5, 5};
    e.first_fresh_id = y_id;
    e.bindings = {{x.slot, x_id}};
    e.live_out = {x.slot, y.slot};
    e.scalars = builder.scalars();
    return e;
  }
};

TEST_CASE("out of memory leaves storages alone and passes once it was seen") {
  Pair pair;
  ScriptedClient& client = *pair.client;
  LargeSegment large;
  client.upload(1, kX);
  uint64_t seq = client.define(large.builder.segment(), large.execute(1, 2));
  auto error = client.await_as<wire::Error>(Kind::error);
  CHECK(error.code == static_cast<uint8_t>(StatusCode::resource_exhausted));
  CHECK_FALSE(error.is_sticky);
  CHECK(error.segment_seq == seq);
  CHECK(error.text.find("CUDA out of memory. Tried to allocate 32.00 MiB") != std::string::npos);

  // Nothing runs before the client has seen it.
  LinearSegment linear;
  client.upload(2, kW);
  client.upload(3, kB);
  uint64_t dropped = client.define(linear.builder.segment(), linear.execute(1, 2, 3, 4));
  client.await_done(dropped);
  client.send(Kind::error_seen, wire::ErrorSeen{seq});
  CHECK(client.read(1, {2, 3}) == kX);
  CHECK(client.read(2, {2, 3}) == kW);
  wire::View whole;
  whole.sizes = {2, 2};
  whole.strides = {2, 1};
  uint64_t read = client.send_read(4, whole);
  auto repeated = client.await_as<wire::Error>(Kind::error);
  CHECK(repeated.segment_seq == read);
  CHECK(repeated.text == error.text);
  client.send(Kind::error_seen, wire::ErrorSeen{read});
  client.send(Kind::execute, linear.execute(1, 2, 3, 5));
  CHECK(client.read(5, {2, 2}) == std::vector<float>{11, 22, 14, 25});
}

TEST_CASE("uploads travel through granted windows and give them back") {
  Pair pair;
  ScriptedClient& client = *pair.client;
  auto grant = client.await_as<wire::WindowGrant>(Kind::window_grant);
  std::vector<float> values(1000);
  for (size_t i = 0; i < values.size(); i++) values[i] = static_cast<float>(i);
  std::vector<std::byte> bytes = testing::bytes_of(values);
  REQUIRE(client.connection().write({grant.handle, grant.bytes}, 512, bytes, in_seconds(5)).ok());
  wire::Upload upload;
  upload.storage = 1;
  upload.bytes = bytes.size();
  upload.window = grant.handle;
  upload.offset = 512;
  client.send(Kind::upload, upload);
  auto freed = client.await_as<wire::WindowFree>(Kind::window_free);
  CHECK(freed.handle == grant.handle);
  CHECK(freed.offset == 512);
  CHECK(freed.bytes == bytes.size());
  CHECK(client.read(1, {1000}) == values);

  // The other way, through a window of the client.
  auto region = client.connection().make_region(8192);
  REQUIRE(region.ok());
  auto window = client.connection().grant(*region);
  REQUIRE(window.ok());
  wire::Read read;
  read.storage = 1;
  read.view.sizes = {500};
  read.view.strides = {2};
  read.tag = 9;
  read.window = window->handle;
  read.offset = 128;
  client.send(Kind::read, read);
  CHECK(client.await_as<wire::Data>(Kind::data).tag == 9);
  for (size_t i = 0; i < 500; i++) {
    float value;
    std::memcpy(&value, region->data + 128 + i * 4, 4);
    REQUIRE(value == static_cast<float>(2 * i));
  }
}

TEST_CASE("a larger window comes when it is wanted, and not again while it is free") {
  Pair pair;
  ScriptedClient& client = *pair.client;
  client.await(Kind::window_grant);
  client.await(Kind::window_grant);
  client.send(Kind::window_want, wire::WindowWant{1 << 20});
  CHECK(client.await_as<wire::WindowGrant>(Kind::window_grant).bytes >= 1 << 20);
  client.send(Kind::window_want, wire::WindowWant{1 << 20});
  client.await(Kind::window_grant);
  client.send(Kind::window_want, wire::WindowWant{1 << 20});
  client.send(Kind::sync, wire::Sync{3, false});
  CHECK(client.await_as<wire::Data>(Kind::data).tag == 3);
  CHECK_FALSE(client.has_kept(Kind::window_grant));
}

TEST_CASE("pings, events and deaths between cuts are answered") {
  Pair pair;
  ScriptedClient& client = *pair.client;
  client.upload(1, kX);
  client.send(Kind::hints, wire::Hints{"ping", "7"});
  CHECK(client.await_as<wire::Note>(Kind::note).text == "7");
  wire::Done done = client.await_done(client.send(Kind::event_record, wire::EventRecord{42}));
  REQUIRE(done.events.size() == 1);
  CHECK(done.events[0].first == 42);
  wire::Execute deaths;
  deaths.deaths = {1};
  CHECK(client.await_done(client.send(Kind::execute, deaths)).live_bytes == 0);
}

TEST_CASE("a recording runs again without its client") {
  std::string path = "/tmp/moai-recording-" + std::to_string(::getpid());
  {
    Pair pair(kMemory, path);
    LinearSegment linear;
    upload_linear(*pair.client);
    pair.client->define(linear.builder.segment(), linear.execute(1, 2, 3, 4));
    pair.client->send(Kind::execute, linear.execute(1, 2, 3, 5));
    CHECK(pair.client->read(5, {2, 2}) == std::vector<float>{10.5, 21, 12, 22.5});
  }
  StatusOr<ReplayResult> result = replay(path, {kMemory, 1, ""});
  INFO(result.status().message());
  REQUIRE(result.ok());
  CHECK(result->errors.empty());
  CHECK(result->messages == 7);
  CHECK(result->plans_built == 1);
  CHECK(result->segments_run == 2);
  CHECK(result->bytes_read == 16);

  // Cut off inside a message it runs as far as it is whole; without its first line it is no
  // recording.
  auto size = static_cast<off_t>(std::filesystem::file_size(path));
  for (off_t at : {size - 1, off_t{20}}) {
    REQUIRE(::truncate(path.c_str(), at) == 0);
    StatusOr<ReplayResult> part = replay(path, {kMemory, 1, ""});
    REQUIRE(part.ok());
    CHECK(part->messages < result->messages);
  }
  for (off_t at : {off_t{5}, off_t{0}}) {
    REQUIRE(::truncate(path.c_str(), at) == 0);
    CHECK_FALSE(replay(path, {kMemory, 1, ""}).ok());
  }
  std::filesystem::remove(path);
}

TEST_CASE("an error of the device names the operator that it belongs to") {
  Pair pair;
  ScriptedClient& client = *pair.client;
  testing::SegmentBuilder builder;
  auto table = builder.input(DType::f32, {4, 2});
  auto index = builder.input(DType::i64, {3});
  auto doubled = builder.fresh(DType::f32, {4, 2});
  auto rows = builder.fresh(DType::f32, {3, 2});
  builder.segment().id = {5, 6};
  builder.op("add.Tensor").tensor(table).tensor(table).scalar(1.0).out({doubled});
  builder.op("index_select").tensor(doubled).integer(0).tensor(index).out({rows});
  client.upload(1, std::vector<float>(8, 1));
  wire::Upload upload;
  upload.storage = 2;
  upload.data = testing::bytes_of(std::vector<int64_t>{0, 9, 1});
  upload.bytes = upload.data.size();
  client.send(Kind::upload, upload);
  wire::Execute execute;
  execute.bindings = {{table.slot, 1}, {index.slot, 2}};
  execute.first_fresh_id = 3;
  execute.live_out = {rows.slot};
  execute.scalars = builder.scalars();
  client.define(builder.segment(), execute);
  auto error = client.await_as<wire::Error>(Kind::error);
  CHECK(error.is_sticky);
  CHECK(error.op_index == 1);
  CHECK(error.text.find("index_select") != std::string::npos);
  CHECK(error.text.find("index 9 is outside 4 elements") != std::string::npos);
}

TEST_CASE("malformed bytes end the session with a sentence") {
  Pair pair;
  ScriptedClient& client = *pair.client;
  client.send_bytes(Kind::execute, wire::Bytes(100, std::byte{0xff}));
  auto error = client.await_as<wire::Error>(Kind::error);
  CHECK(error.is_sticky);
  CHECK_FALSE(error.text.empty());
  pair.finish();
  CHECK(pair.end.code() == StatusCode::invalid_argument);
}

TEST_CASE("a batch that ends inside a message ends the session with a sentence") {
  Pair pair;
  ScriptedClient& client = *pair.client;
  client.send_bytes(Kind::batch, wire::Bytes(20, std::byte{0x7f}));
  CHECK(client.await_as<wire::Error>(Kind::error).text.find("batch") != std::string::npos);
  pair.finish();
  CHECK(pair.end.code() == StatusCode::invalid_argument);
}

TEST_CASE("what does not fit is refused, not run") {
  Pair pair;
  ScriptedClient& client = *pair.client;
  LinearSegment linear;
  upload_linear(client);
  SECTION("a storage that is not there") {
    client.define(linear.builder.segment(), linear.execute(1, 2, 77, 4));
  }
  SECTION("a storage that is too small") {
    client.define(linear.builder.segment(), linear.execute(1, 3, 3, 4));
  }
  SECTION("numbers that are missing") {
    wire::Execute execute = linear.execute(1, 2, 3, 4);
    execute.scalars.clear();
    client.define(linear.builder.segment(), execute);
  }
  SECTION("a live slot that is not there") {
    wire::Execute execute = linear.execute(1, 2, 3, 4);
    execute.live_out.push_back(99);
    client.define(linear.builder.segment(), execute);
  }
  SECTION("an upload outside its window") {
    auto grant = client.await_as<wire::WindowGrant>(Kind::window_grant);
    wire::Upload upload;
    upload.storage = 9;
    upload.bytes = 512;
    upload.window = grant.handle;
    upload.offset = grant.bytes - 1;
    client.send(Kind::upload, upload);
  }
  auto error = client.await_as<wire::Error>(Kind::error);
  CHECK(error.is_sticky);
  CHECK(error.code == static_cast<uint8_t>(StatusCode::invalid_argument));
}

TEST_CASE("an op without a lowering fails alone") {
  Pair pair;
  ScriptedClient& client = *pair.client;
  SegmentBuilder builder;
  auto x = builder.input(DType::f32, {6});
  builder.op("no_such_op").tensor(x).out({x});
  builder.segment().id = {9, 9};
  client.upload(1, kX);
  wire::Execute execute;
  execute.bindings = {{x.slot, 1}};
  execute.live_out = {x.slot};
  uint64_t seq = client.define(builder.segment(), execute);
  auto error = client.await_as<wire::Error>(Kind::error);
  CHECK_FALSE(error.is_sticky);
  CHECK(error.text.find("no_such_op") != std::string::npos);
  client.send(Kind::error_seen, wire::ErrorSeen{seq});
  CHECK(client.read(1, {2, 3}) == kX);
}

}  // namespace
}  // namespace moai::engine
