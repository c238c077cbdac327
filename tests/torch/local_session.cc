// A session inside the process, for tests of the bridge without a server: storages are bytes, a
// recorded op runs through PyTorch's CPU kernels, so what the recorder encoded is read back word by
// word and must fit.
//
// MOAI_LOCAL=copy: only copies are supported, everything else takes the fallback. MOAI_LOCAL=all:
// all that the CPU has.
#include <cstdlib>
#include <cstring>
#include <map>
#include <mutex>

#include "src/base/clock.h"
#include "src/frontend/session.h"
#include "tests/torch/local_replay.h"

namespace moai::frontend {
namespace {

using test::LocalStorages;

std::string variable(const char* name, const char* fallback) {
  const char* value = std::getenv(name);
  return value ? value : fallback;
}

class LocalSession final : public Session {
 public:
  explicit LocalSession(SessionOptions options) : options_(std::move(options)) {}

  Status ensure() override {
    std::lock_guard lock(mutex_);
    return use();
  }
  bool is_connected() const override { return is_connected_; }

  StatusOr<bool> supports(const std::string& name, DType dtype) override {
    std::lock_guard lock(mutex_);
    MOAI_RETURN_IF_ERROR(use());
    if (is_complex(dtype)) return false;
    return name == "copy" || (runs_all_ && test::can_replay(name));
  }

  StatusOr<MemoryInfo> memory() override {
    std::lock_guard lock(mutex_);
    MOAI_RETURN_IF_ERROR(use());
    return MemoryInfo{std::stoull(variable("MOAI_LOCAL_MEMORY", "17179869184")), 0, 0};
  }

  Status submit(const wire::Segment& segment, wire::Execute execute, Cut cut,
                bool& is_new) override {
    std::lock_guard lock(mutex_);
    MOAI_RETURN_IF_ERROR(use());
    counters_.steps += cut == Cut::step;
    if (segment.op_count()) {
      is_new = ++seen_[segment.id] == 1;
      (is_new ? counters_.segments_new : counters_.segments_reused)++;
      MOAI_RETURN_IF_ERROR(test::replay(segment, execute, &storages_));
    }
    for (uint64_t id : execute.deaths) storages_.erase(id);
    return ok_status();
  }

  Status upload(uint64_t id, std::span<const std::byte> data) override {
    std::lock_guard lock(mutex_);
    MOAI_RETURN_IF_ERROR(use());
    counters_.bytes_up += data.size();
    storages_[id] = test::new_bytes(data.size());
    std::memcpy(storages_[id].mutable_data_ptr(), data.data(), data.size());
    return ok_status();
  }

  Status deaths(std::vector<uint64_t> ids) override {
    std::lock_guard lock(mutex_);
    for (uint64_t id : ids) storages_.erase(id);
    return ok_status();
  }

  Status read(uint64_t id, const wire::View& view, std::span<std::byte> out) override {
    std::lock_guard lock(mutex_);
    MOAI_RETURN_IF_ERROR(use());
    counters_.bytes_down += out.size();
    counters_.blocking_round_trips++;
    counters_.waits_read++;
    return test::gather(storages_, id, view, out);
  }

  Status sync(bool) override {
    std::lock_guard lock(mutex_);
    counters_.waits_sync++;
    return use();
  }
  Status record_event(uint64_t id) override {
    std::lock_guard lock(mutex_);
    events_[id] = now_ns();
    return use();
  }
  StatusOr<uint64_t> event_time(uint64_t id) override {
    std::lock_guard lock(mutex_);
    MOAI_RETURN_IF_ERROR(use());
    auto it = events_.find(id);
    if (it == events_.end()) return Status(StatusCode::not_found, "event: never recorded");
    return it->second;
  }
  Status hint(const std::string& key, const std::string& value) override {
    std::lock_guard lock(mutex_);
    notes_.push_back(key + "=" + value);
    return ok_status();
  }
  SessionCounters counters() const override {
    std::lock_guard lock(mutex_);
    SessionCounters c = counters_;
    c.transport = "local";
    return c;
  }
  std::vector<std::string> notes() const override {
    std::lock_guard lock(mutex_);
    return notes_;
  }
  void forked() override { is_forked_ = true; }
  void close() override {}

 private:
  Status use() {
    if (is_forked_) return unavailable("Cannot re-initialize CUDA in forked subprocess");
    if (!is_connected_ && options_.on_connected) options_.on_connected();
    is_connected_ = true;
    return ok_status();
  }

  const SessionOptions options_;
  mutable std::mutex mutex_;
  bool is_connected_ = false, is_forked_ = false;
  const bool runs_all_ = variable("MOAI_LOCAL", "copy") == "all";
  LocalStorages storages_;
  std::map<uint64_t, uint64_t> events_;
  std::map<SegmentId, int> seen_;
  SessionCounters counters_;
  std::vector<std::string> notes_;
};

}  // namespace

std::unique_ptr<Session> make_session(SessionOptions options) {
  return std::make_unique<LocalSession>(std::move(options));
}

}  // namespace moai::frontend
