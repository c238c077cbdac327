#include "src/device/cpu/conv_geometry.h"

#include <algorithm>

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
  }
}

// Results [col, col + n) of one row; base is the input row's first element.
int ConvGeometry::row_runs(int64_t q_col, int64_t col, int n, int to, int64_t base,
                           Run* runs) const {
  const int64_t shift = q_col * dilation[2] - pad[2], lhs = lhs_dilation[2], step = stride[2];
  const int64_t width = (in[2] - 1) * lhs + 1;  // of the row with its zeros between elements
  if (lhs > 1 && step > 1) {                    // irregular and rare: one by one
    int count = 0;
    for (int i = 0; i < n; i++) {
      const int64_t at = (col + i) * step + shift;
      if (at < 0 || at >= width || at % lhs != 0) continue;
      runs[count++] = {to + i, 1, 1, base + at / lhs * x_step[2], 0};
    }
    return count;
  }
  // First and last result whose element lies inside.
  int64_t first = std::max<int64_t>(col, shift >= 0 ? 0 : (-shift + step - 1) / step);
  const int64_t last =
      width - 1 - shift < 0 ? -1 : std::min(col + n - 1, (width - 1 - shift) / step);
  if (lhs > 1) first += (lhs - (first + shift) % lhs) % lhs;  // here step is 1
  if (first > last) return 0;
  const int64_t at = (first * step + shift) / lhs;
  runs[0] = {to + static_cast<int32_t>(first - col), static_cast<int32_t>((last - first) / lhs + 1),
             static_cast<int32_t>(lhs), base + at * x_step[2], (lhs > 1 ? 1 : step) * x_step[2]};
  return 1;
}

int ConvGeometry::runs_of(int64_t q, int64_t first, int n, Run* runs) const {
  if (flip) q = window_size() - 1 - q;
  const int64_t q_pos[2] = {q / (window[1] * window[2]), q / window[2] % window[1]};
  const int64_t q_col = q % window[2], plane = result_size();
  int count = 0;
  for (int done = 0; done < n;) {
    const int64_t index = first + done, image = index / plane, p = index % plane, col = p % out[2];
    const int64_t row[2] = {p / (out[1] * out[2]), p / out[2] % out[1]};
    const int len = static_cast<int>(std::min<int64_t>(n - done, out[2] - col));
    int64_t base = image * x_batch;
    bool is_inside = true;
    for (int d = 0; d < 2; d++) {
      const int64_t at = row[d] * stride[d] + q_pos[d] * dilation[d] - pad[d];
      if (at < 0 || at % lhs_dilation[d] != 0 || at / lhs_dilation[d] >= in[d])
        is_inside = false;
      else
        base += at / lhs_dilation[d] * x_step[d];
    }
    if (is_inside) count += row_runs(q_col, col, len, done, base, runs + count);
    done += len;
  }
  return count;
}

}  // namespace moai::cpu
