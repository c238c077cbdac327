// A process that the system does not let use AMX: its bf16 products are made in another way.
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

#include "tests/conformance/device_harness.h"

namespace moai::test {
namespace {

// Requests of permission for processor state fail from now on, in this process.
bool refuse_permission() {
#if defined(__x86_64__)
  constexpr unsigned kRequest = 0x1023;  // ARCH_REQ_XCOMP_PERM
  sock_filter filter[] = {
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_arch_prctl, 0, 3),
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, args[0])),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, kRequest, 0, 1),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
  };
  const sock_fprog program = {sizeof filter / sizeof *filter, filter};
  return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
         prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0 &&
         syscall(SYS_arch_prctl, kRequest, 18) == -1;
#else
  return false;
#endif
}

TEST_CASE("AMX refused: no device uses it, and products are the same") {
  if (!refuse_permission()) {
    WARN("this system cannot refuse");
    return;
  }
  CHECK(!cpu::has_bf16_unit(cpu::Bf16Unit::amx));
  CHECK(cpu::best_bf16_unit() != cpu::Bf16Unit::amx);
  Source source(1);
  const std::vector<Tensor> inputs = {source.quarters(DType::bf16, {70, 90}, 2),
                                      source.quarters(DType::bf16, {90, 50}, 2)};
  const DotAttrs attrs = {{}, {}, {1}, {0}};
  auto want = reference(Prim::dot_general, attrs, inputs);
  REQUIRE(want.ok());
  std::unique_ptr<Device> devices[] = {cpu::make_device({2, 0}),
                                       cpu::make_device({2, 0}, cpu::Tier::v4, cpu::Bf16Unit::amx)};
  for (auto& device : devices) {
    CHECK(device->info().name.find("AMX") == std::string::npos);
    std::vector<Tensor> all = inputs;
    all.push_back(make_tensor(DType::bf16, {70, 50}));
    LibraryKernel kernel = {Prim::dot_general, attrs, {}};
    for (const Tensor& t : all) kernel.operands.push_back(operand_of(t, &t == &all.back()));
    REQUIRE(run_kernel(*device, kernel, all).ok());
    check_close(all.back(), (*want)[0], 0);
  }
}

}  // namespace
}  // namespace moai::test
