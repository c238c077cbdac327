// What PyTorch's CPU code asks about the device.
#pragma once

namespace moai::bridge {

// Gives PyTorch's one hooks object our functions. Throws if that had no effect.
void install_hooks();

}  // namespace moai::bridge
