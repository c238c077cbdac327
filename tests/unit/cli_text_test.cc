// Tables and blocks of the commands, byte for byte.
#include <unistd.h>

#include <catch2/catch.hpp>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <nlohmann/json.hpp>

#include "cli/arguments.h"
#include "cli/doctor_server.h"
#include "cli/smi_text.h"
#include "cli/table.h"
#include "cli/trace_file.h"
#include "src/base/trace.h"

namespace moai::cli {
namespace {

Accelerator accelerator(uint32_t index, const std::string& flavor) {
  Accelerator a;
  a.index = index;
  a.is_default = index == 0;
  a.status.flavor = flavor;
  return a;
}

TEST_CASE("an idle accelerator") {
  CHECK(
      smi_table({accelerator(0, "4xLarge.2048GB")}, "24.5.0", "24.5.0") ==
      R"(+-----------------------------------------------------------------------------------------------------+
|                                                    Current Version: 24.5.0  Latest Version: 24.5.0  |
+-----------------------------------------------------------------------------------------------------+
|  Device  |        Name         |       Model      |  Memory Usage  |  Total Memory  |  Utilization  |
+=====================================================================================================+
|  * 0     |   MoAI Accelerator  |  4xLarge.2048GB  |  -             |  -             |  -            |
+-----------------------------------------------------------------------------------------------------+
)");
}

TEST_CASE("a busy accelerator, its process, and an idle one") {
  Accelerator busy = accelerator(0, "xLarge.512GB"), idle = accelerator(1, "8xLarge.4096GB");
  busy.status.used_bytes = uint64_t{397} << 20;
  busy.status.memory_bytes = uint64_t{524160} << 20;
  busy.status.jobs = {{1548305, "python tutorial/train_gpt.py", uint64_t{397} << 20, 0, 0, 976356}};
  CHECK(
      smi_table({busy, idle}, "24.5.0", "24.5.0") ==
      R"(+-----------------------------------------------------------------------------------------------------+
|                                                    Current Version: 24.5.0  Latest Version: 24.5.0  |
+-----------------------------------------------------------------------------------------------------+
|  Device  |        Name         |       Model      |  Memory Usage  |  Total Memory  |  Utilization  |
+=====================================================================================================+
|  * 0     |   MoAI Accelerator  |  xLarge.512GB    |  397 MiB       |  524160 MiB    |    0 %        |
|    1     |   MoAI Accelerator  |  8xLarge.4096GB  |  -             |  -             |  -            |
+-----------------------------------------------------------------------------------------------------+

Processes:
+-----------------------------------------------------------------------------------+
|  Device  |  Job ID  |    PID    |             Process            |  Memory Usage  |
+===================================================================================+
|       0  |  976356  |  1548305  |  python tutorial/train_gpt.py  |  397 MiB       |
+-----------------------------------------------------------------------------------+
)");
}

TEST_CASE("notes stand after the tables") {
  Accelerator a = accelerator(0, "cpu");
  a.status.notes = {"job 1: tcp instead of rdma"};
  std::string text = smi_table({a}, "1", "1");
  CHECK(text.substr(text.find("Notes:")) == "Notes:\n  job 1: tcp instead of rdma\n");
}

TEST_CASE("JSON says what the table says") {
  Accelerator a = accelerator(3, "");
  a.status.device = "cpu";
  a.status.used_bytes = 12;
  a.status.jobs = {{7, "python \"x\"\n", 12, 0, 0, 1}};
  nlohmann::json json = nlohmann::json::parse(smi_json({a}, "1", "2", "2026-01-01T00:00:00Z"));
  CHECK(json["accelerators"][0]["index"] == 3);
  CHECK(json["accelerators"][0]["model"] == "cpu");
  CHECK(json["accelerators"][0]["memory_used_bytes"] == 12);
  CHECK(json["processes"][0]["command"] == "python \"x\"\n");
  CHECK(json["version"]["latest"] == "2");
}

TEST_CASE("text for a terminal: widths in columns, no control characters, cut in the middle") {
  CHECK(display_width("abc") == 3);
  CHECK(display_width("한국") == 4);
  CHECK(printable("a\x1b[31mb", 80) == "a?[31mb");
  CHECK(printable("0123456789", 10) == "0123456789");
  CHECK(printable("0123456789abcdef", 10) == "012...cdef");
  CHECK(display_width(printable(std::string(200, 'x'), 80)) == 80);
  CHECK(printable("\xff\xfe", 80).size() == 2);
}

TEST_CASE("threads are a number from 1 to 1024") {
  CHECK(*threads_from("") == 0);
  CHECK(*threads_from("1") == 1);
  CHECK(*threads_from("1024") == 1024);
  for (const char* text : {"0", "-3", "abc", "1025", "100000", "2x", " 2", "99999999999999"}) {
    INFO(text);
    REQUIRE_FALSE(threads_from(text).ok());
    CHECK(threads_from(text).status().message().find("1 to 1024") != std::string::npos);
  }
}

TEST_CASE("device memory is an amount above nothing") {
  CHECK(*device_memory_from("256MiB") == uint64_t{256} << 20);
  CHECK(*device_memory_from("") > 0);
  for (const char* text : {"0", "foo", "-1", "0GiB", "nan"}) {
    INFO(text);
    CHECK_FALSE(device_memory_from(text).ok());
  }
}

TEST_CASE("requirements are those that something keeps") {
  CHECK(check_require("").ok());
  CHECK(check_require("no-fallback").ok());
  CHECK(check_require("foo").message() ==
        "--require: \"foo\" is not one of rdma, gdr, no-fallback, no-replicate, same-plan");
  for (const char* word : {"rdma", "gdr", "no-replicate", "no-fallback,same-plan"}) {
    INFO(word);
    CHECK(check_require(word).message().find("nothing in this version") != std::string::npos);
  }
}

TEST_CASE("a dump names what and where, and its folder is made") {
  CHECK(check_dump("graph,plan").ok());
  CHECK(*prepare_dump("graph,plan") == "graph,plan");
  for (const char* text : {"foo", "", "graph,foo", ":/tmp", "graph:"}) {
    INFO(text);
    REQUIRE(check_dump(text).code() == StatusCode::invalid_argument);
    CHECK(check_dump(text).message().rfind("--dump: ", 0) == 0);
  }
  std::filesystem::path base =
      std::filesystem::temp_directory_path() / ("moai-cli-text-" + std::to_string(::getpid()));
  CHECK(*prepare_dump("graph:" + (base / "a/b").string()) == "graph:" + (base / "a/b").string());
  CHECK(std::filesystem::is_directory(base / "a/b"));
  CHECK(std::filesystem::remove_all(base) > 0);
  CHECK(prepare_dump("graph:/dev/null/x").status().code() == StatusCode::unavailable);
}

TEST_CASE("a trace that is closed is JSON, and can be appended to again") {
  std::string path = std::filesystem::temp_directory_path() /
                     ("moai-trace-" + std::to_string(::getpid()) + ".json");
  auto read = [&] {
    std::ifstream file(path);
    return nlohmann::json::parse(file, nullptr, false);
  };
  auto append = [&](const char* text) { std::ofstream(path, std::ios::app) << text; };
  REQUIRE(begin_trace(path).ok());
  close_trace(path);
  CHECK(read() == nlohmann::json::array());
  REQUIRE(reopen_trace(path).ok());
  append("{\"name\":1},\n{\"name\":2},\n");
  close_trace(path);
  CHECK(read().size() == 2);
  close_trace(path);
  CHECK(read().size() == 2);
  REQUIRE(reopen_trace(path).ok());
  append("{\"name\":3},\n");
  close_trace(path);
  CHECK(read()[2]["name"] == 3);
  REQUIRE(begin_trace(path).ok());
  close_trace(path);
  CHECK(read().empty());
  std::filesystem::remove(path);
  CHECK(reopen_trace(path).ok());  // nothing to open again: whoever appends first begins it
  CHECK_FALSE(reopen_trace("/dev/null/x").ok());
  CHECK_FALSE(begin_trace("/dev/null/x").ok());
  std::filesystem::remove(path);
}

TEST_CASE("doctor tells versions apart from silence") {
  wire::Hello peer;
  Finding silent = judge_server("unix:x", peer, unavailable("nobody is there"));
  CHECK(silent.grade == Grade::bad);
  CHECK(silent.text == "no answer from unix:x: nobody is there");
  peer.version = MOAI_VERSION;
  CHECK(judge_server("unix:x", peer, ok_status()).grade == Grade::ok);
  peer.version = "9.9";
  Finding younger = judge_server("unix:x", peer, ok_status());
  CHECK(younger.grade == Grade::note);
  CHECK(younger.text == "unix:x is moai 9.9, this is " MOAI_VERSION);
  peer.protocol++;
  // Its answer cannot be read, but its introduction could.
  Finding foreign = judge_server("unix:x", peer, invalid("malformed"));
  CHECK(foreign.grade == Grade::bad);
  CHECK(foreign.text.find("they speak protocols") != std::string::npos);
  CHECK(foreign.advice.find("same version") != std::string::npos);
}

// A process that the program left behind goes on writing.
TEST_CASE("a closed trace stays as it is") {
  std::filesystem::path folder =
      std::filesystem::temp_directory_path() / ("moai_traces_" + std::to_string(::getpid()));
  std::filesystem::create_directory(folder);
  const std::string path = folder / "t.json", link = folder / "link.json";
  std::filesystem::create_symlink("t.json", link);
  auto read = [&] {
    std::ifstream file(path);
    return nlohmann::json::parse(file);
  };
  REQUIRE(begin_trace(link).ok());
  std::filesystem::permissions(path, std::filesystem::perms(0640));
  Trace early, late, again;
  REQUIRE(early.open(path, "early").ok());
  early.span("before", 1, 2, "");
  std::ofstream(path, std::ios::app) << R"({"name":"half a li)";  // its process was killed
  close_trace(link);
  const nlohmann::json closed = read();
  CHECK(closed.size() == 2);
  early.span("after", 3, 4, "");
  CHECK(late.open(path, "late").message().find("another file") != std::string::npos);
  CHECK_FALSE(late.is_open());
  late.span("after", 3, 4, "");
  CHECK(read() == closed);
  CHECK(std::filesystem::is_symlink(link));
  CHECK(std::filesystem::status(path).permissions() == std::filesystem::perms(0640));
  CHECK(std::distance(std::filesystem::directory_iterator(folder), {}) == 2);

  REQUIRE(reopen_trace(path).ok());
  REQUIRE(again.open(path, "again").ok());
  CHECK(again.is_open());
  close_trace(path);
  CHECK(read().size() == 3);
  std::filesystem::remove_all(folder);
}

TEST_CASE("numbers of smi") {
  CHECK(*index_from("0") == 0);
  CHECK(*index_from("12") == 12);
  for (const char* text : {"", "-1", "1x", "1.5", "99999999999", " 1"})
    CHECK_FALSE(index_from(text).ok());
  CHECK(*seconds_from("1") == 1.0);
  CHECK(*seconds_from("0.5") == 0.5);
  for (const char* text : {"", "0", "-3", "x", "nan", "inf", "1s", "3601"})
    CHECK_FALSE(seconds_from(text).ok());
}

}  // namespace
}  // namespace moai::cli
