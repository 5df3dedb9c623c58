// Exact sums of groups, each rounded once into FP32 after its scales, added in FP32 in K order.
//
// Operands are any float64 numbers. Of each group of a row its numbers become integers in the unit of the lowest bit
// that is set among them, so that the unit goes with the row's scale, which is a power of two more or less. Sums of
// products below 2**53 are exact in float64 in any order, sums below 2**31 in int32. Integers that are too long for
// that are cut into limbs, products of limbs are summed apart, and the total is put together in integers.
#include "common.h"

namespace {

constexpr int kShort = 15;         // bits of a magnitude that fits int16, whatever its sign
constexpr int64_t kPiece = 64;     // shortest sum in int32 that is worth it
constexpr int kLimb = 26;          // bits of a limb of weights, at most

#if defined(__AVX512BW__)
constexpr int kRows = 12;
#else
constexpr int kRows = 4;
#endif
constexpr int kHalf = kRows / 2;   // rows of float64 sums

enum Mode { kFp32 = 0, kOdd = 1, kDouble = 2 };

struct Span {
    int lowest = 1 << 20, highest = -(1 << 20);  // place of the lowest bit, and of the one above the highest

    void add(double value) {
        const uint64_t word = bits_of<uint64_t>(value);
        const int exponent = static_cast<int>(word >> 52 & 0x7ff);
        if (exponent == 0) return;  // zero: no format's numbers are subnormal in float64
        const uint64_t significand = (word & ((1ull << 52) - 1)) | 1ull << 52;
        lowest = std::min(lowest, exponent - 1075 + __builtin_ctzll(significand));
        highest = std::max(highest, exponent - 1022);
    }
    bool empty() const { return highest < lowest; }
    int unit() const { return empty() ? 0 : lowest; }
    int bits() const { return empty() ? 1 : highest - lowest; }
};

// ``count`` limbs of ``bits`` bits of an integer, lowest first, each with its sign.
void cut(double integer, int count, int bits, double* limbs) {
    for (int index = count - 1; index > 0; --index) {
        const double size = std::ldexp(1.0, bits * index);
        const double limb = std::trunc(integer / size);
        integer -= limb * size;
        limbs[index] = limb;
    }
    limbs[0] = integer;
}

struct Weights {
    int64_t n, k, groups, panels, pairs = 0;
    std::vector<int64_t> start, pair;  // of each group, in elements and in pairs of elements
    int bits = 1, limbs = 1, limb_bits = 0, longest = 1;
    std::vector<int> unit;             // [N, G]
    std::vector<int16_t> shorts;       // [panel, pair, column, 2]
    std::vector<double> wide;          // [panel, limb, K, column]
    std::vector<uint8_t> used;         // [panel, limb, group]: whether any of it is not 0
    std::vector<double> scale, least;  // [panel, group, column]: scales with units; minima

    int64_t length(int64_t group) const { return start[group + 1] - start[group]; }
};

struct Acts {
    int64_t t, rows, blocks;
    int bits = 1, limbs = 1, limb_bits = 0;
    std::vector<int> unit;       // [T, G]
    std::vector<double> factor;  // [T, G]: scale with unit
    std::vector<int32_t> pairs;  // [block, pair, row]
    std::vector<double> wide;    // [block, limb, K, row]
    std::vector<uint8_t> used;   // [block, limb, group]
    std::vector<double> sums;    // [T, G, limb]: of a row's integers
};

// ------------------------------------------------------------------------------------------------ sums of products

template <int R>
void dot_shorts(const int32_t* a, const int16_t* w, int64_t pairs, int32_t* out) {
#if defined(__AVX512BW__)
    __m512i sum[R][2];
    for (int r = 0; r < R; ++r) sum[r][0] = sum[r][1] = _mm512_setzero_si512();
    for (int64_t p = 0; p < pairs; ++p) {
        const __m512i low = _mm512_loadu_si512(w + 64 * p), high = _mm512_loadu_si512(w + 64 * p + 32);
#pragma GCC unroll 16
        for (int r = 0; r < R; ++r) {
            const __m512i both = _mm512_set1_epi32(a[p * R + r]);
#if defined(__AVX512VNNI__)
            sum[r][0] = _mm512_dpwssd_epi32(sum[r][0], both, low);
            sum[r][1] = _mm512_dpwssd_epi32(sum[r][1], both, high);
#else
            sum[r][0] = _mm512_add_epi32(sum[r][0], _mm512_madd_epi16(both, low));
            sum[r][1] = _mm512_add_epi32(sum[r][1], _mm512_madd_epi16(both, high));
#endif
        }
    }
    for (int r = 0; r < R; ++r) {
        _mm512_storeu_si512(out + r * kColumns, sum[r][0]);
        _mm512_storeu_si512(out + r * kColumns + 16, sum[r][1]);
    }
#elif defined(__AVX2__)
    for (int half = 0; half < 2; ++half) {
        __m256i sum[R][2];
        for (int r = 0; r < R; ++r) sum[r][0] = sum[r][1] = _mm256_setzero_si256();
        for (int64_t p = 0; p < pairs; ++p) {
            const auto* at = reinterpret_cast<const __m256i*>(w + 64 * p + 32 * half);
            const __m256i low = _mm256_loadu_si256(at), high = _mm256_loadu_si256(at + 1);
#pragma GCC unroll 16
            for (int r = 0; r < R; ++r) {
                const __m256i both = _mm256_set1_epi32(a[p * R + r]);
                sum[r][0] = _mm256_add_epi32(sum[r][0], _mm256_madd_epi16(both, low));
                sum[r][1] = _mm256_add_epi32(sum[r][1], _mm256_madd_epi16(both, high));
            }
        }
        for (int r = 0; r < R; ++r) {
            auto* to = reinterpret_cast<__m256i*>(out + r * kColumns + 16 * half);
            _mm256_storeu_si256(to, sum[r][0]);
            _mm256_storeu_si256(to + 1, sum[r][1]);
        }
    }
#else
    std::fill(out, out + R * kColumns, 0);
    for (int64_t p = 0; p < pairs; ++p)
        for (int r = 0; r < R; ++r) {
            int16_t both[2];
            std::memcpy(both, a + p * R + r, sizeof(both));
            for (int64_t c = 0; c < kColumns; ++c)
                out[r * kColumns + c] += both[0] * w[64 * p + 2 * c] + both[1] * w[64 * p + 2 * c + 1];
        }
#endif
}

inline Doubles plus_product(Doubles total, double a, Doubles w) {
#if defined(__AVX512F__)
    return reinterpret_cast<Doubles>(
        _mm512_fmadd_pd(_mm512_set1_pd(a), reinterpret_cast<__m512d>(w), reinterpret_cast<__m512d>(total)));
#else
    return total + w * a;
#endif
}

template <int R>
void dot_doubles(const double* a, const double* w, int64_t length, double* out) {
    // As many columns at once as there are registers for.
#if defined(__AVX512F__)
    constexpr int kAtOnce = 4;
#else
    constexpr int kAtOnce = 2;
#endif
    for (int first = 0; first < 4; first += kAtOnce) {
        Doubles sum[R][kAtOnce] = {};
        for (int64_t k = 0; k < length; ++k) {
            Doubles column[kAtOnce];
            for (int v = 0; v < kAtOnce; ++v) column[v] = load<Doubles>(w + k * kColumns + 8 * (first + v));
#pragma GCC unroll 16
            for (int r = 0; r < R; ++r)
                for (int v = 0; v < kAtOnce; ++v) sum[r][v] = plus_product(sum[r][v], a[k * R + r], column[v]);
        }
        for (int r = 0; r < R; ++r)
            for (int v = 0; v < kAtOnce; ++v) store(out + r * kColumns + 8 * (first + v), sum[r][v]);
    }
}

void dot_shorts_of(int64_t rows, const int32_t* a, const int16_t* w, int64_t pairs, int32_t* out) {
    if (rows == kRows) return dot_shorts<kRows>(a, w, pairs, out);
    if (rows == kHalf) return dot_shorts<kHalf>(a, w, pairs, out);
    return dot_shorts<1>(a, w, pairs, out);
}

void dot_doubles_of(int64_t rows, const double* a, const double* w, int64_t length, double* out) {
    if (rows == kHalf) return dot_doubles<kHalf>(a, w, length, out);
    return dot_doubles<1>(a, w, length, out);
}

// ------------------------------------------------------------------------------------------------ read-out

struct Row {
    float* fp32;
    double* wide;
};

void plus(Mode mode, const Row& row, int64_t column, double odd) {
    if (mode == kFp32) {
        row.fp32[column] += static_cast<float>(odd);
    } else if (mode == kOdd) {
        row.fp32[column] += float_to_odd(odd);
    } else {
        row.wide[column] = odd;
    }
}

void plus_totals(Mode mode, const Row& row, const double* total, double factor, const double* scale) {
    if (mode == kFp32) {
        for (int64_t c = 0; c < kColumns; ++c) row.fp32[c] += static_cast<float>(odd_product(total[c], factor * scale[c]));
    } else {
        for (int64_t c = 0; c < kColumns; ++c) plus(mode, row, c, odd_product(total[c], factor * scale[c]));
    }
}

// The activations' sum times the columns' minima.
void plus_minima(const Weights& w, const Acts& a, Mode mode, const Row& row, int64_t t, int64_t group, const double* least) {
    const double factor = a.factor[t * w.groups + group];
    const double* sums = &a.sums[(t * w.groups + group) * a.limbs];
    bool one = true;
    for (int i = 1; i < a.limbs; ++i) one &= sums[i] == 0;
    for (int64_t c = 0; c < kColumns; ++c) {
        double odd;
        if (one) {
            odd = odd_product(sums[0], factor * least[c]);
        } else {
            Total total(a.limb_bits * a.limbs + kExactBits);
            for (int i = 0; i < a.limbs; ++i) total.add(static_cast<int64_t>(sums[i]), a.limb_bits * i);
            odd = total.times(factor * least[c]);
        }
        plus(mode, row, c, odd);
    }
}

// ------------------------------------------------------------------------------------------------ activations

void measure(const Weights& w, const double* values, int64_t threads, Acts& a) {
    a.unit.resize(a.t * w.groups);
    std::vector<int> bits(a.t, 1);
    in_threads(threads, a.t, [&](int64_t t) {
        for (int64_t g = 0; g < w.groups; ++g) {
            Span span;
            for (int64_t k = w.start[g]; k < w.start[g + 1]; ++k) span.add(values[t * w.k + k]);
            a.unit[t * w.groups + g] = span.unit();
            bits[t] = std::max(bits[t], span.bits());
        }
    });
    a.bits = *std::max_element(bits.begin(), bits.end());
}

void pack_shorts(const Weights& w, const double* values, int64_t threads, Acts& a) {
    a.pairs.assign(a.blocks * w.pairs * a.rows, 0);
    in_threads(threads, a.blocks, [&](int64_t block) {
        for (int64_t r = 0; r < a.rows && block * a.rows + r < a.t; ++r) {
            const int64_t t = block * a.rows + r;
            for (int64_t g = 0; g < w.groups; ++g) {
                const double up = std::ldexp(1.0, -a.unit[t * w.groups + g]);
                double total = 0;
                for (int64_t k = w.start[g]; k < w.start[g + 1]; k += 2) {
                    const double first = values[t * w.k + k] * up;
                    const double second = k + 1 < w.start[g + 1] ? values[t * w.k + k + 1] * up : 0;
                    const int16_t both[2] = {static_cast<int16_t>(first), static_cast<int16_t>(second)};
                    const int64_t pair = w.pair[g] + (k - w.start[g]) / 2;
                    std::memcpy(&a.pairs[(block * w.pairs + pair) * a.rows + r], both, sizeof(both));
                    total += first + second;
                }
                a.sums[t * w.groups + g] = total;
            }
        }
    });
}

void pack_wide(const Weights& w, const double* values, int64_t threads, Acts& a) {
    a.wide.assign(a.blocks * a.limbs * w.k * a.rows, 0);
    a.used.assign(a.blocks * a.limbs * w.groups, 0);
    in_threads(threads, a.blocks, [&](int64_t block) {
        std::vector<double> limb(a.limbs);
        for (int64_t r = 0; r < a.rows && block * a.rows + r < a.t; ++r) {
            const int64_t t = block * a.rows + r;
            for (int64_t g = 0; g < w.groups; ++g) {
                const double up = std::ldexp(1.0, -a.unit[t * w.groups + g]);
                double* sums = &a.sums[(t * w.groups + g) * a.limbs];
                for (int64_t k = w.start[g]; k < w.start[g + 1]; ++k) {
                    cut(values[t * w.k + k] * up, a.limbs, a.limb_bits, limb.data());
                    for (int i = 0; i < a.limbs; ++i) {
                        a.wide[((block * a.limbs + i) * w.k + k) * a.rows + r] = limb[i];
                        a.used[(block * a.limbs + i) * w.groups + g] |= limb[i] != 0;
                        sums[i] += limb[i];
                    }
                }
            }
        }
    });
}

// ------------------------------------------------------------------------------------------------ a panel

struct Panel {
    const Weights& w;
    const Acts& a;
    Mode mode;
    bool shorts;
    int64_t index;

    const double* scale(int64_t group) const { return &w.scale[(index * w.groups + group) * kColumns]; }

    // Weights of a group in float64, from int16 where they are stored so.
    const double* wide(int64_t group, int limb, std::vector<double>& room) const {
        if (w.shorts.empty()) return &w.wide[((index * w.limbs + limb) * w.k + w.start[group]) * kColumns];
        room.resize(w.longest * kColumns);
        const int16_t* from = &w.shorts[(index * w.pairs + w.pair[group]) * 2 * kColumns];
        for (int64_t k = 0; k < w.length(group); ++k)
            for (int64_t c = 0; c < kColumns; ++c) room[k * kColumns + c] = from[(k / 2 * kColumns + c) * 2 + k % 2];
        return room.data();
    }

    void short_sums(int64_t block, int64_t group, double* total) const {
        int32_t part[kRows * kColumns];
        const int64_t pairs = (w.length(group) + 1) / 2;
        const int64_t most = (((1ll << 31) - 1) >> (w.bits + a.bits)) / 2;
        for (int64_t begin = 0; begin < pairs; begin += most) {
            const int64_t count = std::min(most, pairs - begin), at = w.pair[group] + begin;
            dot_shorts_of(a.rows, &a.pairs[(block * w.pairs + at) * a.rows],
                          &w.shorts[(index * w.pairs + at) * 2 * kColumns], count, part);
            if (begin == 0) {
                for (int64_t i = 0; i < a.rows * kColumns; ++i) total[i] = part[i];
            } else {
                for (int64_t i = 0; i < a.rows * kColumns; ++i) total[i] += part[i];
            }
        }
    }

    const double* limb_of(int64_t block, int limb, int64_t group) const {
        return &a.wide[((block * a.limbs + limb) * w.k + w.start[group]) * a.rows];
    }

    bool uses(int64_t block, int limb, int64_t group) const { return a.used[(block * a.limbs + limb) * w.groups + group]; }

    bool has(int limb, int64_t group) const {
        return w.used.empty() || w.used[(index * w.limbs + limb) * w.groups + group];
    }

    void run(int64_t first, int64_t last, float* out, double* out_wide, int64_t columns) const {
        const int64_t rows = (last - first) * a.rows;
        std::vector<float> fp32(mode == kDouble ? 0 : rows * kColumns, 0.0f);
        std::vector<double> doubles(mode == kDouble ? rows * kColumns : 0, 0.0);
        std::vector<std::vector<double>> room(w.limbs);
        std::vector<const double*> weights(w.limbs);
        const auto row_at = [&](int64_t r) {
            return Row{fp32.empty() ? nullptr : &fp32[r * kColumns], doubles.empty() ? nullptr : &doubles[r * kColumns]};
        };
        std::vector<double> sums(a.limbs * w.limbs * kRows * kColumns);
        for (int64_t g = 0; g < w.groups; ++g) {
            if (!shorts)
                for (int j = 0; j < w.limbs; ++j) weights[j] = wide(g, j, room[j]);
            for (int64_t block = first; block < last; ++block) {
                bool one = true;
                if (shorts) {
                    short_sums(block, g, sums.data());
                } else {
                    for (int i = 0; i < a.limbs; ++i)
                        for (int j = 0; j < w.limbs; ++j) {
                            const bool used = (i == 0 && j == 0) || (uses(block, i, g) && has(j, g));
                            double* to = &sums[(i * w.limbs + j) * kRows * kColumns];
                            if (used) {
                                dot_doubles_of(a.rows, limb_of(block, i, g), weights[j], w.length(g), to);
                            } else {
                                std::fill(to, to + a.rows * kColumns, 0.0);
                            }
                            one &= !used || (i == 0 && j == 0);
                        }
                }
                for (int64_t r = 0; r < a.rows && block * a.rows + r < a.t; ++r) {
                    const int64_t t = block * a.rows + r;
                    const Row row = row_at((block - first) * a.rows + r);
                    const double factor = a.factor[t * w.groups + g];
                    if (one) {
                        plus_totals(mode, row, &sums[r * kColumns], factor, scale(g));
                    } else {
                        plus_limbs(row, &sums[r * kColumns], factor, scale(g), columns);
                    }
                    if (!w.least.empty()) plus_minima(w, a, mode, row, t, g, &w.least[(index * w.groups + g) * kColumns]);
                }
            }
        }
        for (int64_t r = 0; r < rows && first * a.rows + r < a.t; ++r) {
            const int64_t at = (first * a.rows + r) * w.n + index * kColumns;
            if (mode == kDouble) {
                std::copy_n(&doubles[r * kColumns], columns, out_wide + at);
            } else {
                std::copy_n(&fp32[r * kColumns], columns, out + at);
            }
        }
    }

    void plus_limbs(const Row& row, const double* sums, double factor, const double* scale, int64_t columns) const {
        const int bits = a.limb_bits * a.limbs + w.limb_bits * w.limbs + kExactBits;
        for (int64_t c = 0; c < columns; ++c) {
            Total total(bits);
            for (int i = 0; i < a.limbs; ++i)
                for (int j = 0; j < w.limbs; ++j)
                    total.add(static_cast<int64_t>(sums[(i * w.limbs + j) * kRows * kColumns + c]),
                              a.limb_bits * i + w.limb_bits * j);
            plus(mode, row, c, total.times(factor * scale[c]));
        }
    }
};

}  // namespace

extern "C" {

// Weights of N rows of K, in groups that begin at start[0 .. groups - 1]; start[groups] is K. The numbers come twice,
// rows after rows: exact_scan sees how long they are, exact_pack stores them.
void* exact_new(int64_t n, int64_t k, int64_t groups, const int64_t* start) {
    auto* w = new Weights;
    w->n = n;
    w->k = k;
    w->groups = groups;
    w->panels = whole(n, kColumns);
    w->start.assign(start, start + groups + 1);
    for (int64_t g = 0; g < groups; ++g) {
        w->pair.push_back(w->pairs);
        w->pairs += (w->length(g) + 1) / 2;
        w->longest = std::max(w->longest, static_cast<int>(w->length(g)));
    }
    w->unit.assign(n * groups, 0);
    return w;
}

void exact_scan(void* handle, int64_t row, int64_t rows, const double* values) {
    Weights& w = *static_cast<Weights*>(handle);
    for (int64_t n = 0; n < rows; ++n)
        for (int64_t g = 0; g < w.groups; ++g) {
            Span span;
            for (int64_t k = w.start[g]; k < w.start[g + 1]; ++k) span.add(values[n * w.k + k]);
            w.unit[(row + n) * w.groups + g] = span.unit();
            w.bits = std::max(w.bits, span.bits());
        }
}

void exact_pack(void* handle, int64_t row, int64_t rows, const double* values) {
    Weights& w = *static_cast<Weights*>(handle);
    if (row == 0) {
        w.limbs = static_cast<int>(whole(w.bits, kLimb));
        w.limb_bits = static_cast<int>(whole(w.bits, w.limbs));
        if (w.bits <= kShort) {
            w.shorts.assign(w.panels * w.pairs * 2 * kColumns, 0);
        } else {
            w.wide.assign(w.panels * w.limbs * w.k * kColumns, 0);
            w.used.assign(w.panels * w.limbs * w.groups, 0);
        }
    }
    std::vector<double> limb(w.limbs);
    for (int64_t n = 0; n < rows; ++n) {
        const int64_t panel = (row + n) / kColumns, column = (row + n) % kColumns;
        for (int64_t g = 0; g < w.groups; ++g) {
            const double up = std::ldexp(1.0, -w.unit[(row + n) * w.groups + g]);
            for (int64_t k = w.start[g]; k < w.start[g + 1]; ++k) {
                const double integer = values[n * w.k + k] * up;
                if (!w.shorts.empty()) {
                    const int64_t in = k - w.start[g], pair = panel * w.pairs + w.pair[g] + in / 2;
                    w.shorts[(pair * kColumns + column) * 2 + in % 2] = static_cast<int16_t>(integer);
                    continue;
                }
                cut(integer, w.limbs, w.limb_bits, limb.data());
                for (int j = 0; j < w.limbs; ++j) {
                    w.wide[((panel * w.limbs + j) * w.k + k) * kColumns + column] = limb[j];
                    w.used[(panel * w.limbs + j) * w.groups + g] |= limb[j] != 0;
                }
            }
        }
    }
}

// Scales [N, G] of columns, and minima [N, G] or none.
void exact_scales(void* handle, const double* scale, const double* least) {
    Weights& w = *static_cast<Weights*>(handle);
    w.scale.assign(w.panels * w.groups * kColumns, 0.0);
    if (least) w.least.assign(w.panels * w.groups * kColumns, 0.0);
    for (int64_t n = 0; n < w.n; ++n)
        for (int64_t g = 0; g < w.groups; ++g) {
            const int64_t to = (n / kColumns * w.groups + g) * kColumns + n % kColumns, from = n * w.groups + g;
            w.scale[to] = std::ldexp(scale[from], w.unit[from]);
            if (least) w.least[to] = least[from];
        }
}

void exact_free(void* handle) { delete static_cast<Weights*>(handle); }

// Results [T, N] of activations [T, K] with scales [T, G]; mode 0: into FP32 by rounding to nearest, 1: to odd, 2: not
// added, each output's only group rounded to odd into float64.
void exact_forward(void* handle, int64_t t, const double* acts, const double* scale, int64_t mode, float* out,
                   double* out_wide, int64_t threads) {
    const Weights& w = *static_cast<const Weights*>(handle);
    Acts a;
    a.t = t;
    measure(w, acts, threads, a);
    const bool shorts =
        !w.shorts.empty() && a.bits <= kShort && (((1ll << 31) - 1) >> (w.bits + a.bits)) >= kPiece;
    if (shorts) {
        a.rows = t >= kRows ? kRows : t >= kHalf ? kHalf : 1;
    } else {
        a.rows = t >= kHalf ? kHalf : 1;
        const int length = w.longest > 1 ? 64 - __builtin_clzll(w.longest - 1) : 0;
        const int most = kExactBits - length - (w.limbs > 1 ? w.limb_bits : w.bits);
        a.limbs = static_cast<int>(whole(a.bits, most));
        a.limb_bits = static_cast<int>(whole(a.bits, a.limbs));
    }
    a.blocks = whole(t, a.rows);
    a.sums.assign(t * w.groups * a.limbs, 0.0);
    a.factor.resize(t * w.groups);
    for (int64_t i = 0; i < t * w.groups; ++i) a.factor[i] = std::ldexp(scale[i], a.unit[i]);
    if (shorts) {
        pack_shorts(w, acts, threads, a);
    } else {
        pack_wide(w, acts, threads, a);
    }
    const Pieces pieces(w.n, a.blocks, threads);
    in_threads(threads, pieces.count(), [&](int64_t index) {
        const int64_t panel = pieces.panel(index);
        const Panel work{w, a, static_cast<Mode>(mode), shorts, panel};
        work.run(pieces.first(index), pieces.last(index), out, out_wide, std::min(kColumns, w.n - panel * kColumns));
    });
}
}
