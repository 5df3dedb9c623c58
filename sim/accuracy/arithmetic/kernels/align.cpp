// Alignment of floating-point activations to the largest exponent of a scope, as sim/golden/align.py states it.
#include "common.h"

extern "C" {

// Integers [T, K] of finite numbers [T, K], and the exponents of their units [T, S] for scopes that begin at
// start[0 .. scopes - 1]; start[scopes] is K. ``bits`` are those of a magnitude; the unit of a scope is 2**(1 - bits)
// times that of its largest number's leading one, or of 2**``normal``, the smallest normal number.
void align(int64_t t, int64_t k, const double* values, int64_t scopes, const int64_t* start, int64_t normal,
           int64_t bits, int64_t nearest, double* integers, int32_t* unit, int64_t threads) {
    const double top = std::ldexp(1.0, static_cast<int>(bits)) - 1;
    in_threads(threads, t, [&](int64_t row) {
        for (int64_t s = 0; s < scopes; ++s) {
            double largest = 0;
            for (int64_t i = row * k + start[s]; i < row * k + start[s + 1]; ++i)
                largest = std::max(largest, std::fabs(values[i]));
            const int least = static_cast<int>(normal);
            const int leading = largest > 0 ? std::max(std::ilogb(largest), least) : least;
            const int place = leading + 1 - static_cast<int>(bits);
            const double up = std::ldexp(1.0, -place);
            unit[row * scopes + s] = place;
            for (int64_t i = row * k + start[s]; i < row * k + start[s + 1]; ++i) {
                const double quotient = values[i] * up;
                // To the even integer at a tie: the rounding mode that every program starts in.
                const double integer = nearest ? std::nearbyint(quotient) : std::trunc(quotient);
                integers[i] = std::min(std::max(integer, -top), top);
            }
        }
    });
}
}
