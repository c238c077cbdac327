// Splitting, definitions, differences of bindings.
#include "src/frontend/segment_book.h"

#include <algorithm>

namespace moai::frontend {
namespace {

constexpr size_t kPieceBytes = 256 << 10;
// An Execute may be on its way while its definition is the oldest: the run-ahead and one more stay.
constexpr size_t kDefinitionsMin = kUnfinishedSegmentsMax + 2;

// Takes entries from `at` on while they fit the budget.
template <class T, class Size>
void take(const std::vector<T>& from, size_t& at, std::vector<T>& to, size_t& budget,
          Size size_of_one) {
  while (at < from.size()) {
    size_t size = size_of_one(from[at]);
    if (size > budget) return;
    budget -= size;
    to.push_back(from[at++]);
  }
}

class Splitter {
 public:
  explicit Splitter(const wire::Segment& s) : s_(s) {}

  std::vector<wire::Bytes> run() {
    std::vector<wire::Bytes> pieces;
    do pieces.push_back(next());
    while (op_ < s_.op_count() || name_ < s_.names.size() || text_ < s_.texts.size() ||
           slot_ < s_.slots.size() || view_ < s_.views.size());
    return pieces;
  }

 private:
  wire::Bytes next() {
    wire::Ops ops;
    ops.first_op = static_cast<uint32_t>(op_);
    wire::Segment& part = ops.part;
    part.scalar_count = s_.scalar_count;
    size_t budget = kPieceBytes;
    auto text_size = [](const std::string& t) { return std::min(t.size() + 8, kPieceBytes / 4); };
    take(s_.names, name_, part.names, budget, text_size);
    take(s_.texts, text_, part.texts, budget, text_size);
    take(s_.slots, slot_, part.slots, budget, [](const wire::Slot&) { return size_t{9}; });
    take(s_.views, view_, part.views, budget,
         [](const wire::View& v) { return 16 + 16 * static_cast<size_t>(v.sizes.rank()); });
    // At least one row, so that only the first piece begins at row 0.
    for (bool is_first = true; op_ < s_.op_count(); is_first = false) {
      size_t begin = op_ == 0 ? 0 : s_.op_end[op_ - 1], end = s_.op_end[op_];
      size_t size = 8 + (end - begin) * 8;
      if (!is_first && size > budget) break;
      budget -= std::min(size, budget);
      part.op_name.push_back(s_.op_name[op_]);
      part.op_end.push_back(static_cast<uint32_t>(end));
      part.words.insert(part.words.end(), s_.words.begin() + static_cast<ptrdiff_t>(begin),
                        s_.words.begin() + static_cast<ptrdiff_t>(end));
      op_++;
    }
    return wire::encode(ops);
  }

  const wire::Segment& s_;
  size_t name_ = 0, text_ = 0, slot_ = 0, view_ = 0, op_ = 0;
};

}  // namespace

std::vector<wire::Bytes> encode_pieces(const wire::Segment& segment) {
  return Splitter(segment).run();
}

const std::vector<wire::Bytes>* SegmentBook::find(const SegmentId& id) {
  auto at = definition_of_.find(id);
  if (at == definition_of_.end()) return nullptr;
  definitions_.splice(definitions_.begin(), definitions_, at->second);
  return &at->second->pieces;
}

void SegmentBook::define(const SegmentId& id, std::vector<wire::Bytes> pieces) {
  if (find(id) != nullptr) return;
  uint64_t bytes = 0;
  for (const wire::Bytes& piece : pieces) bytes += piece.size();
  definitions_.push_front({id, std::move(pieces), bytes});
  definition_of_[id] = definitions_.begin();
  bytes_ += bytes;
  while (bytes_ > bytes_max_ && definitions_.size() > kDefinitionsMin) {
    bytes_ -= definitions_.back().bytes;
    definition_of_.erase(definitions_.back().id);
    definitions_.pop_back();
  }
}

void SegmentBook::bind(wire::Execute& execute, bool is_definition) {
  auto at = recent_of_.find(execute.segment);
  if (at == recent_of_.end()) {
    recent_.push_front({execute.segment, execute.bindings});
    recent_of_[execute.segment] = recent_.begin();
    if (recent_.size() > kRecentSegments) {
      recent_of_.erase(recent_.back().id);
      recent_.pop_back();
    }
    return;
  }
  recent_.splice(recent_.begin(), recent_, at->second);
  Bindings& last = at->second->bindings;
  if (is_definition || last.size() != execute.bindings.size()) {
    last = execute.bindings;
    return;
  }
  Bindings changed;
  for (size_t i = 0; i < last.size(); i++)
    if (last[i] != execute.bindings[i]) changed.push_back(execute.bindings[i]);
  last = std::move(execute.bindings);
  execute.bindings = std::move(changed);
  execute.is_whole = false;
}

void SegmentBook::forget_bindings() {
  recent_.clear();
  recent_of_.clear();
}

}  // namespace moai::frontend
