#include "cli/usage.h"

#include <algorithm>
#include <numeric>
#include <utility>

#include "cli/commands.h"
#include "src/base/log.h"

namespace moai::cli {

namespace {

constexpr size_t kSlipsMax = 2;

// Letters to add, leave out or change.
size_t edit_distance(std::string_view from, std::string_view to) {
  std::vector<size_t> row(to.size() + 1);
  std::iota(row.begin(), row.end(), size_t{0});
  for (size_t i = 0; i < from.size(); i++) {
    size_t diagonal = std::exchange(row[0], i + 1);
    for (size_t j = 0; j < to.size(); j++) {
      size_t changed = diagonal + (from[i] != to[j]);
      diagonal = row[j + 1];
      row[j + 1] = std::min({changed, row[j] + 1, diagonal + 1});
    }
  }
  return row.back();
}

// Those for people.
std::vector<std::string> command_names(const CLI::App& app) {
  std::vector<std::string> names;
  for (const CLI::App* command : app.get_subcommands({}))
    if (!command->get_group().empty()) names.push_back(command->get_name());
  return names;
}

std::string guess(const std::string& name) {
  return name.empty() ? "" : "; did you mean " + name + "?";
}

std::string wrong_command(const CLI::App& app, const std::string& word) {
  std::vector<std::string> names = command_names(app);
  std::string list;
  for (const std::string& name : names) list += (list.empty() ? "" : ", ") + name;
  if (word.empty()) return "name a command: " + list;
  std::string suggested = guess(nearest(word, names));
  return "there is no command \"" + word + "\"" +
         (suggested.empty() ? "; the commands are " : suggested + " The commands are ") + list;
}

// "moai smi --help" says more than an error can.
std::string with_help(const std::string& text, const CLI::App& command) {
  bool is_command = command.get_parent() != nullptr;
  return text + (text.ends_with("?") ? " See moai " : "; see moai ") +
         (is_command ? command.get_name() + " " : "") + "--help";
}

// The first word that nobody took.
std::string first_extra(const CLI::App& app, const std::vector<std::string>& words) {
  std::vector<std::string> extras = app.remaining(true);
  auto is_extra = [&](const std::string& word) {
    return std::find(extras.begin(), extras.end(), word) != extras.end();
  };
  auto found = std::find_if(words.rbegin(), words.rend(), is_extra);
  return found == words.rend() ? "" : *found;
}

}  // namespace

HelpFormatter::HelpFormatter() { label("SUBCOMMAND", "COMMAND [...]"); }

std::string HelpFormatter::make_usage(const CLI::App* app, std::string name) const {
  std::string line = Formatter::make_usage(app, std::move(name));
  if (app->get_prefix_command()) line.insert(line.find_last_not_of('\n') + 1, " PROGRAM [ARGS...]");
  return line;
}

std::string nearest(std::string_view word, const std::vector<std::string>& names) {
  std::string best;
  size_t least = std::min(kSlipsMax + 1, word.size());  // a change of every letter is no slip
  for (const std::string& name : names)
    if (size_t distance = edit_distance(word, name); distance < least) {
      least = distance;
      best = name;
    }
  return best;
}

std::string no_such_option(const CLI::App& command, std::string_view word) {
  word = word.substr(0, word.find('='));
  std::vector<std::string> names;
  for (const CLI::Option* option : command.get_options())
    if (!option->get_group().empty())
      names.insert(names.end(), option->get_lnames().begin(), option->get_lnames().end());
  std::string text = "there is no option " + std::string(word);
  if (!word.starts_with("--")) return with_help(text, command);
  std::string name = nearest(word.substr(2), names);
  return with_help(text + guess(name.empty() ? "" : "--" + name), command);
}

int report(const CLI::App& app, const CLI::ParseError& error,
           const std::vector<std::string>& words) {
  if (error.get_exit_code() == 0) return app.exit(error);
  std::vector<const CLI::App*> chosen =
      app.get_subcommands([](const CLI::App* command) { return command->parsed(); });
  const CLI::App& command = chosen.empty() ? app : *chosen.front();
  std::string word = first_extra(app, words);
  std::string text;
  if (word.starts_with("-"))
    text = no_such_option(command, word);
  else if (chosen.empty())
    text = with_help(wrong_command(app, word), command);
  else if (!word.empty())
    text = with_help("\"" + word + "\" is a word too many", command);
  else
    text = with_help(error.what(), command);
  log_error((chosen.empty() ? "" : command.get_name() + ": ") + text);
  return kExitUsage;
}

}  // namespace moai::cli
