// A convolution with its spatial dimensions filled up to three.
#pragma once
#include <cstdint>

#include "moai/device.h"

namespace moai::cpu {

// x and the result y belong to the forward convolution, also in conv_wgrad.
struct ConvGeometry {
  int64_t batch = 0, channels = 0, outputs = 0, groups = 1;  // channels and outputs over all groups
  int64_t in[3], out[3], window[3], stride[3], dilation[3], lhs_dilation[3], pad[3];
  int64_t x_batch = 0, x_channel = 0, x_step[3];  // strides of x in elements
  bool flip = false;

  ConvGeometry(const Operand& x, const Operand& y, const Operand& weight, const ConvAttrs& attrs);

  int64_t window_size() const { return window[0] * window[1] * window[2]; }
  int64_t result_size() const { return out[0] * out[1] * out[2]; }
  int64_t group_channels() const { return channels / groups; }
  int64_t group_outputs() const { return outputs / groups; }
  int64_t depth() const {
    return group_channels() * window_size();
  }  // of a dot product of the convolution
};

}  // namespace moai::cpu
