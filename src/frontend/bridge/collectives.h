// Process groups: a group of one has nothing to communicate; a larger one does not reach this
// device.
#pragma once

namespace moai::bridge {

// Kernels of the collectives on this device.
void register_collectives();

}  // namespace moai::bridge
