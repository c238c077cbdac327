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
        "bytes_up", "bytes_down", "segments_compiled", "segments_resized", "segments_reused",
        "peak_bytes", "compiled_graphs", "processes", "processes_killed"}) {
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
        "  round trips waited for  46 waits, 2.3 a step\n"
        "  waited for most         40 values, 2.0 a step, t.py:9\n"
        "                          3 values, 0.1 a step, u.py:2\n"
        "                          2 values, 0.1 a step, u.py:1\n"
        "  data up                 1.50 KiB\n"
        "  ops run on the client   4 calls, 0.2 a step (nonzero 3, unique 1)\n"
        "  transport               shm\n");
}

TEST_CASE("statistics say why segments were new and what waits and fallbacks cost") {
  const std::string text = format_stats(R"({"processes":1,"processes_killed":0,"steps":20,
    "segments_compiled":8,"segments_resized":4,"planning_ms":40,"blocking_round_trips":20,"reads":{"t.py:9":20},
    "reads_before_backward":{"t.py:9":19},"idle_after_reads_ms":3.5,
    "new_segments":{"nothing like it before":{"segments":2,"ops":40,"last_step":1,"change":"begins with mm"},
      "size 1 of operand 2 of bmm":{"segments":10,"ops":60,"last_step":19,"change":"33 to 34"}},
    "fallbacks":{"fft_r2c":{"calls":5,"bytes":2048,"ms":2.5}}})");
  CHECK(text ==
        "moai:\n"
        "  steps                   20\n"
        "  segments resized        4 segments\n"
        "  segments compiled       8 segments, 0.4 a step\n"
        "                          10 new segments with 60 ops: size 1 of operand 2 of bmm, 33 to "
        "34, "
        "last in step 19\n"
        "                          2 new segments with 40 ops: nothing like it before, begins with "
        "mm, "
        "last in step 1\n"
        "  spent planning          40.0 ms\n"
        "  round trips waited for  20 waits, 1.0 a step\n"
        "  waited for most         20 values, 1.0 a step, t.py:9, between forward and backward: no "
        "micro-batches\n"
        "  ops run on the client   5 calls, 0.2 a step (fft_r2c 5)\n"
        "                          2.5 ms and 2.00 KiB moved: fft_r2c\n"
        "  advice                  planning anew took 24.0 ms, most for size 1 of operand 2 of bmm "
        "(33 to 34): pad it to a few sizes\n");
}

TEST_CASE("advice is about what costs most, and silent where that is little") {
  const auto advice_of = [](const std::string& figures) {
    const std::string text =
        format_stats(R"({"processes":1,"processes_killed":0,"steps":20,)" + figures + "}");
    const size_t at = text.find("  advice");
    return at == std::string::npos ? "" : text.substr(at);
  };
  const std::string reads = R"("reads":{"t.py:9":20},"idle_after_reads_ms":)",
                    fallbacks = R"(,"fallbacks":{"svd":{"calls":1,"bytes":8,"ms":1500}})";
  CHECK(advice_of(reads + "9.9") == "");
  CHECK(advice_of(reads + "2000" + fallbacks).find("t.py:9: read after the step") !=
        std::string::npos);
  CHECK(advice_of(reads + "20" + fallbacks).find("1.50 s, most of it svd") != std::string::npos);
  // A first segment is nothing that a program can avoid.
  CHECK(advice_of(R"("planning_ms":500,"new_segments":{"nothing like it before":{"segments":9,
    "ops":9,"last_step":1,"change":"begins with mm"}})") == "");
  CHECK(advice_of(
            R"("planning_ms":"x","new_segments":7,"reads":[],"fallbacks":{"svd":{"ms":"x"}})") ==
        "");
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
