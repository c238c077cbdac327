// Inner loops of the library kernels, built once per instruction set. Plain pointers and sizes
// only.
#pragma once
#include <cstdint>

#include "moai/dtype.h"
#include "src/device/cpu/conv_ops.h"

namespace moai::cpu {

inline constexpr int kPanelRowsMax = 14;

// Matrix product of panels. A is packed in panels of mr rows (k-major), B in panels of nr columns,
// both padded with zeros. micro: c (m x n, row stride ldc) = a b, or c += a b; m <= mr, n <= nr.
template <class T>
struct GemmOps {
  int mr = 0, nr = 0;
  void (*micro)(int64_t k, const T* a, const T* b, T* c, int64_t ldc, int m, int n, bool add);
  // By rows - 1, up to mr: c (rows x nr) = a b, or c += a b, with a of any strides and rows of b of
  // nr elements. Null for integers.
  void (*thin[kPanelRowsMax])(int64_t k, const T* a, int64_t a_row, int64_t a_col, const T* b,
                              int64_t ldb, T* c, int64_t ldc, bool add) = {};
};

// Scores of attention: n rows (keys) of GemmOps<T>::nr columns (queries), so a block is a packed
// panel.
template <class T>
struct AttentionOps {
  void (*column_max)(const T* s, int64_t n, T* out);
  // s = exp(s * scale - shift[column]), with the columns' sums where `sum` is given.
  void (*exp_columns)(T* s, int64_t n, T scale, const T* shift, T* sum);
  void (*scale_add)(T* s, int64_t n, T scale, const T* bias);   // s = s * scale + bias
  void (*multiply)(const T* a, const T* b, int64_t n, T* out);  // out = a * b
  void (*score_grad)(const T* p, T* dp, int64_t n, const T* d,
                     T scale);  // dp = p * (dp - d[column]) * scale
  // One row of n scores.
  T (*row_max)(const T* s, int64_t n);
  T (*exp_row)(T* s, int64_t n, T scale, T shift);  // s = exp(s * scale - shift); their sum
};

// c (rows x n, row stride ldc) = a (rows x k, contiguous) b.
inline constexpr int kSkinnyRows = 8;
using SkinnyFn = void (*)(int64_t k, const float* a, const float* b, int64_t ldb, int64_t n,
                          float* c, int64_t ldc);

struct VectorOps {
  // By rows - 1; b is k rows of n elements, or n rows of k elements.
  SkinnyFn skinny_rows[kSkinnyRows];
  SkinnyFn skinny_dots[kSkinnyRows];
  GemmOps<float> gemm_f32;
  GemmOps<double> gemm_f64;
  GemmOps<int64_t> gemm_i64;  // every integer dtype: wraps like its own width would

  // out[p * width + i] = element (i, p) of a rows x k matrix of `dtype` with any strides, for i <
  // width; zeros for i >= rows. More rows than `width` make more panels, one after the other.
  void (*pack_f32)(DType dtype, const void* from, int64_t row, int64_t col, int64_t rows, int64_t k,
                   int width, float* out);
  void (*pack_f64)(const double* from, int64_t row, int64_t col, int64_t rows, int64_t k, int width,
                   double* out);
  void (*pack_i64)(DType dtype, const void* from, int64_t row, int64_t col, int64_t rows, int64_t k,
                   int width, int64_t* out);
  // Contiguous conversions between a float dtype and f32.
  void (*to_f32)(DType dtype, const void* from, int64_t step, float* to, int64_t n);
  void (*from_f32)(DType dtype, const float* from, void* to, int64_t n);
  void (*add_f32)(const float* from, float* to, int64_t n);  // to += from
  void (*add_f64)(const double* from, double* to, int64_t n);

  ConvOps<float> conv_f32;
  ConvOps<double> conv_f64;
  ConvOps<int64_t> conv_i64;
  AttentionOps<float> attention_f32;
  AttentionOps<double> attention_f64;
  // Maxima of 2 x 2 windows, side by side, of an image with rows of `width`, and where in the image
  // each is; NaN wins, the first counts.
  void (*pool_two_by_two)(const float* x, int64_t width, int64_t rows, int64_t cols, float* y,
                          int64_t* index);
  // What element i of a row of windows has so far, `best` at `place`, against x[i * step], which is
  // at `at` + i * step. A place below 0: nothing yet.
  void (*pool_row)(const float* x, int64_t step, int32_t at, int64_t n, float* best,
                   int32_t* place);
  // m[i] = uniform(first + i) >= p ? keep : 0
  void (*dropout_mask)(uint64_t seed, uint64_t offset, uint64_t first, double p, float keep,
                       float* m, int64_t n);
};

const VectorOps& vector_ops_base();
const VectorOps& vector_ops_v3();
const VectorOps& vector_ops_v4();

}  // namespace moai::cpu
