// Reads the arguments of one op of a verified segment in schema order.
#pragma once
#include <optional>
#include <string_view>
#include <vector>

#include "src/wire/segment.h"

namespace moai::wire {

struct TensorArg {
  uint32_t slot = 0, view = 0;
};

// A Python number of the call. Structural ones carry their value; lifted ones the index in Scalars.
struct ScalarArg {
  enum class Kind : uint8_t { integer, real, boolean } kind = Kind::real;
  bool is_lifted = false;
  uint32_t index = 0;  // lifted
  double f = 0;        // structural
  int64_t i = 0;       // structural
};

// A cursor over the words of one op. The caller knows the schema; a word of another kind sets
// failed() and yields a default, so a lowering checks once at its end.
class ArgReader {
 public:
  // scalar_index: number of lifted values that the ops before this one take; advanced while
  // reading.
  ArgReader(const Segment& segment, size_t op, uint32_t* scalar_index);

  std::optional<TensorArg> tensor();                // nullopt: None or undefined
  std::vector<std::optional<TensorArg>> tensors();  // a list; None gives an empty list
  bool is_none() const;                             // the next word is none
  std::optional<int64_t> integer();                 // int, bool, dtype, memory format
  int64_t integer_or(int64_t fallback) { return integer().value_or(fallback); }
  std::optional<std::vector<int64_t>> integers();
  std::optional<double> real();       // structural float
  std::optional<ScalarArg> scalar();  // Scalar or float, lifted or structural
  std::vector<ScalarArg> scalars(
      size_t* count = nullptr);  // one entry when uniform; *count: how many meant
  std::string_view text();
  std::optional<std::pair<ScalarArg, ScalarArg>> rng();  // seed, offset
  std::vector<std::optional<TensorArg>> outputs();       // the last word
  Tag peek() const;                                      // tag of the next word; none at the end
  bool failed() const { return failed_; }
  bool at_end() const { return at_ == end_; }

 private:
  uint64_t take(Tag want);
  const Segment& segment_;
  uint32_t at_, end_;
  uint32_t* scalar_index_;
  bool failed_ = false;
};

}  // namespace moai::wire
