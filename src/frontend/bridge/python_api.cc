// The one file that calls CPython: signals while a thread waits for the server, and the line of the program for
// messages. By names of its C interface found at run time, so that one object serves every version.
#include <dlfcn.h>

#include <string_view>

#include "src/frontend/bridge/python_line.h"
#include "src/frontend/bridge/runtime.h"

namespace moai::bridge {
namespace {

using Object = void*;

struct Python {
  int (*ensure)() = nullptr;
  void (*release)(int) = nullptr;
  int (*is_initialized)() = nullptr;
  int (*check_signals)() = nullptr;
  void (*clear)() = nullptr;
  void (*set_interrupt)() = nullptr;
  Object (*get_frame)() = nullptr;        // borrowed
  Object (*get_back)(Object) = nullptr;   // new, or null
  Object (*get_code)(Object) = nullptr;   // new
  int (*get_line)(Object) = nullptr;
  Object (*get_attribute)(Object, const char*) = nullptr;  // new, or null
  const char* (*as_utf8)(Object, ptrdiff_t*) = nullptr;
  void (*inc_ref)(Object) = nullptr;
  void (*dec_ref)(Object) = nullptr;
  bool has_signals = false, has_frames = false;
};

template <class F>
bool find(F& f, const char* name) {
  f = reinterpret_cast<F>(dlsym(RTLD_DEFAULT, name));
  return f != nullptr;
}

const Python& python() {
  static const Python p = [] {
    Python found;
    bool ok = find(found.ensure, "PyGILState_Ensure") & find(found.release, "PyGILState_Release") &
              find(found.is_initialized, "Py_IsInitialized") & find(found.clear, "PyErr_Clear");
    found.has_signals = ok & find(found.check_signals, "PyErr_CheckSignals") &
                        find(found.set_interrupt, "PyErr_SetInterrupt");
    found.has_frames = ok & find(found.get_frame, "PyEval_GetFrame") & find(found.get_back, "PyFrame_GetBack") &
                       find(found.get_code, "PyFrame_GetCode") & find(found.get_line, "PyFrame_GetLineNumber") &
                       find(found.get_attribute, "PyObject_GetAttrString") &
                       find(found.as_utf8, "PyUnicode_AsUTF8AndSize") & find(found.inc_ref, "Py_IncRef") &
                       find(found.dec_ref, "Py_DecRef");
    return found;
  }();
  return p;
}

class Gil {
 public:
  Gil() : state_(python().ensure()) {}
  ~Gil() { python().release(state_); }
  Gil(const Gil&) = delete;
  Gil& operator=(const Gil&) = delete;

 private:
  int state_;
};

std::string file_of(Object frame) {
  const Python& p = python();
  Object code = p.get_code(frame);
  Object name = code ? p.get_attribute(code, "co_filename") : nullptr;
  const char* text = name ? p.as_utf8(name, nullptr) : nullptr;
  std::string file = text ? text : "";
  if (!text) p.clear();
  p.dec_ref(name);
  p.dec_ref(code);
  return file;
}

}  // namespace

bool poll_signals() {
  const Python& p = python();
  if (!p.has_signals || !p.is_initialized()) return true;
  Gil gil;
  if (p.check_signals() == 0) return true;
  // The wait ends with an exception of ours; the interrupt is set again for the interpreter to raise.
  p.clear();
  p.set_interrupt();
  return false;
}

std::string python_line() {
  const Python& p = python();
  if (!p.has_frames || !p.is_initialized()) return "";
  Gil gil;
  Object frame = p.get_frame();
  if (frame) p.inc_ref(frame);
  std::string line;
  while (frame && line.empty()) {
    std::string file = file_of(frame);
    // The program's own line, not that of PyTorch's Python code.
    if (file.find("/torch/") == std::string::npos && !file.empty())
      line = " (" + file + ":" + std::to_string(p.get_line(frame)) + ")";
    Object back = p.get_back(frame);
    p.dec_ref(frame);
    frame = back;
  }
  if (frame) p.dec_ref(frame);
  return line;
}

}  // namespace moai::bridge
