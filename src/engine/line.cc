#include "src/engine/line.h"

#include <utility>

#include "src/base/clock.h"

namespace moai::engine {

namespace {

constexpr double kSendSeconds = 60;           // a client that reads nothing for so long is lost
constexpr uint64_t kTakeOverNs = 10'000'000;  // a step shorter than that is not worth a hand-over
constexpr double kWatchSeconds = 0.02;
constexpr auto kWatchPeriod = std::chrono::milliseconds(10);

template <class M>
Status decode_into(Item& item, wire::Span body) {
  StatusOr<M> message = wire::decode<M>(body);
  if (message.ok()) item.body = std::move(*message);
  return message.status();
}

Status decode_item(Item& item, wire::Span body) {
  using wire::Kind;
  switch (item.kind) {
    case Kind::segment_end:
    case Kind::execute: return decode_into<wire::Execute>(item, body);
    case Kind::segment_def: return decode_into<wire::SegmentDef>(item, body);
    case Kind::read: return decode_into<wire::Read>(item, body);
    case Kind::upload: return decode_into<wire::Upload>(item, body);
    case Kind::window_want: return decode_into<wire::WindowWant>(item, body);
    case Kind::sync: return decode_into<wire::Sync>(item, body);
    case Kind::event_record: return decode_into<wire::EventRecord>(item, body);
    case Kind::error_seen: return decode_into<wire::ErrorSeen>(item, body);
    case Kind::hints: return decode_into<wire::Hints>(item, body);
    case Kind::close: return ok_status();
    default:
      return invalid("[session] message kind " + std::to_string(static_cast<int>(item.kind)) +
                     " is none that a client sends");
  }
}

}  // namespace

Deadline Line::send_deadline() { return in_seconds(kSendSeconds); }

Line::Line(std::unique_ptr<Connection> connection, MessageTap tap, std::function<void()> on_lost)
    : connection_(std::move(connection)),
      tap_(std::move(tap)),
      on_lost_(std::move(on_lost)),
      watcher_([this] { watch(); }) {
  mutex_.lock();
}

Line::~Line() {
  is_stopping_ = true;
  mutex_.unlock();
  watch_wake_.notify_all();
  watcher_.join();
}

void Line::take(Message message) {
  Item item;
  item.seq = ++received_;
  item.kind = static_cast<wire::Kind>(message.kind);
  if (tap_) tap_(message.kind, message.body);
  if (item.kind == wire::Kind::ops) {
    StatusOr<wire::Ops> ops = wire::decode<wire::Ops>(message.body);
    item.status = ops.ok() ? collector_.add(std::move(*ops)) : ops.status();
  } else {
    item.status = decode_item(item, message.body);
  }
  if (item.status.ok() && item.kind == wire::Kind::segment_end)
    item.definition = collector_.finish(std::get<wire::Execute>(item.body).segment);
  if (item.status.ok() && item.kind == wire::Kind::segment_def)
    item.definition = collector_.finish(std::get<wire::SegmentDef>(item.body).segment);
  if (item.status.ok() && item.kind == wire::Kind::hints) item.status = answer_ping(item);
  items_.push_back(std::move(item));
}

// At once, wherever it stands: a ping asks whether anybody is there.
Status Line::answer_ping(const Item& item) {
  const auto& hint = std::get<wire::Hints>(item.body);
  if (hint.key != "ping") return ok_status();
  MOAI_RETURN_IF_ERROR(send(wire::Kind::note, wire::Note{"ping", hint.value}));
  return flush();
}

Status Line::receive_all() {
  while (true) {
    StatusOr<Message> message = connection_->next_message();
    if (!message.ok()) {
      if (message.status().code() == StatusCode::again) return ok_status();
      return lost_ = message.status();
    }
    take(std::move(*message));
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

StatusOr<Item> Line::next() {
  if (items_.empty()) MOAI_RETURN_IF_ERROR(receive_more());
  Item item = std::move(items_.front());
  items_.pop_front();
  return item;
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
        std::get<wire::SegmentDef>(item.body).segment == id)
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
