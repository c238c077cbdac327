// Whether the servers that MOAI_SERVER names would answer a program.
#pragma once
#include <string>
#include <vector>

#include "cli/doctor_checks.h"
#include "moai/status.h"
#include "src/wire/messages.h"

namespace moai::cli {

// One finding a server; none where the variable is not set.
std::vector<Finding> check_servers();

// What to say of a server that introduced itself as `peer` (no version: it did not), and answered.
// silence: how bad it is if it did not.
Finding judge_server(const std::string& url, const wire::Hello& peer, const Status& answered,
                     Grade silence = Grade::bad);

}  // namespace moai::cli
