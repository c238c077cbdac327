#include "sched/free_list.h"

#include <algorithm>
#include <map>
#include <numeric>
#include <set>

namespace moai::sched {
namespace {

constexpr size_t kBySizeMax = 2048;  // placing by size compares every pair

// The largest first, each at the lowest gap that is free for all its time and fits best.
uint64_t place_by_size(const std::vector<Lifetime>& lifetimes, std::vector<uint64_t>& offsets) {
  std::vector<uint32_t> order(lifetimes.size());
  std::iota(order.begin(), order.end(), 0u);
  std::stable_sort(order.begin(), order.end(),
                   [&](uint32_t a, uint32_t b) { return lifetimes[a].bytes > lifetimes[b].bytes; });
  std::vector<uint32_t> placed;  // by offset
  uint64_t top = 0;
  for (uint32_t v : order) {
    const Lifetime& life = lifetimes[v];
    if (life.bytes == 0) continue;
    uint64_t at = 0, best = UINT64_MAX, best_gap = UINT64_MAX;
    for (uint32_t other : placed) {
      const Lifetime& o = lifetimes[other];
      if (o.end < life.begin || o.begin > life.end) continue;
      if (offsets[other] > at && offsets[other] - at >= life.bytes &&
          offsets[other] - at < best_gap) {
        best = at;
        best_gap = offsets[other] - at;
      }
      at = std::max(at, offsets[other] + o.bytes);
    }
    offsets[v] = best == UINT64_MAX ? at : best;
    top = std::max(top, offsets[v] + life.bytes);
    auto where = std::upper_bound(placed.begin(), placed.end(), v,
                                  [&](uint32_t a, uint32_t b) { return offsets[a] < offsets[b]; });
    placed.insert(where, v);
  }
  return top;
}

// Free ranges by offset and by size, for a walk in time order.
class FreeList {
 public:
  uint64_t take(uint64_t bytes) {
    auto it = by_size_.lower_bound({bytes, 0});
    if (it == by_size_.end()) {
      uint64_t at = top_;
      // A free range that ends at the top grows instead.
      if (!by_offset_.empty()) {
        auto last = std::prev(by_offset_.end());
        if (last->first + last->second == top_) {
          at = last->first;
          erase(last);
        }
      }
      top_ = at + bytes;
      return at;
    }
    auto [size, at] = *it;
    erase(by_offset_.find(at));
    if (size > bytes) insert(at + bytes, size - bytes);
    return at;
  }
  void give(uint64_t at, uint64_t bytes) {
    auto next = by_offset_.lower_bound(at);
    if (next != by_offset_.end() && at + bytes == next->first) {
      bytes += next->second;
      next = erase(next);
    }
    if (next != by_offset_.begin()) {
      auto before = std::prev(next);
      if (before->first + before->second == at) {
        at = before->first;
        bytes += before->second;
        erase(before);
      }
    }
    insert(at, bytes);
  }
  uint64_t top() const { return top_; }

 private:
  using ByOffset = std::map<uint64_t, uint64_t>;
  ByOffset::iterator erase(ByOffset::iterator it) {
    by_size_.erase({it->second, it->first});
    return by_offset_.erase(it);
  }
  void insert(uint64_t at, uint64_t bytes) {
    by_offset_.emplace(at, bytes);
    by_size_.emplace(bytes, at);
  }
  ByOffset by_offset_;
  std::set<std::pair<uint64_t, uint64_t>> by_size_;
  uint64_t top_ = 0;
};

uint64_t place_by_time(const std::vector<Lifetime>& lifetimes, std::vector<uint64_t>& offsets) {
  std::vector<uint32_t> begins(lifetimes.size()), ends;
  std::iota(begins.begin(), begins.end(), 0u);
  ends = begins;
  // Of those that begin together the largest comes first.
  std::stable_sort(begins.begin(), begins.end(), [&](uint32_t a, uint32_t b) {
    const Lifetime &x = lifetimes[a], &y = lifetimes[b];
    return x.begin != y.begin ? x.begin < y.begin : x.bytes > y.bytes;
  });
  std::stable_sort(ends.begin(), ends.end(),
                   [&](uint32_t a, uint32_t b) { return lifetimes[a].end < lifetimes[b].end; });
  FreeList list;
  size_t e = 0;
  for (uint32_t v : begins) {
    for (; lifetimes[ends[e]].end < lifetimes[v].begin; e++)
      if (lifetimes[ends[e]].bytes > 0) list.give(offsets[ends[e]], lifetimes[ends[e]].bytes);
    if (lifetimes[v].bytes > 0) offsets[v] = list.take(lifetimes[v].bytes);
  }
  return list.top();
}

}  // namespace

uint64_t place(const std::vector<Lifetime>& lifetimes, std::vector<uint64_t>& offsets) {
  offsets.assign(lifetimes.size(), 0);
  uint64_t top = place_by_time(lifetimes, offsets);
  if (lifetimes.size() > kBySizeMax) return top;
  std::vector<uint64_t> others(lifetimes.size(), 0);
  uint64_t other = place_by_size(lifetimes, others);
  if (other >= top) return top;
  offsets = std::move(others);
  return other;
}

}  // namespace moai::sched
