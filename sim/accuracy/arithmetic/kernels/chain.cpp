// Sums of groups in FP32: products rounded once, added in a balanced tree a step, then one after another.
//
// Orders of additions are those of sim/golden/fp32.py. Columns are lanes of a vector, so that none is changed.
#include "common.h"

namespace {

constexpr int kVectors = kColumns / 16;

struct Weights {
    int64_t n, k, groups, panels;
    std::vector<int64_t> start;
    std::vector<float> value;   // [panel, K, column]
    std::vector<double> scale;  // [panel, group, column]
};

template <int Step>
inline Floats step_sum(const float* a, const float* w) {
    Floats node[Step];
#pragma GCC unroll 16
    for (int i = 0; i < Step; ++i) node[i] = load<Floats>(w + i * kColumns) * a[i];
#pragma GCC unroll 4
    for (int count = Step; count > 1; count = (count + 1) / 2) {
#pragma GCC unroll 8
        for (int i = 0; i < count / 2; ++i) node[i] = node[2 * i] + node[2 * i + 1];
        if (count % 2) node[count / 2] = node[count - 1];
    }
    return node[0];
}

inline Floats step_sum(const float* a, const float* w, int64_t length, Floats* node) {
    for (int64_t i = 0; i < length; ++i) node[i] = load<Floats>(w + i * kColumns) * a[i];
    return tree(node, length);
}

struct Group {
    int64_t length, step, partials;
    Floats* node;  // room for a step or for all partial sums
    Floats* sums;  // room for all partial sums

    template <int Step>
    Floats run(const float* a, const float* w) const {
        if (partials == 1) {
            Floats total = {};
            int64_t k = 0;
            if (Step > 0)
                for (; k + Step <= length; k += Step) total += step_sum<(Step > 0 ? Step : 1)>(a + k, w + k * kColumns);
            for (; k < length; k += step)
                total += step_sum(a + k, w + k * kColumns, std::min(step, length - k), node);
            return total;
        }
        std::fill(sums, sums + partials, Floats{});
        int64_t updates = 0;
        for (int64_t k = 0; k < length; k += step, ++updates)
            sums[updates % partials] += step_sum(a + k, w + k * kColumns, std::min(step, length - k), node);
        for (int64_t i = 0; i < partials; ++i) node[i] = sums[(updates + i) % partials];
        return tree(node, partials);
    }
};

template <int Step>
void run(const Weights& w, const Group& form, int64_t panel, int64_t first, int64_t last, const float* acts,
         const double* scale, float* out) {
    const int64_t columns = std::min(kColumns, w.n - panel * kColumns);
    for (int64_t t = first; t < last; ++t) {
        float result[kColumns] = {};
        for (int64_t g = 0; g < w.groups; ++g) {
            Group group = form;
            group.length = w.start[g + 1] - w.start[g];
            float total[kColumns];
            for (int v = 0; v < kVectors; ++v)
                store(total + 16 * v, group.run<Step>(acts + t * w.k + w.start[g],
                                                      &w.value[(panel * w.k + w.start[g]) * kColumns + 16 * v]));
            const double row = scale[t * w.groups + g];
            const double* factors = &w.scale[(panel * w.groups + g) * kColumns];
            // A sum has 24 bits and a factor at most 22: exact before it is rounded. Adding zero turns -0 into +0.
            for (int64_t c = 0; c < kColumns; ++c)
                result[c] += static_cast<float>(static_cast<double>(total[c]) * (row * factors[c]) + 0.0);
        }
        std::copy_n(result, columns, out + t * w.n + panel * kColumns);
    }
}

}  // namespace

extern "C" {

void* chain_new(int64_t n, int64_t k, int64_t groups, const int64_t* start) {
    auto* w = new Weights{n, k, groups, whole(n, kColumns), {}, {}, {}};
    w->start.assign(start, start + groups + 1);
    w->value.assign(w->panels * k * kColumns, 0.0f);
    return w;
}

void chain_pack(void* handle, int64_t row, int64_t rows, const double* values) {
    Weights& w = *static_cast<Weights*>(handle);
    for (int64_t n = row; n < row + rows; ++n)
        for (int64_t k = 0; k < w.k; ++k)
            w.value[(n / kColumns * w.k + k) * kColumns + n % kColumns] =
                static_cast<float>(values[(n - row) * w.k + k]);
}

void chain_scales(void* handle, const double* scale) {
    Weights& w = *static_cast<Weights*>(handle);
    w.scale.assign(w.panels * w.groups * kColumns, 0.0);
    for (int64_t n = 0; n < w.n; ++n)
        for (int64_t g = 0; g < w.groups; ++g)
            w.scale[(n / kColumns * w.groups + g) * kColumns + n % kColumns] = scale[n * w.groups + g];
}

void chain_free(void* handle) { delete static_cast<Weights*>(handle); }

// Results [T, N] of activations [T, K] with scales [T, G]; updates of ``step`` elements go to ``partials`` sums in turn.
void chain_forward(void* handle, int64_t t, const float* acts, const double* scale, int64_t step, int64_t partials,
                   float* out, int64_t threads) {
    const Weights& w = *static_cast<const Weights*>(handle);
    const Pieces pieces(w.n, t, threads);
    in_threads(threads, pieces.count(), [&](int64_t index) {
        std::vector<Floats> node(std::max(std::min(step, w.k), partials)), sums(partials);
        const Group group{0, step, partials, node.data(), sums.data()};
        const auto of = [&](auto kernel) {
            kernel(w, group, pieces.panel(index), pieces.first(index), pieces.last(index), acts, scale, out);
        };
        switch (step) {
            case 1: return of(run<1>);
            case 2: return of(run<2>);
            case 4: return of(run<4>);
            case 8: return of(run<8>);
            case 16: return of(run<16>);
            default: return of(run<0>);
        }
    });
}
}
