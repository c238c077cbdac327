// CPU twins of the device operands of one call, and the way back.
#pragma once
#include <ATen/core/Tensor.h>
#include <ATen/core/ivalue.h>

#include <map>
#include <vector>

namespace moai::bridge {

class HostMirrors {
 public:
  // Announces an operand; all of them before the first to_host(). Operands that share a storage
  // become views of one host copy.
  void announce(const at::Tensor& t, bool is_written);
  void announce(const c10::IValue& v, bool is_written);

  at::Tensor to_host(const at::Tensor& t);
  c10::IValue to_host(const c10::IValue& v);

  // After the kernel: written operands go back, also when the kernel resized their twin.
  void write_back();
  at::Tensor to_device(const at::Tensor& host);
  c10::IValue to_device(const c10::IValue& v);

  uint64_t bytes_moved() const { return bytes_; }

 private:
  struct Operand {
    at::Tensor device, host;
    bool is_written = false;
  };
  struct Shared {
    int count = 0;
    bool is_written = false;
    at::Tensor bytes;  // the whole storage, once read
  };
  Operand* find(const at::Tensor& t);
  at::Tensor twin_of(const at::Tensor& t);
  at::Tensor view_of_shared(Shared* shared, const at::Tensor& t);
  void write_back(Operand* o);
  at::Tensor upload(const at::Tensor& host);

  std::vector<Operand> operands_;
  std::map<const c10::StorageImpl*, Shared> storages_;
  uint64_t bytes_ = 0;
};

}  // namespace moai::bridge
