"""A small bus master that copies beats, with modes and faults that a register chooses at run time."""

from __future__ import annotations

from hwgen.simulators import Port
from hwgen.simulators.bus import bus_ports

# Registers: 0 start, 4 status (a write clears irq), 8 source, 12 target, 16 bursts, 20 beats of each less 1, 24 mode,
# 28 fault, 32 whether each bit of the payloads was seen 0 and seen 1 while its VALID was low. Started in cycle 0, it
# offers bursts from cycle 1 on both address channels, one a cycle, a beat on W from the cycle after it came on R, and
# irq from the cycle after the last B.
# Mode 1: RREADY and BREADY only in every third cycle from the reset. Mode 2: AW only after the W beats of its burst.
_VERILOG = """\
module copier(
    input aclk, input aresetn, output reg irq,
    input [11:0] s_axi_awaddr, input [2:0] s_axi_awprot, input s_axi_awvalid, output s_axi_awready,
    input [31:0] s_axi_wdata, input [3:0] s_axi_wstrb, input s_axi_wvalid, output s_axi_wready,
    output [1:0] s_axi_bresp, output reg s_axi_bvalid, input s_axi_bready,
    input [11:0] s_axi_araddr, input [2:0] s_axi_arprot, input s_axi_arvalid, output s_axi_arready,
    output reg [31:0] s_axi_rdata, output [1:0] s_axi_rresp, output reg s_axi_rvalid, input s_axi_rready,
    output [3:0] m_axi_arid, output [33:0] m_axi_araddr, output [7:0] m_axi_arlen, output [2:0] m_axi_arsize,
    output [1:0] m_axi_arburst, output m_axi_arlock, output [3:0] m_axi_arcache, output [2:0] m_axi_arprot,
    output m_axi_arvalid, input m_axi_arready,
    input [3:0] m_axi_rid, input [@D-1:0] m_axi_rdata, input [1:0] m_axi_rresp, input m_axi_rlast,
    input m_axi_rvalid, output m_axi_rready,
    output [1:0] m_axi_awid, output [33:0] m_axi_awaddr, output [7:0] m_axi_awlen, output [2:0] m_axi_awsize,
    output [1:0] m_axi_awburst, output m_axi_awvalid, input m_axi_awready,
    output [@D-1:0] m_axi_wdata, output [@D/8-1:0] m_axi_wstrb, output m_axi_wlast,
    output m_axi_wvalid, input m_axi_wready,
    input [1:0] m_axi_bid, input [1:0] m_axi_bresp, input m_axi_bvalid, output m_axi_bready
);
    localparam S = @S;
    reg [31:0] source, target, bursts, len, mode, fault;
    reg aw_have, w_have, busy;
    reg [11:0] address;
    reg [31:0] data;
    wire aw_now = aw_have | s_axi_awvalid & s_axi_awready;
    wire w_now = w_have | s_axi_wvalid & s_axi_wready;
    wire [11:0] address_now = aw_have ? address : s_axi_awaddr;
    wire [31:0] data_now = w_have ? data : s_axi_wdata;
    wire write = aw_now & w_now;
    assign s_axi_awready = ~aw_have & ~s_axi_bvalid;
    assign s_axi_wready = ~w_have & ~s_axi_bvalid;
    assign s_axi_bresp = 0;
    assign s_axi_arready = ~s_axi_rvalid;
    assign s_axi_rresp = 0;

    reg [@D-1:0] store [0:1023];
    reg [31:0] ar, aw, b, got, sent, place;
    reg [1:0] worst_r, worst_b;
    reg [1:0] third;
    reg odd, late;
    localparam P = 12 + 3 + 32 + 4 + 12 + 3 + 4 + @D + 2 + 1 + 2 + 2;
    reg [P-1:0] seen_0 = 0, seen_1 = 0;
    wire [P-1:0] payloads = {s_axi_awaddr, s_axi_awprot, s_axi_wdata, s_axi_wstrb, s_axi_araddr, s_axi_arprot,
        m_axi_rid, m_axi_rdata, m_axi_rresp, m_axi_rlast, m_axi_bid, m_axi_bresp};
    wire [P-1:0] idle = ~{{15{s_axi_awvalid}}, {36{s_axi_wvalid}}, {15{s_axi_arvalid}}, {(@D + 7){m_axi_rvalid}},
        {4{m_axi_bvalid}}};
    wire turn = mode[0] ? third == 2 : 1;
    wire [31:0] beats = bursts * (len + 1);
    assign m_axi_arvalid = (busy & ar < bursts & ~(fault == 1 & odd)) | fault == 19;
    assign m_axi_arid = fault == 13 ? 4 : ar[1:0];
    assign m_axi_araddr = {2'b0, source} + ar * (len + 1) * (@D / 8) + (odd & fault == 2 ? 4096 : 0);
    assign m_axi_arlen = len[7:0];
    assign m_axi_arsize = fault == 9 ? S - 1 : S;
    assign m_axi_arburst = fault == 8 ? 0 : 1;
    assign {m_axi_arlock, m_axi_arcache, m_axi_arprot} = 8'b0_0011_000;
    assign m_axi_rready = turn & busy;
    assign m_axi_awvalid = busy & aw < bursts & ~(mode[1] & sent < (aw + 1) * (len + 1)) & ~(fault == 3 & odd)
        & fault != 12;
    assign m_axi_awid = ~aw[1:0];
    assign m_axi_awaddr = {2'b0, target} + aw * (len + 1) * (@D / 8);
    assign m_axi_awlen = len[7:0] ^ (odd & fault == 4);
    assign m_axi_awsize = S;
    assign m_axi_awburst = 1;
    assign m_axi_wvalid = busy & sent < got & ~(fault == 5 & odd);
    assign m_axi_wdata = store[sent[9:0]] ^ (fault == 6 & odd);
    assign m_axi_wstrb = fault == 20 ? ~1 : ~0;
    assign m_axi_wlast = fault != 12 & (place == len ? fault != 11 : fault == 10 & place == 1);
    assign m_axi_bready = turn & busy;
    always @(posedge aclk) begin
        odd <= ~odd;
        seen_0 <= seen_0 | ~payloads & idle; seen_1 <= seen_1 | payloads & idle;
        late <= m_axi_rvalid & m_axi_rready;
        third <= third == 2 ? 0 : third + 1;
        if (s_axi_awvalid & s_axi_awready) begin address <= s_axi_awaddr; aw_have <= 1; end
        if (s_axi_wvalid & s_axi_wready) begin data <= s_axi_wdata; w_have <= 1; end
        if (s_axi_bvalid & s_axi_bready) s_axi_bvalid <= 0;
        if (s_axi_rvalid & s_axi_rready) s_axi_rvalid <= 0;
        if (s_axi_arvalid & s_axi_arready) begin
            s_axi_rvalid <= 1;
            case (s_axi_araddr)
                4: s_axi_rdata <= {26'b0, worst_b, worst_r, busy, irq};
                8: s_axi_rdata <= source;
                12: s_axi_rdata <= target;
                16: s_axi_rdata <= bursts;
                20: s_axi_rdata <= len;
                32: s_axi_rdata <= {30'b0, &seen_0, &seen_1};
                default: s_axi_rdata <= 32'hdead_beef;
            endcase
        end
        if (fault == 17) s_axi_bvalid <= 1;
        if (fault == 18) s_axi_rvalid <= 1;
        if (m_axi_arvalid & m_axi_arready) ar <= ar + 1;
        if (m_axi_awvalid & m_axi_awready) aw <= aw + 1;
        if (m_axi_rvalid & m_axi_rready) begin
            if (fault != 14) begin store[got[9:0]] <= m_axi_rdata; got <= got + 1; end
            if (m_axi_rresp > worst_r) worst_r <= m_axi_rresp;
        end
        if (fault == 14 & late) begin store[got[9:0]] <= m_axi_rdata; got <= got + 1; end
        if (m_axi_wvalid & m_axi_wready) begin sent <= sent + 1; place <= place == len ? 0 : place + 1; end
        if (m_axi_bvalid & m_axi_bready) begin
            b <= b + 1;
            if (m_axi_bresp > worst_b) worst_b <= m_axi_bresp;
            if (b + 1 == bursts) begin irq <= fault != 15; busy <= 0; end
        end
        if (write) begin
            aw_have <= 0; w_have <= 0;
            s_axi_bvalid <= fault != 16;
            case (address_now)
                0: begin
                    busy <= 1; ar <= 0; aw <= 0; b <= 0; got <= 0; sent <= 0; place <= 0; worst_r <= 0; worst_b <= 0;
                end
                4: irq <= 0;
                8: source <= data_now;
                12: target <= data_now;
                16: bursts <= data_now;
                20: len <= data_now;
                24: mode <= data_now;
                28: fault <= data_now;
                default: ;
            endcase
        end
        if (~aresetn) begin
            irq <= 0; busy <= 0; aw_have <= 0; w_have <= 0; s_axi_bvalid <= 0; s_axi_rvalid <= 0; third <= 0;
            seen_0 <= 0; seen_1 <= 0; mode <= 0; worst_r <= 0; worst_b <= 0;
            if (fault != 19) fault <= 0;
        end
    end
endmodule
"""


def verilog(data_bits: int) -> str:
    """The module with beats of ``data_bits``."""
    size = (data_bits // 8).bit_length() - 1
    return _VERILOG.replace("@D", str(data_bits)).replace("@S", str(size))


def ports(data_bits: int) -> list[Port]:
    """Its ports; it has no lock, cache and prot on AW."""
    absent = {"m_axi_awlock", "m_axi_awcache", "m_axi_awprot"}
    return [port for port in bus_ports(data_bits, 34, 4, 2) if port.name not in absent]
