// The commands: each adds itself to the parser and leaves its exit status.
#pragma once
#include <CLI/CLI.hpp>

namespace moai::cli {

// Exit statuses that all commands share.
inline constexpr int kExitRefused = 1, kExitUsage = 2, kExitAway = 4, kExitVersion = 7,
                     kExitNotFound = 8;
inline constexpr int kExitBeforeProgram = 125;  // moai run

void add_serve(CLI::App& app, int& status);
void add_run(CLI::App& app, int& status);
void add_smi(CLI::App& app, int& status);
void add_doctor(CLI::App& app, int& status);
void add_replay(CLI::App& app, int& status);
void add_cache(CLI::App& app, int& status);
void add_update(CLI::App& app, int& status);
void add_version(CLI::App& app, int& status);
void add_worker(CLI::App& app, int& status);

}  // namespace moai::cli
