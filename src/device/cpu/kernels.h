// The kernels of the primitives that are no tile programs.
#pragma once
#include "src/device/cpu/kernel.h"

namespace moai::cpu {

// What kernels of real numbers say to complex ones.
Status refuse_complex(Prim op);

StatusOr<std::unique_ptr<Kernel>> make_dot_general(const LibraryKernel&, const Target&);
StatusOr<std::unique_ptr<Kernel>> make_conv(const LibraryKernel&, const Target&);
StatusOr<std::unique_ptr<Kernel>> make_conv_wgrad(const LibraryKernel&, const Target&);
StatusOr<std::unique_ptr<Kernel>> make_gather(const LibraryKernel&);   // and take_along
StatusOr<std::unique_ptr<Kernel>> make_scatter(const LibraryKernel&);  // and scatter_along
StatusOr<std::unique_ptr<Kernel>> make_update_slice(const LibraryKernel&);
StatusOr<std::unique_ptr<Kernel>> make_window(const LibraryKernel&,
                                              const Target&);       // reduce_window, max_pool_idx
StatusOr<std::unique_ptr<Kernel>> make_scan(const LibraryKernel&);  // scan, scan_arg, arg_reduce
StatusOr<std::unique_ptr<Kernel>> make_sort(const LibraryKernel&);  // sort, topk
StatusOr<std::unique_ptr<Kernel>> make_nonzero(const LibraryKernel&);
StatusOr<std::unique_ptr<Kernel>> make_sdpa(const LibraryKernel&, const Target&);
// Null: there are too many queries for it.
std::unique_ptr<Kernel> make_sdpa_rows(const LibraryKernel&, const Target&);
StatusOr<std::unique_ptr<Kernel>> make_sdpa_bwd(const LibraryKernel&, const Target&);

}  // namespace moai::cpu
