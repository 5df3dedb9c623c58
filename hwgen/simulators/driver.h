// What the generated part of a simulator offers to driver.cpp. Nothing here depends on Verilator.
#pragma once
#include <cstdint>

struct PortInfo {
    const char* name;
    uint32_t width;  // bits
};

extern const PortInfo model_ports[];  // ends with a null name
void* model_new();
void model_delete(void* model);
void model_eval(void* model);
// Address of a port: 1, 2, 4 or 8 bytes up to 64 bits, above that 32-bit words, least significant first.
void* model_port(void* model, uint32_t index);
