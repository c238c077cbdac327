// Ctrl-C while a thread of the program waits for the server. The one file that calls CPython, through names of
// its stable interface found at run time, so that one object serves every version.
#include <dlfcn.h>

#include "src/frontend/bridge/runtime.h"

namespace moai::bridge {
namespace {

struct Python {
  int (*ensure)() = nullptr;
  void (*release)(int) = nullptr;
  int (*check_signals)() = nullptr;
  void (*clear)() = nullptr;
  void (*set_interrupt)() = nullptr;
};

template <class F>
void find(F& f, const char* name) {
  f = reinterpret_cast<F>(dlsym(RTLD_DEFAULT, name));
}

const Python& python() {
  static const Python p = [] {
    Python found;
    find(found.ensure, "PyGILState_Ensure");
    find(found.release, "PyGILState_Release");
    find(found.check_signals, "PyErr_CheckSignals");
    find(found.clear, "PyErr_Clear");
    find(found.set_interrupt, "PyErr_SetInterrupt");
    if (!found.ensure || !found.release || !found.clear || !found.set_interrupt) found.check_signals = nullptr;
    return found;
  }();
  return p;
}

}  // namespace

bool poll_signals() {
  const Python& p = python();
  if (!p.check_signals) return true;
  int state = p.ensure();
  bool go_on = p.check_signals() == 0;
  if (!go_on) {
    // The wait ends with an exception of ours; the interrupt is set again for the interpreter to raise.
    p.clear();
    p.set_interrupt();
  }
  p.release(state);
  return go_on;
}

}  // namespace moai::bridge
