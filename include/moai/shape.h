// Sizes or strides of a tensor: up to kRankMax numbers inline, no heap.
#pragma once
#include <array>
#include <cstdint>
#include <initializer_list>
#include <span>

#include "moai/limits.h"

namespace moai {

class Shape {
 public:
  Shape() = default;
  Shape(std::initializer_list<int64_t> dims) {
    for (int64_t d : dims) push_back(d);
  }
  explicit Shape(std::span<const int64_t> dims) {
    for (int64_t d : dims) push_back(d);
  }
  static Shape filled(int rank, int64_t value) {
    Shape s;
    for (int i = 0; i < rank; i++) s.push_back(value);
    return s;
  }

  int rank() const { return rank_; }
  bool empty() const { return rank_ == 0; }
  int64_t operator[](int i) const { return dims_[static_cast<size_t>(i)]; }
  int64_t& operator[](int i) { return dims_[static_cast<size_t>(i)]; }
  int64_t back() const { return dims_[rank_ - 1u]; }
  // Requires: rank() < kRankMax.
  void push_back(int64_t d) { dims_[rank_++] = d; }
  void pop_back() { dims_[--rank_] = 0; }
  void insert(int at, int64_t d);
  void erase(int at);
  const int64_t* begin() const { return dims_.data(); }
  const int64_t* end() const { return dims_.data() + rank_; }
  int64_t* begin() { return dims_.data(); }
  int64_t* end() { return dims_.data() + rank_; }
  std::span<const int64_t> span() const { return {begin(), end()}; }
  int64_t numel() const {  // 1 for rank 0
    int64_t n = 1;
    for (int64_t d : *this) n *= d;
    return n;
  }
  // Unused entries stay zero, so the default comparison is exact.
  bool operator==(const Shape&) const = default;

 private:
  std::array<int64_t, kRankMax> dims_{};
  uint8_t rank_ = 0;
};

inline void Shape::insert(int at, int64_t d) {
  push_back(0);
  for (int i = rank_ - 1; i > at; i--) (*this)[i] = (*this)[i - 1];
  (*this)[at] = d;
}
inline void Shape::erase(int at) {
  for (int i = at; i + 1 < rank_; i++) (*this)[i] = (*this)[i + 1];
  pop_back();
}

// Row-major strides in elements.
inline Shape contiguous_strides(const Shape& sizes) {
  Shape s = Shape::filled(sizes.rank(), 1);
  int64_t step = 1;
  for (int i = sizes.rank() - 1; i >= 0; i--) {
    s[i] = step;
    step *= sizes[i] > 1 ? sizes[i] : 1;
  }
  return s;
}

}  // namespace moai
