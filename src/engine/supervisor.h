// `moai serve`: listens, hands each session to a worker process of its own, lends memory, knows who
// runs. It never sees a tensor. Its end is the end of its workers.
//
// Thread rule: one thread runs it; status answers get a short thread each.
#pragma once
#include <sys/types.h>

#include <atomic>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "src/engine/control.h"
#include "src/engine/socket_file.h"
#include "src/wire/messages.h"
#include "transport/open/open.h"

namespace moai::engine {

struct SupervisorOptions {
  std::vector<std::string> listen_urls;
  int listen_fd = -1;            // inherited, already listening
  int launcher_fd = -1;          // a pipe that only the launcher holds: its end ends the server
  bool insecure_listen = false;  // tcp beyond this host
  std::string device = "cpu";
  uint64_t memory_bytes = 0;  // lent to all sessions together
  int threads = 0;
  std::string executable = "/proc/self/exe";  // what workers are started from
};

class Supervisor {
 public:
  explicit Supervisor(SupervisorOptions options);
  ~Supervisor();
  Supervisor(const Supervisor&) = delete;
  Supervisor& operator=(const Supervisor&) = delete;

  // Listens and starts the first worker.
  Status start();
  // Serves until a signal, or until the launcher is gone and the last session closed.
  Status run();
  // Ends run() soon; from any thread or a signal handler. signal: the one that asked for it, for
  // the log.
  void stop(int signal = 0);

 private:
  struct Pending {
    transport::Socket socket;
    Deadline deadline;
  };
  struct Worker {
    pid_t pid = 0;
    transport::Socket control;
    bool is_idle = true;
    uint64_t lent_bytes = 0, live_bytes = 0, busy_ns = 0, job = 0;
    uint64_t last_ns = 0, last_busy_ns = 0;  // of the latest report
    uint32_t utilization_percent = 0;
    int64_t client_pid = 0;
    std::string command;
  };
  Status watch(int fd, uint32_t events);
  Status start_worker();
  void accept_all(const transport::Socket& listener);
  void look_at(int fd);
  void route(transport::Socket socket, const std::string& line);
  void give_session(transport::Socket socket, const std::string& line);
  void answer_status(transport::Socket socket);
  void hear(Worker& worker);
  void note_stats(Worker& worker, const ControlMessage& message);
  void lend(Worker& worker, uint64_t bytes);
  void bury(int control_fd);
  void reap();
  void note_end(const Worker& worker, int status) const;
  void note_stop() const;
  void drop_late();
  void handle(int fd);
  bool is_done() const;
  wire::StatusReply snapshot() const;

  SupervisorOptions options_;
  transport::Socket epoll_, stop_event_;
  std::vector<transport::Socket> listeners_;
  std::vector<SocketFile> socket_files_;
  std::map<int, Pending> pending_;                  // by fd
  std::map<int, std::unique_ptr<Worker>> workers_;  // by control fd
  std::map<pid_t, std::unique_ptr<Worker>> dying_;  // control closed, process not yet reaped
  uint64_t free_bytes_;
  uint64_t next_job_ = 1;
  bool is_launcher_gone_ = false, is_stopping_ = false;
  std::atomic<int> stop_signal_{0};
};

}  // namespace moai::engine
