/* Gradient descent on the paper's spiral network, written by hand for one core.  The benchmark
   compares the times of the other programs with the time of this loop.

   The network has two features, one hidden ReLU layer and three classes; the loss is the cross-entropy with
   dynamical class weights.  The loop does less arithmetic than the textbook's algorithm, in three ways that
   change the rounding but not the result:

   - Softmax depends only on differences of logits, and its errors e sum to zero over the classes.  Therefore
     the output weights relative to the last class, u_c = v_c - v_2, and the errors e_0 and e_1 suffice.
   - A mask on(n) marks the samples for which a unit is active.  Every gradient of a unit is a combination of
     six sums over the samples, S = sum_n on(n) {1, x0, x1} {e_0, e_1}.  These are six masked additions per
     sample.  They replace a product with the output layer, a masked product with the inputs and a product
     with the hidden activations.
   - In the backward pass the lanes of a vector are hidden units, so that no sum runs across lanes.

   All data stay in registers and in the nearest caches.  -DDOUBLE=0 selects single precision, -DDOUBLE=1
   double precision. */

#include <math.h>
#include <stdlib.h>
#include <string.h>

#if DOUBLE
typedef double real;
typedef long long integer;
#define LOWEST (-708.0)
#define TERMS 13
#define MANTISSA_BITS 52
#define EXPONENT_BIAS 1023
#else
typedef float real;
typedef int integer;
#define LOWEST (-87.0f)
#define TERMS 7
#define MANTISSA_BITS 23
#define EXPONENT_BIAS 127
#endif

#if defined(__AVX512F__) && defined(__AVX512DQ__)
#include <immintrin.h>
#define BYTES 64
#elif defined(__AVX__)
#define BYTES 32
#else
#define BYTES 16
#endif

const int vector_bytes = BYTES;

#define LANES ((int)(BYTES / sizeof(real)))
#define VECTORS(count) (((count) + LANES - 1) / LANES)

/* Number of vectors of samples, or of units, that a pass keeps in registers at once. */
#define SAMPLES_AT_ONCE (BYTES == 64 ? 5 : 2)
#define UNITS_AT_ONCE (BYTES == 64 ? 3 : 1)

#define INLINE static inline __attribute__((always_inline))
#ifdef __clang__
#define UNROLL _Pragma("clang loop unroll(full)")
#else
#define UNROLL _Pragma("GCC unroll 16")
#endif

typedef real vector __attribute__((vector_size(BYTES)));
typedef integer integers __attribute__((vector_size(BYTES)));

INLINE vector splat(real value) { return value - (vector){0}; }

#if BYTES == 64
#if DOUBLE
#define WITH_TYPE(name) name##_pd
#define COMPARE _mm512_cmp_pd_mask
typedef __mmask8 mask;
#else
#define WITH_TYPE(name) name##_ps
#define COMPARE _mm512_cmp_ps_mask
typedef __mmask16 mask;
#endif
INLINE mask positive(vector a) { return COMPARE(a, splat(0), _CMP_GT_OQ); }
INLINE vector maximum(vector a, vector b) { return WITH_TYPE(_mm512_max)(a, b); }
INLINE vector add_where(mask on, vector a, vector to) { return WITH_TYPE(_mm512_mask_add)(to, on, to, a); }
INLINE vector multiply_add_where(mask on, vector a, vector b, vector to) {
    return WITH_TYPE(_mm512_mask3_fmadd)(a, b, to, on);
}
#else
typedef integers mask;
INLINE vector where(mask on, vector a) { return (vector)((integers)a & on); }
INLINE mask positive(vector a) { return (mask)(a > splat(0)); }
INLINE vector maximum(vector a, vector b) {
    mask first = (mask)(a > b);
    return (vector)(((integers)a & first) | ((integers)b & ~first));
}
INLINE vector add_where(mask on, vector a, vector to) { return to + where(on, a); }
INLINE vector multiply_add_where(mask on, vector a, vector b, vector to) { return to + where(on, a) * b; }
#endif

/* exp(x) for x <= 0, computed as 2^k sum_n r^n / n! with |r| <= ln 2 / 2. */
INLINE vector exponential(vector x) {
    static const double factorial[] = {1,      1,       2,        6,         24,         120,        720, 5040, 40320,
                                       362880, 3628800, 39916800, 479001600, 6227020800.0};
    x = maximum(x, splat((real)LOWEST));
    integers k = __builtin_convertvector(x * (real)1.4426950408889634 - (real)0.5, integers);
    vector turns = __builtin_convertvector(k, vector);
    /* ln 2 is split into two parts.  The first has so few bits that its product with k is exact. */
    vector r = x - turns * (real)0.693145751953125 - turns * (real)1.4286068203094172e-6;
    vector sum = splat(1);
    UNROLL
    for (int n = TERMS; n > 0; n--) {
        sum = sum * (r * (real)(factorial[n - 1] / factorial[n])) + (real)1;
    }
    return sum * (vector)((k + EXPONENT_BIAS) << MANTISSA_BITS);
}

typedef struct {
    int units, samples;
    vector *w0, *w1, *b, *u0, *u1;                 /* by unit, padded with units that are never active */
    vector *x0, *x1, *e0, *e1, *x0e0, *x0e1, *z0, *z1; /* by sample, padded with samples of weight zero */
    real c0, c1;
} State;

/* Compute the logits relative to the last class for `count` vectors of samples. */
INLINE void forward_block(const State *s, int first, int count) {
    vector x0[SAMPLES_AT_ONCE], x1[SAMPLES_AT_ONCE], z0[SAMPLES_AT_ONCE], z1[SAMPLES_AT_ONCE];
    UNROLL
    for (int i = 0; i < count; i++) {
        x0[i] = s->x0[first + i];
        x1[i] = s->x1[first + i];
        z0[i] = splat(s->c0);
        z1[i] = splat(s->c1);
    }
    const real *w0s = (const real *)s->w0, *w1s = (const real *)s->w1, *bs = (const real *)s->b;
    const real *u0s = (const real *)s->u0, *u1s = (const real *)s->u1;
    for (int j = 0; j < s->units; j++) {
        vector w0 = splat(w0s[j]), w1 = splat(w1s[j]), b = splat(bs[j]), u0 = splat(u0s[j]), u1 = splat(u1s[j]);
        UNROLL
        for (int i = 0; i < count; i++) {
            vector hidden = maximum(w0 * x0[i] + (w1 * x1[i] + b), splat(0));
            z0[i] += u0 * hidden;
            z1[i] += u1 * hidden;
        }
    }
    UNROLL
    for (int i = 0; i < count; i++) {
        s->z0[first + i] = z0[i];
        s->z1[first + i] = z1[i];
    }
}

/* Compute the gradient of `count` vectors of units and update their weights. */
INLINE void backward_block(const State *s, int first, int count, real rate) {
    vector w0[UNITS_AT_ONCE], w1[UNITS_AT_ONCE], b[UNITS_AT_ONCE];
    vector sum0[UNITS_AT_ONCE], sum1[UNITS_AT_ONCE];     /* sums of e_c over samples with the unit active */
    vector sum00[UNITS_AT_ONCE], sum01[UNITS_AT_ONCE];   /* sums of x0 e_c */
    vector sum10[UNITS_AT_ONCE], sum11[UNITS_AT_ONCE];   /* sums of x1 e_c */
    UNROLL
    for (int i = 0; i < count; i++) {
        w0[i] = s->w0[first + i];
        w1[i] = s->w1[first + i];
        b[i] = s->b[first + i];
        sum0[i] = sum1[i] = sum00[i] = sum01[i] = sum10[i] = sum11[i] = splat(0);
    }
    const real *x0s = (const real *)s->x0, *x1s = (const real *)s->x1, *e0s = (const real *)s->e0;
    const real *e1s = (const real *)s->e1, *x0e0s = (const real *)s->x0e0, *x0e1s = (const real *)s->x0e1;
    for (int n = 0; n < s->samples; n++) {
        vector x0 = splat(x0s[n]), x1 = splat(x1s[n]), e0 = splat(e0s[n]), e1 = splat(e1s[n]);
        vector x0e0 = splat(x0e0s[n]), x0e1 = splat(x0e1s[n]);
        UNROLL
        for (int i = 0; i < count; i++) {
            mask on = positive(w0[i] * x0 + (w1[i] * x1 + b[i]));
            sum0[i] = add_where(on, e0, sum0[i]);
            sum1[i] = add_where(on, e1, sum1[i]);
            sum00[i] = add_where(on, x0e0, sum00[i]);
            sum01[i] = add_where(on, x0e1, sum01[i]);
            /* These products are not computed beforehand: the processor adds and multiplies at the same time. */
            sum10[i] = multiply_add_where(on, x1, e0, sum10[i]);
            sum11[i] = multiply_add_where(on, x1, e1, sum11[i]);
        }
    }
    UNROLL
    for (int i = 0; i < count; i++) {
        vector u0 = s->u0[first + i], u1 = s->u1[first + i];
        vector g0 = w0[i] * sum00[i] + w1[i] * sum10[i] + b[i] * sum0[i];
        vector g1 = w0[i] * sum01[i] + w1[i] * sum11[i] + b[i] * sum1[i];
        s->b[first + i] -= rate * (u0 * sum0[i] + u1 * sum1[i]);
        s->w0[first + i] -= rate * (u0 * sum00[i] + u1 * sum01[i]);
        s->w1[first + i] -= rate * (u0 * sum10[i] + u1 * sum11[i]);
        /* The last class has the gradient -(g0 + g1). */
        s->u0[first + i] -= rate * (2 * g0 + g1);
        s->u1[first + i] -= rate * (2 * g1 + g0);
    }
}

/* Both passes work in blocks of nearly equal size.  The switch makes each size a compile-time constant. */
static void forward(const State *s) {
    int left = VECTORS(s->samples), first = 0;
    while (left > 0) {
        int blocks = (left + SAMPLES_AT_ONCE - 1) / SAMPLES_AT_ONCE, count = (left + blocks - 1) / blocks;
        switch (count) {
        case 1: forward_block(s, first, 1); break;
        case 2: forward_block(s, first, 2); break;
#if BYTES == 64
        case 3: forward_block(s, first, 3); break;
        case 4: forward_block(s, first, 4); break;
        case 5: forward_block(s, first, 5); break;
#endif
        }
        first += count;
        left -= count;
    }
}

static void backward(const State *s, real rate) {
    int left = VECTORS(s->units), first = 0;
    while (left > 0) {
        int blocks = (left + UNITS_AT_ONCE - 1) / UNITS_AT_ONCE, count = (left + blocks - 1) / blocks;
        switch (count) {
        case 1: backward_block(s, first, 1, rate); break;
#if BYTES == 64
        case 2: backward_block(s, first, 2, rate); break;
        case 3: backward_block(s, first, 3, rate); break;
#endif
        }
        first += count;
        left -= count;
    }
}

/* Compute the errors of the logits, e = share (softmax - one-hot), and update the output biases.  The share of
   a sample is Gamma_y / N. */
static void errors(State *s, const vector *y0, const vector *y1, const vector *y2, const double gamma[3], real rate) {
    real share0 = gamma[0] / s->samples, share1 = gamma[1] / s->samples, share2 = gamma[2] / s->samples;
    vector total0 = splat(0), total1 = splat(0);
    for (int i = 0; i < VECTORS(s->samples); i++) {
        vector top = maximum(maximum(s->z0[i], s->z1[i]), splat(0));
        vector p0 = exponential(s->z0[i] - top), p1 = exponential(s->z1[i] - top), p2 = exponential(-top);
        vector wanted0 = y0[i] * share0, wanted1 = y1[i] * share1;
        vector scale = (wanted0 + wanted1 + y2[i] * share2) / (p0 + p1 + p2);
        s->e0[i] = p0 * scale - wanted0;
        s->e1[i] = p1 * scale - wanted1;
        s->x0e0[i] = s->x0[i] * s->e0[i];
        s->x0e1[i] = s->x0[i] * s->e1[i];
        total0 += s->e0[i];
        total1 += s->e1[i];
    }
    real g0 = 0, g1 = 0;
    for (int k = 0; k < LANES; k++) {
        g0 += total0[k];
        g1 += total1[k];
    }
    s->c0 -= rate * (2 * g0 + g1);
    s->c1 -= rate * (2 * g1 + g0);
}

static void class_weights(int step, int period, double amplitude, double gamma[3]) {
    double phase = (double)(step % period) / period;
    double raw = 1 + (amplitude - 1) * (1 - fabs(2 * phase - 1));
    for (int c = 0; c < 3; c++) {
        gamma[c] = (c == step / period % 3 ? raw : 1) * 3 / (raw + 2);
    }
}

#define CHAINS 12

/* Run multiply-adds in independent chains of vectors, to measure the processor's peak speed.  Returns the
   number of floating-point operations done. */
double multiply_adds(int rounds, real factor, real *sink) {
    vector sum[CHAINS], a = splat(factor);
    UNROLL
    for (int i = 0; i < CHAINS; i++) {
        sum[i] = splat((real)i);
    }
    for (int k = 0; k < rounds; k++) {
        UNROLL
        for (int i = 0; i < CHAINS; i++) {
            sum[i] = sum[i] * a + a;
        }
    }
    vector total = splat(0);
    UNROLL
    for (int i = 0; i < CHAINS; i++) {
        total += sum[i];
    }
    *sink = total[0];
    return 2.0 * rounds * CHAINS * LANES;
}

/* Train for `steps` steps and overwrite the parameters with their final values.  Returns the dynamical loss
   after the last step, or NaN if memory cannot be allocated.  The arrays are stored row by row:
   inputs (sample, 2), hidden_kernel (2, unit), output_kernel (unit, 3). */
double train(int steps, int period, double amplitude, double learning_rate, int units, int samples,
             const real *inputs, const int *label, real *hidden_kernel, real *hidden_bias, real *output_kernel,
             real *output_bias) {
    int by_unit = VECTORS(units), by_sample = VECTORS(samples);
    size_t size = (5 * by_unit + 11 * by_sample) * sizeof(vector);
    vector *memory = aligned_alloc(sizeof(vector), size), *next = memory;
    if (!memory) {
        return NAN;
    }
    memset(memory, 0, size);
    State s = {.units = units, .samples = samples};
    vector *y[3], **unit_rows[] = {&s.w0, &s.w1, &s.b, &s.u0, &s.u1};
    vector **sample_rows[] = {&s.x0, &s.x1, &s.e0, &s.e1, &s.x0e0, &s.x0e1, &s.z0, &s.z1, &y[0], &y[1], &y[2]};
    for (int k = 0; k < 5; k++, next += by_unit) {
        *unit_rows[k] = next;
    }
    for (int k = 0; k < 11; k++, next += by_sample) {
        *sample_rows[k] = next;
    }
    real *w0 = (real *)s.w0, *w1 = (real *)s.w1, *b = (real *)s.b, *u0 = (real *)s.u0, *u1 = (real *)s.u1;
    for (int j = 0; j < units; j++) {
        const real *out = output_kernel + 3 * j;
        w0[j] = hidden_kernel[j];
        w1[j] = hidden_kernel[units + j];
        b[j] = hidden_bias[j];
        u0[j] = out[0] - out[2];
        u1[j] = out[1] - out[2];
    }
    for (int n = 0; n < samples; n++) {
        ((real *)s.x0)[n] = inputs[2 * n];
        ((real *)s.x1)[n] = inputs[2 * n + 1];
        ((real *)y[label[n]])[n] = 1;
    }
    s.c0 = output_bias[0] - output_bias[2];
    s.c1 = output_bias[1] - output_bias[2];

    double gamma[3];
    for (int t = 0; t < steps; t++) {
        class_weights(t, period, amplitude, gamma);
        forward(&s);
        errors(&s, y[0], y[1], y[2], gamma, (real)learning_rate);
        backward(&s, (real)learning_rate);
    }

    class_weights(steps, period, amplitude, gamma);
    forward(&s);
    double loss = 0;
    for (int n = 0; n < samples; n++) {
        double z[3] = {((real *)s.z0)[n], ((real *)s.z1)[n], 0}, top = fmax(fmax(z[0], z[1]), 0);
        double each = log(exp(z[0] - top) + exp(z[1] - top) + exp(-top)) + top - z[label[n]];
        loss += gamma[label[n]] * each / samples;
    }

    for (int j = 0; j <= units; j++) {
        /* The gradients sum to zero over the classes, so the sum of the classes' weights has not changed. */
        real *out = j < units ? output_kernel + 3 * j : output_bias;
        real first = j < units ? u0[j] : s.c0, second = j < units ? u1[j] : s.c1;
        real last = (out[0] + out[1] + out[2] - first - second) / 3;
        out[0] = first + last;
        out[1] = second + last;
        out[2] = last;
        if (j < units) {
            hidden_kernel[j] = w0[j];
            hidden_kernel[units + j] = w1[j];
            hidden_bias[j] = b[j];
        }
    }
    free(memory);
    return loss;
}
