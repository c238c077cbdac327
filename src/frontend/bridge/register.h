// Everything that makes PyTorch see the device, done by one call: no static initialisers, so that a
// dormant module changes nothing.
#pragma once

namespace moai::bridge {

void install();
void register_python_ops();  // python_ops.cc: torch.ops.moai

}  // namespace moai::bridge
