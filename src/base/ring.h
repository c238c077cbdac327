// A queue whose elements stay: what an element owned when it left, its buffers, is there when it
// comes again.
#pragma once
#include <cstddef>
#include <utility>
#include <vector>

namespace moai {

template <class T>
class Ring {
 public:
  // Grows, and then moves its elements, when more than `room` are there at once.
  explicit Ring(size_t room = 8) : places_(room) {}

  bool empty() const { return size_ == 0; }
  size_t size() const { return size_; }
  // By age, 0 the oldest. Requires: i < size().
  T& operator[](size_t i) { return places_[(first_ + i) % places_.size()]; }
  T& front() { return (*this)[0]; }

  // A new last element, as it was when it left: the caller fills every field.
  T& push() {
    if (size_ == places_.size()) grow();
    return (*this)[size_++];
  }
  void pop() {
    first_ = (first_ + 1) % places_.size();
    size_--;
  }
  void clear() { size_ = 0; }

 private:
  void grow() {
    std::vector<T> larger(places_.size() * 2);
    for (size_t i = 0; i < size_; i++) larger[i] = std::move((*this)[i]);
    places_ = std::move(larger);
    first_ = 0;
  }
  std::vector<T> places_;
  size_t first_ = 0, size_ = 0;
};

}  // namespace moai
