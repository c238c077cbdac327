// Between the structs and FlatBuffers: what encode.cc and decode.cc share. Private to src/wire.
#pragma once
#include <flatbuffers/flatbuffers.h>

#include <string>
#include <string_view>
#include <vector>

#include "op_stream_generated.h"
#include "src/wire/messages.h"

namespace moai::wire {

using Builder = flatbuffers::FlatBufferBuilder;
template <class T>
using Offset = flatbuffers::Offset<T>;

// Strings of a list as one text and the end of each.
struct Packed {
  std::vector<uint8_t> text;
  std::vector<uint32_t> ends;
};
inline Packed pack(const std::vector<std::string>& strings) {
  Packed p;
  for (const std::string& s : strings) {
    p.text.insert(p.text.end(), s.begin(), s.end());
    p.ends.push_back(static_cast<uint32_t>(p.text.size()));
  }
  return p;
}

}  // namespace moai::wire
