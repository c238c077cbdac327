// Session over a transport connection: what messages mean, what a call waits for. The connection is
// Driver's.
#pragma once
#include <atomic>
#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "src/frontend/driver.h"
#include "src/frontend/read_windows.h"
#include "src/frontend/segment_book.h"
#include "src/frontend/session.h"
#include "src/frontend/upload_windows.h"

namespace moai::frontend {

class SessionClient : public Session {
 public:
  explicit SessionClient(SessionOptions options);
  ~SessionClient() override;

  Status ensure() override;
  bool is_connected() const override;
  StatusOr<bool> supports(const std::string& name, DType dtype) override;
  StatusOr<MemoryInfo> memory() override;
  Status submit(const wire::Segment& segment, wire::Execute execute, Cut cut,
                bool& is_new) override;
  Status upload(uint64_t storage, std::span<const std::byte> data) override;
  Status deaths(std::vector<uint64_t> ids) override;
  Status read(uint64_t storage, const wire::View& view, std::span<std::byte> out) override;
  Status sync(bool plans) override;
  Status record_event(uint64_t id) override;
  StatusOr<uint64_t> event_time(uint64_t id) override;
  Status hint(const std::string& key, const std::string& value) override;
  SessionCounters counters() const override;
  std::vector<std::string> notes() const override;
  void forked() override;
  void close() override;

 private:
  // All [turn] from here on.
  void on_message(wire::Kind kind, wire::Span body);
  void on_done(const wire::Done& done);
  void on_data(wire::Data data);
  void on_need_segment(const wire::NeedSegment& need);
  template <class M>
  std::optional<M> decoded(wire::Span body);

  Status begin();
  Status raise();
  bool has_error() const { return !errors_.empty() || !sticky_.ok(); }
  Status await(std::string_view what, const std::function<bool()>& is_done);
  Status ask(wire::Kind kind, wire::Span body, std::string_view what, uint64_t tag);
  Status hand_over(const wire::Segment& segment, wire::Execute& execute, Cut cut, bool& is_new);
  Status wait_after(const wire::Segment& segment, bool is_new);
  Status read_inline(const wire::Read& message, std::span<std::byte> out);
  Status read_through_window(wire::Read& message, std::span<std::byte> out);
  StatusOr<UploadRange> upload_range(uint64_t bytes);
  Status write_range(const UploadRange& range, std::span<const std::byte> data);

  std::shared_ptr<Driver> driver_;
  std::atomic<bool> is_forked_{false};

  SegmentBook book_;
  UploadWindows windows_;
  ReadWindows read_windows_;
  std::deque<uint64_t> unfinished_;  // sequence numbers of executions, ascending
  uint64_t done_seq_ = 0, next_tag_ = 1;
  std::unordered_map<uint64_t, std::optional<wire::Bytes>>
      answers_;                      // by tag: who waits, what came
  std::vector<wire::Error> errors_;  // not raised yet
  Status sticky_;
  std::optional<std::unordered_map<std::string, uint32_t>> op_table_;
  std::unordered_map<uint64_t, uint64_t> event_ns_;
  std::deque<uint64_t> event_order_;
  std::vector<wire::Hints> queued_hints_;  // given before the connection was there
  std::vector<std::string> notes_;
  uint64_t live_bytes_ = 0, peak_bytes_ = 0;
  SessionCounters counters_;
  uint64_t captured_since_ns_ = 0;  // the last submit's end
  uint64_t idle_since_ns_ = 0;      // 0: the server may have work
};

}  // namespace moai::frontend
