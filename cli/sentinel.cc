#include "cli/sentinel.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

namespace moai::cli {

namespace {

constexpr int kPatienceMs = 50;

[[noreturn]] void stand_guard(int report_fd, pid_t parent) {
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (::getppid() != parent) ::_exit(0);
  ::prctl(PR_SET_NAME, "run-sentinel");
  ::close(STDIN_FILENO);
  ::close(STDOUT_FILENO);
  ::close(STDERR_FILENO);
  sigset_t all;
  ::sigfillset(&all);
  ::sigprocmask(SIG_BLOCK, &all, nullptr);
  while (true) {
    siginfo_t info;
    int signal = ::sigwaitinfo(&all, &info);
    if (signal == SIGTERM || signal == SIGHUP) continue;  // its parent decides
    auto byte = static_cast<unsigned char>(signal);
    if (signal > 0 && info.si_code <= 0 && ::write(report_fd, &byte, 1) != 1) ::_exit(0);
  }
}

}  // namespace

Sentinel::Sentinel() {
  int fds[2];
  if (::pipe2(fds, O_CLOEXEC | O_NONBLOCK) != 0) return;
  seen_ = Fd(fds[0]);
  Fd report(fds[1]);
  pid_t self = ::getpid();
  pid_ = ::fork();
  if (pid_ == 0) stand_guard(report.fd(), self);
}

Sentinel::~Sentinel() {
  if (pid_ <= 0) return;
  ::kill(pid_, SIGKILL);
  ::waitpid(pid_, nullptr, 0);
}

bool Sentinel::has_seen(int signal) {
  if (pid_ <= 0) return false;
  while (true) {
    pollfd waiting{seen_.fd(), POLLIN, 0};
    unsigned char byte = 0;
    if (::poll(&waiting, 1, kPatienceMs) <= 0 || ::read(seen_.fd(), &byte, 1) != 1) return false;
    if (byte == signal) return true;
  }
}

}  // namespace moai::cli
