// Convolutions of images, laid out (sample, row, column, channel), and the gradients of their kernels, for one core.
// XLA calls them through its foreign function interface; native.py compiles this file and registers them.
//
// Both are sums of outer products.  A tile of the result, some rows and one or two vectors of channels, stays in
// registers while numbers of the left operand are multiplied, one by one, with vectors of the right one:
//   convolution      rows are the pixels of a row of the image; the sum is over the kernel's pixels and inputs;
//   kernel gradient  rows are the kernel's columns and inputs; the sum is over the pixels of an image.
// An image is first copied into a frame of zeros, so that no tile has to ask where the image ends.
//
// In bfloat16, on processors that multiply pairs, two neighbours of the sum are taken at once and added in float32.

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
// The widest vectors of the processor, and how many of its registers hold sums: the others hold operands.  A tile that
// needs more of them is kept in memory, which is several times slower.
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

// How the operands of a sum lie: `outer` times `inner` terms, and how far apart the rows of a tile are.
typedef struct {
  long outer, inner, left_outer, left_inner, left_row, right_outer, right_inner;
} Sum;

// A tile and, below, a strip: all rows of some channels, in tiles as large as the registers allow.  LEFT and RIGHT are
// types of the operands, TERM is what is added to a vector of the sum; `lanes` channels lie in a vector.
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
  long samples, rows, columns, inputs, outputs, side, padding;  // of the images and the kernel
  long frame_columns, frame_row, frame_size;                    // of an image with its padding, in numbers
  long result_rows, result_columns;                             // of what a convolution gives
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
  // To the nearest, halves to even; a NaN stays one.
  return value != value ? (bits >> 16) | 0x40 : (bits + 0x7fff + ((bits >> 16) & 1)) >> 16;
}

// Two rows of numbers as pairs, filled up with zeros to `width` pairs.
static void interleave(bfloat16 *pairs, const bfloat16 *first, const bfloat16 *second, long count, long width) {
  for (long c = 0; c < count; c++) {
    pairs[2 * c] = first[c];
    pairs[2 * c + 1] = second ? second[c] : 0;
  }
  memset(pairs + 2 * count, 0, 2 * (width - count) * sizeof(bfloat16));
}

// Each pixel of the frame has room for `depth` numbers, of which the image fills the first.
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
  // An even number of inputs, so that no pair reaches into the next pixel: zero times infinity is none.
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
  // One pixel more, for the last one and, where columns are odd, for a pair that is multiplied by zero.
  bfloat16 *frame = calloc(s.frame_size + s.inputs, sizeof(bfloat16));
  bfloat16 *left = calloc(2 * (s.frame_size + s.inputs), sizeof(bfloat16));
  bfloat16 *right = malloc(s.result_rows * pairs * 2 * width * sizeof(bfloat16));
  float *sums = calloc(s.side * run * width, sizeof(float));
  int done = frame && left && right && sums;
  for (long n = 0; done && n < s.samples; n++, cotangent += s.result_rows * s.result_columns * s.outputs) {
    frame_of_pairs(frame, images + n * s.rows * s.columns * s.inputs, s.inputs, s);
    // Every pixel beside the one after it: a column of the kernel may begin at any pixel.  Where columns are odd in
    // number, the last pair's second pixel is multiplied by zero, so that an infinite one makes NaN of it.
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

// What XLA calls ----------------------------------------------------------------------------------------------------

int multiplies_pairs(void) { return PAIRS; }

static XLA_FFI_Error *failure(const XLA_FFI_Api *api, XLA_FFI_Error_Code code, const char *message) {
  XLA_FFI_Error_Create_Args arguments = {XLA_FFI_Error_Create_Args_STRUCT_SIZE, NULL, message, code};
  return api->XLA_FFI_Error_Create(&arguments);
}

// XLA asks for the version first, and then calls at each stage of which only the last is of interest.
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
    return failure(call->api, XLA_FFI_Error_Code_INVALID_ARGUMENT, "convolutions in C take square kernels");
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
    return failure(call->api, XLA_FFI_Error_Code_UNIMPLEMENTED, "convolutions in C know no such numbers");
  }
  return done ? NULL : failure(call->api, XLA_FFI_Error_Code_RESOURCE_EXHAUSTED, "no memory for a convolution");
}

XLA_FFI_Error *convolution(XLA_FFI_CallFrame *call) { return handle(call, 0); }

XLA_FFI_Error *convolution_kernel_gradient(XLA_FFI_CallFrame *call) { return handle(call, 1); }
