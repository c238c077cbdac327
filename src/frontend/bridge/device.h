// The one device that PyTorch sees, and short names for what every file of the bridge needs.
#pragma once
#include <c10/core/Device.h>
#include <c10/core/DispatchKeySet.h>
#include <c10/core/ScalarType.h>

#include <optional>

#include "moai/dtype.h"

namespace moai::bridge {

inline const c10::Device kDevice(c10::DeviceType::CUDA, 0);
inline constexpr c10::DispatchKeySet kDeviceKeys(c10::DispatchKey::CUDA);
inline constexpr c10::DispatchKeySet kCpuKeys(c10::DispatchKey::CPU);
inline constexpr c10::DispatchKeySet kMetaKeys(c10::DispatchKey::Meta);
// No backend registers under this key, so it picks the composite kernel of an op.
inline constexpr c10::DispatchKeySet kCompositeKeys(c10::DispatchKey::VE);

// The wire's name of an element type; nullopt: the device only stores it.
std::optional<DType> dtype_of(c10::ScalarType);
// A type of the same width, for copies that move bits: every type has one but quantised sub-byte
// ones.
DType bits_dtype_of(c10::ScalarType);

}  // namespace moai::bridge
