#include "src/engine/line.h"

#include <utility>

#include "src/base/clock.h"

namespace moai::engine {

namespace {

constexpr double kSendSeconds = 60;           // a client that reads nothing for so long is lost
constexpr uint64_t kTakeOverNs = 10'000'000;  // a step shorter than that is not worth a hand-over
constexpr double kWatchSeconds = 0.02;
constexpr auto kWatchPeriod = std::chrono::milliseconds(10);

// More than a client that waits for kUnfinishedSegmentsMax steps has under way.
constexpr size_t kItems = 64;

bool is_from_client(wire::Kind kind) {
  return kind >= wire::Kind::ops && kind <= wire::Kind::close;
}

}  // namespace

Deadline Line::send_deadline() { return in_seconds(kSendSeconds); }

Line::Line(std::unique_ptr<Connection> connection, MessageTap tap, std::function<void()> on_lost)
    : connection_(std::move(connection)),
      tap_(std::move(tap)),
      on_lost_(std::move(on_lost)),
      items_(kItems),
      watcher_([this] { watch(); }) {
  mutex_.lock();
  // How deep the queue gets depends on timing, so every buffer that goes round has room from the
  // start.
  for (size_t i = 0; i < kItems; i++) items_.push() = make_item();
  arrived_.body.reserve(kFrameBytesMax);
  items_.clear();
}

Line::~Line() {
  is_stopping_ = true;
  mutex_.unlock();
  watch_wake_.notify_all();
  watcher_.join();
}

Item Line::make_item() {
  Item item;
  item.body.reserve(kFrameBytesMax);
  return item;
}

void Line::take() {
  auto kind = static_cast<wire::Kind>(arrived_.kind);
  if (kind != wire::Kind::batch) {
    Item& item = items_.push();
    item.body.swap(arrived_.body);
    return add(kind, item);
  }
  Status whole =
      wire::for_each_message(kind, arrived_.body, [&](wire::Kind inner, wire::Span body) {
        Item& item = items_.push();
        item.body.assign(body.begin(), body.end());
        add(inner, item);
      });
  if (whole.ok()) return;
  Item& item = items_.push();
  item.body.clear();
  add(kind, item);
  item.status = whole;
}

void Line::add(wire::Kind kind, Item& item) {
  item.seq = ++received_;
  item.kind = kind;
  item.definition.reset();
  if (tap_) tap_(static_cast<uint8_t>(kind), item.body);
  item.status = prepare(item);
}

// What cannot wait until the message's turn comes.
Status Line::prepare(Item& item) {
  using wire::Kind;
  switch (item.kind) {
    case Kind::ops: {
      MOAI_ASSIGN_OR_RETURN(wire::Ops ops, wire::decode<wire::Ops>(item.body));
      return collector_.add(std::move(ops));
    }
    case Kind::segment_end: {
      MOAI_ASSIGN_OR_RETURN(wire::Execute execute, wire::decode<wire::Execute>(item.body));
      item.definition = collector_.finish(execute.segment);
      return ok_status();
    }
    case Kind::segment_def: {
      MOAI_ASSIGN_OR_RETURN(wire::SegmentDef def, wire::decode<wire::SegmentDef>(item.body));
      item.definition = collector_.finish(def.segment);
      return ok_status();
    }
    case Kind::hints: return answer_ping(item.body);
    default:
      if (is_from_client(item.kind)) return ok_status();
      return invalid("[session] message kind " + std::to_string(static_cast<int>(item.kind)) +
                     " is none that a client sends");
  }
}

// At once, wherever it stands: a ping asks whether anybody is there.
Status Line::answer_ping(wire::Span body) {
  MOAI_ASSIGN_OR_RETURN(wire::Hints hint, wire::decode<wire::Hints>(body));
  if (hint.key != "ping") return ok_status();
  MOAI_RETURN_IF_ERROR(send(wire::Kind::note, wire::Note{"ping", hint.value}));
  return flush();
}

Status Line::receive_all() {
  while (true) {
    if (Status status = connection_->next_message(arrived_); !status.ok())
      return status.code() == StatusCode::again ? ok_status() : lost_ = status;
    take();
  }
}

Status Line::receive_more() {
  size_t before = items_.size();
  while (items_.size() == before) {
    if (!lost_.ok()) return lost_;
    // What came before the end is still there.
    if (Status status = receive_all(); items_.size() != before)
      break;
    else if (!status.ok())
      return status;
    Status status = connection_->wait(in_seconds(1));
    if (!status.ok() && status.code() != StatusCode::deadline_exceeded) {
      if (Status rest = receive_all(); rest.ok()) lost_ = status;
    }
  }
  return ok_status();
}

Status Line::next(Item& into) {
  if (items_.empty()) MOAI_RETURN_IF_ERROR(receive_more());
  std::swap(into, items_.front());
  items_.pop();
  return ok_status();
}

bool Line::has_next() {
  if (items_.empty() && lost_.ok()) (void)receive_all();
  return !items_.empty();
}

StatusOr<std::unique_ptr<wire::Segment>> Line::await_definition(const SegmentId& id) {
  for (size_t at = 0;; at++) {
    while (at >= items_.size()) MOAI_RETURN_IF_ERROR(receive_more());
    Item& item = items_[at];
    if (!item.status.ok()) return item.status;
    if (item.kind == wire::Kind::segment_def && item.definition != nullptr &&
        item.definition->id == id)
      return std::move(item.definition);
  }
}

void Line::begin_compute() {
  wants_back_ = false;
  computing_since_ns_ = now_ns();
  mutex_.unlock();
}

void Line::end_compute() {
  wants_back_ = true;
  if (!mutex_.try_lock()) {
    connection_->wake();
    mutex_.lock();
  }
  computing_since_ns_ = 0;
}

void Line::watch() {
  while (!is_stopping_) {
    {
      std::unique_lock lock(watch_mutex_);
      watch_wake_.wait_for(lock, kWatchPeriod);
    }
    uint64_t since = computing_since_ns_;
    if (since == 0 || now_ns() - since < kTakeOverNs) continue;
    std::unique_lock owner(mutex_, std::try_to_lock);
    while (owner.owns_lock() && !wants_back_ && computing_since_ns_ != 0 && !is_stopping_) {
      if (lost_.ok() && receive_all().ok() && !wants_back_) {
        Status status = connection_->wait(in_seconds(kWatchSeconds));
        if (status.code() == StatusCode::unavailable && receive_all().ok()) lost_ = status;
      }
      if (lost_.ok()) continue;
      if (on_lost_) on_lost_();
      break;
    }
  }
}

}  // namespace moai::engine
