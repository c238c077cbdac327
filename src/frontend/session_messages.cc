// What the server sends: answers, windows, errors, progress.
#include <algorithm>
#include <utility>

#include "src/frontend/session_client.h"

namespace moai::frontend {
namespace {

constexpr size_t kEventsMax = 65536;
constexpr size_t kNotesMax = 256;

StatusCode code_of(uint8_t code) {
  bool is_known = code != 0 && code <= static_cast<uint8_t>(StatusCode::internal);
  return is_known ? static_cast<StatusCode>(code) : StatusCode::internal;
}

}  // namespace

template <class M>
std::optional<M> SessionClient::decoded(wire::Span body) {
  StatusOr<M> message = wire::decode<M>(body);
  if (message.ok()) return std::move(*message);
  driver_->lose("it sent a malformed message (" + message.status().message() + ")");
  return std::nullopt;
}

void SessionClient::on_message(wire::Kind kind, wire::Span body) {
  using wire::Kind;
  switch (kind) {
    case Kind::done:
      if (auto m = decoded<wire::Done>(body)) on_done(*m);
      break;
    case Kind::data:
      if (auto m = decoded<wire::Data>(body)) on_data(std::move(*m));
      break;
    case Kind::window_grant:
      if (auto m = decoded<wire::WindowGrant>(body)) windows_.add(m->handle, m->bytes);
      break;
    case Kind::window_free:
      if (auto m = decoded<wire::WindowFree>(body)) windows_.release(m->handle, m->offset);
      break;
    case Kind::window_revoke:
      if (auto m = decoded<wire::WindowFree>(body)) windows_.remove(m->handle);
      break;
    case Kind::need_segment:
      if (auto m = decoded<wire::NeedSegment>(body)) on_need_segment(*m);
      break;
    case Kind::error:
      if (auto m = decoded<wire::Error>(body)) errors_.push_back(std::move(*m));
      break;
    case Kind::note: {
      auto m = decoded<wire::Note>(body);
      if (m && m->key != "ping" && notes_.size() < kNotesMax)
        notes_.push_back(m->key + ": " + m->text);
      break;
    }
    case Kind::op_table:
      if (auto m = decoded<wire::OpTable>(body)) {
        op_table_.emplace();
        for (size_t i = 0; i < std::min(m->names.size(), m->dtype_masks.size()); i++)
          (*op_table_)[m->names[i]] = m->dtype_masks[i];
      }
      break;
    default: break;  // of a newer server: it is told our protocol, so this one may be ignored
  }
}

void SessionClient::on_done(const wire::Done& done) {
  done_seq_ = std::max(done_seq_, done.seq);
  while (!unfinished_.empty() && unfinished_.front() <= done_seq_) unfinished_.pop_front();
  live_bytes_ = done.live_bytes;
  peak_bytes_ = done.peak_bytes;
  counters_.worker = {done.frames_received, done.plans_built,  done.kernels_built,
                      done.plan_hits,       done.allocations,  done.mappings,
                      done.planning_ns,     done.plans_resized};
  for (auto [id, ns] : done.events) {
    if (event_ns_.insert_or_assign(id, ns).second) event_order_.push_back(id);
    if (event_order_.size() <= kEventsMax) continue;
    event_ns_.erase(event_order_.front());
    event_order_.pop_front();
  }
}

void SessionClient::on_data(wire::Data data) {
  auto at = answers_.find(data.tag);
  if (at != answers_.end())
    at->second = std::move(data.data);
  else  // whoever asked was interrupted
    read_windows_.release(*driver_->connection(), data.tag);
}

void SessionClient::on_need_segment(const wire::NeedSegment& need) {
  const std::vector<wire::Bytes>* pieces = book_.find(need.segment);
  if (pieces == nullptr) return driver_->lose("it asked for a segment that it was not sent");
  for (const wire::Bytes& piece : *pieces)
    if (!driver_->send(wire::Kind::ops, piece).ok()) return;
  // A failure is in lost() for the next call.
  if (driver_->send_message(wire::Kind::segment_def, wire::SegmentDef{need.segment}).ok())
    (void)driver_->flush();
}

// The first error goes to the caller; the server runs on once it knows that all were seen.
Status SessionClient::raise() {
  if (errors_.empty()) return sticky_;
  Status first(code_of(errors_.front().code), errors_.front().text);
  for (const wire::Error& e : errors_) {
    if (e.is_sticky && sticky_.ok()) sticky_ = Status(code_of(e.code), e.text);
    (void)driver_->send_message(wire::Kind::error_seen, wire::ErrorSeen{e.segment_seq});
  }
  (void)driver_->flush();
  errors_.clear();
  // Of what was sent after the failure nothing will come.
  unfinished_.clear();
  book_.forget_bindings();
  if (driver_->lost().ok()) read_windows_.release_all(*driver_->connection());
  return first;
}

}  // namespace moai::frontend
