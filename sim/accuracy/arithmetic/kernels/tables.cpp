// Sums through tables of activation sums: entries that are bytes with a scale a table, or FP32 numbers.
//
// Entries, their rounding and the order of additions are those of sim/golden/lut_tables.py. A table of M activations has
// 2**M entries; bit k of a key chooses the sign of activation k, or whether it counts at all.
#include "common.h"

namespace {

constexpr int kVectors = kColumns / 16;
constexpr int kMostEntries = 256;
constexpr int64_t kRoom = 1 << 22;  // bytes of tables that are built at once

typedef int32_t Ints __attribute__((vector_size(64)));

struct Weights {
    int64_t n, groups, panels, bits, table, step;  // activations of a table and of a step
    std::vector<int64_t> start, first;             // of each group: its first element; its first step
    std::vector<uint8_t> key;                      // [panel, step, plane, table of the step, column]
    std::vector<double> scale, least, zero;        // [panel, group, column]

    int64_t entries() const { return std::max<int64_t>(16, 1ll << table); }
    int64_t tables() const { return step / table; }
    int64_t steps() const { return first.back(); }
    const uint8_t* keys(int64_t panel, int64_t at) const {
        return &key[(panel * steps() + at) * bits * tables() * kColumns];
    }
};

// ------------------------------------------------------------------------------------------------ looking up

template <class Entry, class Vector>
inline Vector look_up(const Entry* table, const uint8_t* key, bool small) {
#if defined(__AVX512F__)
    const __m512i index = _mm512_cvtepu8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(key)));
    const __m512i found = small ? _mm512_permutexvar_epi32(index, _mm512_loadu_si512(table))
                                : _mm512_i32gather_epi32(index, table, 4);
    return reinterpret_cast<Vector>(found);
#else
    (void)small;
    Entry found[16];
    for (int c = 0; c < 16; ++c) found[c] = table[key[c]];
    return load<Vector>(found);
#endif
}

inline Floats tree(Floats* node, int64_t count) {
    while (count > 1) {
        const int64_t pairs = count / 2;
        for (int64_t i = 0; i < pairs; ++i) node[i] = node[2 * i] + node[2 * i + 1];
        if (count % 2) node[pairs] = node[count - 1];
        count = pairs + count % 2;
    }
    return node[0];
}

// A sum below the normal numbers counts as zero.
inline Floats without_subnormals(Floats sum) {
    const Ints magnitude = reinterpret_cast<Ints>(sum) & 0x7fffffff;
    return reinterpret_cast<Floats>(reinterpret_cast<Ints>(sum) & ~(magnitude < 0x00800000));
}

// ------------------------------------------------------------------------------------------------ building

// FP32 entries: the sum of the upper half plus that of the lower half, which is the smaller one.
void fp32_entries(const float* a, int64_t count, bool plain, float* entry) {
    if (count == 1) {
        entry[0] = plain ? 0.0f : -a[0];
        entry[1] = a[0];
        return;
    }
    const int64_t below = count / 2;
    float low[kMostEntries], high[kMostEntries];
    fp32_entries(a, below, plain, low);
    fp32_entries(a + below, count - below, plain, high);
    for (int64_t key = 0; key < 1ll << count; ++key) entry[key] = high[key >> below] + low[key & ((1ll << below) - 1)];
}

// Entries of integers, rounded to bytes times the table's scale.
void byte_entries(const double* a, int64_t count, bool by_127, double* entry) {
    double largest = 0;
    entry[0] = 0;
    for (int64_t k = 0; k < count; ++k) {
        largest += std::fabs(a[k]);
        for (int64_t key = 0; key < 1ll << k; ++key) {
            entry[key | 1ll << k] = entry[key] + a[k];
            entry[key] -= a[k];
        }
    }
    double scale = 1;
    if (by_127) {
        scale = std::max(std::ceil(largest / 127), 1.0);
    } else {
        while (std::nearbyint(largest / scale) > 127) scale *= 2;
    }
    for (int64_t key = 0; key < 1ll << count; ++key) entry[key] = std::nearbyint(entry[key] / scale) * scale;
}

// ------------------------------------------------------------------------------------------------ sums

struct Fp32Form {
    int64_t lanes, partials;  // planes of an update, and partial sums
    bool plain;
};

void fp32_group(const Weights& w, const Fp32Form& form, int64_t panel, int64_t g, const float* tables, Floats* room,
                float* total) {
    const bool small = w.table <= 4;
    Floats *const entry = room, *const lane = room + w.tables(), *const sums = lane + w.bits + form.partials;
    for (int v = 0; v < kVectors; ++v) {
        std::fill(sums, sums + form.partials, Floats{});
        int64_t updates = 0;
        for (int64_t at = w.first[g]; at < w.first[g + 1]; ++at) {
            const uint8_t* key = w.keys(panel, at) + 16 * v;
            for (int64_t plane = 0; plane < w.bits; plane += form.lanes, ++updates) {
                for (int64_t i = 0; i < form.lanes; ++i) {
                    for (int64_t number = 0; number < w.tables(); ++number, key += kColumns)
                        entry[number] =
                            look_up<float, Floats>(tables + (at * w.tables() + number) * w.entries(), key, small);
                    const Floats sum = without_subnormals(tree(entry, w.tables()));
                    const auto factor = static_cast<float>(1 << (plane + i));
                    lane[i] = form.plain && plane + i == w.bits - 1 ? -(sum * factor) : sum * factor;
                }
                sums[form.partials == 1 ? 0 : updates % form.partials] += tree(lane, form.lanes);
            }
        }
        for (int64_t i = 0; i < form.partials; ++i) lane[i] = sums[(updates + i) % form.partials];
        store(total + 16 * v, tree(lane, form.partials));
    }
}

// Of int32 entries: a sum of each plane, then all in float64.
template <int Bits>
void int_group(const Weights& w, int64_t panel, int64_t g, const int32_t* tables, double* total) {
    const bool small = w.table <= 4;
    Ints sums[Bits][kVectors] = {};
    for (int64_t at = w.first[g]; at < w.first[g + 1]; ++at) {
        const int32_t* entry = tables + at * w.entries();
        const uint8_t* key = w.keys(panel, at);
#pragma GCC unroll 8
        for (int plane = 0; plane < Bits; ++plane)
            for (int v = 0; v < kVectors; ++v)
                sums[plane][v] += look_up<int32_t, Ints>(entry, key + plane * kColumns + 16 * v, small);
    }
    for (int64_t c = 0; c < kColumns; ++c) {
        double sum = 0;
        for (int plane = 0; plane < Bits; ++plane) sum += static_cast<double>(sums[plane][c / 16][c % 16]) * (1 << plane);
        total[c] = sum;
    }
}

void wide_group(const Weights& w, int64_t panel, int64_t g, const double* tables, double* total) {
    std::fill(total, total + kColumns, 0.0);
    for (int64_t at = w.first[g]; at < w.first[g + 1]; ++at) {
        const double* entry = tables + at * w.entries();
        const uint8_t* key = w.keys(panel, at);
        for (int64_t plane = 0; plane < w.bits; ++plane)
            for (int64_t c = 0; c < kColumns; ++c) total[c] += entry[key[plane * kColumns + c]] * (1 << plane);
    }
}

using IntGroup = void (*)(const Weights&, int64_t, int64_t, const int32_t*, double*);
constexpr IntGroup kIntGroups[] = {int_group<1>, int_group<2>, int_group<3>, int_group<4>,
                                   int_group<5>, int_group<6>, int_group<7>, int_group<8>};

// Tables of some rows at a time, then all columns.
template <class Build, class Run>
void by_rows(const Weights& w, int64_t t, int64_t row_bytes, int64_t threads, const Build& build, const Run& run) {
    const int64_t rows = std::min(t, std::max<int64_t>(kRoom / row_bytes, 8));
    for (int64_t begin = 0; begin < t; begin += rows) {
        const int64_t count = std::min(rows, t - begin);
        in_threads(threads, count, [&](int64_t row) { build(begin + row, row); });
        const Pieces pieces(w.n, count, threads);
        in_threads(threads, pieces.count(), [&](int64_t index) {
            for (int64_t row = pieces.first(index); row < pieces.last(index); ++row)
                run(pieces.panel(index), begin + row, row);
        });
    }
}

}  // namespace

extern "C" {

// Groups as in exact_new; ``bits`` planes, ``table`` activations a table and ``step`` a step, where keys are filled with
// zeros.
void* tables_new(int64_t n, int64_t groups, const int64_t* start, int64_t bits, int64_t table, int64_t step) {
    auto* w = new Weights{n, groups, whole(n, kColumns), bits, table, step, {}, {0}, {}, {}, {}, {}};
    w->start.assign(start, start + groups + 1);
    for (int64_t g = 0; g < groups; ++g) w->first.push_back(w->first[g] + whole(start[g + 1] - start[g], step));
    w->key.assign(w->panels * w->steps() * bits * w->tables() * kColumns, 0);
    return w;
}

void tables_pack(void* handle, int64_t row, int64_t rows, const uint8_t* level) {
    Weights& w = *static_cast<Weights*>(handle);
    const int64_t k_all = w.start.back();
    for (int64_t n = row; n < row + rows; ++n)
        for (int64_t g = 0; g < w.groups; ++g)
            for (int64_t k = w.start[g]; k < w.start[g + 1]; ++k) {
                const int64_t in = k - w.start[g], at = w.first[g] + in / w.step, number = in % w.step / w.table;
                uint8_t* key = &w.key[((n / kColumns * w.steps() + at) * w.bits * w.tables() + number) * kColumns];
                const int rank = level[(n - row) * k_all + k];
                for (int64_t plane = 0; plane < w.bits; ++plane)
                    key[plane * w.tables() * kColumns + n % kColumns] |= (rank >> plane & 1) << in % w.table;
            }
}

// Scales, minima or none, and zero points or none, [N, G] each.
void tables_scales(void* handle, const double* scale, const double* least, const double* zero) {
    Weights& w = *static_cast<Weights*>(handle);
    const auto packed = [&](const double* from, std::vector<double>& to) {
        if (!from) return;
        to.assign(w.panels * w.groups * kColumns, 0.0);
        for (int64_t n = 0; n < w.n; ++n)
            for (int64_t g = 0; g < w.groups; ++g)
                to[(n / kColumns * w.groups + g) * kColumns + n % kColumns] = from[n * w.groups + g];
    };
    packed(scale, w.scale);
    packed(least, w.least);
    packed(zero, w.zero);
}

void tables_free(void* handle) { delete static_cast<Weights*>(handle); }

// Results [T, N] of FP32 activations [T, K] with scales [T, G].
void tables_fp32(void* handle, int64_t t, const float* acts, const double* scale, int64_t lanes, int64_t partials,
                 int64_t plain, float* out, int64_t threads) {
    const Weights& w = *static_cast<const Weights*>(handle);
    const Fp32Form form{lanes, partials, plain != 0};
    const int64_t size = w.steps() * w.tables() * w.entries(), k_all = w.start.back();
    const int64_t most = std::min(t, std::max<int64_t>(kRoom / (4 * size), 8));
    std::vector<float> tables(most * size, 0.0f);
    const auto build = [&](int64_t row, int64_t place) {
        std::vector<float> a(w.step);
        for (int64_t g = 0; g < w.groups; ++g)
            for (int64_t at = w.first[g]; at < w.first[g + 1]; ++at) {
                const int64_t k = w.start[g] + (at - w.first[g]) * w.step;
                std::fill(a.begin(), a.end(), 0.0f);
                std::copy_n(acts + row * k_all + k, std::min(w.step, w.start[g + 1] - k), a.begin());
                for (int64_t number = 0; number < w.tables(); ++number)
                    fp32_entries(&a[number * w.table], w.table, form.plain,
                                 &tables[place * size + (at * w.tables() + number) * w.entries()]);
            }
    };
    const auto run = [&](int64_t panel, int64_t row, int64_t place) {
        std::vector<Floats> room(w.tables() + w.bits + 2 * partials);
        float result[kColumns] = {}, total[kColumns];
        for (int64_t g = 0; g < w.groups; ++g) {
            fp32_group(w, form, panel, g, &tables[place * size], room.data(), total);
            const double* factors = &w.scale[(panel * w.groups + g) * kColumns];
            for (int64_t c = 0; c < kColumns; ++c)
                result[c] += static_cast<float>(static_cast<double>(total[c]) * (scale[row * w.groups + g] * factors[c]) + 0.0);
        }
        std::copy_n(result, std::min(kColumns, w.n - panel * kColumns), out + row * w.n + panel * kColumns);
    };
    by_rows(w, t, 4 * size, threads, build, run);
}

// Results [T, N] of integers [T, K] in units that ``own`` [T, K] times the group's are, or none where they are the same;
// ``scale`` [T, G] has the group's unit and the ``half`` of ±1 planes not. All sums are below 2**53, with ``ints`` those
// of a plane below 2**31.
void tables_bytes(void* handle, int64_t t, const double* acts, const double* own, const double* scale, double half,
                  int64_t by_127, int64_t ints, float* out, int64_t threads) {
    const Weights& w = *static_cast<const Weights*>(handle);
    const int64_t size = w.steps() * w.entries(), k_all = w.start.back();
    const int64_t bytes = ints ? 4 : 8;
    const int64_t most = std::min(t, std::max<int64_t>(kRoom / (bytes * size), 8));
    std::vector<int32_t> narrow(ints ? most * size : 0, 0);
    std::vector<double> wide(ints ? 0 : most * size, 0.0), sums(most * w.groups);
    const auto build = [&](int64_t row, int64_t place) {
        double a[8], entry[kMostEntries];
        for (int64_t g = 0; g < w.groups; ++g) {
            double sum = 0;
            for (int64_t at = w.first[g]; at < w.first[g + 1]; ++at) {
                const int64_t k = w.start[g] + (at - w.first[g]) * w.table;
                const int64_t count = std::min(w.table, w.start[g + 1] - k);
                std::fill(a, a + 8, 0.0);
                std::copy_n(acts + row * k_all + k, count, a);
                byte_entries(a, w.table, by_127 != 0, entry);
                const double unit = own ? own[row * k_all + k] : 1.0;
                for (int64_t i = 0; i < count; ++i) sum += a[i] * unit;
                for (int64_t key = 0; key < 1ll << w.table; ++key) {
                    const int64_t to = place * size + at * w.entries() + key;
                    if (ints) {
                        narrow[to] = static_cast<int32_t>(entry[key]);
                    } else {
                        wide[to] = entry[key] * unit;
                    }
                }
            }
            sums[place * w.groups + g] = sum;
        }
    };
    const auto run = [&](int64_t panel, int64_t row, int64_t place) {
        float result[kColumns] = {};
        double total[kColumns];
        for (int64_t g = 0; g < w.groups; ++g) {
            if (ints) {
                kIntGroups[w.bits - 1](w, panel, g, &narrow[place * size], total);
            } else {
                wide_group(w, panel, g, &wide[place * size], total);
            }
            const int64_t at = (panel * w.groups + g) * kColumns;
            const double factor = scale[row * w.groups + g], sum = sums[place * w.groups + g];
            if (!w.zero.empty())
                for (int64_t c = 0; c < kColumns; ++c) total[c] -= w.zero[at + c] * sum;
            for (int64_t c = 0; c < kColumns; ++c)
                result[c] += static_cast<float>(odd_product(total[c], factor * half * w.scale[at + c]));
            if (!w.least.empty())
                for (int64_t c = 0; c < kColumns; ++c)
                    result[c] += static_cast<float>(odd_product(sum, factor * w.least[at + c]));
        }
        std::copy_n(result, std::min(kColumns, w.n - panel * kColumns), out + row * w.n + panel * kColumns);
    };
    by_rows(w, t, bytes * size, threads, build, run);
}
}
