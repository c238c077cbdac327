// A device for tests that runs programs slowly through the reference evaluator, and refuses what a
// real one would get wrong: a kernel that overwrites what it still reads.
#pragma once
#include <memory>

#include "moai/device.h"

namespace moai::test {

std::unique_ptr<Device> make_reference_device();

}  // namespace moai::test
