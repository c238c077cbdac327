// Random numbers: the state is (seed, offset).
#include "src/frontend/bridge/generator.h"

#include <ATen/CPUGeneratorImpl.h>
#include <ATen/EmptyTensor.h>
#include <ATen/core/Tensor.h>
#include <c10/core/CPUAllocator.h>

#include <cstring>

#include "src/base/hash.h"
#include "src/frontend/bridge/device.h"

namespace moai::bridge {
namespace {

// Bytes of the state that get_rng_state() shows: seed, then offset, as CUDA's.
constexpr int64_t kStateBytes = 16;

class Generator final : public c10::GeneratorImpl {
 public:
  Generator() : c10::GeneratorImpl(kDevice, kDeviceKeys) {}

  void set_current_seed(uint64_t seed) override {
    state_.seed = seed;
    state_.offset = 0;
  }
  uint64_t current_seed() const override { return state_.seed; }
  uint64_t seed() override {
    set_current_seed(c10::detail::getNonDeterministicRandom(/*is_cuda=*/true));
    return state_.seed;
  }
  void set_offset(uint64_t offset) override { state_.offset = offset; }
  uint64_t get_offset() const override { return state_.offset; }

  void set_state(const c10::TensorImpl& state) override {
    TORCH_CHECK_TYPE(state.device().is_cpu() && state.dtype() == caffe2::TypeMeta::Make<uint8_t>(),
                     "RNG state must be a torch.ByteTensor");
    TORCH_CHECK(state.numel() == kStateBytes && state.is_contiguous(), "RNG state is wrong size");
    const auto* bytes = static_cast<const uint8_t*>(state.data());
    std::memcpy(&state_.seed, bytes, 8);
    std::memcpy(&state_.offset, bytes + 8, 8);
  }
  c10::intrusive_ptr<c10::TensorImpl> get_state() const override {
    at::Tensor t(at::detail::empty_generic({kStateBytes}, c10::GetCPUAllocator(), kCpuKeys,
                                           c10::kByte, std::nullopt));
    auto* bytes = static_cast<uint8_t*>(t.mutable_data_ptr());
    std::memcpy(bytes, &state_.seed, 8);
    std::memcpy(bytes + 8, &state_.offset, 8);
    return t.getIntrusivePtr();
  }

  RandomState advance(uint64_t words) {
    RandomState before = state_;
    state_.offset += (words + 3) / 4 * 4;  // a block of the generator has four words
    return before;
  }

 private:
  Generator* clone_impl() const override {
    auto* g = new Generator();
    g->state_ = state_;
    return g;
  }
  RandomState state_{c10::default_rng_seed_val, 0};
};

}  // namespace

const at::Generator& default_generator() {
  static auto* g = new at::Generator(at::make_generator<Generator>());
  return *g;
}

at::Generator new_generator() { return at::make_generator<Generator>(); }

RandomState draw(const at::Generator& generator, uint64_t words) {
  at::Generator g = generator.defined() ? generator : default_generator();
  TORCH_CHECK(g.device().type() == c10::DeviceType::CUDA,
              "Expected a 'cuda' device type for generator but found '", g.device().type(), "'");
  std::lock_guard lock(g.mutex());
  return static_cast<Generator*>(g.unsafeGetGeneratorImpl())->advance(words);
}

at::Generator cpu_generator_for(const RandomState& state) {
  Hash128 hash;
  hash.add(state.seed);
  hash.add(state.offset);
  return at::detail::createCPUGenerator(hash.id().lo);
}

}  // namespace moai::bridge
