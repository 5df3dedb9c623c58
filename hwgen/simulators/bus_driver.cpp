// Runs scripts of register accesses on a Verilated bus master, with a memory at its AXI4 port; Python is not in the loop.
//
// The working folder is the job: job.txt (one "key value..." a line; see bus.py), memory.bin (the memories of all runs
// one after the other, read and written in place) and results.bin (64-bit words, one block a run; see Run::report).
// With the argument "serve" the program does the job once for every line that it reads, and answers each with a line.
//
// Inputs of cycle t follow from what was seen before the rising edge of cycle t - 1, outputs are read once the logic
// has settled before the rising edge of cycle t. Payloads carry noise whenever their VALID is low.

#include "driver_common.h"

#include <chrono>
#include <cstring>
#include <deque>
#include <fstream>
#include <iostream>
#include <map>
#include <string>
#include <type_traits>
#include <vector>

namespace {

constexpr uint64_t kNever = ~uint64_t(0);
constexpr int64_t kInitialReset = 4;  // cycles, those before cycle 0
constexpr uint32_t kMostBytes = 64;   // of one beat
constexpr uint32_t kMostBeats = 256;  // of one burst
constexpr uint64_t kBoundary = 4096;  // bytes: no burst crosses a multiple
enum : uint8_t { kOkay = 0, kSlaveError = 2, kDecodeError = 3 };

struct Failure {
    std::string what;
};

template <class... Parts>
[[noreturn]] void refuse(const Parts&... parts) {
    std::string what;
    const auto add = [&](const auto& part) {
        if constexpr (std::is_arithmetic_v<std::decay_t<decltype(part)>>) what += std::to_string(part);
        else what += part;
    };
    (add(parts), ...);
    throw Failure{what};
}

std::string hex(uint64_t value) {
    char text[24];
    std::snprintf(text, sizeof text, "0x%llx", static_cast<unsigned long long>(value));
    return text;
}

// A port of at most 64 bits, or the bytes of a wider one; an absent one reads 0 and takes everything.
struct Field {
    const char* name = nullptr;
    uint8_t* at = nullptr;
    uint32_t bytes = 0, width = 0;
    uint64_t mask = 0;

    uint64_t get() const {
        switch (bytes) {
            case 1: return *at;
            case 2: return load<uint16_t>();
            case 4: return load<uint32_t>();
            case 8: return load<uint64_t>();
        }
        return 0;
    }
    void put(uint64_t value) {
        value &= mask;
        switch (bytes) {
            case 1: *at = static_cast<uint8_t>(value); break;
            case 2: std::memcpy(at, &value, 2); break;
            case 4: std::memcpy(at, &value, 4); break;
            case 8: std::memcpy(at, &value, 8); break;
        }
    }

private:
    template <class T>
    uint64_t load() const {
        T value;
        std::memcpy(&value, at, sizeof value);
        return value;
    }
};

struct Ports {
    void* model;
    explicit Ports(void* of) : model(of) {}
    Field field(const std::string& name) const {
        for (uint32_t index = 0; model_ports[index].name; ++index) {
            if (name != model_ports[index].name) continue;
            Field found;
            found.name = model_ports[index].name;
            found.at = static_cast<uint8_t*>(model_port(model, index));
            found.width = model_ports[index].width;
            found.bytes = port_bytes(found.width);
            found.mask = found.width >= 64 ? ~uint64_t(0) : (uint64_t(1) << found.width) - 1;
            return found;
        }
        return {};
    }
    uint8_t& bit(const std::string& name) const {
        const Field found = field(name);
        if (!found.at) fail("no port " + name);
        return *found.at;
    }
};

// A channel on which the design offers: VALID and its payload must hold until READY.
class Offer {
public:
    Offer(const Ports& ports, const std::string& channel, const std::vector<std::string>& payload)
        : channel_(channel), valid_(ports.bit(channel + "valid")), ready_(ports.bit(channel + "ready")) {
        for (const std::string& name : payload) {
            const Field field = ports.field(channel + name);
            if (!field.at) continue;
            payload_.push_back(field);
            held_.resize(held_.size() + field.bytes);
        }
    }
    // Whether the offer is taken in cycle `now`.
    bool taken(int64_t now) {
        if (waiting_) hold(now);
        waiting_ = valid_ && !ready_;
        if (waiting_) {
            uint8_t* to = held_.data();
            for (const Field& field : payload_) {
                std::memcpy(to, field.at, field.bytes);
                to += field.bytes;
            }
        }
        return valid_ && ready_;
    }
    void forget() { waiting_ = false; }

private:
    void hold(int64_t now) const {
        if (!valid_) refuse(channel_, "valid fell in cycle ", now, " before ", channel_, "ready was high");
        const uint8_t* was = held_.data();
        for (const Field& field : payload_) {
            if (std::memcmp(was, field.at, field.bytes) != 0) {
                refuse(field.name, " changed in cycle ", now, " while ", channel_, "valid waited for ", channel_, "ready");
            }
            was += field.bytes;
        }
    }
    std::string channel_;
    const uint8_t &valid_, &ready_;
    std::vector<Field> payload_;
    std::vector<uint8_t> held_;
    bool waiting_ = false;
};

enum Kind : uint32_t { kWrite = 0, kStart = 1, kRead = 2, kWaitIrq = 3, kWait = 4, kReset = 5 };

struct Op {
    uint32_t kind = 0;
    uint64_t a = 0, b = 0, c = 0;  // address, data, strobe; or a limit or a number of cycles
    int64_t lead = 0;              // cycles by which AW comes before W
};

struct Range {
    uint64_t from, to;
};

bool meets(const std::vector<Range>& ranges, uint64_t address, uint32_t bytes) {
    for (const Range& range : ranges) {
        if (address < range.to && range.from < address + bytes) return true;
    }
    return false;
}

// Bytes of a file in the memory, which can be read only.
struct Shown {
    uint64_t from, to;
    const uint8_t* bytes;
};

struct Setup {
    uint64_t offset = 0, size = 0, base = 0, latency = 1, num = 1, den = 1;
    bool random = false, record = false;
    uint64_t seed = 1, gap = 0;  // a random channel rests where 32 random bits are below gap
    std::vector<Range> bad_reads, bad_writes;
    std::vector<Shown> files;
    std::vector<Op> script;
};

struct Common {
    uint32_t id_bits = 0;
    uint64_t patience = 0;  // cycles that a register access may take
};

struct Trace {
    std::vector<uint64_t> cells;  // cycle, id
    bool on = false;
    void add(int64_t cycle, uint64_t id) {
        if (!on) return;
        cells.push_back(static_cast<uint64_t>(cycle));
        cells.push_back(id);
    }
};

struct Counts {
    uint64_t ar = 0, r = 0, aw = 0, w = 0, b = 0, decode_errors = 0, slave_errors = 0;
    std::vector<uint64_t> r_by_id;
    Trace ar_trace, r_trace, aw_trace, w_trace, b_trace;
};

// The slave at m_axi_*: a flat memory that answers in order.
class Memory {
public:
    Memory(const Ports& ports, const Setup& setup, const Common& common, uint8_t* bytes, uint64_t& noise)
        : setup_(setup), common_(common), memory_(bytes), noise_(noise), random_(setup.seed),
          ar_(ports, "m_axi_ar", {"id", "addr", "len", "size", "burst", "lock", "cache", "prot"}),
          aw_(ports, "m_axi_aw", {"id", "addr", "len", "size", "burst", "lock", "cache", "prot"}),
          w_(ports, "m_axi_w", {"data", "strb", "last"}),
          arid_(ports.field("m_axi_arid")), araddr_(ports.field("m_axi_araddr")), arlen_(ports.field("m_axi_arlen")),
          arsize_(ports.field("m_axi_arsize")), arburst_(ports.field("m_axi_arburst")),
          awid_(ports.field("m_axi_awid")), awaddr_(ports.field("m_axi_awaddr")), awlen_(ports.field("m_axi_awlen")),
          awsize_(ports.field("m_axi_awsize")), awburst_(ports.field("m_axi_awburst")),
          rid_(ports.field("m_axi_rid")), rdata_(ports.field("m_axi_rdata")), rresp_(ports.field("m_axi_rresp")),
          rlast_(ports.field("m_axi_rlast")), wdata_(ports.field("m_axi_wdata")), wstrb_(ports.field("m_axi_wstrb")),
          wlast_(ports.field("m_axi_wlast")), bid_(ports.field("m_axi_bid")), bresp_(ports.field("m_axi_bresp")),
          arready_(ports.bit("m_axi_arready")), rvalid_(ports.bit("m_axi_rvalid")), rready_(ports.bit("m_axi_rready")),
          awready_(ports.bit("m_axi_awready")), wready_(ports.bit("m_axi_wready")), bvalid_(ports.bit("m_axi_bvalid")),
          bready_(ports.bit("m_axi_bready")), beat_(rdata_.width / 8) {
        counts.r_by_id.resize(size_t(1) << rid_.width);
        for (Trace* trace : {&counts.ar_trace, &counts.r_trace, &counts.aw_trace, &counts.w_trace, &counts.b_trace}) {
            trace->on = setup.record;
        }
        while ((1u << log_beat_) < beat_) ++log_beat_;
        all_ = beat_ == kMostBytes ? ~uint64_t(0) : (uint64_t(1) << beat_) - 1;
    }

    Counts counts;

    // The inputs of cycle `now`; `slot` is whether the cycle is one in which a beat may move.
    void drive(int64_t now, bool slot) {
        const uint64_t word = draw(noise_);
        arready_ = open(true);
        awready_ = open(true);
        wready_ = open(slot);
        if (!r_held_ && !reads_.empty() && reads_.front().ready <= now && open(slot)) show_read();
        rvalid_ = r_held_;
        if (!r_held_) {
            rid_.put(word);
            rresp_.put(word >> 8);
            rlast_.put(word >> 10);
            put_noise();
        }
        if (!b_held_ && !answers_.empty() && answers_.front().ready <= now && open(true)) {
            b_held_ = true;
            bid_.put(answers_.front().id);
            bresp_.put(answers_.front().resp);
        }
        bvalid_ = b_held_;
        if (!b_held_) {
            bid_.put(word >> 16);
            bresp_.put(word >> 24);
        }
    }
    // Nothing is offered and nothing taken; all that is under way is forgotten.
    void drive_reset() {
        reads_.clear();
        writes_.clear();
        early_.clear();
        answers_.clear();
        r_held_ = b_held_ = false;
        early_since_last_ = 0;
        for (Offer* offer : {&ar_, &aw_, &w_}) offer->forget();
        arready_ = awready_ = wready_ = rvalid_ = bvalid_ = 0;
        const uint64_t word = draw(noise_);
        rid_.put(word);
        rresp_.put(word >> 8);
        rlast_.put(word >> 10);
        bid_.put(word >> 16);
        bresp_.put(word >> 24);
        put_noise();
    }
    // What the settled outputs of cycle `now` say.
    void sample(int64_t now) {
        if (ar_.taken(now)) {
            const Burst burst = accept("read", now, arid_, araddr_, arlen_, arsize_, arburst_);
            reads_.push_back(burst);
            ++counts.ar;
            counts.ar_trace.add(now, burst.id);
        }
        if (r_held_ && rready_) {
            Burst& burst = reads_.front();
            ++counts.r;
            ++counts.r_by_id[burst.id];
            counts.r_trace.add(now, burst.id);
            count_error(r_resp_);
            r_held_ = false;
            if (burst.done++ == burst.len) reads_.pop_front();
        }
        if (b_held_ && bready_) {
            ++counts.b;
            counts.b_trace.add(now, answers_.front().id);
            count_error(answers_.front().resp);
            b_held_ = false;
            answers_.pop_front();
        }
        if (aw_.taken(now)) {
            const Burst burst = accept("write", now, awid_, awaddr_, awlen_, awsize_, awburst_);
            writes_.push_back(burst);
            ++counts.aw;
            counts.aw_trace.add(now, burst.id);
            while (!early_.empty() && !writes_.empty()) {
                write(early_.front(), now);
                early_.pop_front();
            }
        }
        if (w_.taken(now)) take_write(now);
    }
    // Bursts that were accepted and not yet answered to the end.
    uint64_t outstanding() const { return reads_.size() + writes_.size() + answers_.size(); }

private:
    struct Burst {
        uint64_t address = 0, id = 0;
        uint32_t len = 0, done = 0;  // beats less 1; beats that moved
        int64_t accepted = 0, ready = 0;
        uint8_t resp = kOkay;
    };
    struct Beat {
        uint8_t data[kMostBytes];
        uint64_t strobe;
        bool last;
        int64_t cycle;
        size_t traced;  // index of its id in the trace
    };
    struct Answer {
        uint64_t id;
        uint8_t resp;
        int64_t ready;
    };

    bool open(bool regular) { return setup_.random ? (draw(random_) >> 32) >= setup_.gap : regular; }
    int64_t delay() {
        return setup_.random ? 1 + static_cast<int64_t>((draw(random_) >> 16) % (2 * setup_.latency - 1)) : setup_.latency;
    }
    void put_noise() {
        for (uint32_t at = 0; at < beat_; at += 8) {
            const uint64_t word = draw(noise_);
            std::memcpy(rdata_.at + at, &word, beat_ < 8 ? beat_ : 8);
        }
    }
    void count_error(uint8_t resp) {
        counts.decode_errors += resp == kDecodeError;
        counts.slave_errors += resp == kSlaveError;
    }
    // An address below the base wraps to one far above; beats do not straddle the ends.
    bool inside(uint64_t address) const { return address - setup_.base < setup_.size; }
    // Where the bytes of an address lie, in the memory or in a file; null where there are none.
    const uint8_t* readable(uint64_t address) const {
        if (inside(address)) return memory_ + (address - setup_.base);
        for (const Shown& file : setup_.files) {
            if (file.from <= address && address < file.to) return file.bytes + (address - file.from);
        }
        return nullptr;
    }

    Burst accept(const char* what, int64_t now, const Field& id, const Field& address, const Field& len, const Field& size,
                 const Field& burst) {
        Burst found;
        found.id = id.get();
        found.address = address.get();
        found.len = static_cast<uint32_t>(len.get());
        found.accepted = now;
        found.ready = now + delay();
        const auto bad = [&](const auto&... parts) {
            refuse("the ", what, " burst of cycle ", now, " (address ", hex(found.address), ", ", found.len + 1, " beats) ",
                   parts...);
        };
        if (found.id >> common_.id_bits) bad("has id ", found.id, ", more than ", common_.id_bits, " bits");
        if (burst.get() != 1) bad("must be INCR (1), not burst type ", burst.get());
        if (size.get() != log_beat_) bad("must have the size of the bus (", log_beat_, "), not ", size.get());
        if (found.address % beat_) bad("must start at a multiple of ", beat_, " bytes");
        if (found.address % kBoundary + uint64_t(found.len + 1) * beat_ > kBoundary) bad("crosses a boundary of 4 KB");
        return found;
    }
    void show_read() {
        const Burst& burst = reads_.front();
        const uint64_t address = burst.address + uint64_t(burst.done) * beat_;
        const uint8_t* from = readable(address);
        r_resp_ = !from ? kDecodeError : meets(setup_.bad_reads, address, beat_) ? kSlaveError : kOkay;
        if (r_resp_ == kOkay) std::memcpy(rdata_.at, from, beat_);
        else put_noise();
        rid_.put(burst.id);
        rresp_.put(r_resp_);
        rlast_.put(burst.done == burst.len);
        r_held_ = true;
    }
    void take_write(int64_t now) {
        Beat beat;
        std::memcpy(beat.data, wdata_.at, beat_);
        beat.strobe = wstrb_.get();
        beat.last = wlast_.get();
        beat.cycle = now;
        ++counts.w;
        counts.w_trace.add(now, kNever);
        beat.traced = counts.w_trace.cells.size() - 1;
        if (writes_.empty()) {
            if (++early_since_last_ > kMostBeats) {
                refuse("the W beat of cycle ", now, " is number ", early_since_last_, " without WLAST, more than ", kMostBeats);
            }
            if (beat.last) early_since_last_ = 0;
            early_.push_back(beat);
        } else {
            early_since_last_ = 0;
            write(beat, now);
        }
    }
    // The beat meets its burst in cycle `now`.
    void write(const Beat& beat, int64_t now) {
        Burst& burst = writes_.front();
        if (counts.w_trace.on) counts.w_trace.cells[beat.traced] = burst.id;
        const bool end = burst.done == burst.len;
        if (beat.last != end) {
            refuse("the W beat of cycle ", beat.cycle, ", number ", burst.done + 1, " of ", burst.len + 1, " of its burst, ",
                   end ? "must have WLAST" : "must not have WLAST");
        }
        const uint64_t address = burst.address + uint64_t(burst.done++) * beat_;
        if (!inside(address)) {
            if (!readable(address)) burst.resp = kDecodeError;
            else if (burst.resp == kOkay) burst.resp = kSlaveError;
        } else if (meets(setup_.bad_writes, address, beat_)) {
            if (burst.resp == kOkay) burst.resp = kSlaveError;
        } else {
            uint8_t* to = memory_ + (address - setup_.base);
            if (beat.strobe == all_) {
                std::memcpy(to, beat.data, beat_);
            } else {
                for (uint32_t byte = 0; byte < beat_; ++byte) {
                    if (beat.strobe >> byte & 1) to[byte] = beat.data[byte];
                }
            }
        }
        if (end) {
            answers_.push_back({burst.id, burst.resp, now + delay()});
            writes_.pop_front();
        }
    }

    const Setup& setup_;
    const Common& common_;
    uint8_t* memory_;
    uint64_t &noise_, random_;
    Offer ar_, aw_, w_;
    Field arid_, araddr_, arlen_, arsize_, arburst_, awid_, awaddr_, awlen_, awsize_, awburst_;
    Field rid_, rdata_, rresp_, rlast_, wdata_, wstrb_, wlast_, bid_, bresp_;
    uint8_t &arready_, &rvalid_, &rready_, &awready_, &wready_, &bvalid_, &bready_;
    uint32_t beat_, log_beat_ = 0;  // bytes of one beat
    uint64_t all_ = 0;              // strobe of a whole beat
    std::deque<Burst> reads_, writes_;
    std::deque<Beat> early_;  // W beats whose AW has not come
    std::deque<Answer> answers_;
    bool r_held_ = false, b_held_ = false;
    uint8_t r_resp_ = kOkay;
    uint32_t early_since_last_ = 0;
};

// The master at s_axi_*: one operation of the script after the other.
class Master {
public:
    Master(const Ports& ports, const std::vector<Op>& script, const Common& common, uint64_t& noise)
        : script_(script), common_(common), noise_(noise), awaddr_(ports.field("s_axi_awaddr")),
          awprot_(ports.field("s_axi_awprot")), wdata_(ports.field("s_axi_wdata")), wstrb_(ports.field("s_axi_wstrb")),
          bresp_(ports.field("s_axi_bresp")), araddr_(ports.field("s_axi_araddr")), arprot_(ports.field("s_axi_arprot")),
          rdata_(ports.field("s_axi_rdata")), rresp_(ports.field("s_axi_rresp")), awvalid_(ports.bit("s_axi_awvalid")),
          awready_(ports.bit("s_axi_awready")), wvalid_(ports.bit("s_axi_wvalid")), wready_(ports.bit("s_axi_wready")),
          bvalid_(ports.bit("s_axi_bvalid")), arvalid_(ports.bit("s_axi_arvalid")), arready_(ports.bit("s_axi_arready")),
          rvalid_(ports.bit("s_axi_rvalid")), irq_(ports.bit("irq")) {
        ports.bit("s_axi_bready") = 1;
        ports.bit("s_axi_rready") = 1;
    }

    std::vector<uint64_t> reads, responses, starts, irq_after, rises, ends;

    bool done() const { return at_ == script_.size(); }
    bool resetting() const { return !done() && script_[at_].kind == kReset; }
    // Whether the cycle may turn out to be that of the first start.
    bool starting() const { return starts.empty() && !done() && script_[at_].kind == kStart; }
    uint64_t cycles_in_reset() const { return spent_; }

    void drive() {
        const Op& op = script_[at_];
        const bool writing = op.kind == kWrite || op.kind == kStart;
        const int64_t spent = static_cast<int64_t>(spent_);
        awvalid_ = writing && !aw_done_ && spent >= -op.lead;
        wvalid_ = writing && !w_done_ && spent >= op.lead;
        arvalid_ = op.kind == kRead && !ar_done_;
        const uint64_t word = draw(noise_);
        const uint64_t other = draw(noise_);
        awaddr_.put(awvalid_ ? op.a : word);
        awprot_.put(awvalid_ ? 0 : word >> 12);
        wdata_.put(wvalid_ ? op.b : other);
        wstrb_.put(wvalid_ ? op.c : other >> 32);
        araddr_.put(arvalid_ ? op.a : word >> 32);
        arprot_.put(arvalid_ ? 0 : word >> 48);
    }
    // Returns whether the first start was accepted in this cycle.
    bool sample(int64_t now, const Memory& memory) {
        const Op& op = script_[at_];
        bool ends_here = false, first = false;
        ++spent_;
        if (op.kind == kReset) {
            while (irq_after.size() < starts.size()) irq_after.push_back(kNever);
            ends_here = spent_ == op.a;
        } else {
            if (irq_) {
                while (irq_after.size() < starts.size()) irq_after.push_back(now - starts[irq_after.size()]);
                if (!irq_before_) rises.push_back(now);
            }
            switch (op.kind) {
                case kWrite:
                case kStart: {
                    const bool accepted = aw_done_ && w_done_;
                    aw_done_ = aw_done_ || (awvalid_ && awready_);
                    w_done_ = w_done_ || (wvalid_ && wready_);
                    if (op.kind == kStart && !accepted && aw_done_ && w_done_) {
                        first = starts.empty();
                        starts.push_back(now);
                    }
                    if (bvalid_) {
                        if (!aw_done_ || !w_done_) refuse("s_axi_bvalid is high in cycle ", now, " before the write was accepted");
                        responses.push_back(bresp_.get());
                        ends_here = true;
                    }
                    break;
                }
                case kRead:
                    ar_done_ = ar_done_ || (arvalid_ && arready_);
                    if (rvalid_) {
                        if (!ar_done_) refuse("s_axi_rvalid is high in cycle ", now, " before the read was accepted");
                        reads.push_back(rdata_.get());
                        responses.push_back(rresp_.get());
                        ends_here = true;
                    }
                    break;
                case kWaitIrq: ends_here = irq_; break;
                case kWait: ends_here = spent_ == op.a; break;
            }
            const bool writing = op.kind == kWrite || op.kind == kStart;
            if (bvalid_ && !writing) refuse("s_axi_bvalid is high in cycle ", now, " and answers no write");
            if (rvalid_ && op.kind != kRead) refuse("s_axi_rvalid is high in cycle ", now, " and answers no read");
            if (!ends_here) lose_patience(op, now, memory);
        }
        irq_before_ = irq_;
        if (ends_here) {
            ends.push_back(now);
            ++at_;
            spent_ = 0;
            aw_done_ = w_done_ = ar_done_ = false;
        }
        return first;
    }

private:
    void lose_patience(const Op& op, int64_t now, const Memory& memory) const {
        if (op.kind == kWaitIrq && spent_ == op.a) {
            const Counts& got = memory.counts;
            const std::string since = starts.empty() ? "no start" : "start in cycle " + std::to_string(starts.back());
            refuse("operation ", at_, " waited ", op.a, " cycles for irq, until cycle ", now, " (", since, "; so far ", got.ar,
                   " read bursts, ", got.r, " R beats, ", got.aw, " write bursts, ", got.w, " W beats, ", got.b,
                   " B responses; ", memory.outstanding(), " bursts under way)");
        }
        if ((op.kind == kWrite || op.kind == kStart || op.kind == kRead) && spent_ == common_.patience) {
            refuse("operation ", at_, ", the ", op.kind == kRead ? "read of" : "write to", " register ", hex(op.a),
                   ", was not answered within ", common_.patience, " cycles, until cycle ", now);
        }
    }

    const std::vector<Op>& script_;
    const Common& common_;
    uint64_t& noise_;
    Field awaddr_, awprot_, wdata_, wstrb_, bresp_, araddr_, arprot_, rdata_, rresp_;
    uint8_t &awvalid_, &awready_, &wvalid_, &wready_, &bvalid_, &arvalid_, &arready_, &rvalid_, &irq_;
    size_t at_ = 0;
    uint64_t spent_ = 0;  // cycles of the present operation that are over
    bool aw_done_ = false, w_done_ = false, ar_done_ = false, irq_before_ = false;
};

// Cycle t, from the first start, is a slot where floor((t + 1) n / d) > floor(t n / d); before, t counts from cycle 0.
class Slots {
public:
    Slots(uint64_t num, uint64_t den) : num_(num), den_(den) {}
    bool next() {
        sum_ += num_;
        const bool slot = sum_ >= den_;
        if (slot) sum_ -= den_;
        return slot;
    }
    bool always() const { return num_ == den_; }
    // The cycle that is just over was t = 0.
    void start() { sum_ = num_ % den_; }

private:
    uint64_t num_, den_, sum_ = 0;
};

class Run {
public:
    Run(const Setup& setup, const Common& common, uint8_t* bytes)
        : model_(model_new()), ports_(model_), memory_(ports_, setup, common, bytes, noise_),
          master_(ports_, setup.script, common, noise_), slots_(setup.num, setup.den), clock_(ports_.bit("aclk")),
          resetn_(ports_.bit("aresetn")) {
        for (const char* name : {"m_axi_arvalid", "m_axi_awvalid", "m_axi_wvalid", "s_axi_bvalid", "s_axi_rvalid"}) {
            quiet_.push_back(ports_.field(name));
        }
    }
    ~Run() { model_delete(model_); }
    Run(const Run&) = delete;
    Run& operator=(const Run&) = delete;

    void go() {
        const auto begin = std::chrono::steady_clock::now();
        try {
            reset();
            for (; !master_.done(); ++now_) cycle();
        } catch (const Failure& failure) {
            failure_ = failure.what;
        }
        seconds_ = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
    }
    // Numbers, lengths of lists, lists; the order is that of bus.py.
    void report(std::FILE* file) const {
        const Counts& counts = memory_.counts;
        std::vector<uint64_t> text((failure_.size() + 7) / 8);
        if (!failure_.empty()) std::memcpy(text.data(), failure_.data(), failure_.size());
        uint64_t seconds;
        std::memcpy(&seconds, &seconds_, sizeof seconds);
        std::vector<uint64_t> out = {static_cast<uint64_t>(now_), seconds, counts.ar, counts.r, counts.aw, counts.w, counts.b,
                                     counts.decode_errors, counts.slave_errors, memory_.outstanding(), failure_.size()};
        const std::vector<const std::vector<uint64_t>*> lists = {
            &text, &master_.reads, &master_.responses, &master_.starts, &master_.irq_after, &master_.rises, &master_.ends,
            &counts.r_by_id, &counts.ar_trace.cells, &counts.r_trace.cells, &counts.aw_trace.cells, &counts.w_trace.cells,
            &counts.b_trace.cells};
        for (const auto* list : lists) out.push_back(list->size());
        for (const auto* list : lists) out.insert(out.end(), list->begin(), list->end());
        if (std::fwrite(out.data(), sizeof(uint64_t), out.size(), file) != out.size()) fail("cannot write results.bin");
    }

private:
    void settle() {
        clock_ = 0;
        model_eval(model_);
    }
    void tick() {
        clock_ = 1;
        model_eval(model_);
    }
    // One edge with aresetn low is enough for the design to fall silent.
    void check_quiet(int64_t now) const {
        for (const Field& valid : quiet_) {
            if (*valid.at) refuse(valid.name, " is high in cycle ", now, " although aresetn is low");
        }
    }
    void reset() {
        resetn_ = 0;
        for (int64_t cycle = -kInitialReset; cycle < 0; ++cycle) {
            memory_.drive_reset();
            settle();
            if (cycle > -kInitialReset) check_quiet(cycle);
            tick();
        }
    }
    void cycle() {
        const bool resetting = master_.resetting();
        // Whether t = 0 is a slot must be known before the start is seen to be accepted.
        const bool slot = slots_.next() && (!master_.starting() || slots_.always());
        resetn_ = !resetting;
        master_.drive();
        if (resetting) memory_.drive_reset();
        else memory_.drive(now_, slot);
        settle();
        if (!resetting) memory_.sample(now_);
        else if (master_.cycles_in_reset() > 0) check_quiet(now_);
        if (master_.sample(now_, memory_)) slots_.start();
        tick();
    }

    uint64_t noise_ = 0x9e3779b97f4a7c15;
    void* model_;
    Ports ports_;
    Memory memory_;
    Master master_;
    Slots slots_;
    uint8_t &clock_, &resetn_;
    std::vector<Field> quiet_;
    int64_t now_ = 0;
    double seconds_ = 0;
    std::string failure_;
};

// Files that memories show, by name; they stay mapped.
using Files = std::map<std::string, Mapped>;

void read_job(Common& common, std::vector<Setup>& runs, Files& files) {
    std::ifstream file("job.txt");
    std::string key;
    while (file >> key) {
        if (key == "id_bits") {
            file >> common.id_bits;
        } else if (key == "patience") {
            file >> common.patience;
        } else if (key == "run") {
            Setup run;
            file >> run.offset >> run.size >> run.base >> run.latency >> run.num >> run.den >> run.random >> run.seed >>
                run.gap >> run.record;
            runs.push_back(run);
        } else if (runs.empty()) {
            fail("no run before " + key);
        } else if (key == "op") {
            Op op;
            file >> op.kind >> op.a >> op.b >> op.c >> op.lead;
            runs.back().script.push_back(op);
        } else if (key == "bad_reads" || key == "bad_writes") {
            Range range{};
            file >> range.from >> range.to;
            (key == "bad_reads" ? runs.back().bad_reads : runs.back().bad_writes).push_back(range);
        } else if (key == "file") {
            Shown shown{};
            uint64_t offset;
            std::string name;
            file >> shown.from >> shown.to >> offset >> std::ws;
            std::getline(file, name);
            const auto [found, fresh] = files.try_emplace(name);
            if (fresh) found->second.open(name, false);
            shown.bytes = found->second.as<uint8_t>() + offset;
            runs.back().files.push_back(shown);
        } else {
            fail("unknown key " + key);
        }
        if (!file) fail("bad value of " + key);
    }
}

void work(Files& files) {
    Common common;
    std::vector<Setup> runs;
    read_job(common, runs, files);
    Mapped memory;
    memory.open("memory.bin", true);
    std::FILE* file = std::fopen("results.bin", "wb");
    if (!file) fail("cannot write results.bin");
    for (const Setup& setup : runs) {
        Run run(setup, common, memory.as<uint8_t>() + setup.offset);
        run.go();
        run.report(file);
    }
    if (std::fclose(file) != 0) fail("cannot write results.bin");
}

}  // namespace

int main(int count, char** arguments) {
    end_with_parent();
    Files files;
    if (count < 2 || std::string(arguments[1]) != "serve") {
        work(files);
        return 0;
    }
    for (std::string line; std::getline(std::cin, line);) {
        work(files);
        std::cout << "done" << std::endl;
    }
    return 0;
}
