// The shapes that one thread met last, found by comparing words: no lock, no reference count.
#pragma once
#include <array>
#include <cstring>
#include <memory>
#include <vector>

#include "src/base/hash.h"
#include "src/frontend/bridge/op_info.h"
#include "src/frontend/bridge/shapes.h"

namespace moai::bridge {

// All that the shapes of a call depend on.
class ShapeKey {
 public:
  void add(uint64_t word) {
    if (count_ < words_.size()) words_[count_] = word;
    count_++;
  }
  void add(at::IntArrayRef numbers) {
    for (int64_t n : numbers) add(static_cast<uint64_t>(n));
  }
  bool is_too_long() const { return count_ > words_.size(); }
  std::span<const uint64_t> words() const { return {words_.data(), count_}; }
  uint64_t hash() const {
    uint64_t h = count_;
    for (size_t i = 0; i < count_; i++) h = fold_multiply(h ^ words_[i], 0x9E3779B97F4A7C15ull);
    return h;
  }

 private:
  std::array<uint64_t, 64> words_;
  size_t count_ = 0;
};

class ShapeMemory {
 public:
  // Null: not met lately.
  const Shapes* find(const OpInfo& info, const ShapeKey& key) const {
    const Entry& e = entry(info, key);
    auto words = key.words();
    bool is_same = e.info == &info && e.words.size() == words.size() &&
                   std::memcmp(e.words.data(), words.data(), words.size_bytes()) == 0;
    return is_same ? e.shapes.get() : nullptr;
  }
  void keep(const OpInfo& info, const ShapeKey& key, std::shared_ptr<const Shapes> shapes) {
    auto words = key.words();
    entry(info, key) = {&info, {words.begin(), words.end()}, std::move(shapes)};
  }

 private:
  struct Entry {
    const OpInfo* info = nullptr;
    std::vector<uint64_t> words;
    std::shared_ptr<const Shapes> shapes;
  };
  static constexpr size_t kEntries = 1024;

  static size_t place(const OpInfo& info, const ShapeKey& key) {
    return fold_multiply(key.hash(), reinterpret_cast<uintptr_t>(&info)) % kEntries;
  }
  const Entry& entry(const OpInfo& info, const ShapeKey& key) const {
    return entries_[place(info, key)];
  }
  Entry& entry(const OpInfo& info, const ShapeKey& key) { return entries_[place(info, key)]; }

  std::vector<Entry> entries_ = std::vector<Entry>(kEntries);
};

}  // namespace moai::bridge
