#include "cli/table.h"

#include <algorithm>
#include <cstdint>

namespace moai::cli {

namespace {

// The code point at text[at]; moves at past it. A byte that is no UTF-8 stands for itself.
uint32_t next_code_point(const std::string& text, size_t& at) {
  auto byte = [&](size_t i) { return static_cast<unsigned char>(text[i]); };
  unsigned char first = byte(at++);
  int more = first >= 0xf0 ? 3 : first >= 0xe0 ? 2 : first >= 0xc0 ? 1 : 0;
  uint32_t code = more == 3   ? first & 7u
                  : more == 2 ? first & 15u
                  : more == 1 ? first & 31u
                              : first;
  for (; more > 0 && at < text.size() && (byte(at) & 0xc0) == 0x80; more--)
    code = code << 6 | (byte(at++) & 63u);
  return code;
}

bool is_wide(uint32_t c) {
  return (c >= 0x1100 && c <= 0x115f) || (c >= 0x2e80 && c <= 0xa4cf) ||
         (c >= 0xac00 && c <= 0xd7a3) || (c >= 0xf900 && c <= 0xfaff) ||
         (c >= 0xfe30 && c <= 0xfe6f) || (c >= 0xff00 && c <= 0xff60) ||
         (c >= 0x1f300 && c <= 0x1faff) || (c >= 0x20000 && c <= 0x3fffd);
}

std::string blanks(size_t count) { return std::string(count, ' '); }

std::string line_of(const std::vector<std::string>& cells) {
  std::string line = "|";
  for (const std::string& cell : cells) line += "  " + cell + "  |";
  return line + "\n";
}

}  // namespace

size_t display_width(const std::string& text) {
  size_t width = 0;
  for (size_t at = 0; at < text.size();) width += is_wide(next_code_point(text, at)) ? 2 : 1;
  return width;
}

std::string printable(const std::string& text, size_t width) {
  std::vector<std::string> characters;
  for (size_t at = 0; at < text.size();) {
    size_t begin = at;
    uint32_t code = next_code_point(text, at);
    bool is_control = code < 0x20 || (code >= 0x7f && code < 0xa0);
    characters.push_back(is_control ? "?" : text.substr(begin, at - begin));
  }
  auto join = [](auto from, auto to) {
    std::string joined;
    for (; from != to; ++from) joined += *from;
    return joined;
  };
  std::string whole = join(characters.begin(), characters.end());
  if (display_width(whole) <= width) return whole;
  size_t head = 0, tail = characters.size();
  std::string left, right;
  for (; head < characters.size() && display_width(left + characters[head]) <= (width - 3) / 2;
       head++)
    left += characters[head];
  while (tail > head &&
         display_width(characters[tail - 1] + right) + display_width(left) + 3 <= width)
    right = characters[--tail] + right;
  return left + "..." + right;
}

std::string render_table(const std::vector<Column>& columns,
                         const std::vector<std::vector<std::string>>& rows,
                         const std::string& title) {
  std::vector<size_t> widths;
  size_t total = columns.size() - 1;
  for (size_t c = 0; c < columns.size(); c++) {
    size_t width = std::max(columns[c].width_min, display_width(columns[c].header));
    for (const auto& row : rows) width = std::max(width, display_width(row[c]));
    widths.push_back(width);
    total += width + 4;
  }
  std::string border = "+" + std::string(total, '-') + "+\n", text = border;
  if (!title.empty())
    text +=
        "|" + blanks(total - std::min(total, display_width(title) + 2)) + title + "  |\n" + border;
  std::vector<std::string> cells;
  for (size_t c = 0; c < columns.size(); c++) {
    size_t length = display_width(columns[c].header);
    size_t before = widths[c] / 2 - length / 2;
    cells.push_back(blanks(before) + columns[c].header + blanks(widths[c] - length - before));
  }
  text += line_of(cells) + "+" + std::string(total, '=') + "+\n";
  for (const auto& row : rows) {
    cells.clear();
    for (size_t c = 0; c < columns.size(); c++) {
      std::string fill = blanks(widths[c] - display_width(row[c]));
      cells.push_back(columns[c].is_right ? fill + row[c] : row[c] + fill);
    }
    text += line_of(cells);
  }
  return text + border;
}

}  // namespace moai::cli
