#include "cli/launch.h"

#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <utility>

#include "cli/sentinel.h"
#include "src/base/clock.h"

extern char** environ;

namespace moai::cli {

namespace {

constexpr int kListenFd = 3, kLauncherFd = 4;
constexpr double kServerEndSeconds = 2;
constexpr std::array kForwarded = {SIGHUP,  SIGINT,  SIGQUIT, SIGTERM,
                                   SIGUSR1, SIGUSR2, SIGALRM, SIGWINCH};

// Out of the way of the low numbers that a child gets.
transport::Socket lift(transport::Socket low) {
  return transport::Socket(::fcntl(low.fd(), F_DUPFD_CLOEXEC, 10));
}

StatusOr<std::string> random_name() {
  uint64_t random;
  if (::getrandom(&random, sizeof random, 0) != sizeof random)
    return unavailable("run: the kernel gives no random numbers");
  char name[64];
  std::snprintf(name, sizeof name, "moai/%u/%016llx", ::getuid(),
                static_cast<unsigned long long>(random));
  return std::string(name);
}

StatusOr<pid_t> spawn_server(const transport::Socket& listener, const transport::Socket& pipe,
                             const EmbeddedOptions& options) {
  std::vector<std::string> words = {"moai", "serve", "--embedded",
                                    "--listen-fd=" + std::to_string(kListenFd),
                                    "--launcher-fd=" + std::to_string(kLauncherFd)};
  if (!options.memory.empty()) words.push_back("--device-memory=" + options.memory);
  if (!options.threads.empty()) words.push_back("--threads=" + options.threads);
  std::vector<char*> argv;
  for (std::string& word : words) argv.push_back(word.data());
  argv.push_back(nullptr);
  posix_spawn_file_actions_t actions;
  posix_spawnattr_t attributes;
  posix_spawn_file_actions_init(&actions);
  posix_spawnattr_init(&attributes);
  posix_spawn_file_actions_adddup2(&actions, listener.fd(), kListenFd);
  posix_spawn_file_actions_adddup2(&actions, pipe.fd(), kLauncherFd);
  // A session of its own: what the terminal sends to the program's group is not for the server.
  posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSID);
  pid_t pid = 0;
  int error = ::posix_spawn(&pid, "/proc/self/exe", &actions, &attributes, argv.data(), environ);
  posix_spawn_file_actions_destroy(&actions);
  posix_spawnattr_destroy(&attributes);
  if (error != 0)
    return unavailable(std::string("run: the embedded server cannot be started: ") +
                       std::strerror(error));
  return pid;
}

[[noreturn]] void become(const std::vector<std::string>& words, pid_t parent,
                         const sigset_t& mask) {
  // The program ends with its guard.
  ::prctl(PR_SET_PDEATHSIG, SIGTERM);
  if (::getppid() != parent) ::_exit(143);
  ::sigprocmask(SIG_SETMASK, &mask, nullptr);
  std::vector<char*> argv;
  for (const std::string& word : words) argv.push_back(const_cast<char*>(word.c_str()));
  argv.push_back(nullptr);
  ::execvp(argv[0], argv.data());
  int error = errno;
  std::fprintf(stderr, "[error] run: %s cannot be started: %s\n", argv[0], std::strerror(error));
  ::_exit(error == ENOENT ? 127 : 126);
}

}  // namespace

StatusOr<EmbeddedServer> start_embedded(const EmbeddedOptions& options) {
  MOAI_ASSIGN_OR_RETURN(std::string name, random_name());
  transport::Address address{transport::Address::Kind::unix_abstract, name, 0};
  MOAI_ASSIGN_OR_RETURN(transport::Socket listener, transport::listen_on(address));
  int fds[2];
  if (::pipe2(fds, O_CLOEXEC) != 0) return unavailable("run: no pipe can be made");
  transport::Socket read_end = lift(transport::Socket(fds[0])),
                    write_end = lift(transport::Socket(fds[1]));
  listener = lift(std::move(listener));
  MOAI_ASSIGN_OR_RETURN(pid_t pid, spawn_server(listener, read_end, options));
  return EmbeddedServer{"unix:@" + name, pid, std::move(write_end)};
}

void end_embedded(EmbeddedServer& server) {
  server.alive = transport::Socket();
  Deadline deadline = in_seconds(kServerEndSeconds);
  while (::waitpid(server.pid, nullptr, WNOHANG) == 0 && !has_passed(deadline)) ::usleep(2000);
}

int run_program(const std::vector<std::string>& words) {
  sigset_t waited, before;
  ::sigemptyset(&waited);
  for (int signal : kForwarded) ::sigaddset(&waited, signal);
  ::sigaddset(&waited, SIGCHLD);
  ::sigprocmask(SIG_BLOCK, &waited, &before);
  Sentinel sentinel;
  pid_t self = ::getpid();
  pid_t child = ::fork();
  if (child < 0) {
    std::fprintf(stderr, "[error] run: no process can be started: %s\n", std::strerror(errno));
    return 125;
  }
  if (child == 0) become(words, self, before);
  while (true) {
    siginfo_t info;
    int signal = ::sigwaitinfo(&waited, &info);
    if (signal < 0) continue;
    if (signal != SIGCHLD) {
      // Two interrupts would spoil the traceback of the first; other signals do no harm twice.
      bool is_shared =
          (signal == SIGINT || signal == SIGQUIT) && info.si_code <= 0 && sentinel.has_seen(signal);
      if (info.si_code <= 0 && !is_shared) ::kill(child, signal);
      continue;
    }
    int status;
    if (::waitpid(child, &status, WNOHANG) != child) continue;
    if (WIFEXITED(status)) return WEXITSTATUS(status);
    if (WIFSIGNALED(status)) return 128 + WTERMSIG(status);
  }
}

}  // namespace moai::cli
