#include "src/engine/worker.h"

#include <signal.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <cstdlib>
#include <memory>
#include <utility>

#include "src/base/clock.h"
#include "src/base/log.h"
#include "src/device/open/open.h"
#include "src/engine/compile.h"
#include "src/engine/control.h"
#include "src/engine/session.h"
#include "src/lower/lower.h"
#include "transport/open/open.h"

namespace moai::engine {

namespace {

constexpr double kHandshakeSeconds = 10;

std::string from_environment(const char* name) {
  const char* value = std::getenv(name);
  return value == nullptr ? "" : value;
}

StatusOr<SessionOptions> session_options(const WorkerOptions& options, SupervisorLink& link) {
  SessionOptions session;
  session.memory_bytes = options.memory_bytes;
  MOAI_ASSIGN_OR_RETURN(DumpOptions dump, parse_dump(from_environment("MOAI_DUMP")));
  session.compiler = make_compiler(std::move(dump));
  for (const lower::SupportedOp& op : lower::supported_ops()) {
    session.op_names.push_back(op.name);
    session.op_dtype_masks.push_back(op.dtype_mask);
  }
  session.trace_path = from_environment("MOAI_TRACE");
  session.record_path = from_environment("MOAI_RECORD");
  session.on_progress = [&link](uint64_t live_bytes, uint64_t busy_ns) {
    link.note_progress(live_bytes, busy_ns);
  };
  session.on_lost = [] { ::_exit(0); };
  return session;
}

Status serve(const WorkerOptions& options, Device& device, SupervisorLink& link,
             transport::Socket socket) {
  MOAI_RETURN_IF_ERROR(transport::take_route(socket, in_seconds(kHandshakeSeconds)).status());
  wire::Hello hello;
  hello.version = MOAI_VERSION;
  hello.pid = ::getpid();
  hello.memory_bytes = options.memory_bytes;
  hello.device = device.info().kind + ", " + device.info().name;
  wire::Bytes bytes = wire::encode(hello);
  transport::HandshakeOptions handshake;
  handshake.hello.assign(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  MOAI_ASSIGN_OR_RETURN(
      transport::Opened opened,
      transport::open_server(std::move(socket), handshake, in_seconds(kHandshakeSeconds)));
  MOAI_ASSIGN_OR_RETURN(wire::Hello client,
                        wire::decode<wire::Hello>(std::as_bytes(std::span(opened.peer_hello))));
  ControlMessage job{ControlKind::job, static_cast<uint64_t>(client.pid), 0, {}};
  set_text(job, client.command);
  link.send(job);
  MOAI_ASSIGN_OR_RETURN(SessionOptions session, session_options(options, link));
  return Session(std::move(opened.connection), device, link, std::move(session)).run();
}

}  // namespace

int run_worker(const WorkerOptions& options) {
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  ::signal(SIGPIPE, SIG_IGN);
  ::signal(SIGINT, SIG_IGN);  // the supervisor decides
  ::prctl(PR_SET_NAME, "moai-worker");
  std::unique_ptr<Device> device =
      open_device(options.device, {options.threads, options.memory_bytes});
  if (device == nullptr) {
    log_error("worker: no device is called \"" + options.device + "\"");
    return 8;
  }
  transport::Socket control(options.control_fd);
  StatusOr<std::pair<transport::Socket, std::string>> taken =
      transport::receive_fd(control, Deadline{});
  if (!taken.ok()) return 0;  // the supervisor ended before a session came
  // Never destroyed: its thread watches until the process ends.
  static auto* const link = new SupervisorLink(control.release());
  Status status = serve(options, *device, *link, std::move(taken->first));
  if (status.ok() || status.code() == StatusCode::unavailable) return 0;
  log_warning("worker: " + status.message());
  return 1;
}

}  // namespace moai::engine
