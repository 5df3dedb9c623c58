// Truncating sums of a bit-serial tile: weights are terms ±2**e, a step's products are aligned to the largest of them.
//
// The arithmetic is stated in sim/golden/bitmod.py, whose names are used here. Accumulators are kept as integers of
// their frame of F bits: Y · 2**last, with last the exponent of the frame's last place.
#include "common.h"

namespace {

constexpr int kNone = -(1 << 14);  // exponent of a term that is 0, and of the frame of a sum that is 0
constexpr int kMostStep = 64;

struct Weights {
    int64_t n, k, groups, panels, phases;
    std::vector<int64_t> start, unit;  // unit: exponent of each phase
    std::vector<int16_t> exponent;     // [panel, K, phase, column]
    std::vector<int8_t> sign;          // the same: -1 or 0
    std::vector<double> scale;         // [panel, group, column]
};

struct Form {
    int64_t step, below, mantissa, guard, width, frame, dot_bits, partials, lowest;
};

template <class Lane>
struct Kernel {
    typedef Lane Vector __attribute__((vector_size(64)));
    static constexpr int kLanes = 64 / sizeof(Lane);
    static constexpr int kBits = 8 * sizeof(Lane);

    struct Number {
        Vector y, last;
    };

    template <class From>
    static Vector widened(const From* from) {
        typedef From Short __attribute__((vector_size(kLanes * sizeof(From))));
        Short values;
        std::memcpy(&values, from, sizeof(values));
        return __builtin_convertvector(values, Vector);
    }
    static Vector all(Lane value) { return value - Vector{}; }
    static Vector smaller(Vector a, Vector b) { return a < b ? a : b; }
    static Vector larger(Vector a, Vector b) { return a > b ? a : b; }
    // a · 2**-by, rounded down, for any by >= 0.
    static Vector down(Vector a, Vector by) { return a >> smaller(by, all(kBits - 1)); }

    // Place of the leading one of numbers above 0.
    static Vector leading(Vector a) {
#if defined(__AVX512CD__)
        if constexpr (kBits == 32) return 31 - reinterpret_cast<Vector>(_mm512_lzcnt_epi32(reinterpret_cast<__m512i>(a)));
        return (kBits - 1) - reinterpret_cast<Vector>(_mm512_lzcnt_epi64(reinterpret_cast<__m512i>(a)));
#else
        Vector place = {};
        for (int i = 0; i < kLanes; ++i) place[i] = 63 - __builtin_clzll(static_cast<uint64_t>(a[i]));
        return place;
#endif
    }

    static Number zero() { return {Vector{}, all(kNone)}; }

    // A normalised sum plus a number whose frame ends at ``last``; 0 changes nothing.
    static Number plus(const Form& form, Number sum, Vector x, Vector last) {
        const Vector at = larger(sum.last, last);
        const Vector total = down(sum.y, at - sum.last) + down(x, at - last);
        // -2**j has the exponent of the number above it: its complement is one bit shorter.
        const Vector folded = total ^ (total >> (kBits - 1));
        const Vector move = leading(2 * folded + 1) + static_cast<Lane>(1 - form.width);
        const Vector right = larger(move, Vector{}), left = right - move + static_cast<Lane>(form.frame - form.width);
        const Vector cut = (total >> right) << left;
        const Vector end = total == 0 ? all(kNone) : at + move - static_cast<Lane>(form.frame - form.width);
        return {x == 0 ? sum.y : cut, x == 0 ? sum.last : end};
    }

    static Number fold(const Form& form, Number* sums, int64_t count) {
        while (count > 1) {
            const int64_t pairs = count / 2;
            for (int64_t i = 0; i < pairs; ++i) sums[i] = plus(form, sums[2 * i], sums[2 * i + 1].y, sums[2 * i + 1].last);
            if (count % 2) sums[pairs] = sums[count - 1];
            count = pairs + count % 2;
        }
        return sums[0];
    }

    // One phase of a step: d and R - log2 u.
    template <int Step>
    static void update(const Form& form, const Weights& w, int64_t count, const int32_t* high, const int32_t* magnitude,
                       const int32_t* negative, const int16_t* exponent, const int8_t* sign, Vector& total, Vector& place) {
        Vector height[Step ? Step : kMostStep];
        const int64_t stride = w.phases * kColumns;
        Vector top = all(2 * kNone);
#pragma GCC unroll 16
        for (int64_t i = 0; i < (Step ? Step : count); ++i) {
            height[i] = widened(exponent + i * stride) + static_cast<Lane>(high[i]);
            top = larger(top, height[i]);
        }
        Vector sum = {};
#pragma GCC unroll 16
        for (int64_t i = 0; i < (Step ? Step : count); ++i) {
            const Vector minus = widened(sign + i * stride) ^ static_cast<Lane>(negative[i]);
            const Vector part = down(all(static_cast<Lane>(magnitude[i])), top - height[i]);
            sum += (part ^ minus) - minus;
        }
        total = top > kNone / 2 ? sum : Vector{};
        place = top - static_cast<Lane>(form.below);
    }

    template <int Step>
    static void run(const Form& form, const Weights& w, int64_t panel, int64_t t, const int32_t* high,
                    const int32_t* magnitude, const int32_t* negative, bool exact, float* result) {
        std::vector<Number> sums(form.partials), turned(form.partials);
        for (int64_t begin = 0; begin < kColumns; begin += kLanes)
            for (int64_t g = 0; g < w.groups; ++g) {
                std::fill(sums.begin(), sums.end(), zero());
                Number one = zero();
                Vector fixed = {};
                int64_t updates = 0;
                for (int64_t k = w.start[g]; k < w.start[g + 1]; k += form.step) {
                    const int64_t count = std::min(form.step, w.start[g + 1] - k), a = t * w.k + k;
                    for (int64_t phase = 0; phase < w.phases; ++phase, ++updates) {
                        const int64_t at = ((panel * w.k + k) * w.phases + phase) * kColumns + begin;
                        Vector total, place;
                        if (Step && count == Step) {
                            update<Step>(form, w, count, high + a, magnitude + a, negative + a, &w.exponent[at],
                                         &w.sign[at], total, place);
                        } else {
                            update<0>(form, w, count, high + a, magnitude + a, negative + a, &w.exponent[at],
                                      &w.sign[at], total, place);
                        }
                        place += static_cast<Lane>(w.unit[phase]);
                        if (exact) {
                            fixed += total << (total == 0 ? Vector{} : place - static_cast<Lane>(form.lowest));
                            continue;
                        }
                        const auto spare = static_cast<Lane>(form.frame - form.dot_bits);
                        if (form.partials == 1) {
                            one = plus(form, one, total << spare, place - spare);
                        } else {
                            Number& sum = sums[updates % form.partials];
                            sum = plus(form, sum, total << spare, place - spare);
                        }
                    }
                }
                const double* scale = &w.scale[(panel * w.groups + g) * kColumns + begin];
                if (exact) {
                    const double unit = std::ldexp(1.0, static_cast<int>(form.lowest));
                    for (int c = 0; c < kLanes; ++c)
                        result[begin + c] +=
                            static_cast<float>(odd_integer_product(static_cast<int64_t>(fixed[c]), scale[c] * unit));
                    continue;
                }
                if (form.partials > 1) {
                    for (int64_t i = 0; i < form.partials; ++i) turned[i] = sums[(updates + i) % form.partials];
                    one = fold(form, turned.data(), form.partials);
                }
                for (int c = 0; c < kLanes; ++c) {
                    const int64_t last = one.y[c] == 0 ? 0 : static_cast<int64_t>(one.last[c]);
                    const double y = static_cast<double>(one.y[c]) * bits_of<double>((last + 1023) << 52);
                    // At most 32 + 8 bits: exact before it is rounded. Adding zero turns -0 into +0.
                    result[begin + c] += static_cast<float>(y * scale[c] + 0.0);
                }
            }
    }
};

}  // namespace

extern "C" {

// Groups as in exact_new; ``unit`` is the exponent of each phase's unit.
void* bitmod_new(int64_t n, int64_t k, int64_t groups, const int64_t* start, int64_t phases, const int64_t* unit) {
    auto* w = new Weights{n, k, groups, whole(n, kColumns), phases, {}, {}, {}, {}, {}};
    w->start.assign(start, start + groups + 1);
    w->unit.assign(unit, unit + phases);
    w->exponent.assign(w->panels * k * phases * kColumns, kNone);
    w->sign.assign(w->panels * k * phases * kColumns, 0);
    return w;
}

// Terms [rows, K] of one phase. Returns how many are neither 0 nor ±2**e.
int64_t bitmod_pack(void* handle, int64_t row, int64_t rows, int64_t phase, const double* term) {
    Weights& w = *static_cast<Weights*>(handle);
    int64_t wrong = 0;
    for (int64_t n = row; n < row + rows; ++n)
        for (int64_t k = 0; k < w.k; ++k) {
            const double value = term[(n - row) * w.k + k];
            if (value == 0) continue;
            int exponent;
            wrong += std::fabs(std::frexp(value, &exponent)) != 0.5;
            const int64_t to = ((n / kColumns * w.k + k) * w.phases + phase) * kColumns + n % kColumns;
            w.exponent[to] = static_cast<int16_t>(exponent - 1);
            w.sign[to] = value < 0 ? -1 : 0;
        }
    return wrong;
}

void bitmod_scales(void* handle, const double* scale) {
    Weights& w = *static_cast<Weights*>(handle);
    w.scale.assign(w.panels * w.groups * kColumns, 0.0);
    for (int64_t n = 0; n < w.n; ++n)
        for (int64_t g = 0; g < w.groups; ++g)
            w.scale[(n / kColumns * w.groups + g) * kColumns + n % kColumns] = scale[n * w.groups + g];
}

void bitmod_free(void* handle) { delete static_cast<Weights*>(handle); }

// Results [T, N] of finite activations [T, K] of ``mantissa`` bits and normal numbers from 2**``normal`` on. ``width``
// bits of a normalised accumulator, or 0 for an exact one in units of 2**``lowest``; ``dot_bits`` those of the largest d.
void bitmod_forward(void* handle, int64_t t, const double* acts, int64_t mantissa, int64_t normal, int64_t guard,
                    int64_t step, int64_t width, int64_t dot_bits, int64_t partials, int64_t lowest, float* out,
                    int64_t threads) {
    const Weights& w = *static_cast<const Weights*>(handle);
    const Form form{step, mantissa + guard, mantissa, guard, width, std::max(dot_bits, width + 2), dot_bits, partials, lowest};
    std::vector<int32_t> high(t * w.k), magnitude(t * w.k), negative(t * w.k);
    in_threads(threads, t, [&](int64_t row) {
        for (int64_t i = row * w.k; i < (row + 1) * w.k; ++i) {
            const double size = std::fabs(acts[i]);
            int exponent = static_cast<int>(normal) + 1;
            if (size != 0) std::frexp(size, &exponent);
            high[i] = std::max(exponent - 1, static_cast<int>(normal));
            magnitude[i] = static_cast<int32_t>(std::ldexp(size, static_cast<int>(mantissa) - high[i])) << guard;
            negative[i] = acts[i] < 0 ? -1 : 0;
        }
    });
    const bool exact = width == 0, narrow = !exact && form.frame <= 29;
    const Pieces pieces(w.n, t, threads);
    in_threads(threads, pieces.count(), [&](int64_t index) {
        const int64_t panel = pieces.panel(index), columns = std::min(kColumns, w.n - panel * kColumns);
        const auto of = [&](auto kernel) {
            for (int64_t row = pieces.first(index); row < pieces.last(index); ++row) {
                float result[kColumns] = {};
                kernel(form, w, panel, row, high.data(), magnitude.data(), negative.data(), exact, result);
                std::copy_n(result, columns, out + row * w.n + panel * kColumns);
            }
        };
        const auto at = [&](auto lanes) {
            using Of = Kernel<decltype(lanes)>;
            switch (step) {
                case 2: return of(Of::template run<2>);
                case 4: return of(Of::template run<4>);
                case 8: return of(Of::template run<8>);
                default: return of(Of::template run<0>);
            }
        };
        if (narrow) return at(int32_t{});
        return at(int64_t{});
    });
}
}
