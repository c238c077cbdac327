// Random numbers: the state is (seed, offset) of a counter-based generator, kept on the client.
#pragma once
#include <ATen/core/Generator.h>

#include <cstdint>
#include <utility>

namespace moai::bridge {

const at::Generator& default_generator();
at::Generator new_generator();

struct RandomState {
  uint64_t seed = 0, offset = 0;
};
// The state for one op that draws `words` 32-bit numbers; moves the offset past them. An undefined
// generator means the default one.
RandomState draw(const at::Generator& generator, uint64_t words);

// A CPU generator that stands in for a device generator in a fallback: same draws for the same
// state.
at::Generator cpu_generator_for(const RandomState& state);

}  // namespace moai::bridge
