// Reads the text form of print.cc. The text is untrusted: every number and list is bounded before
// use, and verify() judges the graph.
#include <cctype>
#include <charconv>

#include "src/ir/attr_names.h"
#include "src/ir/infer_rules.h"
#include "src/ir/text.h"
#include "src/ir/verify.h"

namespace moai::ir {
namespace {

class Parser {
 public:
  explicit Parser(std::string_view text) : rest_(text) {}

  StatusOr<Graph> run() {
    if (!literal(kGraphHeader) || !end_of_line()) return fail("the first line must be the header");
    while (!rest_.empty()) {
      bool ok = literal("output ") ? output() : definition();
      if (!ok || !end_of_line()) return fail(why_);
      line_++;
    }
    MOAI_RETURN_IF_ERROR(verify(graph_));
    return std::move(graph_);
  }

 private:
  static constexpr size_t kResultsMax = 3;

  Status fail(const std::string& why) const {
    return invalid("[graph] line " + std::to_string(line_) + ": " + why);
  }
  bool because(const char* why) {
    why_ = why;
    return false;
  }

  bool literal(std::string_view want) {
    if (!rest_.starts_with(want)) return false;
    rest_.remove_prefix(want.size());
    return true;
  }
  bool end_of_line() {
    return literal("\n") || because("something stands behind the end of a line");
  }

  template <class T>
  bool number(T& v) {
    auto [end, error] = std::from_chars(rest_.data(), rest_.data() + rest_.size(), v);
    if (error != std::errc()) return because("a number is expected");
    rest_.remove_prefix(static_cast<size_t>(end - rest_.data()));
    return true;
  }

  // Letters, digits and underscores.
  std::string_view word() {
    size_t n = 0;
    while (n < rest_.size() &&
           (std::isalnum(static_cast<unsigned char>(rest_[n])) || rest_[n] == '_'))
      n++;
    std::string_view w = rest_.substr(0, n);
    rest_.remove_prefix(n);
    return w;
  }

  bool value(ValueId& v) {
    uint32_t n = 0;
    if (!literal("%")) return because("a value such as %3 is expected");
    if (!number(n)) return false;
    v = ValueId{n};
    return true;
  }

  bool shape(Shape& s) {
    if (!literal("[")) return because("a list such as [2,3] is expected");
    if (literal("]")) return true;
    do {
      int64_t d = 0;
      if (s.rank() == kRankMax) return because("a list has more than 8 numbers");
      if (!number(d)) return false;
      s.push_back(d);
    } while (literal(","));
    return literal("]") || because("a list is not closed");
  }

  bool type(Type& t) {
    std::string_view name = word();
    for (int i = 0; i < kDTypeCount; i++) {
      t.dtype = static_cast<DType>(i);
      if (name == name_of(t.dtype)) return shape(t.shape);
    }
    return because("a type such as f32[2,3] is expected");
  }

  bool output() {
    uint32_t slot = 0;
    ValueId v{};
    if (!number(slot)) return false;
    if (!literal(" = ")) return because("an output reads: output SLOT = %VALUE");
    if (!value(v)) return false;
    graph_.set_output(slot, v);
    return true;
  }

  bool definition() {
    std::vector<ValueId> results;
    do {
      ValueId v{};
      if (!value(v)) return false;
      if (index_of(v) != graph_.value_count() + results.size())
        return because("values must be numbered in order");
      results.push_back(v);
    } while (results.size() < kResultsMax && literal(", "));
    if (!literal(" = ")) return because("' = ' is expected");
    std::string_view name = word();
    for (size_t kind = 0; kind < std::size(kInputNames); kind++)
      if (name == kInputNames[kind])
        return results.size() == 1 ? input(static_cast<Input::Kind>(kind))
                                   : because("an input is one value");
    for (int op = 0; op < kPrimCount; op++)
      if (name == kOps[op].name) return node(static_cast<Prim>(op), results.size());
    return because("no primitive has this name");
  }

  bool input(Input::Kind kind) {
    uint32_t index = 0;
    Type t;
    if (!literal(" ")) return because("an input has an index");
    if (!number(index)) return false;
    if (!literal(" : ")) return because("' : ' and a type are expected");
    if (!type(t)) return false;
    graph_.add_input(kind, index, t);
    return true;
  }

  bool node(Prim op, size_t result_count) {
    if (result_count != static_cast<size_t>(info(op).results))
      return because("the primitive has another number of results");
    std::vector<ValueId> operands;
    if (!literal("(")) return because("operands are expected");
    if (!literal(")")) {
      do {
        if (!value(operands.emplace_back())) return false;
      } while (literal(", "));
      if (!literal(")")) return because("the operands are not closed");
    }
    Attrs attrs = default_attrs(op);
    if (!std::visit([this](auto& a) { return attributes(a); }, attrs)) return false;
    if (!literal(" : ")) return because("' : ' and the types of the results are expected");
    std::vector<Type> types(result_count);
    for (size_t i = 0; i < result_count; i++) {
      if (i && !literal(", ")) return because("a type is missing");
      if (!type(types[i])) return false;
    }
    uint32_t source = UINT32_MAX;
    if (literal(" @") && !number(source)) return false;
    graph_.append(op, std::move(attrs), std::move(operands), std::move(types), source);
    return true;
  }

  // Every field, by name, in the order of visit().
  template <class A>
  bool attributes(A& attrs) {
    std::string_view before = " {";
    bool ok = true;
    attrs.visit([&](std::string_view name, auto& v) {
      ok = ok &&
           ((literal(before) && literal(name) && literal("=")) ||
            because("an attribute of the primitive is missing")) &&
           field(v);
      before = ",";
    });
    if (!ok || before == " {") return ok;
    return literal("}") || because("the attributes are not closed");
  }

  bool field(int64_t& v) { return number(v); }
  bool field(double& v) { return number(v); }
  bool field(Shape& s) { return shape(s); }
  bool field(bool& v) {
    v = literal("true");
    return v || literal("false") || because("true or false is expected");
  }
  template <class E>
    requires std::is_enum_v<E>
  bool field(E& v) {
    std::string_view name = word();
    std::span<const std::string_view> names = names_of(v);
    for (size_t i = 0; i < names.size(); i++) {
      v = static_cast<E>(i);
      if (name == names[i]) return true;
    }
    return because("an attribute has an unknown word");
  }

  std::string_view rest_;
  Graph graph_;
  size_t line_ = 1;
  std::string why_;
};

}  // namespace

StatusOr<Graph> parse(std::string_view text) {
  if (text.size() > kMessageBytesMax)
    return invalid("[graph] the text is longer than a message may be");
  return Parser(text).run();
}

}  // namespace moai::ir
