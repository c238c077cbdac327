// The one file that calls CPython: signals while a thread waits for the server, and the line of the
// program for messages. By names of its C interface found at run time, so that one object serves
// every version.
#include <dlfcn.h>

#include <exception>
#include <initializer_list>
#include <string>
#include <utility>

#include "src/frontend/bridge/python_line.h"
#include "src/frontend/bridge/runtime.h"

namespace moai::bridge {
static void release_python(std::initializer_list<void*> objects);
}

// A Python exception in flight, as PyTorch's bindings catch it: torch/csrc/Exceptions.h has the
// class of this name and layout. Handlers find it by its name, so no Python header and no
// libtorch_python is needed here.
struct python_error : std::exception {
  python_error(void* t, void* v, void* tb) : type(t), value(v), traceback(tb) {}
  python_error(const python_error&) = delete;
  python_error& operator=(const python_error&) = delete;
  ~python_error() override { moai::bridge::release_python({type, value, traceback}); }
  const char* what() const noexcept override { return message.c_str(); }

  void *type, *value, *traceback;  // owned references
  std::string message = "interrupted by a signal";
};

namespace moai::bridge {
namespace {

using Object = void*;

struct Python {
  int (*ensure)() = nullptr;
  void (*release)(int) = nullptr;
  int (*is_initialized)() = nullptr;
  int (*check_signals)() = nullptr;
  void (*clear)() = nullptr;
  void (*fetch)(Object*, Object*, Object*) = nullptr;
  Object (*get_frame)() = nullptr;       // borrowed
  Object (*get_back)(Object) = nullptr;  // new, or null
  Object (*get_code)(Object) = nullptr;  // new
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
    const bool ok =
        find(found.ensure, "PyGILState_Ensure") && find(found.release, "PyGILState_Release") &&
        find(found.is_initialized, "Py_IsInitialized") && find(found.clear, "PyErr_Clear") &&
        find(found.inc_ref, "Py_IncRef") && find(found.dec_ref, "Py_DecRef");
    found.has_signals =
        ok && find(found.check_signals, "PyErr_CheckSignals") && find(found.fetch, "PyErr_Fetch");
    found.has_frames =
        ok && find(found.get_frame, "PyEval_GetFrame") && find(found.get_back, "PyFrame_GetBack") &&
        find(found.get_code, "PyFrame_GetCode") && find(found.get_line, "PyFrame_GetLineNumber") &&
        find(found.get_attribute, "PyObject_GetAttrString") &&
        find(found.as_utf8, "PyUnicode_AsUTF8AndSize");
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

// What a signal handler raised during the last wait of this thread.
struct Raised {
  Object type = nullptr, value = nullptr, traceback = nullptr;
};
thread_local Raised t_raised;

void drop(Raised& r) {  // holds the GIL
  for (Object o : {r.type, r.value, r.traceback})
    if (o) python().dec_ref(o);
  r = {};
}

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

static void release_python(std::initializer_list<void*> objects) {
  if (!python().has_signals) return;  // none was ever fetched
  Gil gil;
  for (Object o : objects)
    if (o) python().dec_ref(o);
}

bool poll_signals() {
  const Python& p = python();
  if (!p.has_signals || !p.is_initialized()) return true;
  Gil gil;
  if (p.check_signals() == 0) return true;
  // The handler raised: KeyboardInterrupt, or what the program's own handler raises. The wait ends,
  // and throw_interrupted() hands the exception on.
  drop(t_raised);
  p.fetch(&t_raised.type, &t_raised.value, &t_raised.traceback);
  return false;
}

void throw_interrupted() {
  if (!t_raised.type) return;
  Raised raised = std::exchange(t_raised, {});
  throw python_error(raised.type, raised.value, raised.traceback);
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
