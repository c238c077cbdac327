#include "src/device/cpu/conv_geometry.h"

namespace moai::cpu {

ConvGeometry::ConvGeometry(const Operand& x, const Operand& y, const Operand& weight,
                           const ConvAttrs& a)
    : batch(x.sizes[0]),
      channels(x.sizes[1]),
      outputs(weight.sizes[0]),
      groups(a.groups),
      x_batch(x.strides[0]),
      x_channel(x.strides[1]),
      flip(a.flip) {
  const int rank = x.sizes.rank() - 2, skip = 3 - rank;
  for (int d = 0; d < 3; d++) {
    in[d] = out[d] = window[d] = stride[d] = dilation[d] = lhs_dilation[d] = 1;
    pad[d] = x_step[d] = 0;
    if (d < skip) continue;
    const int s = d - skip;
    in[d] = x.sizes[s + 2], out[d] = y.sizes[s + 2], window[d] = weight.sizes[s + 2];
    stride[d] = a.stride[s], dilation[d] = a.dilation[s], lhs_dilation[d] = a.lhs_dilation[s];
    pad[d] = a.pad_lo[s];
    x_step[d] = x.strides[s + 2];
    // One tap and no padding: elements that no result meets can as well not be there.
    if (window[d] == 1 && pad[d] == 0 && lhs_dilation[d] == 1 && in[d] > 0) {
      in[d] = (in[d] - 1) / stride[d] + 1;
      x_step[d] *= stride[d], stride[d] = 1;
    }
  }
}

}  // namespace moai::cpu
