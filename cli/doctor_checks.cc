#include "cli/doctor_checks.h"

#include <sys/resource.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <cstdlib>
#include <utility>

#include "cli/bridge_path.h"
#include "cli/doctor_python.h"
#include "cli/doctor_server.h"
#include "moai/limits.h"
#include "src/base/memory_text.h"
#include "src/device/open/open.h"
#include "src/engine/memory_size.h"
#include "transport/open/open.h"
#include "transport/socket_pair.h"

namespace moai::cli {

namespace {

Finding check_kernel() {
  utsname name{};
  ::uname(&name);
  int major = std::atoi(name.release);
  if (major >= 5) return {Grade::ok, "kernel", std::string("Linux ") + name.release, ""};
  return {Grade::bad, "kernel", std::string("Linux ") + name.release, "use Linux 5.4 or newer"};
}

Finding check_processor() {
  std::unique_ptr<Device> device = open_device("cpu", {0, kExtentBytes});
  if (device == nullptr)
    return {Grade::bad, "processor", "the cpu device does not open", "report this as a bug"};
  return {Grade::ok, "processor", device->info().name, ""};
}

Finding check_memory() {
  uint64_t bytes = engine::default_memory_bytes();
  Finding finding{Grade::ok, "memory", format_bytes(bytes) + " would be the accelerator's", ""};
  if (bytes >= uint64_t{1} << 30) return finding;
  finding.grade = Grade::note;
  finding.advice = "free some memory, or raise the memory limit of this container";
  return finding;
}

Finding check_locked_memory() {
  rlimit limit{};
  ::getrlimit(RLIMIT_MEMLOCK, &limit);
  if (limit.rlim_cur == RLIM_INFINITY) return {Grade::ok, "memlock", "unlimited", ""};
  Finding finding{Grade::ok, "memlock", format_bytes(limit.rlim_cur) + " (only rdma needs more)",
                  ""};
  if (limit.rlim_cur < (64u << 20)) {
    finding.grade = Grade::note;
    finding.advice = "for rdma: ulimit -l unlimited, or LimitMEMLOCK=infinity in the service";
  }
  return finding;
}

// Windows and rings of the shared memory transport live in memfds.
Finding check_shared_memory() {
  StatusOr<std::pair<Fd, Fd>> pair = transport::socket_pair();
  if (!pair.ok())
    return {Grade::bad, "sockets", pair.status().message(),
            "raise the limit of open files: ulimit -n 4096"};
  Status sent = transport::send_fd(pair->first, pair->first.fd(), "probe");
  if (!sent.ok())
    return {Grade::note, "shm", "descriptors cannot be passed: " + sent.message(),
            "the slower tcp path is used; allow SCM_RIGHTS in this sandbox"};
  return {Grade::ok, "shm", "descriptors pass between processes", ""};
}

Finding check_abstract_sockets() {
  transport::Address address{transport::Address::Kind::unix_abstract,
                             "moai/doctor/" + std::to_string(::getpid()), 0};
  StatusOr<transport::Socket> socket = transport::listen_on(address);
  if (socket.ok())
    return {Grade::ok, "sockets", "abstract unix sockets work; across containers use unix:PATH",
            ""};
  return {Grade::bad, "sockets", socket.status().message(),
          "run moai serve --listen unix:PATH and name it in MOAI_SERVER"};
}

Finding check_bridge() {
  StatusOr<BridgePath> bridge = find_bridge();
  if (!bridge.ok()) return {Grade::bad, "bridge", bridge.status().message(), ""};
  std::string versions;
  for (const std::string& v : torch_versions(bridge->modules)) versions += ", PyTorch " + v;
  return {Grade::ok, "bridge", bridge->python + versions, ""};
}

}  // namespace

std::vector<Finding> examine(const std::string& python) {
  std::vector<Finding> findings = {
      check_kernel(),        check_processor(),        check_memory(),      check_locked_memory(),
      check_shared_memory(), check_abstract_sockets(), check_torch(python), check_bridge()};
  for (Finding& finding : check_servers()) findings.push_back(std::move(finding));
  return findings;
}

}  // namespace moai::cli
