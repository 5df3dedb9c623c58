// The closed form of jobs' cycles, lanes of eight pairs of a layer and a design at a time: a translation of
// hwgen/accelerator/closed.py and flow.py, statement by statement, which are the source of truth; names are theirs.
//
// Whole numbers are held as doubles, exact below 2^53; pairs for which that might not be enough are counted, and the
// caller takes the array code. Every operation on numbers that are not whole is the one of the array code, in its
// order, so that results are equal bit for bit. What is left out is what cannot change the result: streams that no
// lane has, bursts that no lane waits for, and bounds that cannot be the latest (`Reads::there_most`). What jobs of a
// pair share is worked out once (`Reads`): what does not depend on their order, and how jobs begin that read alike.

#include <cstdint>
#include <thread>
#include <vector>
#ifdef __AVX512F__
#include <immintrin.h>
#endif

namespace {

constexpr int kLanes = 8;
typedef double V __attribute__((vector_size(8 * kLanes)));
typedef int64_t M __attribute__((vector_size(8 * kLanes)));

// Written by hwgen/accelerator/compiled.py: numbers that array code names, enums of streams (STREAMS), of what bounds
// jobs (REGIMES) and of outputs, the order in which engines ask, the turn of each stream in it, the struct of inputs.
#include "declared.h"

constexpr double kMost = 1125899906842624.0;  // 2^50
constexpr double kNever = 9.0e18;

#define INLINE inline __attribute__((always_inline))

INLINE V all(double x) { return V{} + x; }
INLINE V pick(M c, V a, V b) { return c ? a : b; }
INLINE V larger(V a, V b) { return a > b ? a : b; }
INLINE V smaller(V a, V b) { return a < b ? a : b; }
INLINE V if_(M c, V a) { return c ? a : V{}; }
#ifdef __AVX512F__
INLINE V nearest(V x) { return (V)_mm512_roundscale_pd((__m512d)x, 0); }
INLINE V down(V x) { return (V)_mm512_roundscale_pd((__m512d)x, 1); }
INLINE V up(V x) { return (V)_mm512_roundscale_pd((__m512d)x, 2); }
INLINE bool any(M m) { return _mm512_test_epi64_mask((__m512i)m, (__m512i)m) != 0; }
#else
// Exact below 2^51.
INLINE V nearest(V x) { return (x + 6755399441055744.0) - 6755399441055744.0; }
INLINE V down(V x) { V r = nearest(x); return r > x ? r - 1.0 : r; }
INLINE V up(V x) { V r = nearest(x); return r < x ? r + 1.0 : r; }
INLINE bool any(M m) {
    int64_t found = 0;
    for (int i = 0; i < kLanes; i++) found |= m[i];
    return found != 0;
}
#endif
INLINE V quotient(V a, V b) { return down(a / b); }
INLINE V ceil_div(V a, V b) { return up(a / b); }
INLINE V modulo(V a, V b) { return a - down(a / b) * b; }

// Whole numbers below 2^50 by one of them, as the functions above have them: halves keep quotients away from whole
// numbers by more than the reciprocal is off.
struct Divisor {
    V number, reciprocal;

    Divisor() = default;
    INLINE explicit Divisor(V by) : number(by), reciprocal(1.0 / by) {}
    INLINE V quotient(V a) const { return down((a + 0.5) * reciprocal); }
    INLINE V ceil_div(V a) const { return down((a + (number - 0.5)) * reciprocal); }
    INLINE V modulo(V a) const { return a - quotient(a) * number; }
};

constexpr int kInputs = sizeof(Inputs) / sizeof(V);

struct Places {
    V streams[kStreams], result;  // bus beats before each
};

struct Flags {
    M order, weights, acts;  // order 0; held
};

// What of a stream does not depend on the flags.
struct Flow {
    bool there;
    V words, word_steps, entries, beats, own_blocks, image, capacity, length, trip, fit, in_flight, flight, hop;
    V ring_trip, to_page, of_block, loop, rest_time, part, left_first, left_block, in_time, idle, ring_idle;
    Divisor by_flight;
    V late_steps, window_wait, window_time;
    V others, lengths, head_most, ring_most, trip_most, ring_trip_most;  // see `meeting`
    M crosses, slow, lanes;
};

// What does.
struct Use {
    V share, last, first, window_wait, window_time;
};

struct Found {
    V cycles, regime;
    M certain;
};

struct Pair {
    Inputs in;
    bool every_beat;  // in every lane
    V rate, begin, begun_at;
    Divisor of_page, by_outstanding;
    V block, shortest, first_sum, start, unwaited, results, number, ahead, slow_block;
    Flow flows[kStreams];
    // Writes.
    V w_made, w_count, w_beats, w_own, w_behind, w_burst, w_bursts, w_rest, w_mean, w_trip, w_flush, w_rest_time;
    M w_certain;

    INLINE V nth_from(V floor_of_begin, V count) const {
        V cycle = (floor_of_begin + count) * in.cycles;
        return (every_beat ? cycle : ceil_div(cycle, in.share)) - 1.0;
    }
    INLINE V nth(V from, V count) const {
        return nth_from(every_beat ? from : quotient(from * in.share, in.cycles), count);
    }
    INLINE V over_rate(V beats) const { return every_beat ? beats : beats / rate; }
    INLINE V wait(V cycles) const { return every_beat ? up(cycles) : up(cycles * rate) / rate; }

    void compute() {
        const Inputs& g = in;
        every_beat = !any((g.share != 1.0) | (g.cycles != 1.0));
        rate = g.share / g.cycles;
        of_page = Divisor(g.page);
        by_outstanding = Divisor(g.outstanding);
        begin = all(FIRST_CLEAR + 3) + g.latency;
        begun_at = quotient(begin * g.share, g.cycles);
        V sums = pick(g.sum_steps > 0.0, g.sum_steps, g.k_steps);
        V full = quotient(g.k_steps, sums), ragged = g.k_steps - full * sums;
        V whole = larger(sums * g.step + g.fold, g.busy);
        V rest = if_(ragged > 0.0, larger(ragged * g.step + g.fold, g.busy));
        block = full * whole + rest;
        shortest = pick((ragged > 0.0) & ((rest < whole) | (full == 0.0)), rest, whole);
        first_sum = pick(full > 0.0, sums, ragged);
        start = first_sum * g.step;
        unwaited = larger(start + g.fold, g.busy) - start;
        results = pick(g.every > 0.0, full + if_(ragged > 0.0, all(1)), all(1));
        number = g.m_blocks * g.n_blocks * results;
        V back = (g.drain + 1.0 + g.step + (g.beats - 1.0) * (g.per_word - 1.0)) * g.beats / g.credit;
        ahead = quotient(g.credit, g.beats);
        slow_block = pick(number * g.beats > g.credit, larger(block, back * results), block);
    }

    // Words and beats of streams, of which places follow.
    void sizes() {
        for (int s = 0; s < kStreams; s++) {
            Flow& f = flows[s];
            const StreamGeometry& geo = in.streams[s];
            f.lanes = geo.there > 0.0;
            f.there = any(f.lanes);
            f.own_blocks = s == kActs || s == kActSides ? in.m_blocks : in.n_blocks;
            bool sides = s == kWeightSides || s == kActSides;
            f.words = sides ? in.k_groups : s == kChannels ? all(1) : in.k_steps;
            f.word_steps = s == kChannels ? in.k_steps : all(1);
            if (sides) f.word_steps = pick(in.group_steps > 0.0, in.group_steps, in.k_steps);
            f.entries = ceil_div(f.words, geo.words);
            f.beats = geo.there * f.entries * geo.beats;
            f.image = f.beats * f.own_blocks;
            f.capacity = geo.there * geo.depth * geo.beats;
        }
        w_made = in.beats * in.made;
        w_count = number * w_made;
        w_beats = ceil_div(w_count, in.gathers) * in.per_word;
    }

    Places places() const {
        Places p;
        V at = V{};
        for (int s : {kWeights, kWeightSides, kActs, kActSides}) {
            p.streams[s] = if_(flows[s].beats > 0.0, at);
            at += flows[s].image;
        }
        p.result = at;
        at += w_beats;
        p.streams[kChannels] = if_(flows[kChannels].beats > 0.0, at);
        return p;
    }

    INLINE void back(const Flow& f, const Divisor& of_entry, V pace, V place, V length, V& hop, V& trip) const {
        hop = larger(f.capacity - (length - 1.0 - place), all(1));
        trip = f.loop + of_entry.quotient(place) * pace;
    }

    INLINE void ring(Flow& f, const StreamGeometry& geo, const Divisor& of_size, V longest, V pace) const {
        V size = of_size.number, hops[2], trips[2];
        Divisor of_longest(longest), of_entry(geo.beats);
        V ends[2] = {longest, size};
        for (int e = 0; e < 2; e++) {
            V beat = of_size.modulo(ends[e] - f.capacity - 1.0);
            V of_burst = of_longest.modulo(beat);
            back(f, of_entry, pace, of_burst, smaller(longest, size - (beat - of_burst)), hops[e], trips[e]);
        }
        M slower = trips[1] / hops[1] > trips[0] / hops[0];
        V hop = pick(slower, hops[1], hops[0]), trip = pick(slower, trips[1], trips[0]);
        V inner_hop, inner_trip;
        back(f, of_entry, pace, of_longest.modulo(-f.capacity - 1.0), longest, inner_hop, inner_trip);
        V inner = larger(size - hop, V{}) / inner_hop;
        f.hop = pick(inner > 0.0, size / (1.0 + inner), hop);
        f.ring_trip = (trip + inner * inner_trip) / (1.0 + inner);
    }

    void flow(int s, V place) {
        Flow& f = flows[s];
        if (!f.there) return;
        const StreamGeometry& geo = in.streams[s];
        V size = larger(f.beats, all(1));
        Divisor of_size(size), of_burst(geo.burst);
        V at = of_page.modulo(place);
        f.to_page = in.page - at;
        V within = of_size.modulo(f.to_page);
        V bursts = of_burst.ceil_div(size);
        V more = of_burst.ceil_div(within) + of_burst.ceil_div(size - within) - bursts;
        V crossings = larger(of_page.ceil_div(at + f.image) - 1.0, V{});
        M even = (of_burst.modulo(size) == 0.0) & (of_burst.modulo(at) == 0.0);
        even &= of_burst.modulo(in.page) == 0.0;
        V usual = pick(even, V{}, of_burst.modulo(size - 1.0) / geo.burst);
        V extra = smaller(crossings, all(1)) * more + larger(crossings - 1.0, V{}) * usual;
        f.crosses = crossings > 0.0;
        f.length = larger(size / (bursts + extra / larger(f.image / size, all(1))), all(1));
        f.rest_time = over_rate(f.length - 1.0);
        f.trip = wait(in.latency + 2.0) + f.rest_time;
        f.fit = larger(down(f.capacity / f.length), all(1));
        f.in_flight = smaller(in.outstanding, f.fit);
        f.by_flight = Divisor(f.in_flight);
        f.flight = larger(f.in_flight * f.length, all(1));
        // Ring.
        V entry_time = over_rate(geo.beats), entries = larger(f.entries, all(1));
        V pace = larger(entry_time, block / entries);
        f.loop = in.latency + RING + entry_time;
        // Of streams that no job reads again beyond what the ring holds nothing waits for room in it.
        f.hop = all(1);
        f.ring_trip = V{};
        if (any(f.lanes & (f.image * (s == kActs || s == kActSides ? in.n_blocks : in.m_blocks) > f.capacity)))
            ring(f, geo, of_size, smaller(geo.burst, size), pace);
        // Others' bursts.
        V busy = over_rate(f.flight);
        f.idle = f.trip - busy;
        f.ring_idle = f.ring_trip - busy;
        f.in_time = over_rate(f.length);
        // Of windows that do not fit a ring twice.
        f.window_time = f.window_wait = V{};
        if (any(f.lanes & (geo.depth < 2.0 * f.entries))) {
            V alone = larger(f.trip / (in.outstanding * f.length), over_rate(all(1)));
            f.window_time = (f.beats - smaller((geo.depth - f.entries) * geo.beats, f.beats)) * alone;
            f.window_wait = larger(f.loop - geo.depth * block / entries, V{});
        }
        f.of_block = larger(of_burst.ceil_div(f.beats), all(1));
        Divisor of_words(geo.words), of_entry(geo.words * f.word_steps);
        V needed = of_words.ceil_div(ceil_div(first_sum, f.word_steps));
        f.part = smaller(needed * geo.beats * geo.there, f.beats);
        f.left_first = of_entry.modulo(first_sum - 1.0) + 1.0;
        f.left_block = of_entry.modulo(in.k_steps - 1.0) + 1.0;
        f.late_steps = smaller(geo.words, of_words.modulo(f.words - 1.0) + 1.0) * f.word_steps * in.step;
        if (s == kChannels) f.late_steps = smaller(start, shortest);
        f.slow = up(entry_time) > f.late_steps;
    }

    void writes(V place) {
        w_own = w_made * in.per_word / in.gathers;
        w_behind = in.drain + in.unit - in.beats + 2.0;
        w_burst = smaller(in.burst, in.page);
        Divisor of_burst(w_burst);
        V at = of_page.modulo(place);
        V head = smaller(in.page - at, w_beats);
        V pages = of_page.quotient(w_beats - head), tail = w_beats - head - pages * in.page;
        w_bursts = of_burst.ceil_div(head) + pages * of_burst.ceil_div(in.page) + of_burst.ceil_div(tail);
        V ends = pick(tail > 0.0, tail, pick(pages > 0.0, in.page, head));
        w_rest = of_burst.modulo(ends - 1.0) + 1.0;
        w_mean = pick(w_bursts > 1.0, (w_beats - w_rest) / larger(w_bursts - 1.0, all(1)), w_beats);
        w_trip = wait(in.latency + 3.0) + over_rate(w_mean - 1.0);
        V partial = modulo(w_count, in.gathers);
        w_flush = pick(in.gathers > 1.0, if_(partial > 0.0, in.gathers - partial) + 1.0, in.per_word);
        w_rest_time = over_rate(w_rest);
        M apart = (number == 1.0) | (shortest >= w_made * in.per_word);
        w_certain = (w_bursts == 1.0) & (in.credit >= number * in.beats) & apart;
    }

    // Cycles of a job whose last step is over then, if only the last burst of results counts.
    INLINE V last_sent(V time) const {
        return nth(up(time + w_behind + (w_made - 1.0) * in.per_word + w_flush) + 3.0, w_rest);
    }
    INLINE V done(V time) const { return last_sent(time) + in.latency + (1 + LAST_WORDS) + in.pre; }

    void prepare(const Places& p) {
        for (int s = 0; s < kStreams; s++) flow(s, p.streams[s]);
        for (int s = 0; s < kStreams; s++) meeting(s);
        writes(p.result);
    }

    // No less than what `Reads::there` takes of other streams: their beats while so many bursts of this one are in
    // flight as may be, and beside each; when all of a head have come; and a trip with what long bursts may add.
    INLINE void meeting(int s) {
        Flow& f = flows[s];
        if (!f.there || s == kChannels) return;
        f.others = f.lengths = V{};
        f.trip_most = f.trip;
        f.ring_trip_most = f.ring_trip;
        for (int o = 0; o < kStreams; o++) {
            const Flow& other = flows[o];
            if (o == s || !other.there) continue;
            f.others += if_(other.lanes, other.flight);
            f.lengths += if_(other.lanes, other.length);
            V number = other.in_flight + 1.0;
            f.trip_most += if_(f.idle > 0.0, number * larger(other.in_time - f.idle, V{}));
            f.ring_trip_most += if_(f.ring_idle > 0.0, number * larger(other.in_time - f.ring_idle, V{}));
        }
        f.head_most = after(in.outstanding * f.length + f.by_flight.ceil_div(in.outstanding) * f.others);
        f.ring_most = after((f.fit + 1.0) * f.length + f.by_flight.ceil_div(f.fit + 1.0) * f.others);
    }

    // When so many beats have come, at the latest.
    INLINE V after(V beats) const { return nth_from(begun_at, down(beats) + 1.0); }

    // Places of images, one after the other, and all of the above.
    Places ready() {
        compute();
        sizes();
        Places found = places();
        prepare(found);
        return found;
    }

    // Bursts that a stream has in flight at first.
    INLINE V most_asked(int s, V fetched) const {
        const Flow& f = flows[s];
        return if_(f.beats > 0.0, smaller(f.in_flight, nearest(fetched / f.length)));
    }
};

// As a job begins: the cycles in which engines first ask, if they have so many bursts to ask for at first, and the
// first one in which the tile has a step.
struct Asked {
    V most[kStreams], begins[kStreams], filled;

    void work_out(const Pair& p) {
        const Inputs& in = p.in;
        V left[kStreams], slots[kStreams];
        M begun[kStreams];
        int asking[kStreams], number = 0;  // those that some lane has, in the order in which they ask
        for (int s : kAsking)
            if (p.flows[s].there) asking[number++] = s;
        for (int i = 0; i < number; i++) {
            left[i] = most[asking[i]];
            slots[i] = V{};
            begun[i] = M{};
        }
        V now = V{}, last = all(-1);
        for (int turn = 0; turn < number; turn++) {
            V one = V{}, other = V{}, of_one = V{}, of_other = V{};
            M seen = M{}, pair = M{};
            for (int i = 0; i < number; i++) {
                M wants = left[i] > 0.0;
                M second = wants & seen & ~pair;
                other = pick(second, all(i), other);
                of_other = pick(second, left[i], of_other);
                pair |= second;
                M first = wants & ~seen;
                one = pick(first, all(i), one);
                of_one = pick(first, left[i], of_one);
                seen |= wants;
            }
            M swap = pair & (one == last);
            V both = if_(pair, smaller(of_one, of_other));
            V at_one = pick(swap, now + 1.0, now), at_other = pick(swap, now, now + 1.0);
            last = pick(pair, pick(swap, one, other), last);
            for (int i = 0; i < number; i++) {
                M wants = left[i] > 0.0, is_one = one == all(i), is_other = pair & (other == all(i));
                M here = wants & ~begun[i] & (is_one | is_other);
                slots[i] = pick(here, pick(is_one, at_one, at_other), slots[i]);
                begun[i] |= here;
                left[i] -= if_(is_one | is_other, both);
            }
            now += 2.0 * both;
            if (!any(pair)) break;
        }
        filled = V{};
        for (int i = 0; i < number; i++) {
            int s = asking[i];
            const Flow& f = p.flows[s];
            begins[s] = p.begin + slots[i];
            if (s == kChannels) continue;
            V ahead = V{};
            for (int o = 0; o < i; o++) {
                const Flow& other = p.flows[asking[o]];
                V before = smaller(larger(down((slots[i] - slots[o] + 1.0) * 0.5), V{}), most[asking[o]]);
                V burst = in.streams[asking[o]].burst;
                V cut = if_(before > 0.0, larger(smaller(burst, other.beats) - other.to_page, V{}));
                V blocks = quotient(before, other.of_block);
                ahead += blocks * other.beats + smaller((before - blocks * other.of_block) * burst, other.beats) - cut;
            }
            V entry = in.streams[s].beats;
            V came = larger(p.nth_from(p.begun_at, ahead + entry), p.nth(begins[s], entry));
            filled = larger(filled, if_(f.beats > 0.0, came));
        }
        filled += RING;
    }
};

// What jobs begin with: when the last steps of the first sum and of the first block are over.
struct First {
    V sum, block, regime;
};

// The latest of bounds on a time, and what it is of: of equal ones the first.
struct Late {
    V time = all(-kNever), regime = V{};

    INLINE void add(const V* found) {
        for (int i = 0; i < 3; i++) {
            regime = pick(found[i] > time, all(kChannel + i), regime);
            time = larger(time, found[i]);
        }
    }
    INLINE void later(V& than, V& what) const {
        what = pick(time > than, regime, what);
        than = larger(than, time);
    }
};

// What of jobs depends on what is held, but not on their order.
struct Reads {
    const Pair& p;
    V fetched[kStreams], begins[kStreams], filled, total;
    M again[kStreams];
    First begun;
    Late last;  // bounds on the last step, which do not depend on anything before, but for those of channels

    INLINE explicit Reads(const Pair& pair) : p(pair) {}

    // `usual`: as engines ask where nothing is held; `alike`: whether they are known to do so here too.
    void work_out(M weights, M acts, const Asked& usual, bool alike) {
        total = V{};
        for (int s = 0; s < kStreams; s++) {
            const Flow& f = p.flows[s];
            fetched[s] = V{};
            if (!f.there) continue;
            bool of_weights = s != kActs && s != kActSides;
            V uses = of_weights ? p.in.m_blocks : p.in.n_blocks;
            again[s] = ~((of_weights ? weights : acts) & (uses > 1.0));
            fetched[s] = pick(again[s], f.image * uses, f.image);
            total += fetched[s];
        }
        Asked own;
        M others = M{};
        if (!alike) {
            for (int s = 0; s < kStreams; s++) {
                own.most[s] = p.flows[s].there ? p.most_asked(s, fetched[s]) : V{};
                others |= own.most[s] != usual.most[s];
            }
            if (any(others)) own.work_out(p);
        }
        const Asked& asked = any(others) ? own : usual;
        for (int s = 0; s < kStreams; s++) begins[s] = asked.begins[s];
        filled = asked.filled;
    }

    // Beats of each other stream before so many of one, which come in so many bursts.
    INLINE void beside(int s, V bursts, const V* most, V* found) const {
        const Flow& f = p.flows[s];
        V rounds = larger(f.by_flight.ceil_div(bursts) - 1.0, V{}), last = bursts - rounds * f.in_flight;
        for (int o = 0; o < kStreams; o++) {
            const Flow& other = p.flows[o];
            if (o == s || !other.there) continue;
            V left = kTurn[o] > kTurn[s] ? last - 1.0 : last;
            V before = rounds * other.flight + smaller(left * other.length, other.flight);
            found[o] = if_(other.lanes, smaller(most[o], before));
        }
    }

    INLINE V channel(int s, V need, const V* next) const {
        V beats = need;
        for (int o = 0; o < kStreams; o++)
            if (o != s && p.flows[o].there) beats = beats + next[o];
        return p.nth_from(p.begun_at, down(beats));
    }

    INLINE V held(int s, const V* needs, const V* next, V rounds, V idle) const {
        V found = V{};
        M leaves = idle > 0.0;
        for (int o = 0; o < kStreams; o++) {
            const Flow& other = p.flows[o];
            if (o == s || !other.there) continue;
            M long_ones = leaves & (other.in_time > idle);
            if (!any(long_ones)) continue;
            V number = smaller(larger(needs[o] - next[o], V{}), rounds * other.flight) / other.length;
            found = found + if_(long_ones, number * (other.in_time - idle));
        }
        return found;
    }

    // `most`: what other streams may have at most before the last of `needs`.
    INLINE void there(int s, V need, const V* needs, const V* most, V* found) const {
        const Flow& f = p.flows[s];
        V next[kStreams];
        V bursts = nearest(need / f.length);
        V rounds = larger(p.by_outstanding.ceil_div(bursts) - 1.0, V{});
        V of_head = bursts - rounds * p.in.outstanding, head = of_head * f.length;
        // So many bursts of the head, as whole numbers times a length, divided by it, are nearest to themselves.
        of_head = pick(head < need, of_head, bursts);
        head = smaller(head, need);
        V flight = begins[s] + (bursts - 1.0) * 2.0 + f.rest_time;
        // Where a stream's bursts are all in flight at once, the rate bounds its beats at least as late.
        if (any(rounds > 0.0)) {
            beside(s, of_head, most, next);
            V first = channel(s, head, next) + rounds * f.trip;
            flight = larger(first + held(s, needs, next, rounds, f.idle), flight);
        }
        beside(s, bursts, most, next);
        found[0] = channel(s, need, next);
        found[1] = flight;
        M waits = again[s] & (need > f.capacity);
        if (any(waits)) {
            V hops = if_(waits, up((need - f.capacity) / f.hop));
            head = larger(need - hops * f.hop, smaller(f.length, need));
            beside(s, nearest(head / f.length), most, next);
            found[2] = channel(s, head, next) + hops * f.ring_trip;
            found[2] = found[2] + held(s, needs, next, hops, f.ring_idle);
        } else {
            found[2] = found[0];
        }
    }

    INLINE void most_beside(const V* needs, V* most) const {
        for (int s = 0; s < kStreams; s++)
            if (p.flows[s].there) most[s] = smaller(needs[s] + p.flows[s].capacity, fetched[s]);
    }

    // Until channels have come of which so many beats are needed.
    INLINE void channels(const V* needs, V need, V behind, Late& late) const {
        if (!any(need > 0.0)) return;
        V found[3], most[kStreams];
        most_beside(needs, most);
        there(kChannels, need, needs, most, found);
        for (V& one : found) one = if_(need > 0.0, one + RING - 1.0 + behind);
        late.add(found);
    }

    // No less than any of what `there` finds. Each statement is one of its own with operands that are not smaller; what
    // rounding may add to them in another order is less than the 2^-40th part.
    INLINE V there_most(int s, V need, V others) const {
        const Flow& f = p.flows[s];
        V bursts = nearest(need / f.length);
        V rounds = larger(p.by_outstanding.ceil_div(bursts) - 1.0, V{});
        V turns = larger(f.by_flight.ceil_div(bursts) - 1.0, V{});
        V beside = turns * f.others + smaller((bursts - turns * f.in_flight) * f.lengths, f.others);
        V all_came = p.after(need + smaller(others, beside));
        V found = all_came;
        if (any(rounds > 0.0)) found = larger(found, smaller(f.head_most, all_came) + rounds * f.trip_most);
        found = larger(found, begins[s] + (bursts - 1.0) * 2.0 + f.rest_time);
        M waits = again[s] & (need > f.capacity);
        if (any(waits)) {
            V hops = if_(waits, up((need - f.capacity) / f.hop));
            found = larger(found, f.ring_most + hops * f.ring_trip_most);
        }
        return found * (1.0 + 9.094947017729282e-13) + 1.0;
    }

    // `since`: bounds up to there do not matter.
    void meet(const V* needs, bool first, V since, Late& late) const {
        V found[3] = {V{}, V{}, V{}}, every = V{}, most[kStreams], most_of_all = V{};
        most_beside(needs, most);
        for (int s = 0; s < kStreams; s++) {
            if (!p.flows[s].there) continue;
            every += needs[s];
            most_of_all += if_(p.flows[s].lanes, most[s]);
        }
        found[0] = p.nth_from(p.begun_at, every) + RING + p.in.step - 1.0;
        for (int s = 0; s < kStreams; s++) {
            const Flow& f = p.flows[s];
            if (!f.there || s == kChannels) continue;
            V behind = RING + (first ? f.left_first : f.left_block) * p.in.step - 1.0;
            // Of equal bounds the first in the order of `Late` counts.
            if (s != kWeights) {
                V latest = larger(larger(found[0], found[1]), found[2]);
                V bound = there_most(s, needs[s], most_of_all) + behind;
                if (!any((needs[s] > 0.0) & (bound >= latest) & (bound > since))) continue;
            }
            V each[3];
            there(s, needs[s], needs, most, each);
            for (int i = 0; i < 3; i++) found[i] = larger(found[i], if_(needs[s] > 0.0, each[i] + behind));
        }
        late.add(found);
    }

    // Cycles until channels that a step meets are used, and those that results meet as they leave.
    INLINE V met() const { return p.in.beats + p.in.step - 1.0; }
    INLINE V left() const { return p.in.beats - p.in.drain - 2.0; }

    void begin() {
        V time = filled - 1.0 + p.start, needs[kStreams];
        begun.regime = V{};
        for (int s = 0; s < kStreams; s++) needs[s] = p.flows[s].there ? p.flows[s].part : V{};
        Late of_sum, of_block;
        meet(needs, true, time, of_sum);
        of_sum.later(time, begun.regime);
        begun.sum = time;
        time = time + p.block - p.start - p.unwaited;
        for (int s = 0; s < kStreams; s++) needs[s] = p.flows[s].beats;
        meet(needs, false, time, of_block);
        const Flow& f = p.flows[kChannels];
        if (f.there) channels(needs, if_(p.ahead < 1.0, f.beats), met(), of_block);
        of_block.later(time, begun.regime);
        begun.block = time;
    }

    void end() {
        last = Late();
        meet(fetched, false, all(-kNever), last);
    }

    M reads_certain() const {
        M found = ~M{};
        for (int s = 0; s < kStreams; s++) {
            const Flow& f = p.flows[s];
            if (!f.there) continue;
            V beats = fetched[s], entry = p.in.streams[s].beats;
            M waits = (beats > f.capacity) | (beats > f.length * p.in.outstanding) | f.crosses;
            M few = s == kChannels ? M{} : beats <= entry;
            V late = p.nth_from(p.begun_at, total - beats + (s == kChannels ? 1.0 : 2.0) * entry) + RING;
            found &= (f.beats == 0.0) | (~waits & (few | ~((late > filled + f.late_steps) | f.slow)));
        }
        return found;
    }
};

struct Job {
    const Pair& p;
    const Reads& reads;
    V outer, inner;
    Use uses[kStreams];

    INLINE Job(const Reads& of, const Flags& flags) : p(of.p), reads(of) {
        const Inputs& in = p.in;
        outer = pick(flags.order, in.n_blocks, in.m_blocks);
        inner = pick(flags.order, in.m_blocks, in.n_blocks);
        for (int s = 0; s < kStreams; s++) {
            const Flow& f = p.flows[s];
            Use& u = uses[s];
            u.first = V{};
            if (!f.there) continue;
            const StreamGeometry& geo = in.streams[s];
            M stays = s != kActs && s != kActSides ? flags.order : ~flags.order, held = ~reads.again[s];
            u.share = pick(held & stays, inner, all(1));
            u.last = pick(held & ~stays, inner, outer * inner);
            u.first = pick(held & stays, f.beats, inner * f.beats);
            M tight = (geo.there > 0.0) & held & stays & (geo.depth < 2.0 * f.entries);
            u.window_time = if_(tight, f.window_time);
            u.window_wait = if_(tight, f.window_wait);
        }
    }

    INLINE void finished(const V* needs, V blocks, V behind, Late& late) const {
        const Flow& f = p.flows[kChannels];
        if (!f.there) return;
        const Use& u = uses[kChannels];
        reads.channels(needs, f.beats * ceil_div(smaller(larger(blocks, V{}), u.last), u.share), behind, late);
    }

    INLINE void meet(V& time, V& regime, const V* needs, V blocks) const {
        Late late;
        reads.meet(needs, false, time, late);
        finished(needs, blocks - p.ahead, reads.met(), late);
        late.later(time, regime);
    }

    INLINE void leave(V& time, V& regime, const V* needs, V blocks) const {
        Late late;
        finished(needs, blocks, reads.left(), late);
        late.later(time, regime);
    }

    // Bounds on the last step, which do not depend on anything before.
    INLINE Late end() const {
        Late late = reads.last;
        finished(reads.fetched, outer * inner - p.ahead, reads.met(), late);
        finished(reads.fetched, outer * inner, reads.left(), late);
        return late;
    }

    // `wanted` is asked, as more is known, whether a job that takes at least so many cycles is worth to go on with.
    template <typename Wanted>
    bool run(const First& begun, const Late& end, Found& found, Wanted wanted) const {
        const Inputs& in = p.in;
        V own = inner * p.slow_block, wait = V{}, edges = V{};
        for (int s = 0; s < kStreams; s++) {
            if (!p.flows[s].there) continue;
            wait = larger(wait, uses[s].window_wait);
            edges = larger(edges, uses[s].window_time);
        }
        V pace = larger(own + wait, (inner - 2.0) * p.slow_block + edges);
        V regime = begun.regime, other = regime, first_sum = begun.sum, first_block = begun.block;
        V time = first_block + (inner - 1.0) * p.slow_block;
        V needs[kStreams];
        for (int s = 0; s < kStreams; s++) needs[s] = p.flows[s].beats;
        // Where the first outer iteration is the first block, or all of the job, its bounds are those of that.
        bool apart = any((inner > 1.0) & (outer > 1.0));
        if (apart && !wanted(p.done(larger(time + (outer - 1.0) * pace, end.time)))) return false;
        leave(first_block, other, needs, all(1));
        V first_outer = first_block;
        if (apart) {
            for (int s = 0; s < kStreams; s++) needs[s] = uses[s].first;
            meet(time, regime, needs, inner);
            first_outer = time;
            leave(first_outer, other, needs, inner);
        }
        regime = pick((pace > own) & (outer > 1.0), all(kRing), regime);
        time = time + (outer - 1.0) * pace;
        end.later(time, regime);
        if (!wanted(p.done(time))) return false;
        V first = pick((in.every > 0.0) & (p.flows[kChannels].beats == 0.0), first_sum, first_block);
        V times[4] = {first, first_block, pick(outer == 1.0, time, first_outer), time};
        V till[4] = {all(1), p.results, inner * p.results, p.number};
        found = write(times, till, regime);
        return true;
    }

    INLINE V in_buffer(const V* times, const V* till, V count) const {
        V index = smaller(larger(up(count / p.w_own), all(1)), p.number);
        // Between the last two that it is between; before all of them it is the first.
        V from = times[0], to = times[0], begin = till[0], end = till[0];
        for (int i = 0; i < 3; i++) {
            M later = index > till[i];
            from = pick(later, times[i], from);
            to = pick(later, times[i + 1], to);
            begin = pick(later, till[i], begin);
            end = pick(later, till[i + 1], end);
        }
        V part = (index - begin) / larger(end - begin, all(1));
        V time = from + smaller(larger(part, V{}), all(1)) * (to - from);
        V apart = pick(p.in.gathers > 1.0, p.in.gathers, all(1));
        return time + p.w_behind + (count - (index - 1.0) * p.w_own) * apart;
    }

    INLINE V from(const V* times, const V* till, V head) const {
        V more = p.w_bursts - head;
        V rounds = larger(p.by_outstanding.ceil_div(more + 1.0) - 1.0, V{});
        V by_beats = p.over_rate(p.w_beats - (head - 1.0) * p.w_mean);
        V by_bursts = larger(rounds * p.w_trip, more * 2.0) + p.w_rest_time;
        V ready = in_buffer(times, till, pick(more > 0.0, head * p.w_mean, p.w_beats)) + 2.0;
        return if_((head > 0.0) & (more >= 0.0), ready + larger(by_beats, by_bursts));
    }

    INLINE V head_of(V result) const { return larger(down((result - 1.0) * p.w_own / p.w_mean), V{}) + 1.0; }

    Found write(const V* times, const V* till, V regime) const {
        const Inputs& in = p.in;
        V last = p.last_sent(times[3]);
        V bound = V{};
        for (int i = 0; i < 3; i++)
            if (i == 0 || any(till[i] != till[i - 1])) bound = larger(bound, from(times, till, head_of(till[i])));
        V of_result = larger(p.by_outstanding.ceil_div(up(p.w_own / p.w_burst)) - 1.0, V{});
        V of_job = larger(p.by_outstanding.ceil_div(p.w_bursts) - 1.0, V{});
        if (any(of_job > 0.0)) {
            V head = if_(of_job > 0.0, p.w_bursts - of_job * in.outstanding);
            bound = larger(bound, from(times, till, head));
        }
        V every = larger(bound, from(times, till, head_of(p.number)));
        every = larger(every, from(times, till, p.w_bursts - in.outstanding));
        every = larger(every, from(times, till, p.w_bursts - of_result * in.outstanding));
        Found found;
        found.cycles = up(larger(every, last)) + in.latency + (1 + LAST_WORDS) + in.pre;
        found.certain = (every <= last) & (regime == 0.0) & p.w_certain & (in.pre == 0.0);
        if (any(found.certain)) found.certain &= reads.reads_certain();
        found.regime = pick(bound > last, all(kWrite), regime);
        return found;
    }
};

constexpr int kChoices = 8, kHeld = 4;  // order, hold_weights, hold_acts, in binary

// Of every choice whether it is legal, the bus beats that it reads, and cycles that it takes at least: jobs whose bound
// says that they are not the best need not be looked at. Every statement is one of the closed form with operands that
// are not larger, and all of them grow with their operands, as they are rounded too.
struct Bounds {
    V cycles[kChoices], reads[kChoices];
    int legal[kChoices], number = 0;  // choices that some lane may take
    M others[kHeld] = {};             // where what is held makes jobs begin otherwise than those that hold nothing

    // `usual`, `begun`: of a job that holds nothing.
    Bounds(const Pair& p, const Asked& usual, const First& begun, int orders) {
        const Inputs& in = p.in;
        V fetched[2][2], late[2][2], ahead = V{}, filled = V{};  // of weights and activations, as they are held
        M same[2][2], fits[2][2];                                // fits: by order
        for (int operand = 0; operand < 2; operand++)
            for (int held = 0; held < 2; held++) {
                fetched[operand][held] = late[operand][held] = V{};
                same[operand][held] = fits[operand][held] = ~M{};
            }
        for (int s = 0; s < kStreams; s++)
            if (p.flows[s].there) ahead += p.flows[s].length;
        V low = p.nth_from(p.begun_at, down(-ahead));
        V first[2][2] = {};    // beats in the first outer iteration of what stays, by operand and whether it is held
        V waits[2] = {}, edges[2] = {};
        for (int s = 0; s < kStreams; s++) {
            const Flow& f = p.flows[s];
            if (!f.there) continue;
            const StreamGeometry& geo = in.streams[s];
            int operand = s == kActs || s == kActSides;
            V uses = operand ? in.n_blocks : in.m_blocks;
            M there = geo.there > 0.0;
            for (int held = 0; held < 2; held++) {
                V beats = held ? f.image : f.image * uses;
                V bursts = nearest(beats / f.length);
                fetched[operand][held] += beats;
                same[operand][held] &= if_(f.beats > 0.0, smaller(f.in_flight, bursts)) == usual.most[s];
                // Nor does what others may have before tell them apart; what is held fits its ring.
                if (held) same[operand][held] &= (f.image >= f.beats + f.capacity) | (uses == 1.0);
                first[operand][held] += held ? f.beats : f.beats * uses;
                if (s == kChannels) continue;
                V trips = larger(p.by_outstanding.ceil_div(bursts) - 1.0, V{}) * f.trip;
                if (!held) trips = larger(trips, up(larger(beats - f.capacity, V{}) / f.hop) * f.ring_trip);
                V last = low + trips + (RING + f.left_block * in.step - 1.0);
                late[operand][held] = larger(late[operand][held], if_(there, last));
            }
            for (int stays = 0; stays < 2; stays++) {
                V window = if_(uses > 1.0, f.entries * (stays ? all(1) : f.own_blocks));
                fits[operand][stays] &= (window <= geo.depth) | ~there;
            }
            M tight = there & (geo.depth < 2.0 * f.entries);
            waits[operand] = larger(waits[operand], if_(tight, f.window_wait));
            edges[operand] = larger(edges[operand], if_(tight, f.window_time));
            if (s != kChannels) filled = larger(filled, if_(f.beats > 0.0, p.nth_from(p.begun_at, geo.beats)));
        }
        filled += RING;
        for (int choice = 0; choice < kChoices; choice++) {
            int order = choice >> 2, held[2] = {choice >> 1 & 1, choice & 1};
            reads[choice] = fetched[0][held[0]] + fetched[1][held[1]];
            M legal = orders >> order & 1 ? ~M{} : M{};
            if (held[0]) legal &= (in.m_blocks != 1.0) & fits[0][order == 0];
            if (held[1]) legal &= (in.n_blocks != 1.0) & fits[1][order == 1];
            cycles[choice] = all(kNever);
            if (!any(legal)) continue;
            this->legal[number++] = choice;
            V outer = order ? in.m_blocks : in.n_blocks, inner = order ? in.n_blocks : in.m_blocks;
            M alike = same[0][held[0]] & same[1][held[1]];
            others[choice & (kHeld - 1)] |= legal & ~alike;
            V time = pick(alike, begun.block, filled - 1.0 + p.start + p.block - p.start - p.unwaited);
            time = time + (inner - 1.0) * p.slow_block;
            // The other operand is read once for every inner iteration, held or not.
            V beats = first[order][held[order]] + first_of_other(p, order);
            time = larger(time, p.nth_from(p.begun_at, beats) + RING + in.step - 1.0);
            V own = inner * p.slow_block, pace = own;
            if (held[order]) pace = larger(own + waits[order], (inner - 2.0) * p.slow_block + edges[order]);
            else pace = larger(own, (inner - 2.0) * p.slow_block);
            time = time + (outer - 1.0) * pace;
            time = larger(time, p.nth_from(p.begun_at, reads[choice]) + RING + in.step - 1.0);
            time = larger(time, larger(late[0][held[0]], late[1][held[1]]));
            cycles[choice] = pick(legal, p.done(time), all(kNever));
        }
    }

    // Beats in the first outer iteration of what does not stay.
    INLINE static V first_of_other(const Pair& p, int order) {
        V found = V{};
        for (int s = 0; s < kStreams; s++)
            if (p.flows[s].there && (s == kActs || s == kActSides) == (order == 0)) found += p.flows[s].image;
        return found;
    }
};

// ---------------------------------------------------------------------- loads and stores

// Numbers of rows and lanes: strides in numbers, and where lanes do not follow one another, which of them each takes.
template <typename T>
struct Numbers {
    const T* data;
    int64_t row, lane;
    const int32_t* places;

    INLINE V load(int64_t at_row, int64_t at_lane, int64_t lanes) const {
        V found;
        const T* from = data + at_row * row;
        if (lane == 0) return all(double(*from));
        for (int i = 0; i < kLanes; i++) {
            int64_t one = at_lane + i < lanes ? at_lane + i : lanes - 1;
            found[i] = double(from[(places ? places[one] : one) * lane]);
        }
        return found;
    }
};
typedef Numbers<int64_t> Input;

// What a form takes of a count of jobs: so much of it on each lane.
struct Term {
    int64_t form, count;
    Numbers<double> factor;
};

template <typename T>
struct Output {
    T* data;
    int64_t row, lane;

    INLINE void store(V values, int64_t at_row, int64_t at_lane, int64_t lanes) const {
        if (!data) return;
        for (int i = 0; i < kLanes && at_lane + i < lanes; i++)
            data[at_row * row + (at_lane + i) * lane] = T(values[i]);
    }
};

// Whether a choice comes before another one: by cycles, what it reads, and its place.
INLINE M before(V cycles, V reads, V place, V other_cycles, V other_reads, V other_place) {
    M same = cycles == other_cycles, same_reads = reads == other_reads;
    return (cycles < other_cycles) | (same & ((reads < other_reads) | (same_reads & (place < other_place))));
}

// Where nothing is held.
Asked usually(const Pair& p) {
    Asked found;
    for (int s = 0; s < kStreams; s++) {
        V uses = s == kActs || s == kActSides ? p.in.n_blocks : p.in.m_blocks;
        found.most[s] = p.flows[s].there ? p.most_asked(s, p.flows[s].image * uses) : V{};
    }
    found.work_out(p);
    return found;
}

// The best of the legal jobs: its place among the choices, and the largest number that was met on the way.
struct Best {
    V cycles, reads, place, regime, most;
    M exact;

    INLINE V order() const { return if_(place >= 4.0, all(1)); }
    INLINE V rest() const { return place - 4.0 * order(); }
    INLINE V hold_weights() const { return if_(rest() >= 2.0, all(1)); }
    INLINE V hold_acts() const { return rest() - 2.0 * hold_weights(); }
};

Best best_of(const Pair& p, int orders) {
    Asked usual = usually(p);
    Reads of_held[kHeld] = {Reads(p), Reads(p), Reads(p), Reads(p)};
    bool begun[kHeld] = {true}, ended[kHeld] = {};
    of_held[0].work_out(M{}, M{}, usual, true);
    of_held[0].begin();
    Bounds bounds(p, usual, of_held[0].begun, orders);
    Best best = {all(kNever), V{}, V{}, V{}, V{}, M{}};
    for (;;) {
        // Each lane has a choice that may be its best, as long as one may; lanes of one choice are looked at together.
        V least = all(kNever), own_reads = V{}, choice = V{};
        for (int i = 0; i < bounds.number; i++) {
            int one = bounds.legal[i];
            M sooner = before(bounds.cycles[one], bounds.reads[one], all(one), least, own_reads, choice);
            least = pick(sooner, bounds.cycles[one], least);
            own_reads = pick(sooner, bounds.reads[one], own_reads);
            choice = pick(sooner, all(one), choice);
        }
        M open = (least < kNever) & before(least, own_reads, choice, best.cycles, best.reads, best.place);
        if (!any(open)) break;
        int first = 0;
        while (!open[first]) first++;
        int chosen = int(choice[first]), held = chosen & (kHeld - 1);
        open &= choice == all(chosen);
        bounds.cycles[chosen] = pick(open, all(kNever), bounds.cycles[chosen]);
        Reads& reads = of_held[held];
        Flags flags = {chosen >> 2 & 1 ? M{} : ~M{}, chosen >> 1 & 1 ? ~M{} : M{}, chosen & 1 ? ~M{} : M{}};
        if (!begun[held]) {
            bool alike = !any(bounds.others[held]);
            reads.work_out(flags.weights, flags.acts, usual, alike);
            if (alike) reads.begun = of_held[0].begun;
            else reads.begin();
            begun[held] = true;
        }
        if (!ended[held]) reads.end();
        ended[held] = true;
        Job job(reads, flags);
        auto wanted = [&](V cycles) {
            open &= before(cycles, own_reads, choice, best.cycles, best.reads, best.place);
            return any(open);
        };
        Late end = job.end();
        Found found;
        best.most = larger(best.most, reads.total + p.w_beats);
        if (!wanted(p.done(larger(end.time, V{}))) || !job.run(reads.begun, end, found, wanted)) continue;
        best.most = larger(best.most, if_(open, found.cycles));
        M better = open & before(found.cycles, own_reads, choice, best.cycles, best.reads, best.place);
        best.cycles = pick(better, found.cycles, best.cycles);
        best.reads = pick(better, own_reads, best.reads);
        best.place = pick(better, choice, best.place);
        best.regime = pick(better, found.regime, best.regime);
        best.exact = (better & found.certain) | (~better & best.exact);
    }
    // Also of choices that were not looked at.
    for (int one = 0; one < kChoices; one++) best.most = larger(best.most, bounds.reads[one]);
    return best;
}

// Counts of what a job makes the parts of an accelerator do, as sim/accelerator/activity.py has them (job_counts).
INLINE void count(const Pair& p, const Best& best, V* found) {
    const Inputs& in = p.in;
    V hold_weights = best.hold_weights(), hold_acts = best.hold_acts();
    V blocks = in.m_blocks * in.n_blocks;
    V sums = pick(in.sum_steps > 0.0, ceil_div(in.k_steps, larger(in.sum_steps, all(1))), all(1));
    found[kOneCount] = all(1);
    found[kCyclesCount] = best.cycles;
    found[kStepsCount] = blocks * in.k_steps;
    V groups = blocks * sums, results = pick(in.every > 0.0, groups, blocks * in.beats);
    found[kGroupsCount] = groups;
    found[kResultsCount] = results;
    V written = ceil_div(results * in.made, in.gathers) * in.per_word;
    found[kWriteBeatsCount] = written;
    found[kWriteBurstsCount] = ceil_div(written, in.burst);
    for (int s = 0; s < kStreams; s++) {
        V* own = found + kStreamCounts + s * kOfStream;
        const Flow& f = p.flows[s];
        if (!f.there) {
            for (int i = 0; i < kOfStream; i++) own[i] = V{};
            continue;
        }
        const StreamGeometry& geo = in.streams[s];
        bool of_weights = s != kActs && s != kActSides;
        V held = of_weights ? hold_weights : hold_acts, uses = of_weights ? in.m_blocks : in.n_blocks;
        V fetched = geo.there * f.own_blocks * pick(held > 0.0, all(1), uses), given = geo.there * f.own_blocks * uses;
        V beats = f.entries * geo.beats;
        own[kBeatsOfStream] = fetched * beats;
        own[kBurstsOfStream] = fetched * ceil_div(beats, geo.burst);
        own[kEntriesOfStream] = given * f.entries;
        own[kWordsOfStream] = given * f.words;
    }
}

template <typename Each>
INLINE void sum_forms(const Term* terms, int64_t number, const V* factors, const V* counts, Each each) {
    for (int64_t i = 0; i < number;) {
        int64_t form = terms[i].form;
        V sum = V{};
        for (; i < number && terms[i].form == form; i++) sum += factors[i] * counts[terms[i].count];
        each(form, sum);
    }
}

// All inputs of a block of lanes, those that rows share loaded once.
struct Loader {
    const Input* from;
    int count;
    int64_t lanes, lane;
    V* into;

    void begin() {
        for (int i = 0; i < count; i++)
            if (from[i].row == 0) into[i] = from[i].load(0, lane, lanes);
    }
    void row(int64_t at) {
        for (int i = 0; i < count; i++)
            if (from[i].row != 0) into[i] = from[i].load(at, lane, lanes);
    }
};

template <typename Each>
void shared(int64_t lanes, int64_t threads, Each each) {
    int64_t blocks = (lanes + kLanes - 1) / kLanes;
    if (threads > blocks) threads = blocks;
    auto part = [&](int64_t which) {
        for (int64_t b = which * blocks / threads; b < (which + 1) * blocks / threads; b++) each(which, b * kLanes);
    };
    std::vector<std::thread> others;
    for (int64_t which = 1; which < threads; which++) others.emplace_back(part, which);
    part(0);
    for (auto& one : others) one.join();
}

INLINE M beyond(const Pair& p, V total, V cycles) { return larger(total, cycles) * p.in.cycles > kMost; }

int64_t lanes_of(M m, int64_t lane, int64_t lanes) {
    int64_t found = 0;
    for (int i = 0; i < kLanes && lane + i < lanes; i++) found += m[i] != 0;
    return found;
}

}  // namespace

extern "C" {

// Jobs as they are: inputs, then order, hold_weights, hold_acts, and the places of streams and results in bus beats.
// Returns the pairs that doubles may not hold.
int64_t closed_jobs(const Input* inputs, int64_t lanes, int64_t* cycles, int64_t* exact, int64_t* regime,
                    int64_t threads) {
    if (lanes <= 0) return 0;
    std::vector<int64_t> unsure(threads);
    shared(lanes, threads, [&](int64_t which, int64_t lane) {
        constexpr int kAll = kInputs + 3 + kStreams + 1;
        V values[kAll];
        for (int i = 0; i < kAll; i++) values[i] = inputs[i].load(0, lane, lanes);
        Pair p;
        p.in = *reinterpret_cast<Inputs*>(values);
        const V* rest = values + kInputs;
        Flags flags = {rest[0] == 0.0, rest[1] > 0.0, rest[2] > 0.0};
        Places places;
        for (int s = 0; s < kStreams; s++) places.streams[s] = rest[3 + s];
        places.result = rest[3 + kStreams];
        p.compute();
        p.sizes();
        p.prepare(places);
        Reads reads(p);
        reads.work_out(flags.weights, flags.acts, usually(p), false);
        reads.begin();
        reads.end();
        Job job(reads, flags);
        Found found;
        job.run(reads.begun, job.end(), found, [](V) { return true; });
        Output<int64_t>{cycles, 0, 1}.store(found.cycles, 0, lane, lanes);
        Output<int64_t>{regime, 0, 1}.store(found.regime, 0, lane, lanes);
        Output<int64_t>{exact, 0, 1}.store(if_(found.certain, all(1)), 0, lane, lanes);
        unsure[which] += lanes_of(beyond(p, reads.total + p.w_beats, found.cycles), lane, lanes);
    });
    int64_t found = 0;
    for (int64_t one : unsure) found += one;
    return found;
}

// The best legal jobs of rows times lanes; `orders`: bit 0 for order 0, bit 1 for order 1. Outputs as enumerated,
// places (weights, weight_sides, acts, act_sides, channels, result) last, in bytes; strides as given. Outputs that are
// null are not wanted. Forms are sums of counts of the jobs, each times what `terms`, in the order of forms, say.
// Returns the pairs that doubles may not hold.
int64_t closed_best(const Input* inputs, int64_t rows, int64_t lanes, int64_t orders, int64_t** outputs,
                    int64_t out_row, int64_t out_lane, const Term* terms, int64_t number, double** forms,
                    int64_t threads) {
    if (rows <= 0 || lanes <= 0) return 0;
    std::vector<int64_t> unsure(threads);
    shared(lanes, threads, [&](int64_t which, int64_t lane) {
        V factors[kMostTerms];
        for (int64_t i = 0; i < number; i++) factors[i] = terms[i].factor.load(0, lane, lanes);
        Pair p;
        Loader loader{inputs, kInputs, lanes, lane, reinterpret_cast<V*>(&p.in)};
        loader.begin();
        for (int64_t row = 0; row < rows; row++) {
            loader.row(row);
            Places places = p.ready();
            Best best = best_of(p, orders);
            unsure[which] += lanes_of(best.most * p.in.cycles > kMost, lane, lanes);
            auto put = [&](int what, V values) {
                Output<int64_t>{outputs[what], out_row, out_lane}.store(values, row, lane, lanes);
            };
            put(kCyclesOut, best.cycles);
            put(kReadsOut, best.reads);
            put(kRegimeOut, best.regime);
            put(kExactOut, if_(best.exact, all(1)));
            put(kOrderOut, best.order());
            put(kHoldWeightsOut, best.hold_weights());
            put(kHoldActsOut, best.hold_acts());
            if (number) {
                V counts[kCounts];
                count(p, best, counts);
                sum_forms(terms, number, factors, counts, [&](int64_t form, V sum) {
                    Output<double>{forms[form], out_row, out_lane}.store(sum, row, lane, lanes);
                });
            }
            V bytes = all(PAGE_BYTES) / p.in.page;
            for (int s = 0; s < kStreams; s++) put(kWeightsOut + s, places.streams[s] * bytes);
            put(kResultOut, places.result * bytes);
        }
    });
    int64_t found = 0;
    for (int64_t one : unsure) found += one;
    return found;
}

// What rows take together, `times` of each: cycles, whether all of them are certain, what bounds most of the cycles, the
// choices of rows (three bits for each, the first row's lowest), and forms of their counts; by lane.
// Returns the lanes that doubles may not hold.
int64_t closed_totals(const Input* inputs, int64_t rows, int64_t lanes, int64_t orders, const double* times,
                      int64_t* cycles, int64_t* exact, int64_t* regime, int64_t* choices, const Term* terms,
                      int64_t number, double** forms, int64_t threads) {
    if (rows <= 0 || lanes <= 0) return 0;
    std::vector<int64_t> unsure(threads);
    shared(lanes, threads, [&](int64_t which, int64_t lane) {
        V factors[kMostTerms];
        for (int64_t i = 0; i < number; i++) factors[i] = terms[i].factor.load(0, lane, lanes);
        Pair p;
        Loader loader{inputs, kInputs, lanes, lane, reinterpret_cast<V*>(&p.in)};
        loader.begin();
        V counts[kCounts] = {}, of_regimes[kRegimes] = {}, total = V{}, most = V{};
        M certain = ~M{}, found = M{};
        for (int64_t row = 0; row < rows; row++) {
            loader.row(row);
            p.ready();
            Best best = best_of(p, orders);
            V took = times[row] * best.cycles, own[kCounts];
            most = larger(most, best.most * p.in.cycles);
            total += took;
            certain &= best.exact;
            for (int one = 0; one < kRegimes; one++) of_regimes[one] += if_(best.regime == all(one), took);
            if (row < kShown) found |= __builtin_convertvector(best.place, M) << (3 * row);
            count(p, best, own);
            for (int i = 0; i < kCounts; i++) counts[i] += times[row] * own[i];
        }
        V bound = V{}, largest = of_regimes[0];
        for (int one = 1; one < kRegimes; one++) {
            bound = pick(of_regimes[one] > largest, all(one), bound);
            largest = larger(largest, of_regimes[one]);
        }
        unsure[which] += lanes_of(larger(most, total) > kMost, lane, lanes);
        Output<int64_t>{cycles, 0, 1}.store(total, 0, lane, lanes);
        Output<int64_t>{exact, 0, 1}.store(if_(certain, all(1)), 0, lane, lanes);
        Output<int64_t>{regime, 0, 1}.store(bound, 0, lane, lanes);
        for (int i = 0; i < kLanes && lane + i < lanes; i++) choices[lane + i] = found[i];
        sum_forms(terms, number, factors, counts,
                  [&](int64_t form, V sum) { Output<double>{forms[form], 0, 1}.store(sum, 0, lane, lanes); });
    });
    int64_t found = 0;
    for (int64_t one : unsure) found += one;
    return found;
}

int64_t closed_inputs() { return kInputs; }
}
