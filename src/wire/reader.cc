#include "src/wire/reader.h"

namespace moai::wire {

ArgReader::ArgReader(const Segment& segment, size_t op, uint32_t* scalar_index)
    : segment_(segment),
      at_(op == 0 ? 0 : segment.op_end[op - 1]),
      end_(segment.op_end[op]),
      scalar_index_(scalar_index) {}

Tag ArgReader::peek() const { return at_ < end_ ? tag_of(segment_.words[at_]) : Tag::none; }
bool ArgReader::is_none() const { return peek() == Tag::none; }

uint64_t ArgReader::take(Tag want) {
  if (at_ < end_ && tag_of(segment_.words[at_]) == want) return segment_.words[at_++];
  failed_ = true;
  return make_word(want);
}

std::optional<TensorArg> ArgReader::tensor() {
  if (is_none()) {
    if (at_ < end_) at_++;
    return std::nullopt;
  }
  uint64_t word = take(Tag::tensor);
  if (failed_) return std::nullopt;
  return TensorArg{slot_of(word), view_of(word)};
}

std::vector<std::optional<TensorArg>> ArgReader::tensors() {
  std::vector<std::optional<TensorArg>> out;
  if (is_none()) {
    if (at_ < end_) at_++;
    return out;
  }
  int64_t n = payload_of(take(Tag::tensor_list));
  for (int64_t i = 0; i < n && !failed_; i++) out.push_back(tensor());
  return out;
}

std::optional<int64_t> ArgReader::integer() {
  if (is_none()) {
    if (at_ < end_) at_++;
    return std::nullopt;
  }
  if (peek() == Tag::integer_wide) {
    at_ += 2;
    return static_cast<int64_t>(segment_.words[at_ - 1]);
  }
  return payload_of(take(Tag::integer));
}

std::optional<std::vector<int64_t>> ArgReader::integers() {
  if (is_none()) {
    if (at_ < end_) at_++;
    return std::nullopt;
  }
  int64_t n = payload_of(take(Tag::integer_list));
  std::vector<int64_t> out;
  for (int64_t i = 0; i < n; i++) out.push_back(static_cast<int64_t>(segment_.words[at_++]));
  return out;
}

std::optional<double> ArgReader::real() {
  if (is_none()) {
    if (at_ < end_) at_++;
    return std::nullopt;
  }
  take(Tag::real);
  if (failed_) return 0.0;
  return std::bit_cast<double>(segment_.words[at_++]);
}

std::optional<ScalarArg> ArgReader::scalar() {
  ScalarArg s;
  switch (peek()) {
    case Tag::none:
      if (at_ < end_) at_++;
      return std::nullopt;
    case Tag::integer:
    case Tag::integer_wide:
      s.kind = ScalarArg::Kind::integer;
      s.i = *integer();
      s.f = static_cast<double>(s.i);
      return s;
    case Tag::real:
      s.f = *real();
      s.i = 0;
      return s;
    case Tag::scalar_int: s.kind = ScalarArg::Kind::integer; break;
    case Tag::scalar_bool: s.kind = ScalarArg::Kind::boolean; break;
    default: take(Tag::scalar_real); break;
  }
  if (failed_) return s;
  if (s.kind != ScalarArg::Kind::real) at_++;
  s.is_lifted = true;
  s.index = (*scalar_index_)++;
  return s;
}

std::vector<ScalarArg> ArgReader::scalars(size_t* count) {
  std::vector<ScalarArg> out;
  if (count) *count = 0;
  const ScalarList list = scalar_list_of(take(Tag::scalar_list));
  if (failed_) return out;
  if (count) *count = list.count;
  for (size_t i = 0; i < list.entries; i++) {
    ScalarArg s;
    s.kind = list.kind == Tag::scalar_int    ? ScalarArg::Kind::integer
             : list.kind == Tag::scalar_bool ? ScalarArg::Kind::boolean
                                             : ScalarArg::Kind::real;
    s.is_lifted = true;
    s.index = (*scalar_index_)++;
    out.push_back(s);
  }
  return out;
}

std::string_view ArgReader::text() {
  if (is_none()) {
    if (at_ < end_) at_++;
    return {};
  }
  uint64_t word = take(Tag::text);
  if (failed_) return {};
  return segment_.texts[static_cast<size_t>(payload_of(word))];
}

std::optional<std::pair<ScalarArg, ScalarArg>> ArgReader::rng() {
  if (is_none()) {
    if (at_ < end_) at_++;
    return std::nullopt;
  }
  take(Tag::rng);
  ScalarArg seed, offset;
  seed.kind = offset.kind = ScalarArg::Kind::integer;
  seed.is_lifted = offset.is_lifted = true;
  if (failed_) return std::pair{seed, offset};
  seed.index = (*scalar_index_)++;
  offset.index = (*scalar_index_)++;
  return std::pair{seed, offset};
}

std::vector<std::optional<TensorArg>> ArgReader::outputs() {
  std::vector<std::optional<TensorArg>> out;
  int64_t n = payload_of(take(Tag::outputs));
  for (int64_t i = 0; i < n && !failed_; i++) out.push_back(tensor());
  return out;
}

}  // namespace moai::wire
