// `moai serve`: a node's devices for whoever connects.
#include <signal.h>

#include <memory>

#include "cli/arguments.h"
#include "cli/commands.h"
#include "src/base/log.h"
#include "src/base/memory_text.h"
#include "src/engine/supervisor.h"

namespace moai::cli {

namespace {

engine::Supervisor* running = nullptr;

void stop_running(int signal) { running->stop(signal); }

int serve(engine::SupervisorOptions options, const std::string& memory, const std::string& threads,
          bool is_embedded) {
  StatusOr<uint64_t> lent = device_memory_from(memory);
  StatusOr<int> thread_count = threads_from(threads);
  if (!lent.ok() || !thread_count.ok()) {
    log_error("serve: " + (lent.ok() ? thread_count.status() : lent.status()).message());
    return kExitUsage;
  }
  options.memory_bytes = *lent;
  options.threads = *thread_count;
  if (options.listen_urls.empty() && options.listen_fd < 0)
    options.listen_urls.push_back("tcp://127.0.0.1:7780");
  ::signal(SIGPIPE, SIG_IGN);
  std::vector<std::string> urls = options.listen_urls;
  uint64_t bytes = options.memory_bytes;
  engine::Supervisor supervisor(std::move(options));
  running = &supervisor;
  Status status = supervisor.start();
  if (!status.ok()) {
    log_error("serve: " + status.message());
    return status.code() == StatusCode::invalid_argument ? kExitUsage : kExitRefused;
  }
  ::signal(SIGTERM, stop_running);
  ::signal(SIGINT, is_embedded ? SIG_IGN : stop_running);
  if (!is_embedded)
    for (const std::string& url : urls)
      log_info("serve: moai " MOAI_VERSION " lends " + format_bytes(bytes) + " on " + url);
  status = supervisor.run();
  if (!status.ok()) log_error("serve: " + status.message());
  return status.ok() ? 0 : kExitRefused;
}

}  // namespace

void add_serve(CLI::App& app, int& status) {
  struct Arguments {
    engine::SupervisorOptions options;
    std::string memory, threads;
    bool is_embedded = false;
  };
  auto arguments = std::make_shared<Arguments>();
  CLI::App* command = app.add_subcommand("serve", "Lend this node's devices to programs");
  command
      ->add_option("--listen", arguments->options.listen_urls,
                   "Address: unix:PATH, unix:@NAME or tcp://HOST:PORT; may be repeated\n"
                   "(default: tcp://127.0.0.1:7780)")
      ->type_name("URL");
  command
      ->add_option("--device-memory", arguments->memory,
                   "Memory to lend, as 256MiB or 4GiB\n(default: MOAI_DEVICE_MEMORY, else 80 % of "
                   "what is free)")
      ->option_text("SIZE")
      ->envname("MOAI_DEVICE_MEMORY");
  command
      ->add_option("--threads", arguments->threads,
                   "Threads of a session, 1 to 1024 (default: one a core)")
      ->type_name("N");
  command->add_flag("--insecure-listen", arguments->options.insecure_listen,
                    "Allow tcp addresses that other hosts reach; nothing is encrypted and nobody\n"
                    "is asked who they are");
  command->add_flag("--embedded", arguments->is_embedded)->group("");
  command->add_option("--listen-fd", arguments->options.listen_fd)->group("");
  command->add_option("--launcher-fd", arguments->options.launcher_fd)->group("");
  command->callback([arguments, &status] {
    status =
        serve(arguments->options, arguments->memory, arguments->threads, arguments->is_embedded);
  });
}

}  // namespace moai::cli
