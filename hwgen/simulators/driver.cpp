// Streams steps from files into a Verilated model and beats from it into files; Python is not in the loop.
//
// The working folder is the job: job.txt (one "key value..." a line), in<p>.bin, out<p>.bin, constants.bin, idle.bin,
// accept.bin, beat.bin, result.bin, p being the index of a port. All numbers in files are little-endian, as the host must be.
// With "record 1" one run fills out<p>.bin and beat.bin; with "record 0" they hold what is expected, and each set of
// constants is a run of its own, on a fresh model, that ends at its first difference.
// With "cuts n" (and "record 1") the steps are those of n parts, one after the other; cuts.bin holds for each the number
// of its steps and the cycle of its own in which a reset cuts it off (not the last). The next part is on offer in the cycle
// after that.

#include "driver_common.h"

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <map>
#include <string>
#include <vector>

namespace {

struct Port {
    uint32_t index = 0;
    uint32_t words = 0;     // 32-bit words in files
    uint32_t bytes = 0;     // bytes in the model
    uint32_t top_mask = 0;  // legal bits of the last word
    uint8_t* model = nullptr;
    Mapped file;

    explicit Port(uint32_t port) : index(port) {
        const uint32_t width = model_ports[port].width;
        words = (width + 31) / 32;
        bytes = port_bytes(width);
        top_mask = width % 32 ? (1u << width % 32) - 1 : ~0u;
    }
    void put(const uint32_t* from) { std::memcpy(model, from, bytes); }
    void put_junk(uint64_t& random) {
        for (uint32_t word = 0; word < words; ++word) {
            const uint32_t value = static_cast<uint32_t>(draw(random)) & (word + 1 == words ? top_mask : ~0u);
            std::memcpy(model + 4 * word, &value, std::min<uint32_t>(4, bytes - 4 * word));
        }
    }
    uint32_t word(uint32_t at) const {
        uint32_t value = 0;
        std::memcpy(&value, model + 4 * at, std::min<uint32_t>(4, bytes - 4 * at));
        return value;
    }
};

// The bits of one output port that are valid `delay` cycles after o_valid.
struct Sample {
    Port* port;
    uint32_t delay;
    bool whole = false;
    std::vector<std::pair<uint32_t, uint32_t>> masks;  // (word, bits)

    void record(uint64_t beat) const {
        uint32_t* to = port->file.as<uint32_t>() + beat * port->words;
        if (whole) {
            std::memcpy(to, port->model, port->bytes);
        } else {
            for (const auto& [word, mask] : masks) to[word] |= port->word(word) & mask;
        }
    }
    bool differs(uint64_t beat) const {
        const uint32_t* expected = port->file.as<uint32_t>() + beat * port->words;
        if (whole) return std::memcmp(expected, port->model, port->bytes) != 0;
        for (const auto& [word, mask] : masks) {
            if ((expected[word] ^ port->word(word)) & mask) return true;
        }
        return false;
    }
};

// Cycles between the reset and the first step: a beat in them is seen to be nobody's.
constexpr uint64_t kLead = 2;

enum Status : uint64_t { kOk = 0, kMissing = 1, kExtra = 2, kValue = 3, kCycle = 4 };

struct Result {
    uint64_t status = kOk;
    uint64_t accepted = 0;
    uint64_t beats = 0;
    uint64_t cycles = 0;     // first i_valid to last o_valid, inclusive
    uint64_t simulated = 0;  // all cycles after reset
    uint64_t first_bad = 0;  // beat, where status is not kOk
    double seconds = 0;
};

struct Job {
    uint64_t steps = 0, beats = 0, patience = 0, settle = 0, reset_cycles = 0, runs = 1, cuts = 0;
    bool record = true, timed = false, has_idle = false;
    uint64_t rst_level = 1;
    int64_t clk = -1, rst = -1, valid = -1, ready = -1, out_valid = -1;
    std::vector<Port*> inputs, outputs, constants;
    std::vector<Sample> samples;
    uint32_t max_delay = 0;
    Mapped idle, accept, beat, constant_words, cut;

    void read();
    Result run(uint64_t number);
};

void Job::read() {
    std::ifstream file("job.txt");
    std::string key;
    std::map<uint32_t, Port*> out;
    while (file >> key) {
        if (key == "input" || key == "output" || key == "constant") {
            uint32_t index;
            file >> index;
            Port* port = new Port(index);
            (key == "input" ? inputs : key == "output" ? outputs : constants).push_back(port);
            const std::string number = std::to_string(index) + ".bin";
            if (key == "input") port->file.open("in" + number, false);
            if (key == "output") port->file.open("out" + number, record);
            if (key == "output") out[index] = port;
        } else if (key == "sample") {  // port delay whole masks (word bits)...
            uint32_t index, delay, masks;
            bool whole;
            file >> index >> delay >> whole >> masks;
            Sample sample{out.at(index), delay, whole, {}};
            for (uint32_t mask = 0; mask < masks; ++mask) {
                uint32_t word, bits;
                file >> word >> bits;
                sample.masks.emplace_back(word, bits);
            }
            samples.push_back(sample);
            max_delay = std::max(max_delay, delay);
        } else {
            int64_t value;
            file >> value;
            if (key == "record") record = value;
            else if (key == "steps") steps = value;
            else if (key == "beats") beats = value;
            else if (key == "patience") patience = value;
            else if (key == "settle") settle = value;
            else if (key == "reset_cycles") reset_cycles = value;
            else if (key == "runs") runs = value;
            else if (key == "cuts") cuts = value;
            else if (key == "timed") timed = value;
            else if (key == "idle") has_idle = value;
            else if (key == "clk") clk = value;
            else if (key == "rst") rst = value;
            else if (key == "rst_level") rst_level = value;
            else if (key == "i_valid") valid = value;
            else if (key == "i_ready") ready = value;
            else if (key == "o_valid") out_valid = value;
            else fail("unknown key " + key);
        }
        if (!file) fail("bad value of " + key);
    }
    // Slices are found by delay, so a beat's first look is at delay 0.
    std::stable_sort(samples.begin(), samples.end(), [](const Sample& a, const Sample& b) { return a.delay < b.delay; });
    if (has_idle) idle.open("idle.bin", false);
    if (cuts) cut.open("cuts.bin", false);
    if (record) accept.open("accept.bin", true);
    if (record || timed) beat.open("beat.bin", record);
    if (!constants.empty()) constant_words.open("constants.bin", false);
}

Result Job::run(uint64_t number) {
    void* model = model_new();
    const auto bit = [&](int64_t port) -> uint8_t& { return *static_cast<uint8_t*>(model_port(model, port)); };
    uint8_t always = 1;
    uint8_t& clock = bit(clk);
    uint8_t& reset = bit(rst);
    uint8_t& i_valid = bit(valid);
    const uint8_t& i_ready = ready < 0 ? always : bit(ready);
    const uint8_t& o_valid = bit(out_valid);
    uint32_t words = 0;
    for (const auto* ports : {&inputs, &outputs, &constants}) {
        for (Port* port : *ports) port->model = static_cast<uint8_t*>(model_port(model, port->index));
    }
    for (const Port* port : constants) words += port->words;
    const uint32_t* constant = constant_words.as<uint32_t>() + number * words;
    for (Port* port : constants) {
        port->put(constant);
        constant += port->words;
    }
    uint64_t random = 0x9e3779b97f4a7c15;
    const auto junk = [&] {
        for (Port* port : inputs) port->put_junk(random);
    };

    const auto tick = [&] {
        clock = 1;
        model_eval(model);
    };
    const auto settle_inputs = [&] {
        clock = 0;
        model_eval(model);
    };
    i_valid = 0;
    reset = rst_level;
    junk();
    for (uint64_t cycle = 0; cycle < reset_cycles; ++cycle) {
        settle_inputs();
        tick();
    }
    reset = !rst_level;

    Result result;
    const auto start = std::chrono::steady_clock::now();
    const uint64_t never = ~uint64_t(0);
    std::vector<uint64_t> recent(max_delay + 1, never);  // beat that began in cycle t, at t % size
    const uint32_t* gaps = has_idle ? idle.as<uint32_t>() : nullptr;
    uint64_t gap = kLead + (gaps ? gaps[0] : 0);
    uint64_t first = never, quiet = 0, left = max_delay + settle;
    bool fresh = true;  // the ports do not hold step `accepted` yet
    const auto stop = [&](Status status, uint64_t bad) {
        result.status = status;
        result.first_bad = bad;
    };
    // Of the parts: which is on, where its steps end, in which cycle it is cut off.
    const uint64_t* parts = cut.as<uint64_t>();
    uint64_t part = 0, part_end = cuts ? parts[0] : steps, cut_at = cuts > 1 ? kLead + parts[1] : never;
    uint64_t now = 0;
    for (; result.status == kOk; ++now) {
        const bool offering = result.accepted < part_end && gap == 0;
        const bool cutting = now == cut_at;
        if (offering) {
            if (fresh) {
                for (Port* port : inputs) port->put(port->file.as<uint32_t>() + result.accepted * port->words);
                fresh = false;
            }
            if (first == never) first = now;
        } else {
            junk();
        }
        i_valid = offering;
        reset = cutting ? rst_level : !rst_level;
        settle_inputs();

        ++quiet;
        if (result.accepted < steps && gap) {
            --gap;
            quiet = 0;
        }
        uint64_t& begun = recent[now % recent.size()];
        begun = never;
        if (o_valid) {
            quiet = 0;
            if (first == never || result.beats == beats) {
                stop(kExtra, result.beats);
                break;
            }
            begun = result.beats++;
            result.cycles = now - first + 1;
            if (record) beat.as<uint64_t>()[begun] = now - first;
            else if (timed && beat.as<uint64_t>()[begun] != now - first) stop(kCycle, begun);
        }
        for (const Sample& sample : samples) {
            if (sample.delay > now) break;
            const uint64_t which = recent[(now - sample.delay) % recent.size()];
            if (which == never) continue;
            if (record) sample.record(which);
            else if (sample.differs(which)) {
                stop(kValue, which);
                break;
            }
        }
        if (cutting) {
            // What is under way comes no more; what was not taken is dropped.
            std::fill(recent.begin(), recent.end(), never);
            result.accepted = part_end;
            fresh = true;
            quiet = 0;
            ++part;
            part_end += part < cuts ? parts[2 * part] : 0;
            cut_at = part + 1 < cuts ? now + 1 + parts[2 * part + 1] : never;
        } else if (offering && i_ready) {
            if (record) accept.as<uint64_t>()[result.accepted] = now - first;
            ++result.accepted;
            fresh = true;
            quiet = 0;
            gap = gaps && result.accepted < steps ? gaps[result.accepted] : 0;
        }
        if (result.status != kOk) break;
        if (result.accepted == steps && (result.beats == beats || cuts) && cut_at == never) {
            if (left-- == 0) break;
        } else if (quiet > patience) {
            stop(kMissing, result.beats);
        }
        tick();
    }
    result.simulated = now + 1;
    result.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    model_delete(model);
    return result;
}

}  // namespace

int main() {
    end_with_parent();
    Job job;
    job.read();
    std::FILE* file = std::fopen("result.bin", "wb");
    if (!file) fail("cannot write result.bin");
    for (uint64_t number = 0; number < job.runs; ++number) {
        const Result result = job.run(number);
        if (std::fwrite(&result, sizeof result, 1, file) != 1) fail("cannot write result.bin");
    }
    if (std::fclose(file) != 0) fail("cannot write result.bin");
    return 0;
}
