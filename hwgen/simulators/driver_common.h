// What the drivers have in common: how they end, files as arrays, and noise.
#pragma once
#include "driver.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#ifdef __linux__
#include <csignal>
#include <sys/prctl.h>
#endif

#include <cstdio>
#include <cstdlib>
#include <string>

static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "ports are copied as little-endian words");

[[noreturn]] inline void fail(const std::string& what) {
    std::fprintf(stderr, "driver: %s\n", what.c_str());
    std::exit(3);
}

// A simulation must not outlive whoever asked for it.
inline void end_with_parent() {
#ifdef __linux__
    prctl(PR_SET_PDEATHSIG, SIGKILL);
#endif
}

// A file as an array; absent and empty are the same.
class Mapped {
public:
    Mapped() = default;
    Mapped(const Mapped&) = delete;
    Mapped& operator=(const Mapped&) = delete;
    ~Mapped() {
        if (data_) munmap(data_, bytes_);
    }
    void open(const std::string& name, bool writable) {
        const int file = ::open(name.c_str(), writable ? O_RDWR : O_RDONLY);
        struct stat info;
        if (file < 0 || fstat(file, &info) != 0) fail("cannot open " + name);
        bytes_ = static_cast<size_t>(info.st_size);
        if (bytes_) {
            data_ = mmap(nullptr, bytes_, writable ? PROT_READ | PROT_WRITE : PROT_READ, MAP_SHARED, file, 0);
            if (data_ == MAP_FAILED) fail("cannot map " + name);
        }
        close(file);
    }
    template <class T>
    T* as() const {
        return static_cast<T*>(data_);
    }

private:
    void* data_ = nullptr;
    size_t bytes_ = 0;
};

// Bytes in which the model holds a port of so many bits.
inline uint32_t port_bytes(uint32_t width) {
    return width <= 8 ? 1 : width <= 16 ? 2 : width <= 32 ? 4 : width <= 64 ? 8 : 4 * ((width + 31) / 32);
}

// One step of xorshift64; the state is never 0.
inline uint64_t draw(uint64_t& state) {
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return state;
}
