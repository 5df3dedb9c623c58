"""A small module that follows the stream protocol, with faults that an input chooses at run time."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from hwgen.simulators import Port, Slice, StreamProtocol, pack_words

# Sums a + b over a group that ends with i_last; a step takes two cycles. o_late shows the low 12 bits of the sum as
# three nibbles, 0, 1 and 3 cycles after o_valid.
VERILOG = """\
module accu(
    input clk, input rst, input i_valid, output i_ready, input i_last, input [69:0] i_a, input [39:0] i_b,
    input [3:0] fault, output o_valid, output [99:0] o_sum, output [11:0] o_late
);
    reg phase = 0, done = 0, done_1 = 0, begun = 0;
    reg [69:0] early = 0;
    reg [99:0] sum = 0, shown = 0, shown_1 = 0;
    reg [11:0] late_1 = 0, late_2 = 0, late_3 = 0;
    wire taken = i_valid & i_ready;
    wire [99:0] a = fault == 8 ? early : i_a;
    wire [99:0] next = sum + a + i_b + (fault == 1);
    assign i_ready = phase & (fault != 7);
    assign o_valid = fault == 2 ? 1'b0 : fault == 3 ? done | done_1 : fault == 4 ? done_1
        : fault == 9 ? done | ~begun : done;
    assign o_sum = fault == 4 ? shown_1 : shown;
    wire [11:0] late = fault == 4 ? shown_1[11:0] : shown[11:0];
    assign o_late = {late_3[11:9], late_3[8] ^ (fault == 6), late_1[7:4], late[3:0]};
    always @(posedge clk) begin
        late_1 <= late; late_2 <= late_1; late_3 <= late_2;
        done_1 <= done; shown_1 <= shown;
        done <= taken & i_last & ~rst;
        if (rst) begin phase <= 0; sum <= 0; begun <= 0; end
        else begin
            begun <= 1;
            if (i_valid) phase <= ~phase;
            if (i_valid & ~phase) early <= i_a;
            if (taken) begin
                if (i_last) shown <= next;
                sum <= i_last ? 0 : next;
            end
            else if (fault == 5 & ~i_valid & sum != 0) sum <= sum ^ i_b;
            if (fault == 10 & i_last & taken) $fatal(1, "no such step");
        end
    end
endmodule
"""

PORTS = (
    Port("clk", 1, "input"),
    Port("rst", 1, "input"),
    Port("i_valid", 1, "input"),
    Port("i_ready", 1, "output"),
    Port("i_last", 1, "input"),
    Port("i_a", 70, "input"),
    Port("i_b", 40, "input"),
    Port("fault", 4, "input"),
    Port("o_valid", 1, "output"),
    Port("o_sum", 100, "output"),
    Port("o_late", 12, "output"),
)
PROTOCOL = StreamProtocol(skew=(Slice("o_late", 4, 4, 1), Slice("o_late", 8, 4, 3)))


def stimulus(steps: int, group: int, seed: int = 0) -> dict[str, NDArray[np.uint32]]:
    """Random steps in groups of ``group``."""
    rng = np.random.default_rng(seed)
    wide = [[int.from_bytes(rng.bytes(9), "little") >> 2] for _ in range(steps)]
    return {
        "i_a": pack_words(np.array(wide, object), 70),
        "i_b": pack_words(rng.integers(0, 1 << 40, (steps, 1)), 40),
        "i_last": (np.arange(steps) % group == group - 1).astype(np.uint32)[:, None],
    }


def expected(inputs: dict[str, NDArray[np.uint32]]) -> dict[str, NDArray[np.uint32]]:
    """What the faultless module answers, by Python's integers."""
    sums, total = [], 0
    for a, b, last in zip(inputs["i_a"].tolist(), inputs["i_b"].tolist(), inputs["i_last"].tolist(), strict=True):
        total += sum(word << 32 * place for place, word in enumerate(a))
        total += sum(word << 32 * place for place, word in enumerate(b))
        if last[0]:
            sums.append(total % (1 << 100))
            total = 0
    column = np.array([[value] for value in sums], object)
    return {"o_sum": pack_words(column, 100), "o_late": (column % 4096).astype(np.uint32)}
