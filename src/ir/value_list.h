// Values of a node: up to kInline of them without an allocation, as nearly all nodes have.
#pragma once
#include <algorithm>
#include <cstdint>
#include <initializer_list>
#include <iterator>
#include <vector>

namespace moai::ir {

enum class ValueId : uint32_t { none = UINT32_MAX };
constexpr size_t index_of(ValueId v) { return static_cast<size_t>(v); }

class ValueList {
 public:
  using value_type = ValueId;
  ValueList() = default;
  ValueList(std::initializer_list<ValueId> values) { append(values.begin(), values.end()); }
  ValueList(const std::vector<ValueId>& values) { append(values.begin(), values.end()); }
  template <class Iterator>
  ValueList(Iterator first, Iterator last) {
    append(first, last);
  }

  size_t size() const { return is_inline() ? size_ : more_.size(); }
  bool empty() const { return size() == 0; }
  const ValueId* begin() const { return is_inline() ? inline_ : more_.data(); }
  ValueId* begin() { return is_inline() ? inline_ : more_.data(); }
  const ValueId* end() const { return begin() + size(); }
  ValueId* end() { return begin() + size(); }
  auto rbegin() const { return std::reverse_iterator(end()); }
  auto rend() const { return std::reverse_iterator(begin()); }
  ValueId operator[](size_t i) const { return begin()[i]; }
  ValueId& operator[](size_t i) { return begin()[i]; }
  ValueId back() const { return end()[-1]; }

  void push_back(ValueId v) {
    if (!is_inline()) {
      more_.push_back(v);
    } else if (size_ < kInline) {
      inline_[size_++] = v;
    } else {
      more_.reserve(2 * kInline);
      more_.assign(inline_, inline_ + size_);
      more_.push_back(v);
    }
  }
  template <class Iterator>
  void append(Iterator first, Iterator last) {
    for (; first != last; ++first) push_back(*first);
  }
  friend bool operator==(const ValueList& a, const ValueList& b) {
    return std::equal(a.begin(), a.end(), b.begin(), b.end());
  }

 private:
  static constexpr uint32_t kInline = 5;
  bool is_inline() const { return more_.empty(); }
  uint32_t size_ = 0;  // while inline
  ValueId inline_[kInline] = {};
  std::vector<ValueId> more_;  // all of them, once they are too many
};

}  // namespace moai::ir
