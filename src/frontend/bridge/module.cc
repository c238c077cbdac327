// The one exported function of the module.
#include <c10/util/Exception.h>
#include <torch/headeronly/version.h>

#include <string>

#include "src/frontend/bridge/register.h"

static_assert(TORCH_VERSION_MAJOR == MOAI_TORCH_MAJOR && TORCH_VERSION_MINOR == MOAI_TORCH_MINOR);

// major, minor: of the PyTorch that runs. Returns null, or why the device cannot be installed; the
// text lives as long as the process.
extern "C" __attribute__((visibility("default"))) const char* moai_install(int major, int minor) {
  static std::string failure;
  static bool is_installed = false;
  if (is_installed) return nullptr;
  if (major != MOAI_TORCH_MAJOR || minor != MOAI_TORCH_MINOR) {
    failure = "this module was built for PyTorch " + std::to_string(MOAI_TORCH_MAJOR) + "." +
              std::to_string(MOAI_TORCH_MINOR) + ", and " + std::to_string(major) + "." +
              std::to_string(minor) + " runs. Unset MOAI_BRIDGE, or name the module that fits.";
    return failure.c_str();
  }
  try {
    moai::bridge::install();
    is_installed = true;
    return nullptr;
  } catch (const c10::Error& e) {
    failure = e.what_without_backtrace();
    return failure.c_str();
  } catch (const std::exception& e) {
    failure = e.what();
    return failure.c_str();
  }
}
