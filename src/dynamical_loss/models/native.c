// Convolutions of images and the gradients of their kernels, for one core.  Images are laid out
// (sample, row, column, channel).  XLA calls the functions through its foreign function interface; native.py compiles
// this file and registers the functions.
//
// Both functions are sums of outer products.  A tile of the result consists of some rows and one or two vectors of
// channels.  It stays in registers while single numbers of the left operand are multiplied with vectors of the right
// operand:
//   convolution      a row of a tile is a pixel in one row of an image; the sum is over the kernel's pixels and inputs;
//   kernel gradient  a row of a tile is a column and an input of the kernel; the sum is over the pixels of an image.
// An image is first copied into a frame of zeros (the padding), so that its edge needs no special case.
//
// In bfloat16, on processors with instructions for pairs (AVX512-BF16), two neighbouring terms of the sum are
// multiplied at once and added in float32.

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "xla/ffi/api/c_api.h"

#ifdef __AVX512BF16__
#include <immintrin.h>
#define PAIRS 1
#else
#define PAIRS 0
#endif

#define INLINE static inline __attribute__((always_inline))

typedef uint16_t bfloat16;
// Number of floats in the widest vector of the processor, and the rows of a tile.  The sums of a tile must leave some
// registers free for the operands: a tile that needs more registers is kept in memory, which is several times slower.
#if defined(__AVX512F__)
#define VECTOR_LANES 16
#elif defined(__AVX__)
#define VECTOR_LANES 8
#else
#define VECTOR_LANES 4
#endif
#if defined(__AVX512F__) || defined(__aarch64__)
#define ROWS_OF_ONE 16
#define ROWS_OF_TWO 12
#else
#define ROWS_OF_ONE 12
#define ROWS_OF_TWO 6
#endif

typedef float vector __attribute__((vector_size(4 * VECTOR_LANES), aligned(4)));
typedef float v16 __attribute__((vector_size(64), aligned(4)));
typedef float v4 __attribute__((vector_size(16), aligned(4)));

// Memory layout of the operands of a sum.  The sum has `outer` times `inner` terms; the other fields are the distances,
// in numbers, between consecutive terms and between the rows of a tile.
typedef struct {
  long outer, inner, left_outer, left_inner, left_row, right_outer, right_inner;
} Sum;

// TILE defines a function that computes one tile.  STRIP, below, defines a function that computes all rows for some
// channels, in tiles as large as the registers allow.  LEFT and RIGHT are the types of the operands.  LOAD reads a
// number (or a pair) of the left operand, and TERM adds its product with a vector of the right operand to the sum.  A
// vector holds LANES channels, and WIDTH terms of the sum are multiplied at once.
#define TILE(NAME, LEFT, RIGHT, VECTOR, LANES, WIDTH, LOAD, TERM, ROWS, BLOCKS)                                      \
  INLINE void NAME(const LEFT *left, const RIGHT *right, float *result, long channels, Sum s, int add) {             \
    VECTOR sum[ROWS][BLOCKS];                                                                                        \
    for (int r = 0; r < ROWS; r++)                                                                                   \
      for (int b = 0; b < BLOCKS; b++)                                                                               \
        sum[r][b] = add ? *(const VECTOR *)(result + r * channels + b * LANES) : (VECTOR){0};                        \
    for (long i = 0; i < s.outer; i++) {                                                                             \
      const LEFT *x = left + i * s.left_outer;                                                                       \
      const RIGHT *y = right + i * s.right_outer;                                                                    \
      for (long j = 0; j < s.inner; j++, x += s.left_inner, y += s.right_inner)                                      \
        for (int r = 0; r < ROWS; r++)                                                                               \
          for (int b = 0; b < BLOCKS; b++)                                                                           \
            sum[r][b] = TERM(sum[r][b], LOAD(x + r * s.left_row), y + b * LANES * WIDTH);                            \
    }                                                                                                                \
    for (int r = 0; r < ROWS; r++)                                                                                   \
      for (int b = 0; b < BLOCKS; b++) *(VECTOR *)(result + r * channels + b * LANES) = sum[r][b];                   \
  }

#define STRIP(NAME, LEFT, RIGHT, VECTOR, LANES, WIDTH, LOAD, TERM, MOST, BLOCKS)                                     \
  TILE(NAME##_most, LEFT, RIGHT, VECTOR, LANES, WIDTH, LOAD, TERM, MOST, BLOCKS)                                     \
  TILE(NAME##_8, LEFT, RIGHT, VECTOR, LANES, WIDTH, LOAD, TERM, 8, BLOCKS)                                           \
  TILE(NAME##_4, LEFT, RIGHT, VECTOR, LANES, WIDTH, LOAD, TERM, 4, BLOCKS)                                           \
  TILE(NAME##_1, LEFT, RIGHT, VECTOR, LANES, WIDTH, LOAD, TERM, 1, BLOCKS)                                           \
  INLINE void NAME(const LEFT *left, const RIGHT *right, float *result, long rows, long channels, Sum s, int add) {  \
    long r = 0;                                                                                                      \
    for (; r + MOST <= rows; r += MOST)                                                                              \
      NAME##_most(left + r * s.left_row, right, result + r * channels, channels, s, add);                            \
    for (; r + 8 <= rows; r += 8)                                                                                    \
      NAME##_8(left + r * s.left_row, right, result + r * channels, channels, s, add);                               \
    for (; r + 4 <= rows; r += 4)                                                                                    \
      NAME##_4(left + r * s.left_row, right, result + r * channels, channels, s, add);                               \
    for (; r < rows; r++) NAME##_1(left + r * s.left_row, right, result + r * channels, channels, s, add);           \
  }

// float32 -----------------------------------------------------------------------------------------------------------

#define NUMBER(place) (*(place))
#define TERM_VECTOR(sum, x, y) ((sum) + (x) * *(const vector *)(y))
#define TERM_V4(sum, x, y) ((sum) + (x) * *(const v4 *)(y))
#define TERM_ONE(sum, x, y) ((sum) + (x) * *(y))

STRIP(strip_two, float, float, vector, VECTOR_LANES, 1, NUMBER, TERM_VECTOR, ROWS_OF_TWO, 2)
STRIP(strip_one, float, float, vector, VECTOR_LANES, 1, NUMBER, TERM_VECTOR, ROWS_OF_ONE, 1)
STRIP(strip4, float, float, v4, 4, 1, NUMBER, TERM_V4, ROWS_OF_ONE, 1)
STRIP(strip1, float, float, float, 1, 1, NUMBER, TERM_ONE, ROWS_OF_ONE, 1)

typedef struct {
  long samples, rows, columns, inputs, outputs, side, padding;  // sizes of the images and the kernel
  long frame_columns, frame_row, frame_size;                    // sizes of an image with its padding, in numbers
  long result_rows, result_columns;                             // sizes of the convolution's result
} Shape;

static void frame_of(float *frame, const float *image, Shape s) {
  for (long y = 0; y < s.rows; y++)
    memcpy(frame + (y + s.padding) * s.frame_row + s.padding * s.inputs, image + y * s.columns * s.inputs,
           s.columns * s.inputs * sizeof(float));
}

#define ROWS_OF(STRIP_NAME, WIDTH)                                                                                   \
  for (; c + WIDTH <= s.outputs; c += WIDTH)                                                                         \
    for (long y = 0; y < s.result_rows; y++)                                                                         \
      STRIP_NAME(frame + y * s.frame_row, kernel + c, result + y * s.result_columns * s.outputs + c,                 \
                 s.result_columns, s.outputs,                                                                        \
                 (Sum){s.side, s.side * s.inputs, s.frame_row, 1, s.inputs, s.side * s.inputs * s.outputs,           \
                       s.outputs},                                                                                   \
                 0);

static void convolve(float *frame, const float *images, const float *kernel, float *result, Shape s) {
  for (long n = 0; n < s.samples; n++, result += s.result_rows * s.result_columns * s.outputs) {
    frame_of(frame, images + n * s.rows * s.columns * s.inputs, s);
    long c = 0;
    ROWS_OF(strip_two, 2 * VECTOR_LANES) ROWS_OF(strip_one, VECTOR_LANES) ROWS_OF(strip4, 4) ROWS_OF(strip1, 1)
  }
}

#define GRADIENTS_OF(STRIP_NAME, WIDTH)                                                                              \
  for (; c + WIDTH <= s.outputs; c += WIDTH)                                                                         \
    for (long k = 0; k < s.side; k++)                                                                                \
      STRIP_NAME(frame + k * s.frame_row, cotangent + c, gradient + k * s.side * s.inputs * s.outputs + c,           \
                 s.side * s.inputs, s.outputs,                                                                       \
                 (Sum){s.result_rows, s.result_columns, s.frame_row, s.inputs, 1, s.result_columns * s.outputs,      \
                       s.outputs},                                                                                   \
                 1);

static void kernel_gradient(float *frame, const float *images, const float *cotangent, float *gradient, Shape s) {
  memset(gradient, 0, s.side * s.side * s.inputs * s.outputs * sizeof(float));
  for (long n = 0; n < s.samples; n++, cotangent += s.result_rows * s.result_columns * s.outputs) {
    frame_of(frame, images + n * s.rows * s.columns * s.inputs, s);
    long c = 0;
    GRADIENTS_OF(strip_two, 2 * VECTOR_LANES) GRADIENTS_OF(strip_one, VECTOR_LANES) GRADIENTS_OF(strip4, 4) GRADIENTS_OF(strip1, 1)
  }
}

// bfloat16 in pairs -------------------------------------------------------------------------------------------------

#if PAIRS

INLINE uint32_t pair_at(const bfloat16 *place) {
  uint32_t pair;
  memcpy(&pair, place, sizeof pair);
  return pair;
}

INLINE v16 add_pairs16(v16 sum, uint32_t x, const bfloat16 *y) {
  return (v16)_mm512_dpbf16_ps((__m512)sum, (__m512bh)_mm512_set1_epi32(x), (__m512bh)_mm512_loadu_si512(y));
}

INLINE v4 add_pairs4(v4 sum, uint32_t x, const bfloat16 *y) {
  return (v4)_mm_dpbf16_ps((__m128)sum, (__m128bh)_mm_set1_epi32(x), (__m128bh)_mm_loadu_si128((const void *)y));
}

STRIP(pairs32, bfloat16, bfloat16, v16, 16, 2, pair_at, add_pairs16, 12, 2)
STRIP(pairs16, bfloat16, bfloat16, v16, 16, 2, pair_at, add_pairs16, 16, 1)
STRIP(pairs4, bfloat16, bfloat16, v4, 4, 2, pair_at, add_pairs4, 16, 1)

INLINE bfloat16 rounded(float value) {
  uint32_t bits;
  memcpy(&bits, &value, sizeof bits);
  // Round to nearest, ties to even; a NaN stays a NaN.
  return value != value ? (bits >> 16) | 0x40 : (bits + 0x7fff + ((bits >> 16) & 1)) >> 16;
}

// Interleave two rows of numbers into pairs, and fill up with zeros to `width` pairs.
static void interleave(bfloat16 *pairs, const bfloat16 *first, const bfloat16 *second, long count, long width) {
  for (long c = 0; c < count; c++) {
    pairs[2 * c] = first[c];
    pairs[2 * c + 1] = second ? second[c] : 0;
  }
  memset(pairs + 2 * count, 0, 2 * (width - count) * sizeof(bfloat16));
}

// Copy an image into a frame whose pixels have room for `depth` numbers.  The image fills the first `inputs` of them.
static void frame_of_pairs(bfloat16 *frame, const bfloat16 *image, long depth, Shape s) {
  for (long y = 0; y < s.rows; y++) {
    bfloat16 *row = frame + ((y + s.padding) * s.frame_columns + s.padding) * depth;
    const bfloat16 *from = image + y * s.columns * s.inputs;
    if (depth == s.inputs)
      memcpy(row, from, s.columns * s.inputs * sizeof(bfloat16));
    else
      for (long x = 0; x < s.columns; x++)
        for (long c = 0; c < s.inputs; c++) row[x * depth + c] = from[x * s.inputs + c];
  }
}

#define PAIR_ROWS_OF(STRIP_NAME, WIDTH)                                                                              \
  for (; c + WIDTH <= width; c += WIDTH)                                                                             \
    for (long y = 0; y < s.result_rows; y++)                                                                         \
      STRIP_NAME(frame + y * row, packed + 2 * c, sums + y * s.result_columns * width + c, s.result_columns, width,  \
                 (Sum){s.side, pairs, row, 2, depth, pairs * 2 * width, 2 * width}, 0);

static int convolve_pairs(const bfloat16 *images, const bfloat16 *kernel, bfloat16 *result, Shape s) {
  // The number of inputs is made even, so that no pair reaches into the next pixel: zero times infinity would be NaN.
  long width = (s.outputs + 3) / 4 * 4, depth = (s.inputs + 1) / 2 * 2, row = s.frame_columns * depth;
  long pairs = s.side * depth / 2, pixels = s.result_rows * s.result_columns;
  bfloat16 *frame = calloc((s.rows + 2 * s.padding) * row, sizeof(bfloat16));
  bfloat16 *packed = malloc(s.side * pairs * 2 * width * sizeof(bfloat16));
  float *sums = malloc(pixels * width * sizeof(float));
  int done = frame && packed && sums;
  if (done) {
    bfloat16 *next = packed;
    for (long k = 0; k < s.side * s.side; k++)
      for (long i = 0; i < s.inputs; i += 2, next += 2 * width) {
        const bfloat16 *first = kernel + (k * s.inputs + i) * s.outputs;
        interleave(next, first, i + 1 < s.inputs ? first + s.outputs : NULL, s.outputs, width);
      }
    for (long n = 0; n < s.samples; n++, result += pixels * s.outputs) {
      frame_of_pairs(frame, images + n * s.rows * s.columns * s.inputs, depth, s);
      long c = 0;
      PAIR_ROWS_OF(pairs32, 32) PAIR_ROWS_OF(pairs16, 16) PAIR_ROWS_OF(pairs4, 4)
      for (long p = 0; p < pixels; p++)
        for (long o = 0; o < s.outputs; o++) result[p * s.outputs + o] = rounded(sums[p * width + o]);
    }
  }
  free(frame), free(packed), free(sums);
  return done;
}

#define PAIR_GRADIENTS_OF(STRIP_NAME, WIDTH)                                                                         \
  for (; c + WIDTH <= width; c += WIDTH)                                                                             \
    for (long k = 0; k < s.side; k++)                                                                                \
      STRIP_NAME(left + k * 2 * s.frame_row, right + 2 * c, sums + k * run * width + c, run, width,                  \
                 (Sum){s.result_rows, pairs, 2 * s.frame_row, 4 * s.inputs, 2, pairs * 2 * width, 2 * width}, 1);

static int kernel_gradient_pairs(const bfloat16 *images, const bfloat16 *cotangent, bfloat16 *gradient, Shape s) {
  long width = (s.outputs + 3) / 4 * 4, run = s.side * s.inputs, pairs = (s.result_columns + 1) / 2;
  // One extra pixel, because the last pixel also forms a pair.  If the number of columns is odd, the second pixel of
  // the last pair is multiplied by zero.
  bfloat16 *frame = calloc(s.frame_size + s.inputs, sizeof(bfloat16));
  bfloat16 *left = calloc(2 * (s.frame_size + s.inputs), sizeof(bfloat16));
  bfloat16 *right = malloc(s.result_rows * pairs * 2 * width * sizeof(bfloat16));
  float *sums = calloc(s.side * run * width, sizeof(float));
  int done = frame && left && right && sums;
  for (long n = 0; done && n < s.samples; n++, cotangent += s.result_rows * s.result_columns * s.outputs) {
    frame_of_pairs(frame, images + n * s.rows * s.columns * s.inputs, s.inputs, s);
    // Pair every pixel with the next one, because a column of the kernel may begin at any pixel.  If the number of
    // columns is odd, the second pixel of the last pair is multiplied by zero, which gives NaN if the pixel is
    // infinite.
    interleave(left, frame, frame + s.inputs, s.frame_size, s.frame_size);
    for (long y = 0; y < s.result_rows; y++)
      for (long p = 0; p < pairs; p++) {
        const bfloat16 *first = cotangent + (y * s.result_columns + 2 * p) * s.outputs;
        interleave(right + (y * pairs + p) * 2 * width, first,
                   2 * p + 1 < s.result_columns ? first + s.outputs : NULL, s.outputs, width);
      }
    long c = 0;
    PAIR_GRADIENTS_OF(pairs32, 32) PAIR_GRADIENTS_OF(pairs16, 16) PAIR_GRADIENTS_OF(pairs4, 4)
  }
  for (long k = 0; done && k < s.side * run; k++)
    for (long o = 0; o < s.outputs; o++) gradient[k * s.outputs + o] = rounded(sums[k * width + o]);
  free(frame), free(left), free(right), free(sums);
  return done;
}

#endif

// Interface to XLA --------------------------------------------------------------------------------------------------

int multiplies_pairs(void) { return PAIRS; }

static XLA_FFI_Error *failure(const XLA_FFI_Api *api, XLA_FFI_Error_Code code, const char *message) {
  XLA_FFI_Error_Create_Args arguments = {XLA_FFI_Error_Create_Args_STRUCT_SIZE, NULL, message, code};
  return api->XLA_FFI_Error_Create(&arguments);
}

// Answer XLA's query for the version, and return 1 for calls that compute nothing.  XLA calls a function at several
// stages; only the last stage executes it.
static int only_asked(XLA_FFI_CallFrame *call) {
  XLA_FFI_Extension_Base *extension = call->extension_start;
  if (extension && extension->type == XLA_FFI_Extension_Metadata) {
    XLA_FFI_Metadata *metadata = ((XLA_FFI_Metadata_Extension *)extension)->metadata;
    metadata->api_version.major_version = XLA_FFI_API_MAJOR;
    metadata->api_version.minor_version = XLA_FFI_API_MINOR;
    return 1;
  }
  return call->stage != XLA_FFI_ExecutionStage_EXECUTE;
}

static Shape shape_of(const int64_t *images, const int64_t *kernel, long padding) {
  Shape s = {images[0], images[1], images[2], images[3], kernel[3], kernel[0], padding};
  s.frame_columns = s.columns + 2 * padding;
  s.frame_row = s.frame_columns * s.inputs;
  s.frame_size = (s.rows + 2 * padding) * s.frame_row;
  s.result_rows = s.rows + 2 * padding + 1 - s.side;
  s.result_columns = s.columns + 2 * padding + 1 - s.side;
  return s;
}

static XLA_FFI_Error *handle(XLA_FFI_CallFrame *call, int is_gradient) {
  if (only_asked(call)) return NULL;
  const XLA_FFI_Buffer *left = call->args.args[0], *right = call->args.args[1], *result = call->rets.rets[0];
  const int64_t padding = *(int64_t *)((XLA_FFI_Scalar *)call->attrs.attrs[0])->value;
  const Shape s = shape_of(left->dims, is_gradient ? result->dims : right->dims, padding);
  const int64_t *kernel = is_gradient ? result->dims : right->dims, *image = is_gradient ? right->dims : result->dims;
  if (kernel[0] != kernel[1] || image[1] != s.result_rows || image[2] != s.result_columns || padding < 0)
    return failure(call->api, XLA_FFI_Error_Code_INVALID_ARGUMENT, "convolutions in C take square kernels only");
  int done = 0;
  if (left->dtype == XLA_FFI_DataType_F32) {
    float *frame = calloc(s.frame_size, sizeof(float));
    if (frame) (is_gradient ? kernel_gradient : convolve)(frame, left->data, right->data, result->data, s);
    done = frame != NULL;
    free(frame);
#if PAIRS
  } else if (left->dtype == XLA_FFI_DataType_BF16) {
    done = (is_gradient ? kernel_gradient_pairs : convolve_pairs)(left->data, right->data, result->data, s);
#endif
  } else {
    return failure(call->api, XLA_FFI_Error_Code_UNIMPLEMENTED, "convolutions in C do not support this number type");
  }
  return done ? NULL : failure(call->api, XLA_FFI_Error_Code_RESOURCE_EXHAUSTED, "out of memory for a convolution");
}

XLA_FFI_Error *convolution(XLA_FFI_CallFrame *call) { return handle(call, 0); }

XLA_FFI_Error *convolution_kernel_gradient(XLA_FFI_CallFrame *call) { return handle(call, 1); }
