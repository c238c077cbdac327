// A running 2 x 64 bit hash of words: for identity of segments and plans, not against an adversary.
#pragma once
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string_view>

#include "moai/ids.h"

namespace moai {

// Folds the 128-bit product, as in Wang Yi's wyhash (public domain): one multiplication a word and
// lane.
constexpr uint64_t fold_multiply(uint64_t a, uint64_t b) {
  unsigned __int128 p = static_cast<unsigned __int128>(a) * b;
  return static_cast<uint64_t>(p) ^ static_cast<uint64_t>(p >> 64);
}

class Hash128 {
 public:
  constexpr void add(uint64_t word) {
    a_ = fold_multiply(a_ ^ word, 0x9E3779B97F4A7C15ull);
    b_ = fold_multiply(b_ + word + 0xD1B54A32D192ED03ull, 0xBF58476D1CE4E5B9ull ^ a_);
  }
  void add(std::string_view text) {
    add(text.size());
    for (size_t i = 0; i < text.size(); i += 8) {
      uint64_t word = 0;
      std::memcpy(&word, text.data() + i, text.size() - i < 8 ? text.size() - i : 8);
      add(word);
    }
  }
  constexpr SegmentId id() const { return {a_, b_}; }

 private:
  uint64_t a_ = 0x243F6A8885A308D3ull, b_ = 0x13198A2E03707344ull;  // digits of pi
};

}  // namespace moai
