// @top@_tb: self-checking bench of @top@, @about@.
// Run it where its two .hex files are:
//   $ iverilog -g2005 -s @top@_tb -o @top@_tb.vvp @top@.v @top@_sram.v @top@_tb.v && vvp -n @top@_tb.vvp
//   $ verilator --binary --timing --timescale 1ns/1ps --top-module @top@_tb @top@.v @top@_sram.v @top@_tb.v && ./obj_dir/V@top@_tb
// It prints one line that begins with PASS or FAIL; the exit status is 0 for both.

module @top@_tb;
  localparam BUS = @bus@;          // bits of a beat
  localparam ADDRESS = @address@;  // bits of an address
  localparam WORDS = @words@;      // beats of the memory
  localparam RESULTS = @results@;  // beats of the expected results of all jobs
  localparam LIMIT = @limit@;      // cycles after which it gives up

  reg aclk, aresetn;
@declarations@
  @top@ dut (
@connections@
  );

  reg [BUS-1:0] memory [0:WORDS-1];
  reg [BUS-1:0] expected [0:RESULTS-1];
  reg stopped;
  integer cycle;

  always #5 aclk = ~aclk;

  task fail;
    if (!stopped) begin
      stopped = 1;
      $finish;
    end
  endtask

  always @(posedge aclk) begin
    cycle <= cycle + 1;
    if (cycle == LIMIT && !stopped) begin
      $display("FAIL: @top@: not done after %0d cycles", cycle);
      fail;
    end
  end

  // ------------------------------------------------------------------ memory: in order, with wait states

  integer lane;
  reg [31:0] noise;
  reg [ADDRESS-1:0] ar_addr [0:7];
  reg [7:0] ar_len [0:7];
  reg [1:0] ar_id [0:7];
  reg [ADDRESS-1:0] aw_addr [0:7];
  reg [7:0] aw_len [0:7];
  reg [1:0] aw_id [0:7];
  reg [2:0] ar_in, ar_out, aw_in, aw_out;
  reg [7:0] r_beat, w_beat;
  wire [2:0] ar_next = ar_in + 3'd1, aw_next = aw_in + 3'd1;
  wire [ADDRESS-1:0] r_index = (ar_addr[ar_out] / (BUS / 8)) + r_beat;
  wire [ADDRESS-1:0] w_index = (aw_addr[aw_out] / (BUS / 8)) + w_beat;

  assign m_axi_arready = ar_next != ar_out && noise[3];
  assign m_axi_awready = aw_next != aw_out && noise[5];
  // A beat is taken once its address is there, and no faster than it can be answered.
  assign m_axi_wready = aw_in != aw_out && !m_axi_bvalid && noise[8:7] != 2'd0;

  always @(posedge aclk)
    if (!aresetn) begin
      noise <= 32'h2b5a0d31;
      {ar_in, ar_out, aw_in, aw_out} <= 12'd0;
      {r_beat, w_beat} <= 16'd0;
      m_axi_rvalid <= 1'b0;
      m_axi_bvalid <= 1'b0;
      m_axi_rresp <= 2'd0;
      m_axi_bresp <= 2'd0;
    end else begin
      noise <= {noise[30:0], noise[31] ^ noise[21] ^ noise[1] ^ noise[0]};
      if (m_axi_arvalid && m_axi_arready) begin
        ar_addr[ar_in] <= m_axi_araddr;
        ar_len[ar_in] <= m_axi_arlen;
        ar_id[ar_in] <= m_axi_arid;
        ar_in <= ar_next;
      end
      if (!m_axi_rvalid || m_axi_rready) begin
        m_axi_rvalid <= 1'b0;
        if (ar_in != ar_out && noise[11:10] != 2'd0) begin
          if (r_index >= WORDS && !stopped) begin
            $display("FAIL: @top@: read at address %h, where no memory is", ar_addr[ar_out]);
            fail;
          end
          m_axi_rvalid <= 1'b1;
          m_axi_rdata <= memory[r_index];
          m_axi_rid <= ar_id[ar_out];
          m_axi_rlast <= r_beat == ar_len[ar_out];
          r_beat <= r_beat + 8'd1;
          if (r_beat == ar_len[ar_out]) begin
            r_beat <= 8'd0;
            ar_out <= ar_out + 3'd1;
          end
        end
      end
      if (m_axi_awvalid && m_axi_awready) begin
        aw_addr[aw_in] <= m_axi_awaddr;
        aw_len[aw_in] <= m_axi_awlen;
        aw_id[aw_in] <= m_axi_awid;
        aw_in <= aw_next;
      end
      if (m_axi_bready)
        m_axi_bvalid <= 1'b0;
      if (m_axi_wvalid && m_axi_wready) begin
        if ((w_index >= WORDS || m_axi_wlast !== (w_beat == aw_len[aw_out]) || @strobes@)
            && !stopped) begin
          $display("FAIL: @top@: beat %0d of the write at address %h: no memory there, or last or strobes are wrong",
                   w_beat, aw_addr[aw_out]);
          fail;
        end
        for (lane = 0; lane < BUS / 8; lane = lane + 1)
          if (m_axi_wstrb[lane])
            memory[w_index][8 * lane +: 8] <= m_axi_wdata[8 * lane +: 8];
        w_beat <= w_beat + 8'd1;
        if (w_beat == aw_len[aw_out]) begin
          w_beat <= 8'd0;
          aw_out <= aw_out + 3'd1;
          m_axi_bvalid <= 1'b1;
          m_axi_bid <= aw_id[aw_out];
        end
      end
    end

  // ------------------------------------------------------------------ registers

  // Inputs change on the falling edge; what happened at the rising edge before it is kept for it.
  reg aw_left, w_left, aw_taken, w_taken, ar_taken, b_seen, r_seen;
  reg [1:0] response;
  reg [31:0] got, value;

  always @(posedge aclk) begin
    aw_taken <= s_axi_awvalid && s_axi_awready;
    w_taken <= s_axi_wvalid && s_axi_wready;
    ar_taken <= s_axi_arvalid && s_axi_arready;
    b_seen <= s_axi_bvalid === 1'b1;
    r_seen <= s_axi_rvalid === 1'b1;
    response <= s_axi_bresp;
    got <= s_axi_rdata;
  end

  task write(input [11:0] address, input [31:0] data);
    begin
      s_axi_awaddr = address;
      s_axi_awvalid = 1'b1;
      s_axi_wdata = data;
      s_axi_wvalid = 1'b1;
      aw_left = 1;
      w_left = 1;
      while (aw_left || w_left) begin
        @(negedge aclk);
        if (aw_taken) begin
          s_axi_awvalid = 1'b0;
          aw_left = 0;
        end
        if (w_taken) begin
          s_axi_wvalid = 1'b0;
          w_left = 0;
        end
      end
      while (!b_seen)
        @(negedge aclk);
      if (response !== 2'd0 && !stopped) begin
        $display("FAIL: @top@: write of register %h: response %0d", address, response);
        fail;
      end
      @(negedge aclk);
    end
  endtask

  task read(input [11:0] address);
    begin
      s_axi_araddr = address;
      s_axi_arvalid = 1'b1;
      @(negedge aclk);
      while (!ar_taken)
        @(negedge aclk);
      s_axi_arvalid = 1'b0;
      while (!r_seen)
        @(negedge aclk);
      value = got;
      @(negedge aclk);
    end
  endtask

  task wanted(input [11:0] address, input [31:0] mask, input [31:0] data);
    begin
      read(address);
      if ((value & mask) !== data && !stopped) begin
        $display("FAIL: @top@: register %h: got %h, expected %h", address, value & mask, data);
        fail;
      end
    end
  endtask

  integer beat;

  task compare(input integer job, input integer at, input integer from, input integer count);
    for (beat = 0; beat < count; beat = beat + 1)
      if (memory[at + beat] !== expected[from + beat] && !stopped) begin
        $display("FAIL: @top@: job %0d, beat %0d of the results: got %h, expected %h", job, beat, memory[at + beat],
                 expected[from + beat]);
        fail;
      end
  endtask

  initial begin
    $readmemh("@top@_tb_memory.hex", memory);
    $readmemh("@top@_tb_expected.hex", expected);
    aclk = 0;
    aresetn = 0;
    cycle = 0;
    stopped = 0;
    {s_axi_awvalid, s_axi_wvalid, s_axi_arvalid} = 3'd0;
    {s_axi_awprot, s_axi_arprot} = 6'd0;
    s_axi_wstrb = 4'hf;
    {s_axi_bready, s_axi_rready} = 2'd3;
    repeat (4) @(negedge aclk);
    aresetn = 1'b1;
    @(negedge aclk);
@script@
    if (!stopped) begin
      $display("PASS: @top@: @jobs@ jobs, @results@ beats of results, %0d cycles", cycle);
      stopped = 1;
      $finish;
    end
  end
endmodule
