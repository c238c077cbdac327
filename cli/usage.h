// What the commands say to whoever gets a word wrong, or asks for help.
#pragma once
#include <CLI/CLI.hpp>
#include <string>
#include <string_view>
#include <vector>

namespace moai::cli {

// Usage lines that show what follows the options; for the top, inherited by the commands.
class HelpFormatter : public CLI::Formatter {
 public:
  HelpFormatter();
  std::string make_usage(const CLI::App* app, std::string name) const override;
};

// The name that a slip of the fingers away is `word`; empty: there is none.
std::string nearest(std::string_view word, const std::vector<std::string>& names);

// "there is no option --sever; did you mean --server? See moai run --help"
std::string no_such_option(const CLI::App& command, std::string_view word);

// Says what is wrong with `words`, which the parser took last first, or gives the help that they
// ask for. Returns the exit status.
int report(const CLI::App& app, const CLI::ParseError& error,
           const std::vector<std::string>& words);

}  // namespace moai::cli
