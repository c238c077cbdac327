#include "src/engine/control.h"

#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

namespace moai::engine {

void set_text(ControlMessage& message, const std::string& text) {
  std::strncpy(message.text, text.c_str(), sizeof message.text - 1);
}

Status send_control(int fd, const ControlMessage& message) {
  while (::write(fd, &message, sizeof message) < 0)
    if (errno != EINTR) return unavailable("[control] the other process is gone");
  return ok_status();
}

StatusOr<ControlMessage> receive_control(int fd) {
  ControlMessage message;
  auto* to = reinterpret_cast<char*>(&message);
  for (size_t have = 0; have < sizeof message;) {
    ssize_t size = ::read(fd, to + have, sizeof message - have);
    if (size > 0) {
      have += static_cast<size_t>(size);
    } else if (size == 0 || (errno != EAGAIN && errno != EINTR)) {
      return unavailable("[control] the other process is gone");
    } else if (errno == EAGAIN) {
      if (have == 0) return Status{StatusCode::again, "[control] nothing there"};
      pollfd rest{fd, POLLIN, 0};  // written as a whole: the rest is there
      ::poll(&rest, 1, 10);
    }
  }
  message.text[sizeof message.text - 1] = 0;
  return message;
}

SupervisorLink::SupervisorLink(int fd) : fd_(fd) {
  // Lives as long as the process: the supervisor's end is the process's end.
  std::thread([this] { watch(); }).detach();
}

void SupervisorLink::watch() {
  while (true) {
    pollfd waiting{fd_, POLLIN, 0};
    if (::poll(&waiting, 1, -1) < 0 && errno == EINTR) continue;
    StatusOr<ControlMessage> message = receive_control(fd_);
    if (!message.ok()) {
      if (message.status().code() == StatusCode::again) continue;
      ::_exit(0);
    }
    if (message->kind != ControlKind::extent_given) continue;
    std::lock_guard lock(mutex_);
    answer_ = *message;
    has_answer_ = true;
    answered_.notify_one();
  }
}

ControlMessage SupervisorLink::ask(const ControlMessage& question) {
  std::lock_guard one_question(ask_mutex_);
  std::unique_lock lock(mutex_);
  has_answer_ = false;
  if (!send_control(fd_, question).ok()) return {};
  if (!answered_.wait_for(lock, std::chrono::seconds(5), [this] { return has_answer_; })) return {};
  return answer_;
}

uint64_t SupervisorLink::borrow(uint64_t bytes) {
  return ask({ControlKind::extent_want, bytes, 0, {}}).a;
}

uint64_t SupervisorLink::available() { return ask({ControlKind::extent_ask, 0, 0, {}}).b; }

void SupervisorLink::give_back(uint64_t bytes) { send({ControlKind::extent_back, bytes, 0, {}}); }

void SupervisorLink::send(const ControlMessage& message) { (void)send_control(fd_, message); }

}  // namespace moai::engine
