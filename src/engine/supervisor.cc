#include "src/engine/supervisor.h"

#include <fcntl.h>
#include <spawn.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <utility>

#include "src/base/clock.h"
#include "src/base/log.h"
#include "src/engine/status_answer.h"
#include "transport/socket_pair.h"

extern char** environ;

namespace moai::engine {

namespace {

constexpr double kRouteSeconds = 2;
constexpr size_t kPendingMax = 256;
constexpr int kWorkerControlFd = 3;
constexpr int kTickMs = 250;

void close_on_exec(int fd) { ::fcntl(fd, F_SETFD, FD_CLOEXEC); }

}  // namespace

Supervisor::Supervisor(SupervisorOptions options)
    : options_(std::move(options)), free_bytes_(options_.memory_bytes) {}

Supervisor::~Supervisor() {
  // Closing a control socket ends its worker.
  for (auto& [fd, worker] : workers_) {
    pid_t pid = worker->pid;
    worker->control = transport::Socket();
    ::waitpid(pid, nullptr, 0);
  }
  for (auto& [pid, worker] : dying_) ::waitpid(pid, nullptr, 0);
}

Status Supervisor::watch(int fd, uint32_t events) {
  epoll_event event{};
  event.events = events;
  event.data.fd = fd;
  if (::epoll_ctl(epoll_.fd(), EPOLL_CTL_ADD, fd, &event) == 0) return ok_status();
  return unavailable(std::string("[serve] a descriptor cannot be watched: ") +
                     std::strerror(errno));
}

Status Supervisor::start() {
  epoll_ = transport::Socket(::epoll_create1(EPOLL_CLOEXEC));
  stop_event_ = transport::Socket(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  MOAI_RETURN_IF_ERROR(watch(stop_event_.fd(), EPOLLIN));
  if (options_.listen_fd >= 0) {
    close_on_exec(options_.listen_fd);
    listeners_.emplace_back(options_.listen_fd);
  }
  for (const std::string& url : options_.listen_urls) {
    MOAI_ASSIGN_OR_RETURN(transport::Address address, transport::parse_address(url));
    MOAI_ASSIGN_OR_RETURN(transport::Socket listener,
                          transport::listen_on(address, options_.insecure_listen));
    listeners_.push_back(std::move(listener));
    if (address.kind == transport::Address::Kind::unix_path)
      socket_files_.emplace_back(address.text);
  }
  for (const transport::Socket& listener : listeners_)
    MOAI_RETURN_IF_ERROR(watch(listener.fd(), EPOLLIN));
  if (options_.launcher_fd >= 0) {
    close_on_exec(options_.launcher_fd);
    MOAI_RETURN_IF_ERROR(watch(options_.launcher_fd, EPOLLIN | EPOLLHUP));
  }
  return start_worker();
}

void Supervisor::stop(int signal) {
  stop_signal_ = signal;
  uint64_t one = 1;
  (void)!::write(stop_event_.fd(), &one, sizeof one);
}

Status Supervisor::start_worker() {
  MOAI_ASSIGN_OR_RETURN(auto pair, transport::socket_pair());
  auto worker = std::make_unique<Worker>();
  std::array<std::string, 6> words = {"moai",
                                      "worker",
                                      "--control-fd=" + std::to_string(kWorkerControlFd),
                                      "--device=" + options_.device,
                                      "--device-memory=" + std::to_string(options_.memory_bytes),
                                      "--threads=" + std::to_string(options_.threads)};
  std::array<char*, 7> argv{};
  for (size_t i = 0; i < words.size(); i++) argv[i] = words[i].data();
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_adddup2(&actions, pair.second.fd(), kWorkerControlFd);
  int error = ::posix_spawn(&worker->pid, options_.executable.c_str(), &actions, nullptr,
                            argv.data(), environ);
  posix_spawn_file_actions_destroy(&actions);
  if (error != 0)
    return unavailable(std::string("[serve] a worker cannot be started: ") + std::strerror(error));
  int flags = ::fcntl(pair.first.fd(), F_GETFL);
  ::fcntl(pair.first.fd(), F_SETFL, flags | O_NONBLOCK);
  worker->control = std::move(pair.first);
  MOAI_RETURN_IF_ERROR(watch(worker->control.fd(), EPOLLIN));
  int fd = worker->control.fd();
  workers_[fd] = std::move(worker);
  return ok_status();
}

Status Supervisor::run() {
  while (!is_done()) {
    std::array<epoll_event, 64> events;
    bool needs_tick = !pending_.empty() || !dying_.empty() || is_launcher_gone_;
    int count = ::epoll_wait(epoll_.fd(), events.data(), static_cast<int>(events.size()),
                             needs_tick ? kTickMs : -1);
    if (count < 0 && errno != EINTR)
      return unavailable(std::string("[serve] cannot wait for events: ") + std::strerror(errno));
    for (int i = 0; i < count; i++) handle(events[static_cast<size_t>(i)].data.fd);
    drop_late();
    reap();
  }
  note_stop();
  return ok_status();
}

// An embedded server ends with each run and says so only when asked.
void Supervisor::note_stop() const {
  std::string why = "it was told to";
  if (!is_stopping_)
    why = "its launcher and the last session ended";
  else if (stop_signal_ != 0)
    why = std::string("signal ") + std::to_string(stop_signal_) + " (" + ::strsignal(stop_signal_) +
          ")";
  log(options_.launcher_fd >= 0 ? LogLevel::debug : LogLevel::info, "serve: stopping: " + why);
}

bool Supervisor::is_done() const {
  if (is_stopping_) return true;
  if (!is_launcher_gone_) return false;
  return std::all_of(workers_.begin(), workers_.end(),
                     [](const auto& w) { return w.second->is_idle; });
}

void Supervisor::handle(int fd) {
  if (fd == stop_event_.fd()) {
    is_stopping_ = true;
  } else if (fd == options_.launcher_fd) {
    is_launcher_gone_ = true;
    ::epoll_ctl(epoll_.fd(), EPOLL_CTL_DEL, fd, nullptr);
  } else if (auto worker = workers_.find(fd); worker != workers_.end()) {
    hear(*worker->second);
  } else if (pending_.count(fd) != 0) {
    look_at(fd);
  } else {
    for (const transport::Socket& listener : listeners_)
      if (listener.fd() == fd) return accept_all(listener);
  }
}

void Supervisor::accept_all(const transport::Socket& listener) {
  while (true) {
    StatusOr<transport::Socket> socket = transport::accept_from(listener, Deadline{now_ns()});
    if (!socket.ok()) return;
    if (pending_.size() >= kPendingMax) continue;  // closed: the client tries again
    if (StatusOr<uint32_t> uid = transport::peer_uid(*socket);
        uid.ok() && *uid != ::getuid() && *uid != 0) {
      log_warning("serve: a process of user " + std::to_string(*uid) + " was refused");
      continue;
    }
    int fd = socket->fd();
    if (!watch(fd, EPOLLIN | EPOLLET | EPOLLRDHUP).ok()) continue;
    pending_[fd] = {std::move(*socket), in_seconds(kRouteSeconds)};
    look_at(fd);
  }
}

void Supervisor::look_at(int fd) {
  auto at = pending_.find(fd);
  StatusOr<std::string> line = transport::peek_route(at->second.socket, Deadline{now_ns()});
  if (!line.ok()) {
    StatusCode code = line.status().code();
    if (code != StatusCode::again && code != StatusCode::deadline_exceeded) pending_.erase(at);
    return;
  }
  transport::Socket socket = std::move(at->second.socket);
  pending_.erase(at);
  ::epoll_ctl(epoll_.fd(), EPOLL_CTL_DEL, socket.fd(), nullptr);
  route(std::move(socket), *line);
}

void Supervisor::route(transport::Socket socket, const std::string& line) {
  if (line == "session NEW") return give_session(std::move(socket), line);
  if (line == "control") return answer_status(std::move(socket));
  log_warning("serve: a connection asked for \"" + line + "\", which this server does not have");
}

void Supervisor::give_session(transport::Socket socket, const std::string& line) {
  auto idle = std::find_if(workers_.begin(), workers_.end(),
                           [](const auto& w) { return w.second->is_idle; });
  if (idle == workers_.end()) {
    if (Status status = start_worker(); !status.ok()) return log_error(status.message());
    idle = std::find_if(workers_.begin(), workers_.end(),
                        [](const auto& w) { return w.second->is_idle; });
  }
  Worker& worker = *idle->second;
  if (Status status = transport::send_fd(worker.control, socket.fd(), line); !status.ok()) {
    log_error("serve: a worker did not take a session: " + status.message());
    return bury(idle->first);
  }
  worker.is_idle = false;
  worker.job = next_job_++;
  // The next one starts ahead of time.
  if (Status status = start_worker(); !status.ok()) log_error(status.message());
}

void Supervisor::answer_status(transport::Socket socket) {
  answer_status_in_background(std::move(socket), snapshot());
}

wire::StatusReply Supervisor::snapshot() const {
  wire::StatusReply reply;
  reply.version = MOAI_VERSION;
  reply.device = options_.device;
  reply.memory_bytes = options_.memory_bytes;
  uint32_t percent = 0;
  for (const auto& [fd, worker] : workers_) {
    if (worker->is_idle) continue;
    reply.used_bytes += worker->live_bytes;
    if (now_ns() - worker->last_ns < 2'000'000'000) percent += worker->utilization_percent;
    reply.jobs.push_back(
        {worker->client_pid, worker->command, worker->live_bytes, worker->busy_ns, 0, worker->job});
  }
  reply.utilization_percent = std::min(percent, 100u);
  return reply;
}

void Supervisor::hear(Worker& worker) {
  while (true) {
    StatusOr<ControlMessage> message = receive_control(worker.control.fd());
    if (!message.ok()) {
      if (message.status().code() != StatusCode::again) bury(worker.control.fd());
      return;
    }
    switch (message->kind) {
      case ControlKind::extent_want: lend(worker, message->a); break;
      case ControlKind::extent_ask:
        (void)send_control(worker.control.fd(), {ControlKind::extent_given, 0, free_bytes_, {}});
        break;
      case ControlKind::extent_back: {
        uint64_t back = std::min(message->a, worker.lent_bytes);
        worker.lent_bytes -= back;
        free_bytes_ += back;
        break;
      }
      case ControlKind::job:
        worker.client_pid = static_cast<int64_t>(message->a);
        worker.command = message->text;
        break;
      case ControlKind::stats: note_stats(worker, *message); break;
      case ControlKind::extent_given: break;
    }
  }
}

void Supervisor::note_stats(Worker& worker, const ControlMessage& message) {
  uint64_t now = now_ns();
  worker.live_bytes = message.a;
  worker.busy_ns = message.b;
  if (worker.last_ns != 0 && now > worker.last_ns)
    worker.utilization_percent = static_cast<uint32_t>(std::min<uint64_t>(
        100, (worker.busy_ns - worker.last_busy_ns) * 100 / (now - worker.last_ns)));
  worker.last_ns = now;
  worker.last_busy_ns = worker.busy_ns;
}

void Supervisor::lend(Worker& worker, uint64_t bytes) {
  uint64_t given = bytes <= free_bytes_ ? bytes : 0;
  free_bytes_ -= given;
  worker.lent_bytes += given;
  (void)send_control(worker.control.fd(), {ControlKind::extent_given, given, free_bytes_, {}});
}

void Supervisor::bury(int control_fd) {
  auto at = workers_.find(control_fd);
  if (at == workers_.end()) return;
  free_bytes_ += at->second->lent_bytes;
  at->second->control = transport::Socket();
  pid_t pid = at->second->pid;
  dying_[pid] = std::move(at->second);
  workers_.erase(at);
}

// The end of the control socket comes a little before that of the process, or after it.
void Supervisor::reap() {
  int status = 0;
  for (pid_t pid; (pid = ::waitpid(-1, &status, WNOHANG)) > 0;) {
    for (auto& [fd, worker] : workers_)
      if (worker->pid == pid) {
        bury(fd);
        break;
      }
    auto at = dying_.find(pid);
    if (at == dying_.end()) continue;
    note_end(*at->second, status);
    dying_.erase(at);
  }
}

void Supervisor::note_end(const Worker& worker, int status) const {
  std::string how = WIFSIGNALED(status)
                        ? "was ended by signal " + std::to_string(WTERMSIG(status)) + " (" +
                              ::strsignal(WTERMSIG(status)) + ")"
                        : "ended";
  std::string who = "serve: worker " + std::to_string(worker.pid);
  if (worker.is_idle) return log_warning(who + " " + how + " before it had a session");
  if (!WIFSIGNALED(status)) return;
  log_warning(who + " " + how + " during job " + std::to_string(worker.job) +
              "; its client, process " + std::to_string(worker.client_pid) +
              ", sees that the connection to the server has been lost");
}

void Supervisor::drop_late() {
  for (auto at = pending_.begin(); at != pending_.end();)
    at = has_passed(at->second.deadline) ? pending_.erase(at) : std::next(at);
}

}  // namespace moai::engine
