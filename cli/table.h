// The tables of moai smi: cells with two blanks on either side, headers in the middle.
#pragma once
#include <string>
#include <vector>

namespace moai::cli {

struct Column {
  std::string header;
  bool is_right = false;  // values to the right
  size_t width_min = 0;
};

// title: right-aligned above the header; empty: none. The frame is as wide as the columns.
std::string render_table(const std::vector<Column>& columns,
                         const std::vector<std::vector<std::string>>& rows,
                         const std::string& title = "");

// Columns that a terminal needs: two for an East Asian wide character.
size_t display_width(const std::string& text);
// Without control characters; cut in the middle past `width` columns.
std::string printable(const std::string& text, size_t width);

}  // namespace moai::cli
