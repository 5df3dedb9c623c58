// Sums of L-Mul products (sim/golden/lmul.py): exponent and mantissa of both operands, and 2**-l, as one sum of integers.
//
// Operands are float64 numbers, so that a product's word is the sum of its operands' words less the exponent's bias:
// what carries out of the mantissa goes into the exponent, and signs add modulo two. The word of a weight has bias and
// offset in it; the lowest place of a mantissa, which no format has, marks a weight that is zero.
#include "common.h"

namespace {

typedef int64_t Words __attribute__((vector_size(64)));
typedef float Eight __attribute__((vector_size(32)));

constexpr int64_t kZero = 1;
constexpr int64_t kOne = 1023ll << 52;          // 1.0
constexpr int64_t kNormal = (1023ll - 126) << 52;  // FP32's smallest normal number
constexpr int64_t kMagnitude = INT64_MAX;
constexpr int kVectors = kColumns / 8;
constexpr int kRows = 4;

struct Weights {
    int64_t n, k, groups, panels, mantissa, offset;
    std::vector<int64_t> start;
    std::vector<int64_t> word;   // [panel, K, column]
    std::vector<double> value;   // the same, where one is no finite number
    std::vector<double> scale;   // [panel, group, column]
    int lowest = 1 << 20, highest = -(1 << 20);  // exponents of finite numbers
    int64_t longest = 1;

    const int64_t* at(int64_t panel, int64_t k_) const { return &word[(panel * k + k_) * kColumns]; }

    // Signs make words wrap around.
    int64_t word_of(double number) const {
        return static_cast<int64_t>(bits_of<uint64_t>(number) - static_cast<uint64_t>(kOne - offset));
    }
    double number_of(int64_t one) const {
        return one == kZero ? 0.0 : bits_of<double>(static_cast<uint64_t>(one) + static_cast<uint64_t>(kOne - offset));
    }
};

inline Words products(const int64_t* w, int64_t a) {
    const Words column = load<Words>(w);
    return (column + a) & (column != kZero);
}

// ------------------------------------------------------------------------------------------------ exact sums

// How long sums are: whole in one float64, or in two, the higher one in units of 2**cut. ``magic`` rounds to those.
struct Length {
    bool split = false;
    int cut = 0, unit = 0;
    double magic = 0;
};

template <int R, bool Split>
void group_sums(const int64_t* const* a, const int64_t* w, int64_t length, double magic, double* high, double* low) {
    Doubles sum[R][kVectors] = {}, rest[R][Split ? kVectors : 1] = {};
    for (int64_t k = 0; k < length; ++k)
        for (int r = 0; r < R; ++r) {
            const int64_t word = a[r][k];
            if (word == 0) continue;
            for (int v = 0; v < kVectors; ++v) {
                const Doubles product = reinterpret_cast<Doubles>(products(w + k * kColumns + 8 * v, word));
                if constexpr (Split) {
                    const Doubles above = (product + magic) - magic;
                    sum[r][v] += above;
                    rest[r][v] += product - above;
                } else {
                    sum[r][v] += product;
                }
            }
        }
    for (int r = 0; r < R; ++r)
        for (int v = 0; v < kVectors; ++v) {
            store(high + r * kColumns + 8 * v, sum[r][v]);
            if constexpr (Split) store(low + r * kColumns + 8 * v, rest[r][v]);
        }
}

template <int R>
void group_sums(const Length& form, const int64_t* const* a, const int64_t* w, int64_t length, double* high, double* low) {
    if (form.split) return group_sums<R, true>(a, w, length, form.magic, high, low);
    return group_sums<R, false>(a, w, length, 0, high, low);
}

// (high + low) · factor, rounded to odd.
double product_of(const Length& form, double high, double low, double factor) {
    const double sum = high + low, back = sum - high;
    if ((high - (sum - back)) + (low - back) == 0) return odd_product(sum, factor);
    Total total(3 * kExactBits);
    total.add(static_cast<int64_t>(std::ldexp(high, -form.cut)), form.cut - form.unit);
    total.add(static_cast<int64_t>(std::ldexp(low, -form.unit)), 0);
    return total.times(std::ldexp(factor, form.unit));
}

void exact_rows(const Weights& w, const Length& form, int64_t panel, int64_t first, int64_t last, const int64_t* acts,
                const double* scale, float* out) {
    const int64_t columns = std::min(kColumns, w.n - panel * kColumns);
    std::vector<float> result((last - first) * kColumns, 0.0f);
    double high[kRows * kColumns], low[kRows * kColumns];
    for (int64_t g = 0; g < w.groups; ++g) {
        const double* factors = &w.scale[(panel * w.groups + g) * kColumns];
        for (int64_t t = first; t < last; t += kRows) {
            const int64_t rows = std::min<int64_t>(kRows, last - t), length = w.start[g + 1] - w.start[g];
            const int64_t* a[kRows];
            for (int64_t r = 0; r < kRows; ++r) a[r] = acts + (t + std::min(r, rows - 1)) * w.k + w.start[g];
            const int64_t* column = w.at(panel, w.start[g]);
            if (rows == kRows) {
                group_sums<kRows>(form, a, column, length, high, low);
            } else {
                for (int64_t r = 0; r < rows; ++r)
                    group_sums<1>(form, a + r, column, length, high + r * kColumns, low + r * kColumns);
            }
            for (int64_t r = 0; r < rows; ++r) {
                const double row = scale[(t + r) * w.groups + g];
                float* to = &result[(t + r - first) * kColumns];
                for (int64_t c = 0; c < columns; ++c) {
                    const double total = high[r * kColumns + c], factor = row * factors[c];
                    to[c] += static_cast<float>(form.split ? product_of(form, total, low[r * kColumns + c], factor)
                                                           : odd_product(total, factor));
                }
            }
        }
    }
    for (int64_t t = first; t < last; ++t)
        std::copy_n(&result[(t - first) * kColumns], columns, out + t * w.n + panel * kColumns);
}

// ------------------------------------------------------------------------------------------------ sums in FP32

// 16 products as FP32 numbers: zero below its normal ones, infinite beyond its end.
inline Floats rounded(const int64_t* w, int64_t a) {
    Floats found;
    for (int half = 0; half < 2; ++half) {
        Words word = products(w + 8 * half, a);
        word &= (word & kMagnitude) >= kNormal;
        const Eight eight = __builtin_convertvector(reinterpret_cast<Doubles>(word), Eight);
        std::memcpy(reinterpret_cast<char*>(&found) + 32 * half, &eight, sizeof(eight));
    }
    return found;
}

struct Chain {
    const Weights& w;
    int64_t step, partials;
    bool finite;  // all operands are
    std::vector<Floats> node, sums;

    Floats product(int64_t panel, int64_t k, int64_t column, double a) {
        const int64_t* word = w.at(panel, k) + column;
        const bool usual = finite || (std::isfinite(a) && w.value.empty());
        Floats found = a == 0 || !std::isfinite(a) ? Floats{} : rounded(word, bits_of<int64_t>(a));
        if (usual) return found;
        for (int64_t c = 0; c < 16; ++c) {
            const int64_t at = (panel * w.k + k) * kColumns + column + c;
            const double other = w.value.empty() ? w.number_of(word[c]) : w.value[at];
            if (!std::isfinite(a) || !std::isfinite(other)) found[c] = static_cast<float>(a * other);
        }
        return found;
    }

    Floats group(int64_t panel, int64_t g, int64_t column, const double* a) {
        std::fill(sums.begin(), sums.end(), Floats{});
        int64_t updates = 0;
        for (int64_t k = w.start[g]; k < w.start[g + 1]; k += step, ++updates) {
            const int64_t count = std::min(step, w.start[g + 1] - k);
            for (int64_t i = 0; i < count; ++i) node[i] = product(panel, k + i, column, a[k + i]);
            sums[updates % partials] += tree(node.data(), count);
        }
        for (int64_t i = 0; i < partials; ++i) node[i] = sums[(updates + i) % partials];
        return tree(node.data(), partials);
    }

    void run(int64_t panel, int64_t first, int64_t last, const double* acts, const double* scale, float* out) {
        const int64_t columns = std::min(kColumns, w.n - panel * kColumns);
        for (int64_t t = first; t < last; ++t) {
            float result[kColumns] = {};
            for (int64_t g = 0; g < w.groups; ++g) {
                float total[kColumns];
                for (int64_t column = 0; column < kColumns; column += 16)
                    store(total + column, group(panel, g, column, acts + t * w.k));
                const double row = scale[t * w.groups + g];
                const double* factors = &w.scale[(panel * w.groups + g) * kColumns];
                // As in chain.cpp: exact before it is rounded.
                for (int64_t c = 0; c < kColumns; ++c)
                    result[c] += static_cast<float>(static_cast<double>(total[c]) * (row * factors[c]) + 0.0);
            }
            std::copy_n(result, columns, out + t * w.n + panel * kColumns);
        }
    }
};

}  // namespace

extern "C" {

// ``mantissa`` bits of the longer operand; ``shift`` is l.
void* lmul_new(int64_t n, int64_t k, int64_t groups, const int64_t* start, int64_t mantissa, int64_t shift) {
    auto* w = new Weights{n, k, groups, whole(n, kColumns), mantissa, 1ll << (52 - shift), {}, {}, {}, {}};
    w->start.assign(start, start + groups + 1);
    w->word.assign(w->panels * k * kColumns, kZero);
    for (int64_t g = 0; g < groups; ++g) w->longest = std::max(w->longest, start[g + 1] - start[g]);
    return w;
}

void lmul_pack(void* handle, int64_t row, int64_t rows, const double* values) {
    Weights& w = *static_cast<Weights*>(handle);
    for (int64_t n = row; n < row + rows; ++n)
        for (int64_t k = 0; k < w.k; ++k) {
            const double value = values[(n - row) * w.k + k];
            const int64_t at = (n / kColumns * w.k + k) * kColumns + n % kColumns;
            if (!std::isfinite(value) && w.value.empty()) {
                w.value.resize(w.word.size());
                for (size_t i = 0; i < w.word.size(); ++i) w.value[i] = w.number_of(w.word[i]);
            }
            if (!w.value.empty()) w.value[at] = value;
            if (value == 0 || !std::isfinite(value)) continue;
            w.word[at] = w.word_of(value);
            w.lowest = std::min(w.lowest, std::ilogb(value));
            w.highest = std::max(w.highest, std::ilogb(value));
        }
}

void lmul_scales(void* handle, const double* scale) {
    Weights& w = *static_cast<Weights*>(handle);
    w.scale.assign(w.panels * w.groups * kColumns, 0.0);
    for (int64_t n = 0; n < w.n; ++n)
        for (int64_t g = 0; g < w.groups; ++g)
            w.scale[(n / kColumns * w.groups + g) * kColumns + n % kColumns] = scale[n * w.groups + g];
}

void lmul_free(void* handle) { delete static_cast<Weights*>(handle); }

// Results [T, N] of finite activations [T, K] with scales [T, G], of exact sums; not 0 where those are too long.
int64_t lmul_exact(void* handle, int64_t t, const double* acts, const double* scale, float* out, int64_t threads) {
    const Weights& w = *static_cast<const Weights*>(handle);
    std::vector<int64_t> words(t * w.k, 0);
    int lowest = 1 << 20, highest = -(1 << 20);
    for (int64_t i = 0; i < t * w.k; ++i) {
        if (acts[i] == 0) continue;
        words[i] = bits_of<int64_t>(acts[i]);
        lowest = std::min(lowest, std::ilogb(acts[i]));
        highest = std::max(highest, std::ilogb(acts[i]));
    }
    Length form;
    if (lowest <= highest && w.lowest <= w.highest) {
        const int bits = w.longest > 1 ? 64 - __builtin_clzll(w.longest - 1) : 0;
        // A product is below 2**top, and a whole number of 2**unit.
        const int top = highest + w.highest + 3;
        form.unit = lowest + w.lowest - static_cast<int>(w.mantissa);
        form.split = top + bits - form.unit > kExactBits;
        form.cut = std::max(top + bits - kExactBits, top - 51);
        form.magic = std::ldexp(1.5, 52 + form.cut);
        if (form.split && form.cut - 1 + bits - form.unit > kExactBits) return 1;
    }
    const Pieces pieces(w.n, whole(t, kRows), threads);
    in_threads(threads, pieces.count(), [&](int64_t index) {
        exact_rows(w, form, pieces.panel(index), pieces.first(index) * kRows, std::min(t, pieces.last(index) * kRows),
                   words.data(), scale, out);
    });
    return 0;
}

// The same of sums in FP32: updates of ``step`` elements go to ``partials`` sums in turn.
int64_t lmul_fp32(void* handle, int64_t t, const double* acts, const double* scale, int64_t step, int64_t partials,
                  float* out, int64_t threads) {
    const Weights& w = *static_cast<const Weights*>(handle);
    const bool finite = w.value.empty() && std::all_of(acts, acts + t * w.k, [](double a) { return std::isfinite(a); });
    const Pieces pieces(w.n, t, threads);
    in_threads(threads, pieces.count(), [&](int64_t index) {
        Chain chain{w, step, partials, finite, {}, {}};
        chain.node.resize(std::max(std::min(step, w.k), partials));
        chain.sums.resize(partials);
        chain.run(pieces.panel(index), pieces.first(index), pieces.last(index), acts, scale, out);
    });
    return 0;
}
}
