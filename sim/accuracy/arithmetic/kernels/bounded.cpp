// Sums of groups in integers of a given width, which saturate after every step or wrap; scaled and rounded as in exact.cpp.
//
// All integers are in the formats' units. A sum that wraps is the same whenever it is wrapped, so it is at the end.
#include "common.h"

namespace {

constexpr int kRows = 4;

typedef int64_t Integers __attribute__((vector_size(64)));

struct Weights {
    int64_t n, k, groups, panels, step, bits;
    bool saturate;
    std::vector<int64_t> start;
    std::vector<int64_t> integer;  // [panel, K, column]
    std::vector<double> scale;     // [panel, group, column], with units
};

struct Sums {
    Integers lane[4];
};

// The sums of kRows rows, which are ``stride`` apart.
void plus_step(const int64_t* a, int64_t stride, const int64_t* w, int64_t length, Sums* sums) {
    Sums total[kRows] = {};
    for (int64_t k = 0; k < length; ++k)
        for (int v = 0; v < 4; ++v) {
            const Integers column = load<Integers>(w + k * kColumns + 8 * v);
            for (int r = 0; r < kRows; ++r) total[r].lane[v] += column * a[r * stride + k];
        }
    for (int r = 0; r < kRows; ++r)
        for (int v = 0; v < 4; ++v) sums[r].lane[v] += total[r].lane[v];
}

void saturate(Sums* sums, int64_t low, int64_t high) {
    for (int r = 0; r < kRows; ++r)
        for (Integers& lane : sums[r].lane) {
            lane = lane < low ? low - Integers{} : lane;
            lane = lane > high ? high - Integers{} : lane;
        }
}

int64_t wrapped(int64_t sum, int64_t bits) {
    return static_cast<int64_t>(static_cast<uint64_t>(sum) << (64 - bits)) >> (64 - bits);
}

}  // namespace

extern "C" {

// As exact_new; steps of ``step`` elements, sums of ``bits`` bits.
void* bounded_new(int64_t n, int64_t k, int64_t groups, const int64_t* start, int64_t step, int64_t bits,
                  int64_t saturate) {
    auto* w = new Weights{n, k, groups, whole(n, kColumns), step, bits, saturate != 0, {}, {}, {}};
    w->start.assign(start, start + groups + 1);
    w->integer.assign(w->panels * k * kColumns, 0);
    return w;
}

void bounded_pack(void* handle, int64_t row, int64_t rows, const int64_t* integers) {
    Weights& w = *static_cast<Weights*>(handle);
    for (int64_t n = row; n < row + rows; ++n)
        for (int64_t k = 0; k < w.k; ++k)
            w.integer[(n / kColumns * w.k + k) * kColumns + n % kColumns] = integers[(n - row) * w.k + k];
}

void bounded_scales(void* handle, const double* scale) {
    Weights& w = *static_cast<Weights*>(handle);
    w.scale.assign(w.panels * w.groups * kColumns, 0.0);
    for (int64_t n = 0; n < w.n; ++n)
        for (int64_t g = 0; g < w.groups; ++g)
            w.scale[(n / kColumns * w.groups + g) * kColumns + n % kColumns] = scale[n * w.groups + g];
}

void bounded_free(void* handle) { delete static_cast<Weights*>(handle); }

// Results [T, N] of integers [T, K] with scales [T, G], units included.
void bounded_forward(void* handle, int64_t t, const int64_t* acts, const double* scale, float* out, int64_t threads) {
    const Weights& w = *static_cast<const Weights*>(handle);
    const int64_t blocks = whole(t, kRows), high = (1ll << (w.bits - 1)) - 1, low = -high - 1;
    std::vector<int64_t> filled(blocks * kRows * w.k, 0);
    std::copy_n(acts, t * w.k, filled.data());
    const Pieces pieces(w.n, blocks, threads);
    in_threads(threads, pieces.count(), [&](int64_t index) {
        const int64_t panel = pieces.panel(index), columns = std::min(kColumns, w.n - panel * kColumns);
        for (int64_t block = pieces.first(index); block < pieces.last(index); ++block) {
            float result[kRows][kColumns] = {};
            for (int64_t g = 0; g < w.groups; ++g) {
                Sums sums[kRows] = {};
                for (int64_t k = w.start[g]; k < w.start[g + 1]; k += w.step) {
                    const int64_t length = std::min(w.step, w.start[g + 1] - k);
                    plus_step(&filled[block * kRows * w.k + k], w.k, &w.integer[(panel * w.k + k) * kColumns], length,
                              sums);
                    if (w.saturate) saturate(sums, low, high);
                }
                const double* factors = &w.scale[(panel * w.groups + g) * kColumns];
                for (int64_t r = 0; r < kRows && block * kRows + r < t; ++r) {
                    const double row = scale[(block * kRows + r) * w.groups + g];
                    for (int64_t c = 0; c < columns; ++c) {
                        const int64_t sum = sums[r].lane[c / 8][c % 8];
                        const int64_t bounded = w.saturate ? sum : wrapped(sum, w.bits);
                        result[r][c] += static_cast<float>(odd_integer_product(bounded, row * factors[c]));
                    }
                }
            }
            for (int64_t r = 0; r < kRows && block * kRows + r < t; ++r)
                std::copy_n(result[r], columns, out + (block * kRows + r) * w.n + panel * kColumns);
        }
    });
}
}
