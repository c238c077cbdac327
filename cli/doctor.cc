// `moai doctor`: looks at this machine and says how to mend what is missing.
#include <cstdio>
#include <memory>
#include <string>

#include "cli/commands.h"
#include "cli/doctor_checks.h"

namespace moai::cli {

namespace {

int doctor(const std::string& python) {
  int bad = 0;
  for (const Finding& finding : examine(python)) {
    constexpr const char* kWords[] = {"ok", "note", "BAD"};
    std::printf("%-5s %-12s %s\n", kWords[static_cast<int>(finding.grade)], finding.subject.c_str(),
                finding.text.c_str());
    if (!finding.advice.empty()) std::printf("%-18s -> %s\n", "", finding.advice.c_str());
    bad += finding.grade == Grade::bad;
  }
  if (bad > 0) std::printf("\n%d of these keep moai from working.\n", bad);
  return bad > 0 ? kExitRefused : 0;
}

}  // namespace

void add_doctor(CLI::App& app, int& status) {
  auto python = std::make_shared<std::string>();
  CLI::App* command =
      app.add_subcommand("doctor", "Look at this machine and say how to mend what is missing");
  command
      ->add_option("--python", *python,
                   "The Python whose PyTorch is looked at\n(default: that of VIRTUAL_ENV, else of "
                   "./.venv, else python3 of PATH)")
      ->type_name("PROGRAM");
  command->callback([python, &status] { status = doctor(*python); });
}

}  // namespace moai::cli
