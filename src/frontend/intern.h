// Finds what a segment already has: an open-addressing index from hash to position, emptied in
// O(1).
#pragma once
#include <algorithm>
#include <cstdint>
#include <cstring>
#include <string_view>
#include <vector>

#include "src/base/hash.h"
#include "src/frontend/capture.h"
#include "src/wire/segment.h"

namespace moai::frontend {

inline uint64_t hash_of(std::string_view text) {
  uint64_t h = text.size() ^ 0xD1B54A32D192ED03ull;
  size_t i = 0;
  for (; i + 8 <= text.size(); i += 8) {
    uint64_t word;
    std::memcpy(&word, text.data() + i, 8);
    h = fold_multiply(h ^ word, 0x9E3779B97F4A7C15ull);
  }
  uint64_t word = 0;
  std::memcpy(&word, text.data() + i, text.size() - i);
  return fold_multiply(h ^ word, 0xBF58476D1CE4E5B9ull);
}

// Everything of a view but its numbers, in one word.
inline uint64_t head_of(const ViewRef& v) {
  return static_cast<uint64_t>(v.dtype) | uint64_t{v.is_conj} << 8 | uint64_t{v.is_neg} << 9 |
         static_cast<uint64_t>(v.sizes.size()) << 16 |
         static_cast<uint64_t>(v.strides.size()) << 24;
}

inline uint64_t hash_of(const ViewRef& v) {
  uint64_t h = fold_multiply(head_of(v) ^ 0x9E3779B97F4A7C15ull,
                             static_cast<uint64_t>(v.offset) ^ 0xBF58476D1CE4E5B9ull);
  for (size_t i = 0; i < v.sizes.size(); i++)
    h = fold_multiply(static_cast<uint64_t>(v.sizes[i]) ^ 0x94D049BB133111EBull,
                      static_cast<uint64_t>(i < v.strides.size() ? v.strides[i] : 0) ^ h);
  return h;
}

inline bool is_equal(const wire::View& a, const ViewRef& b) {
  return head_of(a) == head_of(b) && a.offset == b.offset &&
         std::equal(b.sizes.begin(), b.sizes.end(), a.sizes.begin()) &&
         std::equal(b.strides.begin(), b.strides.end(), a.strides.begin());
}

inline wire::View view_of(const ViewRef& v) {
  wire::View made;
  made.dtype = v.dtype;
  made.is_conj = v.is_conj;
  made.is_neg = v.is_neg;
  made.offset = v.offset;
  made.sizes = Shape(v.sizes);
  made.strides = Shape(v.strides);
  return made;
}

class InternIndex {
 public:
  static constexpr uint32_t kNone = UINT32_MAX;

  InternIndex() : entries_(256) {}

  // Position of the entry with this hash for which equal(position) holds, or kNone.
  template <class Equal>
  uint32_t find(uint64_t hash, Equal equal) const {
    size_t mask = entries_.size() - 1;
    for (size_t i = hash & mask;; i = (i + 1) & mask) {
      const Entry& e = entries_[i];
      if (e.stamp != stamp_) return kNone;
      if (e.hash == hash && equal(e.position)) return e.position;
    }
  }
  void insert(uint64_t hash, uint32_t position) {
    if (++count_ * 2 > entries_.size()) grow();
    place(entries_, {hash, stamp_, position});
  }
  void clear() {
    count_ = 0;
    if (++stamp_ == 0) {  // entries of 2^32 segments ago would come alive
      entries_.assign(entries_.size(), {});
      stamp_ = 1;
    }
  }

 private:
  struct Entry {
    uint64_t hash = 0;
    uint32_t stamp = 0;
    uint32_t position = 0;
  };

  static void place(std::vector<Entry>& in, const Entry& entry) {
    size_t mask = in.size() - 1, i = entry.hash & mask;
    while (in[i].stamp == entry.stamp) i = (i + 1) & mask;
    in[i] = entry;
  }
  void grow() {
    std::vector<Entry> larger(entries_.size() * 2);
    for (const Entry& e : entries_)
      if (e.stamp == stamp_) place(larger, e);
    entries_.swap(larger);
  }

  std::vector<Entry> entries_;
  uint32_t stamp_ = 1;
  size_t count_ = 0;
};

}  // namespace moai::frontend
