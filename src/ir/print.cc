// The text form, a line a value:
//   moai.graph 1
//   %0 = storage 3 : f32[16]
//   %1, %2 = sort(%0) {axis=0,k=0,descending=false} : f32[16], i64[16] @4
//   output 3 = %1
// Values are numbered as they were made; @ is the op of the segment.
#include <charconv>

#include "src/ir/attr_names.h"
#include "src/ir/infer_rules.h"
#include "src/ir/text.h"

namespace moai::ir {
namespace {

class Printer {
 public:
  explicit Printer(const Graph& g) : g_(g) {}

  std::string run() {
    out_ += kGraphHeader;
    out_ += '\n';
    // Inputs and nodes, merged by the value that they begin with.
    size_t input = 0;
    for (const Node& node : g_.nodes()) {
      for (; input < g_.inputs().size() && g_.inputs()[input].value < node.results[0]; input++)
        add(g_.inputs()[input]);
      add(node);
    }
    for (; input < g_.inputs().size(); input++) add(g_.inputs()[input]);
    for (const Output& o : g_.outputs()) {
      out_ += "output " + std::to_string(o.slot) + " = ";
      add(o.value);
      out_ += '\n';
    }
    return std::move(out_);
  }

 private:
  void add(ValueId v) { out_ += '%', out_ += std::to_string(index_of(v)); }

  void add(const ValueList& list) {
    for (size_t i = 0; i < list.size(); i++) {
      if (i) out_ += ", ";
      add(list[i]);
    }
  }

  void add(const Input& in) {
    add(in.value);
    out_ += " = ";
    out_ += kInputNames[static_cast<size_t>(in.kind)];
    out_ += ' ' + std::to_string(in.index) + " : " + to_text(g_.type(in.value)) + '\n';
  }

  void add(const Node& node) {
    add(node.results);
    out_ += " = ";
    out_ += info(node.op).name;
    out_ += '(';
    add(node.operands);
    out_ += ')';
    Attrs attrs = node.attrs;
    std::visit([this](auto& a) { add_attrs(a); }, attrs);
    out_ += " : ";
    for (size_t i = 0; i < node.results.size(); i++) {
      if (i) out_ += ", ";
      out_ += to_text(g_.type(node.results[i]));
    }
    if (node.source != UINT32_MAX) out_ += " @" + std::to_string(node.source);
    out_ += '\n';
  }

  template <class A>
  void add_attrs(A& attrs) {
    const char* before = " {";
    attrs.visit([&](const char* name, const auto& field) {
      out_ += before;
      out_ += name;
      out_ += '=';
      add_field(field);
      before = ",";
    });
    if (*before == ',') out_ += '}';
  }

  void add_field(int64_t v) { out_ += std::to_string(v); }
  void add_field(bool v) { out_ += v ? "true" : "false"; }
  void add_field(const Shape& s) { out_ += to_text(s); }
  void add_field(double v) {
    char text[32];
    out_.append(text, std::to_chars(text, text + sizeof text, v).ptr);  // shortest that reads back
  }
  template <class E>
    requires std::is_enum_v<E>
  void add_field(E v) {
    out_ += names_of(v)[static_cast<size_t>(v)];
  }

  const Graph& g_;
  std::string out_;
};

}  // namespace

std::string print(const Graph& g) { return Printer(g).run(); }

}  // namespace moai::ir
