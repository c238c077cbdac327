// Tables and blocks of the commands, byte for byte.
#include <catch2/catch.hpp>
#include <nlohmann/json.hpp>

#include "cli/smi_text.h"
#include "cli/stats.h"
#include "cli/table.h"

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

TEST_CASE("statistics have labels and units") {
  CHECK(format_stats("") == "moai: the program used no accelerator\n");
  std::string text =
      format_stats(R"({"steps":20,"bytes_up":1536,"fallbacks":{"nonzero":{"calls":3,"bytes":8},"unique":1},"transport":"shm"})");
  CHECK(text ==
        "moai:\n"
        "  steps                   20\n"
        "  data up                 1.50 KiB\n"
        "  ops run on the client   4 calls (nonzero 3, unique 1)\n"
        "  transport               shm\n");
}

}  // namespace
}  // namespace moai::cli
