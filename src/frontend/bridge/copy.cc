// Where data crosses: host to device, device to host, device to device.
#include "src/frontend/bridge/copy.h"

#include <ATen/EmptyTensor.h>
#include <ATen/core/LegacyTypeDispatch.h>
#include <ATen/core/dispatch/Dispatcher.h>
#include <ATen/ops/_local_scalar_dense.h>
#include <c10/core/CPUAllocator.h>

#include "src/frontend/bridge/encode.h"
#include "src/frontend/bridge/raw_copy.h"
#include "src/frontend/bridge/runtime.h"
#include "src/frontend/bridge/tensors.h"

namespace moai::bridge {
namespace {

at::Tensor empty_host(at::IntArrayRef sizes, at::IntArrayRef strides, c10::ScalarType dtype) {
  return at::Tensor(
      at::detail::empty_strided_generic(sizes, strides, c10::GetCPUAllocator(), kCpuKeys, dtype));
}

at::Tensor empty_host(at::IntArrayRef sizes, c10::ScalarType dtype) {
  return at::Tensor(
      at::detail::empty_generic(sizes, c10::GetCPUAllocator(), kCpuKeys, dtype, std::nullopt));
}

std::span<std::byte> bytes_of(const at::Tensor& host) {
  return {static_cast<std::byte*>(host.mutable_data_ptr()), static_cast<size_t>(host.nbytes())};
}

wire::View flat_view(DType dtype, int64_t offset, int64_t count) {
  wire::View v;
  v.dtype = dtype;
  v.offset = offset;
  v.sizes = Shape{count};
  v.strides = Shape{1};
  return v;
}

// A view that moves bits: complex and foreign types as integers of their width. The server gathers
// any type of the wire, so only foreign ones need it for reads.
wire::View bits_view(const at::Tensor& t, bool as_bytes = false) {
  wire::View v;
  v.dtype = bits_dtype_of(t.scalar_type());
  v.offset = t.storage_offset();
  v.sizes = Shape(std::span(t.sizes().data(), t.sizes().size()));
  v.strides = Shape(std::span(t.strides().data(), t.strides().size()));
  if (v.dtype != DType::c128 && !as_bytes) return v;
  const int64_t words = as_bytes ? static_cast<int64_t>(t.itemsize()) : 2;  // an element
  v.dtype = as_bytes ? DType::u8 : DType::i64;
  v.offset *= words;
  for (int64_t& s : v.strides) s *= words;
  v.sizes.push_back(words);
  v.strides.push_back(1);
  return v;
}

void set_bits(const at::Tensor& target, const at::Tensor& like) {
  if (like.is_conj()) target._set_conj(true);
  if (like.is_neg()) target._set_neg(true);
}

const OpInfo& copy_info() {
  static const OpInfo& info =
      op_info(c10::Dispatcher::singleton().findSchemaOrThrow("aten::copy_", ""));
  return info;
}

// Both views have the same sizes, and their elements the same meaning.
void record_bits_copy(const at::Tensor& target, const at::Tensor& source) {
  bool as_bytes = !fills_storage(target) || !fills_storage(source);
  record_copy(storage_of(target), bits_view(target, as_bytes), storage_of(source),
              bits_view(source, as_bytes));
}

bool can_copy_bits(const at::Tensor& a, const at::Tensor& b) {
  bool one_more = c10::elementSize(a.scalar_type()) == 16 || !fills_storage(a) || !fills_storage(b);
  int rank_max = one_more ? kRankMax - 1 : kRankMax;
  return a.scalar_type() == b.scalar_type() && a.is_conj() == b.is_conj() &&
         a.is_neg() == b.is_neg() && a.dim() <= rank_max && storage_of(a) && storage_of(b);
}

// As record() would write it, without boxing: copies are the most frequent operator.
void record_plain_copy(const at::Tensor& target, const at::Tensor& source) {
  frontend::Storage *to = storage_of(target), *from = storage_of(source);
  frontend::Recorder& r = runtime().recorder();
  {
    std::lock_guard lock(r.mutex());
    r.begin(copy_info().wire_name);
    r.tensor(to, view_ref_of(target));
    r.tensor(from, view_ref_of(source));
    r.integer(0);  // non_blocking
    r.outputs(1);
    r.tensor(to, view_ref_of(target));
    r.end();
  }
  runtime().after_record();
}

void device_to_device(const at::Tensor& target, const at::Tensor& source) {
  if (source.sizes() != target.sizes())
    return device_to_device(target, source.expand_symint(c10::fromIntArrayRefSlow(target.sizes())));
  runtime().check_usable();
  if (!storage_of(source)) return host_to_device(target, at::Tensor(tensor_to_host(source)));
  bool plain = is_expressible(target) && is_expressible(source) && !target.is_complex() &&
               !source.is_complex();
  if (plain && copy_info().is_supported(*dtype_of(target.scalar_type())))
    return record_plain_copy(target, source);
  if (can_copy_bits(target, source)) return record_bits_copy(target, source);
  host_to_device(target, tensor_to_host(source));
}

void device_to_host(const at::Tensor& target, const at::Tensor& source) {
  bool direct = target.is_contiguous() && target.scalar_type() == source.scalar_type() &&
                target.sizes() == source.sizes() && !source.is_conj() && !source.is_neg() &&
                !target.is_conj() && !target.is_neg() && is_expressible(source);
  if (direct) return read_view(storage_of(source), view_of(source), bytes_of(target));
  at::Tensor host = tensor_to_host(source);
  at::AutoDispatchBelowADInplaceOrView below_autograd;
  target.copy_(host);
}

// Host elements in the order of the device tensor's memory.
at::Tensor host_image(const at::Tensor& device, const at::Tensor& host) {
  bool same = host.scalar_type() == device.scalar_type() && host.strides() == device.strides() &&
              !host.is_conj() && !host.is_neg() && host.is_non_overlapping_and_dense();
  if (same) return host;
  at::Tensor image = empty_host(device.sizes(), device.strides(), device.scalar_type());
  at::AutoDispatchBelowADInplaceOrView below_autograd;
  image.copy_(host);
  return image;
}

}  // namespace

at::Tensor storage_to_host(const at::Tensor& device) {
  int64_t bytes = static_cast<int64_t>(device.storage().nbytes());
  at::Tensor host = empty_host({bytes}, c10::kByte);
  if (bytes) read_view(storage_of(device), flat_view(DType::u8, 0, bytes), bytes_of(host));
  return host;
}

at::Tensor tensor_to_host(const at::Tensor& device) {
  frontend::Storage* storage = storage_of(device);
  at::Tensor host;
  if (device.is_non_overlapping_and_dense()) {
    host = empty_host(device.sizes(), device.strides(), device.scalar_type());
    int64_t width = static_cast<int64_t>(device.itemsize());
    if (!storage && host.numel())  // a zero tensor: it has no memory
      std::memset(host.mutable_data_ptr(), 0, static_cast<size_t>(host.nbytes()));
    else if (host.numel())
      read_view(storage,
                flat_view(DType::u8, device.storage_offset() * width, device.numel() * width),
                bytes_of(host));
  } else if (device.dim() <= kRankMax - 1) {
    host = empty_host(device.sizes(), device.scalar_type());
    if (host.numel()) read_view(storage, bits_view(device), bytes_of(host));
  } else {
    at::Tensor bytes = storage_to_host(device);
    host = at::detail::make_tensor<c10::TensorImpl>(c10::Storage(bytes.storage()), kCpuKeys,
                                                    device.dtype());
    host.unsafeGetTensorImpl()->set_sizes_and_strides(device.sizes(), device.strides(),
                                                      device.storage_offset());
  }
  set_bits(host, device);
  return host;
}

void host_to_device(const at::Tensor& device, const at::Tensor& source) {
  runtime().check_usable();
  at::Tensor host = source.sizes() == device.sizes()
                        ? source
                        : source.expand_symint(c10::fromIntArrayRefSlow(device.sizes()));
  if (device.numel() == 0) return;
  frontend::Storage* storage = storage_of(device);
  if (covers_storage(device) && !device.is_conj() && !device.is_neg()) {
    at::Tensor image = host_image(device, host);
    if (has_contents(storage)) storage = renew_storage(device);
    return upload(storage, bytes_of(image));
  }
  // A narrower source is widened on the device.
  bool widen =
      host.itemsize() < device.itemsize() && dtype_of(host.scalar_type()) && !device.is_complex();
  at::Tensor staged = empty_device(host.sizes(), widen ? host.scalar_type() : device.scalar_type());
  upload(storage_of(staged), bytes_of(host_image(staged, host)));
  device_to_device(device, staged);
}

at::Tensor& copy_kernel(at::Tensor& self, const at::Tensor& source, bool) {
  if (self.is_same(source)) return self;
  if (is_device(self) && is_device(source)) {
    if (source.sizes() != self.sizes())
      (void)source.expand_symint(c10::fromIntArrayRefSlow(self.sizes()));
    if (self.numel()) device_to_device(self, source);
  } else if (is_device(self)) {
    host_to_device(self, source);
  } else if (self.numel()) {
    device_to_host(self, source);
  }
  return self;
}

at::Scalar item_kernel(const at::Tensor& self) {
  at::Tensor host = tensor_to_host(self);
  at::AutoDispatchBelowADInplaceOrView below_autograd;
  return at::_local_scalar_dense(host.resolve_conj().resolve_neg());
}

}  // namespace moai::bridge
