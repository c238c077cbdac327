// What several processes told, added up and shown.
#include <catch2/catch.hpp>
#include <nlohmann/json.hpp>

#include "cli/stats.h"
#include "cli/stats_sum.h"

namespace moai::cli {
namespace {

using Json = nlohmann::json;

Json sum_of(const std::string& lines) { return Json::parse(add_up_stats(lines)); }

TEST_CASE("figures of a program that used no accelerator are all there, and zero") {
  Json sum = sum_of("");
  for (const char* key :
       {"steps", "ops_recorded", "frames_sent", "frames_received", "blocking_round_trips",
        "bytes_up", "bytes_down", "segments_compiled", "segments_reused", "peak_bytes",
        "compiled_graphs", "processes", "processes_killed"}) {
    INFO(key);
    CHECK(sum.at(key) == 0);
  }
  CHECK(sum.at("fallbacks") == Json::object());
  CHECK(sum.at("transport") == "");
  CHECK(sum.at("notes") == Json::array());
  CHECK(sum.at("hints") == Json::array());
  CHECK(format_stats(sum.dump()) == "moai: the program used no accelerator\n");
}

TEST_CASE("figures of two processes are added, peaks compared, texts listed once") {
  Json sum = sum_of(R"(
{"pid":1}
{"pid":2}
{"pid":1,"stats":{"steps":3,"peak_bytes":10,"transport":"shm, same host","notes":["a"],"hints":["h=1"],"new":4,"fallbacks":{"unique":{"calls":1,"bytes":8,"ms":0.5}}}}
{"pid":2,"stats":{"steps":4,"peak_bytes":7,"transport":"tcp","notes":["a","b"],"hints":["h=1"],"new":5,"fallbacks":{"unique":{"calls":2,"bytes":8,"ms":0.25},"svd":{"calls":1,"bytes":1,"ms":1.0}}}}
{"pid":3}
{"pid":3,"stats":{"steps":1,"transport":"shm, same host"}}
)");
  CHECK(sum["steps"] == 8);
  CHECK(sum["peak_bytes"] == 10);
  CHECK(sum["transport"] == "shm, same host; tcp");
  CHECK(sum["notes"] == Json({"a", "b"}));
  CHECK(sum["hints"] == Json({"h=1"}));
  CHECK(sum["new"] == 9);
  CHECK(sum["fallbacks"]["unique"] == Json({{"calls", 3}, {"bytes", 16}, {"ms", 0.75}}));
  CHECK(sum["fallbacks"]["svd"]["calls"] == 1);
  CHECK(sum["processes"] == 3);
  CHECK(sum["processes_killed"] == 0);
}

TEST_CASE("the last figures of a process count, and a process number may come back") {
  Json sum = sum_of(R"({"pid":1}
{"pid":1,"stats":{"steps":1}}
{"pid":1,"stats":{"steps":2}}
{"pid":1}
{"pid":1}
{"pid":1,"stats":{"steps":10}})");
  CHECK(sum["steps"] == 12);
  CHECK(sum["processes"] == 3);
  CHECK(sum["processes_killed"] == 1);
}

TEST_CASE("what is no whole line is passed over, and its process did not tell") {
  Json sum = sum_of(
      "\n{\"pid\":1}\n\n{\"pid\":1,\"stats\":{\"steps\":3,\"fal\n{\"pid\":2}\n"
      "{\"pid\":2,\"stats\":7}\n{\"pid\":\"2\"}\n[1]\n{}\nhello\n\xff\n"
      "{\"pid\":3}\n{\"pid\":3,\"stats\":{\"steps\":\"x\",\"fallbacks\":3,\"transport\":1,"
      "\"notes\":{},\"bytes_up\":2,\"hints\":[\"\xff\"]}}\n{\"pid\":4");
  CHECK(sum["processes"] == 3);
  CHECK(sum["processes_killed"] == 3);
  CHECK(sum["steps"] == 0);
  CHECK(sum["bytes_up"] == 0);
  Json odd =
      sum_of("{\"pid\":3}\n{\"pid\":3,\"stats\":{\"steps\":\"x\",\"fallbacks\":3,\"bytes_up\":2}}");
  CHECK(odd["steps"] == 0);
  CHECK(odd["fallbacks"] == Json::object());
  CHECK(odd["bytes_up"] == 2);
}

TEST_CASE("statistics have labels and units") {
  std::string text = format_stats(
      R"({"processes":1,"processes_killed":0,"steps":20,"bytes_up":1536,"blocking_round_trips":46,"reads":{"t.py:3":1,"t.py:9":40,"u.py:1":2,"u.py:2":3},"fallbacks":{"nonzero":{"calls":3,"bytes":8},"unique":1},"transport":"shm"})");
  CHECK(text ==
        "moai:\n"
        "  steps                   20\n"
        "  round trips waited for  46 waits\n"
        "  waited for most         40 values, 2.0 a step, t.py:9\n"
        "                          3 values, 0.1 a step, u.py:2\n"
        "                          2 values, 0.1 a step, u.py:1\n"
        "  data up                 1.50 KiB\n"
        "  ops run on the client   4 calls (nonzero 3, unique 1)\n"
        "  transport               shm\n");
}

TEST_CASE("statistics say who did not tell") {
  CHECK(
      format_stats(R"({"processes":3,"processes_killed":1,"steps":2})") ==
      "moai:\n"
      "  processes added up      2 of 3\n"
      "  steps                   2\n"
      "  1 of 3 processes did not tell what they counted: ended by a signal or os._exit, or still "
      "running\n");
  CHECK(format_stats(R"({"processes":1,"processes_killed":1,"steps":0})") ==
        "moai: the program used the accelerator, but 1 of 1 processes did not tell what they "
        "counted: ended by a signal or os._exit, or still running\n");
}

}  // namespace
}  // namespace moai::cli
