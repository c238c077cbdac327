#include "src/device/cpu/device.h"

#include <algorithm>
#include <cstring>
#include <functional>

#include "src/base/clock.h"
#include "src/device/cpu/kernel.h"
#include "src/device/cpu/memory.h"
#include "src/device/cpu/wave.h"

namespace moai::cpu {
namespace {

constexpr int64_t kCopyChunk = 1 << 20;  // bytes: 60 us at the rate of one core

class CpuExecutable : public Executable {
 public:
  std::vector<std::unique_ptr<Kernel>> kernels;
  std::vector<Launch> launches;
  std::vector<Wave> waves;
  std::vector<char*> pointers;  // of the wave that runs
  uint32_t bindings = 0;
};

class CpuDevice : public Device {
 public:
  CpuDevice(const CpuOptions& options, Tier tier, Bf16Unit unit)
      : pool_(options.threads > 0 ? options.threads : usable_cores()),
        memory_(options.memory_bytes > 0 ? options.memory_bytes : machine_memory_bytes()) {
    target_.tier = tier;
    choose_bodies(unit);
    info_.kind = "cpu";
    info_.name = std::string(cpu::name_of(tier)) +
                 (target_.bf16 != nullptr ? std::string(" + ") + cpu::name_of(unit) : "") + ", " +
                 std::to_string(pool_.size()) + (pool_.size() == 1 ? " thread" : " threads");
    info_.memory_bytes = options.memory_bytes > 0 ? options.memory_bytes : machine_memory_bytes();
    scratch_.resize(static_cast<size_t>(pool_.size()), nullptr);
  }
  ~CpuDevice() override { release_scratch(); }

  const DeviceInfo& info() const override { return info_; }
  void* allocate(uint64_t bytes) override { return memory_.allocate(bytes); }
  void free(void* block, uint64_t bytes) override { memory_.free(block, bytes); }

  StatusOr<std::unique_ptr<Executable>> load(const Program& program) override;
  Status run(Executable& executable, std::span<void* const> bindings, void* arena) override;

  void copy_in(void* block, const void* host, uint64_t bytes) override { copy(block, host, bytes); }
  void copy_out(void* host, const void* block, uint64_t bytes) override {
    copy(host, block, bytes);
  }

 private:
  void choose_bodies(Bf16Unit unit);
  Status check(const Program& program) const;
  Status grow_scratch(uint64_t thread_bytes, uint64_t shared_bytes);
  void release_scratch();
  Status run_each(CpuExecutable& e, const Wave& wave, bool is_timed);
  void run_together(const CpuExecutable& e, const Wave& wave);
  void copy(void* to, const void* from, uint64_t bytes);

  DeviceInfo info_;
  ThreadPool pool_;
  BlockCache memory_;
  BlockCache scratch_memory_{UINT64_MAX};
  Target target_;
  std::vector<char*> scratch_;  // by thread
  char* shared_ = nullptr;
  uint64_t scratch_bytes_ = 0, shared_bytes_ = 0;
};

void CpuDevice::choose_bodies(Bf16Unit unit) {
#if defined(__x86_64__)
  if (unit == Bf16Unit::amx) target_.bf16 = &bf16_ops_amx();
  if (unit == Bf16Unit::avx512) target_.bf16 = &bf16_ops_avx512();
#else
  (void)unit;
#endif
  switch (target_.tier) {
#if defined(__x86_64__)
    case Tier::v4: target_.tiles = &tile_ops_v4(), target_.vectors = &vector_ops_v4(); return;
    case Tier::v3: target_.tiles = &tile_ops_v3(), target_.vectors = &vector_ops_v3(); return;
#else
    case Tier::v4:
    case Tier::v3:
#endif
    case Tier::base: break;
  }
  target_.tiles = &tile_ops_base(), target_.vectors = &vector_ops_base();
}

void CpuDevice::release_scratch() {
  for (char*& p : scratch_) scratch_memory_.free(p, scratch_bytes_), p = nullptr;
  scratch_memory_.free(shared_, shared_bytes_);
  shared_ = nullptr;
  scratch_bytes_ = shared_bytes_ = 0;
}

Status CpuDevice::grow_scratch(uint64_t thread_bytes, uint64_t shared_bytes) {
  if (thread_bytes <= scratch_bytes_ && shared_bytes <= shared_bytes_) return ok_status();
  thread_bytes = std::max(thread_bytes, scratch_bytes_);
  shared_bytes = std::max(shared_bytes, shared_bytes_);
  release_scratch();
  bool ok = true;
  for (char*& p : scratch_)
    ok &=
        (p = static_cast<char*>(scratch_memory_.allocate(std::max<uint64_t>(thread_bytes, 64)))) !=
        nullptr;
  ok &= (shared_ = static_cast<char*>(
             scratch_memory_.allocate(std::max<uint64_t>(shared_bytes, 64)))) != nullptr;
  if (!ok) {
    release_scratch();
    return {StatusCode::resource_exhausted, "[device] no memory is left for the kernels' scratch"};
  }
  scratch_bytes_ = thread_bytes, shared_bytes_ = shared_bytes;
  return ok_status();
}

Status CpuDevice::check(const Program& program) const {
  for (const Buffer& b : program.buffers)
    if (b.kind == BufferKind::bound && b.index >= program.bindings)
      return invalid("[program] a buffer names a binding that does not exist");
  for (const Command& c : program.commands) {
    if (c.kernel >= program.kernels.size())
      return invalid("[program] a command names a kernel that does not exist");
    const KernelSource& source = program.kernels[c.kernel];
    const auto* tile = std::get_if<TileProgram>(&source);
    const size_t n = tile ? tile->buffers.size() : std::get<LibraryKernel>(source).operands.size();
    if (c.buffers.size() != n)
      return invalid("[program] a command has the wrong number of buffers");
    for (uint32_t b : c.buffers)
      if (b >= program.buffers.size())
        return invalid("[program] a command names a buffer that does not exist");
  }
  return ok_status();
}

StatusOr<std::unique_ptr<Executable>> CpuDevice::load(const Program& program) {
  MOAI_RETURN_IF_ERROR(check(program));
  auto e = std::make_unique<CpuExecutable>();
  e->bindings = program.bindings;
  uint64_t thread_bytes = 0, shared_bytes = 0;
  WaveBuilder waves(pool_.size() > 1);
  std::vector<bool> is_written;
  std::vector<int> library(program.kernels.size(), -1);  // kernels that do not depend on overlaps
  for (const Command& c : program.commands) {
    Launch launch;
    for (uint32_t b : c.buffers) launch.buffers.push_back(program.buffers[b]);
    is_written.clear();
    const KernelSource& source = program.kernels[c.kernel];
    if (const auto* tile = std::get_if<TileProgram>(&source)) {
      const auto overlaps = [&](int i, int j) {
        return share_bytes(launch.buffers[static_cast<size_t>(i)],
                           launch.buffers[static_cast<size_t>(j)]);
      };
      MOAI_ASSIGN_OR_RETURN(auto kernel, make_tile_kernel(*tile, target_, overlaps));
      launch.kernel = static_cast<uint32_t>(e->kernels.size());
      e->kernels.push_back(std::move(kernel));
      for (const TileBuffer& b : tile->buffers) is_written.push_back(b.is_output);
    } else {
      int& known = library[c.kernel];
      if (known < 0) {
        MOAI_ASSIGN_OR_RETURN(auto kernel,
                              make_library_kernel(std::get<LibraryKernel>(source), target_));
        known = static_cast<int>(e->kernels.size());
        e->kernels.push_back(std::move(kernel));
      }
      launch.kernel = static_cast<uint32_t>(known);
    }
    thread_bytes = std::max(thread_bytes, e->kernels[launch.kernel]->thread_scratch_bytes());
    shared_bytes = std::max(shared_bytes, e->kernels[launch.kernel]->shared_scratch_bytes());
    waves.add(launch, *e->kernels[launch.kernel], is_written);
    e->launches.push_back(std::move(launch));
  }
  e->waves = waves.take();
  size_t widest = 0;
  for (const Wave& wave : e->waves) widest = std::max(widest, wave.pointers);
  e->pointers.resize(widest);
  MOAI_RETURN_IF_ERROR(grow_scratch(thread_bytes, shared_bytes));
  return std::unique_ptr<Executable>(std::move(e));
}

Status CpuDevice::run(Executable& executable, std::span<void* const> bindings, void* arena) {
  auto& e = static_cast<CpuExecutable&>(executable);
  if (bindings.size() < e.bindings)
    return invalid("[device] run has fewer bindings than the program");
  const bool is_timed = e.ended_ns.size() == e.launches.size();
  for (const Wave& wave : e.waves) {
    for (size_t at = wave.first; at < wave.end; at++) {
      char** pointer = e.pointers.data() + e.launches[at].pointers_at;
      for (const Buffer& b : e.launches[at].buffers)
        *pointer++ =
            static_cast<char*>(b.kind == BufferKind::arena ? arena : bindings[b.index]) + b.offset;
    }
    if (wave.starts.empty() || is_timed)
      MOAI_RETURN_IF_ERROR(run_each(e, wave, is_timed));
    else
      run_together(e, wave);
  }
  return ok_status();
}

Status CpuDevice::run_each(CpuExecutable& e, const Wave& wave, bool is_timed) {
  RunContext context = {pool_, scratch_.data(), shared_};
  for (size_t at = wave.first; at < wave.end; at++) {
    const Launch& launch = e.launches[at];
    Status status = e.kernels[launch.kernel]->run(
        {e.pointers.data() + launch.pointers_at, launch.buffers.size()}, context);
    if (!status.ok()) {
      e.failed_command = at;
      return status;
    }
    if (is_timed) e.ended_ns[at] = now_ns();
  }
  return ok_status();
}

void CpuDevice::run_together(const CpuExecutable& e, const Wave& wave) {
  pool_.run(wave.starts.back(), [&](int64_t chunk, int thread) {
    auto next = std::upper_bound(wave.starts.begin(), wave.starts.end(), chunk);
    const auto at = static_cast<size_t>(next - wave.starts.begin()) - 1;
    const Launch& launch = e.launches[wave.first + at];
    e.kernels[launch.kernel]->run_chunk(chunk - wave.starts[at],
                                        e.pointers.data() + launch.pointers_at,
                                        scratch_[static_cast<size_t>(thread)]);
  });
}

void CpuDevice::copy(void* to, const void* from, uint64_t bytes) {
  const int64_t n = static_cast<int64_t>(bytes);
  pool_.run((n + kCopyChunk - 1) / kCopyChunk, [&](int64_t chunk, int) {
    const int64_t at = chunk * kCopyChunk;
    std::memcpy(static_cast<char*>(to) + at, static_cast<const char*>(from) + at,
                static_cast<size_t>(std::min(kCopyChunk, n - at)));
  });
}

}  // namespace

std::unique_ptr<Device> make_device(const CpuOptions& options, Tier tier, Bf16Unit unit) {
  tier = std::min(tier, best_tier());
  if (tier != Tier::v4) unit = Bf16Unit::none;
  if (unit == Bf16Unit::amx && !has_bf16_unit(unit)) unit = Bf16Unit::avx512;
  if (unit == Bf16Unit::avx512 && !has_bf16_unit(unit)) unit = Bf16Unit::none;
  return std::make_unique<CpuDevice>(options, tier, unit);
}
std::unique_ptr<Device> make_device(const CpuOptions& options, Tier tier) {
  return make_device(options, tier, best_bf16_unit());
}
std::unique_ptr<Device> make_device(const CpuOptions& options) {
  return make_device(options, best_tier());
}

}  // namespace moai::cpu
