#include <catch2/catch.hpp>
#include <random>

#include "src/frontend/progress.h"
#include "src/frontend/upload_windows.h"

using namespace moai::frontend;

TEST_CASE("upload ranges never overlap and all come back") {
  std::mt19937 random(7);
  UploadWindows windows;
  windows.add(1, 4096);
  windows.add(2, 10000);  // no multiple of the alignment
  std::vector<std::vector<bool>> used = {{}, std::vector<bool>(4096), std::vector<bool>(10000)};
  std::vector<UploadRange> held;
  auto give_back = [&](size_t i) {
    for (uint64_t b = 0; b < held[i].bytes; b++) used[held[i].window][held[i].offset + b] = false;
    windows.release(held[i].window, held[i].offset);
    held.erase(held.begin() + static_cast<ptrdiff_t>(i));
  };
  size_t refused = 0;
  for (int step = 0; step < 4000; step++) {
    if (!held.empty() && random() % 2) {
      give_back(random() % held.size());
      continue;
    }
    auto range = windows.allocate(1 + random() % 3000);
    if (!range) {
      refused++;
      continue;
    }
    bool is_clean = range->offset + range->bytes <= used[range->window].size();
    for (uint64_t b = 0; is_clean && b < range->bytes; b++) {
      is_clean = !used[range->window][range->offset + b];
      used[range->window][range->offset + b] = true;
    }
    REQUIRE(is_clean);
    held.push_back(*range);
  }
  CHECK(refused > 0);
  while (!held.empty()) give_back(0);
  CHECK(windows.allocate(10000)->window == 2);
  CHECK(windows.allocate(4096)->window == 1);
  CHECK_FALSE(windows.allocate(1));
}

TEST_CASE("upload windows fill the small first; unknown ranges are ignored") {
  UploadWindows windows;
  CHECK(windows.largest() == 0);
  windows.add(1, 8192);
  windows.add(2, 4096);
  CHECK(windows.largest() == 8192);
  CHECK(windows.allocate(4096)->window == 2);
  CHECK(windows.allocate(4096)->window == 1);
  CHECK_FALSE(windows.allocate(8192));
  windows.release(9, 0);
  windows.release(2, 512);
  CHECK(windows.allocate(4096)->offset == 4096);
  windows.remove(1);
  CHECK_FALSE(windows.allocate(256));
  windows.release(2, 0);
  CHECK(windows.allocate(256));
}

TEST_CASE("sizes and durations are written for people") {
  CHECK(size_text(12) == "12 B");
  CHECK(size_text(4 << 20) == "4.0 MiB");
  CHECK(duration_text(3'900'000'000) == "00:00:03");
  CHECK(duration_text(uint64_t{3661} * 1'000'000'000) == "01:01:01");
}
