// What the kernels share: vectors of columns, rounding of exact products into FP32, and threads over columns.
//
// Compiled with strict IEEE arithmetic: no contraction, no reassociation. Where a product and a sum are one
// instruction here, both are exact and it makes no difference.
#pragma once

#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <system_error>
#include <thread>
#include <vector>

#if defined(__AVX512F__) || defined(__AVX2__)
#include <immintrin.h>
#endif

constexpr int64_t kColumns = 32;  // columns of a panel: what one thread computes together

typedef float Floats __attribute__((vector_size(64)));
typedef double Doubles __attribute__((vector_size(64)));

template <class To, class From>
inline To bits_of(From from) {
    static_assert(sizeof(To) == sizeof(From));
    To to;
    std::memcpy(&to, &from, sizeof(to));
    return to;
}

template <class Vector, class Element>
inline Vector load(const Element* from) {
    Vector vector;
    std::memcpy(&vector, from, sizeof(vector));
    return vector;
}

template <class Vector, class Element>
inline void store(Element* to, Vector vector) {
    std::memcpy(to, &vector, sizeof(vector));
}

inline int64_t whole(int64_t count, int64_t size) { return (count + size - 1) / size; }

// total · factor rounded to odd: the exact product, or the odd one of the two float64 numbers around it. Rounding that
// to 24 bits or fewer is rounding the exact product. Nothing underflows: factors are within 2**±700, or no numbers.
inline double odd_product(double total, double factor) {
    const double nearest = total * factor;
    const double error = __builtin_fma(total, factor, -nearest);
    const int64_t word = bits_of<int64_t>(nearest);
    const int64_t towards = 1 + 2 * ((bits_of<int64_t>(error) ^ word) >> 63);
    // The error of a product that is no number is NaN, which compares false. Adding zero turns -0 into +0.
    const bool move = std::fabs(error) > 0 && !(word & 1);
    return bits_of<double>(word + (move ? towards : 0)) + 0.0;
}

// Integers below 2**63 times a factor, rounded to odd.
inline double odd_integer_product(int64_t sum, double factor) {
    const int64_t magnitude = sum < 0 ? -sum : sum;
    if (magnitude >> 53 == 0) return odd_product(static_cast<double>(sum), factor);
    if (factor == 0 || !std::isfinite(factor)) return static_cast<double>(sum) * factor + 0.0;
    int exponent;
    const double fraction = std::frexp(std::fabs(factor), &exponent);
    const auto product = static_cast<unsigned __int128>(magnitude) * static_cast<uint64_t>(std::ldexp(fraction, 53));
    // At least 106 bits.
    const int drop = 128 - __builtin_clzll(static_cast<uint64_t>(product >> 64)) - 53;
    auto kept = static_cast<uint64_t>(product >> drop);
    kept |= (product & ((static_cast<unsigned __int128>(1) << drop) - 1)) != 0;
    const double odd = std::ldexp(static_cast<double>(kept), drop + exponent - 53);
    return (sum < 0) == (factor < 0) ? odd : -odd;
}

constexpr int kExactBits = 53;
constexpr int kDigits = 40;  // of 32 bits: longest total, by its scale

// A total of any length, in digits of 32 bits that are carried when it is complete.
struct Total {
    int64_t digit[kDigits] = {};
    int count;

    explicit Total(int bits) : count(std::min(bits / 32 + 4, kDigits - 2)) {}

    void add(int64_t number, int place) {
        const __int128 moved = static_cast<__int128>(number) << (place % 32);
        int64_t* at = digit + place / 32;
        at[0] += static_cast<int64_t>(moved & 0xffffffff);
        at[1] += static_cast<int64_t>(moved >> 32 & 0xffffffff);
        at[2] += static_cast<int64_t>(moved >> 64);
    }

    // total · factor, rounded to odd into float64. ``factor`` is within 2**±700 or no number.
    double times(double factor) {
        int64_t carry = 0;
        for (int index = 0; index < count; ++index) {
            const int64_t whole = digit[index] + carry;
            digit[index] = whole & 0xffffffff;
            carry = whole >> 32;
        }
        // What is left is the sign: 0 or -1.
        const bool negative = carry < 0;
        if (negative) {
            int64_t up = 1;
            for (int index = 0; index < count; ++index) {
                const int64_t flipped = (~digit[index] & 0xffffffff) + up;
                digit[index] = flipped & 0xffffffff;
                up = flipped >> 32;
            }
        }
        bool zero = true;
        for (int index = 0; index < count; ++index) zero &= digit[index] == 0;
        const double sign = negative ? -1.0 : 1.0;
        if (zero || factor == 0 || !std::isfinite(factor)) return (zero ? 0.0 : sign) * factor + 0.0;

        int exponent;
        const double fraction = std::frexp(std::fabs(factor), &exponent);
        const auto multiplier = static_cast<uint64_t>(std::ldexp(fraction, kExactBits));
        unsigned __int128 rest = 0;
        int top = 0;
        for (int index = 0; index < count + 2; ++index) {
            if (index < count) rest += static_cast<unsigned __int128>(static_cast<uint64_t>(digit[index])) * multiplier;
            digit[index] = static_cast<int64_t>(static_cast<uint64_t>(rest) & 0xffffffff);
            rest >>= 32;
            if (digit[index]) top = index;
        }
        // The three highest digits have at least 65 bits: the last place of 53 is among them.
        unsigned __int128 head = 0;
        bool below = false;
        for (int index = top; index > top - 3; --index)
            head = head << 32 | static_cast<uint64_t>(index < 0 ? 0 : digit[index]);
        for (int index = 0; index <= top - 3; ++index) below |= digit[index] != 0;
        const int drop = 128 - __builtin_clzll(static_cast<uint64_t>(head >> 64)) - kExactBits;
        auto kept = static_cast<uint64_t>(head >> drop);
        below |= (head & ((static_cast<unsigned __int128>(1) << drop) - 1)) != 0;
        kept |= below;
        const int place = 32 * (top - 2) + drop + exponent - kExactBits;
        return std::copysign(std::ldexp(static_cast<double>(kept), place), sign * factor);
    }
};

// A float64 number that stands for an exact one, rounded to odd, into FP32 rounded to odd; finite, and 0 for 0 only.
inline float float_to_odd(double exact) {
    if (exact == 0 || !std::isfinite(exact)) return static_cast<float>(exact);
    const double magnitude = std::fabs(exact);
    if (magnitude >= 0x1p128) return std::copysign(0x1.fffffep127f, static_cast<float>(exact));
    const double place = std::ldexp(1.0, std::max(std::ilogb(magnitude) - 23, -149));
    double units = std::floor(magnitude / place);
    if (units * place != magnitude && std::fmod(units, 2.0) == 0) units += 1;
    return static_cast<float>(std::copysign(units * place, exact));
}

// Sum of ``count`` vectors: neighbours in pairs, an odd one waits for the next level.
inline Floats tree(Floats* node, int64_t count) {
    while (count > 1) {
        const int64_t pairs = count / 2;
        for (int64_t i = 0; i < pairs; ++i) node[i] = node[2 * i] + node[2 * i + 1];
        if (count % 2) node[pairs] = node[count - 1];
        count = pairs + count % 2;
    }
    return node[0];
}

// Runs body(0) to body(count - 1), in any order.
template <class Body>
void in_threads(int64_t threads, int64_t count, const Body& body) {
    std::atomic<int64_t> next{0};
    const auto work = [&] {
        for (int64_t index; (index = next.fetch_add(1)) < count;) body(index);
    };
    std::vector<std::thread> others;
    try {
        while (static_cast<int64_t>(others.size()) + 1 < std::min(threads, count)) others.emplace_back(work);
    } catch (const std::system_error&) {
        // As many as there are.
    }
    work();
    for (std::thread& other : others) other.join();
}

// A panel's share of rows: enough pieces that every thread has work, and no rounding up in small layers.
struct Pieces {
    int64_t panels, pieces, blocks;

    Pieces(int64_t columns, int64_t row_blocks, int64_t threads) {
        panels = whole(columns, kColumns);
        blocks = row_blocks;
        pieces = panels >= 4 * threads ? 1 : std::min(row_blocks, whole(4 * threads, panels));
        pieces = std::max<int64_t>(pieces, 1);
    }
    int64_t count() const { return panels * pieces; }
    int64_t panel(int64_t index) const { return index / pieces; }
    int64_t first(int64_t index) const { return blocks * (index % pieces) / pieces; }
    int64_t last(int64_t index) const { return blocks * (index % pieces + 1) / pieces; }
};
