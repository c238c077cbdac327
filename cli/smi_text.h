// What moai smi prints, from what the servers answered.
#pragma once
#include <string>
#include <vector>

#include "src/wire/messages.h"

namespace moai::cli {

struct Accelerator {
  uint32_t index = 0;
  std::string url;
  bool is_default = false;
  wire::StatusReply status;
};

std::string smi_table(const std::vector<Accelerator>& accelerators, const std::string& current,
                      const std::string& latest);
std::string smi_json(const std::vector<Accelerator>& accelerators, const std::string& current,
                     const std::string& latest, const std::string& utc_time);

}  // namespace moai::cli
