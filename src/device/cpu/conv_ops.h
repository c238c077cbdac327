// Inner loops of convolutions, built once per instruction set. Plain pointers and sizes only.
//
// A convolution is a sum of outer products: at every step a few elements of the image meet one row
// of weights, whose elements (the outputs) lie in a vector. The image lies in scratch with its
// padding, so an element is found by adding an offset of the position to one of the step. For the
// weights' gradient the roles change: steps are positions, rows of weights are gradients.
#pragma once
#include <cstdint>

#include "moai/dtype.h"

namespace moai::cpu {

struct ConvStep {
  int32_t x, w;  // offsets in elements
};
// `width` neighbouring sums: sum i reads the image at x + i * x_step and lies at c + i * c_step.
struct ConvGroup {
  int32_t x, c;
};

template <class T>
struct ConvTile {
  const T* x;
  const T* w;
  T* c;
  const ConvStep* steps;
  int64_t step_count;
  int64_t x_step, c_step;
  bool add;  // to what lies at c
};

// c = sum over the steps of x[group.x + step.x] * w[step.w, one vector or two], for `groups`
// groups.
template <class T>
struct ConvBody {
  int groups;
  void (*run)(const ConvTile<T>& tile, const ConvGroup* groups);
};

// Channels of an image, copied into [channels, size...] with zeros where `low` + position is
// outside.
struct ConvImage {
  DType dtype;
  int64_t channels, x_channel;
  int64_t in[3], x_step[3];  // sizes and strides
  int64_t low[3], size[3];
};

inline constexpr int kConvVectors = 2, kConvWidths = 4;

template <class T>
struct ConvOps {
  int lanes;
  ConvBody<T> bodies[kConvVectors][kConvWidths];  // by vectors - 1 and width of a group - 1
  // y (rows x cols) = w x, for weights packed in panels of `rows` outputs and `cols` neighbours of
  // the channels' rows; fewer outputs and neighbours may be stored.
  int rows, cols;
  void (*mix_channels)(int64_t channels, const T* w, const T* x, int64_t x_row, T* y, int64_t y_row,
                       int row_count, int col_count);
  // y[i] = sum over the steps of w[step.w] * x[step.x + i], i < n; y and what x is read at have
  // room for whole vectors.
  void (*add_lines)(const T* x, const ConvStep* steps, int64_t count, const T* w, int64_t n, T* y);
  // sums[step.w] += sum over i < n of dy[i] * x[step.x + i], for each step; n is whole vectors.
  void (*multiply_lines)(const T* x, const ConvStep* steps, int64_t count, const T* dy, int64_t n,
                         T* sums);
  void (*copy_image)(const ConvImage& image, const void* x, T* out);
  // y[j * y_row + i] = c[i * c_row + j] for i < rows, j < cols.
  void (*store_transposed)(const T* c, int64_t c_row, int64_t rows, int64_t cols, DType dtype,
                           void* y, int64_t y_row);
};

}  // namespace moai::cpu
