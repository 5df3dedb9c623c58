/* @top@_driver.c: see @top@_driver.h. Written by hwgen @version@. */
#include "@top@_driver.h"

/* ------------------------------------------------------------------ geometry */

/* A stream: bits of a word, bits of its place in memory, words or beats of a ring's entry, entries of the ring. */
typedef struct {
  uint32_t bits, padded, words_per_entry, beats_per_entry, depth;
} geometry;

static const geometry streams[@TOP@_STREAMS] = {
@geometry@
};

static uint32_t divided(uint32_t value, uint32_t by) { return value / by + (value % by != 0); }

static uint64_t entries(int stream, uint32_t words) { return divided(words, streams[stream].words_per_entry); }

/* Bytes of a block of so many words. */
static uint64_t block_bytes(int stream, uint32_t words) {
  return entries(stream, words) * streams[stream].beats_per_entry * @TOP@_BUS_BYTES;
}

static uint32_t words_of(const @top@_job *job, int stream) {
  if (stream == @TOP@_CHANNELS)
    return 1;
  return stream == @TOP@_WEIGHT_SIDES || stream == @TOP@_ACT_SIDES ? job->k_groups : job->k_steps;
}

static int of_weights(int stream) {
  return stream == @TOP@_WEIGHTS || stream == @TOP@_WEIGHT_SIDES || stream == @TOP@_CHANNELS;
}

uint32_t @top@_sum_groups(const @top@_job *job) {
#if @TOP@_SUM_STEPS
  return divided(job->k_steps, @TOP@_SUM_STEPS);
#else
  (void)job;
  return 1;
#endif
}

static uint32_t results_of_block(const @top@_job *job) {
#if @TOP@_LANES
  (void)job;
  return @TOP@_RESULTS_PER_BLOCK;
#else
  return @top@_sum_groups(job);
#endif
}

int @top@_fits(const @top@_job *job, int stream) {
  uint32_t blocks = 1;
  if (streams[stream].bits == 0)
    return 1;
  if (of_weights(stream) == (int)(job->acts_stay != 0))
    blocks = of_weights(stream) ? job->n_blocks : job->m_blocks;
  return entries(stream, words_of(job, stream)) * blocks <= streams[stream].depth;
}

int @top@_plan(const @top@_layer *layer, @top@_job *job) {
  uint32_t limit = (uint32_t)((UINT64_C(1) << @TOP@_COUNT_BITS) - 1);
  int stream;
  if (layer->rows == 0 || layer->outputs == 0 || layer->k == 0)
    return -1;
  if (!@TOP@_ACT_PADDED && layer->k % @TOP@_STEP_K != 0)
    return -1;
  job->m_blocks = divided(layer->rows, @TOP@_M);
  job->n_blocks = divided(layer->outputs, @TOP@_N * @TOP@_OUTPUTS);
  job->k_steps = divided(layer->k, @TOP@_STEP_K);
  job->k_groups = @TOP@_GROUP_K == 0 ? 1 : divided(layer->k, @TOP@_GROUP_K + (@TOP@_GROUP_K == 0));
  job->acts_stay = 0;
  for (stream = 0; stream < @TOP@_STREAMS; stream++)
    job->address[stream] = 0;
  job->hold_weights = job->m_blocks > 1 && @top@_fits(job, @TOP@_WEIGHTS) && @top@_fits(job, @TOP@_WEIGHT_SIDES) &&
                      @top@_fits(job, @TOP@_CHANNELS);
  job->hold_acts = job->n_blocks > 1 && @top@_fits(job, @TOP@_ACTS) && @top@_fits(job, @TOP@_ACT_SIDES);
  return job->m_blocks > limit || job->n_blocks > limit || job->k_steps > limit || job->k_groups > limit ? -1 : 0;
}

uint64_t @top@_image_bytes(const @top@_job *job, int stream) {
  if (stream == @TOP@_RESULT) {
    uint64_t words = (uint64_t)job->m_blocks * job->n_blocks * results_of_block(job);
    uint64_t bytes = words * @TOP@_RESULT_BYTES;
    return (bytes + @TOP@_BUS_BYTES - 1) / @TOP@_BUS_BYTES * @TOP@_BUS_BYTES;
  }
  if (streams[stream].bits == 0)
    return 0;
  return block_bytes(stream, words_of(job, stream)) * (of_weights(stream) ? job->n_blocks : job->m_blocks);
}

uint64_t @top@_place(@top@_job *job, uint64_t base) {
  uint64_t at = (base + @TOP@_BUS_BYTES - 1) / @TOP@_BUS_BYTES * @TOP@_BUS_BYTES;
  int stream;
  for (stream = 0; stream < @TOP@_STREAMS; stream++) {
    uint64_t bytes = @top@_image_bytes(job, stream);
    job->address[stream] = bytes ? at : 0;
    at += bytes;
  }
  return at;
}

uint32_t @top@_act_codes(const @top@_layer *layer) { return divided(layer->k, @TOP@_ACT_ELEMENTS); }
uint32_t @top@_weight_codes(const @top@_layer *layer) { return divided(layer->k, @TOP@_WEIGHT_ELEMENTS); }

/* ------------------------------------------------------------------ bits */

/* Sets `bits` (at most 32) bits from bit `at` of bytes that are 0 there. */
static void put(uint8_t *bytes, uint64_t at, uint32_t bits, uint32_t value) {
  uint32_t done = 0;
  while (done < bits) {
    uint32_t shift = (uint32_t)((at + done) % 8), part = 8 - shift;
    if (part > bits - done)
      part = bits - done;
    bytes[(at + done) / 8] |= (uint8_t)(((value >> done) & ((1u << part) - 1)) << shift);
    done += part;
  }
}

static void cleared(volatile uint8_t *bytes, uint64_t count) {
  while (count--)
    *bytes++ = 0;
}

/* ------------------------------------------------------------------ operands */

/* Bits of the elements of a row or column of a step, from bit `at` of the word; codes are called by their place. */
typedef struct {
  const uint32_t *codes; /* of one row, or of the first of the outputs of a column */
  uint32_t rows;         /* that are there: outputs of the column, 0 for a row that lacks */
  uint32_t stride;       /* codes of a row */
  uint32_t first;        /* code of the row with which the step begins */
  uint32_t outputs;      /* of the column; 1 for activations */
  uint32_t padding;
} source;

static uint32_t code(const source *from, uint32_t place) {
  uint32_t row = place % from->outputs, column = from->first + place / from->outputs;
  if (row >= from->rows || column >= from->stride)
    return from->padding;
  return from->codes[(size_t)row * from->stride + column];
}

@pack_act_step@
@pack_weight_step@
void @top@_pack_acts(const @top@_layer *layer, const uint32_t *codes, uint8_t *image) {
  @top@_job job;
  uint32_t block, step, row;
  uint64_t size;
  if (@top@_plan(layer, &job) != 0)
    return;
  size = block_bytes(@TOP@_ACTS, job.k_steps);
  for (block = 0; block < job.m_blocks; block++) {
    uint8_t *bytes = image + block * size;
    cleared(bytes, size);
    for (step = 0; step < job.k_steps; step++)
      for (row = 0; row < @TOP@_M; row++) {
        uint64_t at = (uint64_t)step * streams[@TOP@_ACTS].padded + (uint64_t)row * @TOP@_ACT_ROW_BITS;
        uint32_t number = block * @TOP@_M + row;
#if @TOP@_ACTS_PREPACKED
        uint32_t bit;
        const uint32_t *words = codes + ((size_t)number * job.k_steps + step) * @TOP@_ACT_ROW_WORDS;
        for (bit = 0; number < layer->rows && bit < @TOP@_ACT_ROW_BITS; bit += 32)
          put(bytes, at + bit, @TOP@_ACT_ROW_BITS - bit < 32 ? @TOP@_ACT_ROW_BITS - bit : 32, words[bit / 32]);
#else
        source from;
        from.stride = @top@_act_codes(layer);
        from.codes = codes + (size_t)number * from.stride;
        from.rows = number < layer->rows;
        from.first = step * @TOP@_ACT_STEP_CODES;
        from.outputs = 1;
        from.padding = @TOP@_ACT_PADDING;
        pack_act_step(&from, bytes, at);
#endif
      }
  }
}

void @top@_pack_weights(const @top@_layer *layer, const uint32_t *codes, uint8_t *image) {
  @top@_job job;
  uint32_t block, step, column;
  uint64_t size;
  if (@top@_plan(layer, &job) != 0)
    return;
  size = block_bytes(@TOP@_WEIGHTS, job.k_steps);
  for (block = 0; block < job.n_blocks; block++) {
    uint8_t *bytes = image + block * size;
    cleared(bytes, size);
    for (step = 0; step < job.k_steps; step++)
      for (column = 0; column < @TOP@_N; column++) {
        uint64_t at = (uint64_t)step * streams[@TOP@_WEIGHTS].padded + (uint64_t)column * @TOP@_WEIGHT_COLUMN_BITS;
        uint32_t number = (block * @TOP@_N + column) * @TOP@_OUTPUTS;
        source from;
        from.stride = @top@_weight_codes(layer);
        from.codes = codes + (size_t)number * from.stride;
        from.rows = number < layer->outputs ? layer->outputs - number : 0;
        from.first = step * (@TOP@_WEIGHT_STEP_CODES / @TOP@_CODED_OUTPUTS);
        from.outputs = @TOP@_CODED_OUTPUTS;
        from.padding = @TOP@_WEIGHT_PADDING;
        pack_weight_step(&from, bytes, at);
      }
  }
}

/* ------------------------------------------------------------------ side information */

#if @TOP@_ACT_SIDE_FIELDS || @TOP@_WEIGHT_SIDE_FIELDS
static void pack_sides(int stream, uint32_t blocks, uint32_t groups, uint32_t rows, uint32_t height, uint32_t fields,
                       const uint32_t *bits, const uint32_t *const *sides, uint8_t *image) {
  uint64_t size = block_bytes(stream, groups);
  uint32_t block, group, field, row;
  for (block = 0; block < blocks; block++) {
    uint8_t *bytes = image + block * size;
    cleared(bytes, size);
    for (group = 0; group < groups; group++) {
      uint64_t at = (uint64_t)group * streams[stream].padded;
      for (field = 0; field < fields; field++)
        for (row = 0; row < height; row++) {
          uint32_t number = block * height + row;
          /* Rows that lack have what the first one has. */
          put(bytes, at, bits[field], sides[field][(size_t)(number < rows ? number : 0) * groups + group]);
          at += bits[field];
        }
    }
  }
}
#endif

void @top@_pack_act_sides(const @top@_layer *layer, const uint32_t *const *sides, uint8_t *image) {
#if @TOP@_ACT_SIDE_FIELDS
  static const uint32_t bits[@TOP@_ACT_SIDE_FIELDS] = {@act_side_bits@};
  @top@_job job;
  if (@top@_plan(layer, &job) == 0)
    pack_sides(@TOP@_ACT_SIDES, job.m_blocks, job.k_groups, layer->rows, @TOP@_M, @TOP@_ACT_SIDE_FIELDS, bits, sides,
               image);
#else
  (void)layer, (void)sides, (void)image;
#endif
}

void @top@_pack_weight_sides(const @top@_layer *layer, const uint32_t *const *sides, uint8_t *image) {
#if @TOP@_WEIGHT_SIDE_FIELDS
  static const uint32_t bits[@TOP@_WEIGHT_SIDE_FIELDS] = {@weight_side_bits@};
  @top@_job job;
  if (@top@_plan(layer, &job) == 0)
    pack_sides(@TOP@_WEIGHT_SIDES, job.n_blocks, job.k_groups, divided(layer->outputs, @TOP@_OUTPUTS), @TOP@_N,
               @TOP@_WEIGHT_SIDE_FIELDS, bits, sides, image);
#else
  (void)layer, (void)sides, (void)image;
#endif
}

#if @TOP@_CHANNEL_FIELDS
void @top@_pack_channels(const @top@_layer *layer, const uint32_t *const *fields, uint8_t *image) {
  static const uint32_t bits[@TOP@_CHANNEL_FIELDS] = {@channel_bits@};
  uint64_t block = block_bytes(@TOP@_CHANNELS, 1), byte;
  uint32_t output, field;
  for (byte = 0; byte < divided(layer->outputs, @TOP@_N) * block; byte++)
    image[byte] = 0;
  for (output = 0; output < layer->outputs; output++) {
    uint64_t at = output % @TOP@_N * (uint64_t)@TOP@_CHANNEL_BITS;
    for (field = 0; field < @TOP@_CHANNEL_FIELDS; field++) {
      put(image + output / @TOP@_N * block, at, bits[field], fields[field][output]);
      at += bits[field];
    }
  }
}
#endif

/* ------------------------------------------------------------------ results */

/* Up to 32 bits from bit `at`. */
static uint32_t get(const uint8_t *bytes, uint64_t at, uint32_t bits) {
  uint32_t value = 0, done = 0;
  while (done < bits) {
    uint32_t shift = (uint32_t)((at + done) % 8), part = 8 - shift;
    if (part > bits - done)
      part = bits - done;
    value |= (((uint32_t)bytes[(at + done) / 8] >> shift) & ((1u << part) - 1)) << done;
    done += part;
  }
  return value;
}

/* Where result `number` of a block lies. */
static const uint8_t *result(const @top@_job *job, const uint8_t *image, uint32_t m, uint32_t n, uint32_t number) {
  uint64_t block = job->acts_stay ? (uint64_t)m * job->n_blocks + n : (uint64_t)n * job->m_blocks + m;
  return image + (block * results_of_block(job) + number) * @TOP@_RESULT_BYTES;
}

#if @TOP@_LANES
void @top@_unpack_results(const @top@_layer *layer, const @top@_job *job, const uint8_t *image, uint32_t *y) {
  uint32_t row, output;
  for (row = 0; row < layer->rows; row++)
    for (output = 0; output < layer->outputs; output++) {
      uint32_t element = row % @TOP@_M * @TOP@_N + output % @TOP@_N;
      const uint8_t *word = result(job, image, row / @TOP@_M, output / @TOP@_N, element / @TOP@_LANES);
      y[(size_t)row * layer->outputs + output] =
          get(word, element % @TOP@_LANES * @TOP@_RESULT_STRIDE, @TOP@_RESULT_BITS);
    }
}
#else
void @top@_unpack_sums(const @top@_layer *layer, const @top@_job *job, const uint8_t *image, uint32_t *sums) {
  uint32_t columns = divided(layer->outputs, @TOP@_OUTPUTS), groups = @top@_sum_groups(job);
  uint32_t group, row, column, part, word;
  for (group = 0; group < groups; group++)
    for (row = 0; row < layer->rows; row++)
      for (column = 0; column < columns; column++)
        for (part = 0; part < @TOP@_SUMS; part++) {
          uint32_t element = (row % @TOP@_M * @TOP@_N + column % @TOP@_N) * @TOP@_SUMS + part;
          const uint8_t *from = result(job, image, row / @TOP@_M, column / @TOP@_N, group);
          uint64_t at = (uint64_t)element * @TOP@_SUM_STRIDE;
          for (word = 0; word < @TOP@_SUM_WORDS; word++) {
            uint32_t bits = @TOP@_SUM_STRIDE - 32 * word < 32 ? @TOP@_SUM_STRIDE - 32 * word : 32;
            uint32_t value = get(from, at + 32 * (uint64_t)word, bits);
            /* Narrow ones lie in 8 or 16 bits. */
            if (@TOP@_SUM_SIGNED && bits < 32 && value >> (bits - 1) != 0)
              value |= ~((1u << bits) - 1);
            *sums++ = value;
          }
        }
}

#if @TOP@_ROW_SUMS
void @top@_unpack_row_sums(const @top@_layer *layer, const @top@_job *job, const uint8_t *image, int32_t *rows) {
  uint32_t groups = @top@_sum_groups(job), group, row;
  for (group = 0; group < groups; group++)
    for (row = 0; row < layer->rows; row++) {
      uint64_t at = @TOP@_ROW_SUM_BIT + (uint64_t)(row % @TOP@_M) * @TOP@_ROW_SUM_STRIDE;
      uint32_t value = get(result(job, image, row / @TOP@_M, 0, group), at, @TOP@_ROW_SUM_STRIDE);
#if @TOP@_ROW_SUM_STRIDE < 32
      if (value >> (@TOP@_ROW_SUM_STRIDE - 1) != 0)
        value |= ~((1u << @TOP@_ROW_SUM_STRIDE) - 1);
#endif
      *rows++ = (int32_t)value;
    }
}
#endif
#endif

/* ------------------------------------------------------------------ registers */

@registers@

static uint32_t read(uintptr_t base, uint32_t offset) { return @top@_read32(base + offset); }
static void write(uintptr_t base, uint32_t offset, uint32_t value) { @top@_write32(base + offset, value); }

int @top@_probe(uintptr_t base) {
  return read(base, REG_ID) == @TOP@_ID && read(base, REG_DESIGN_HASH) == @TOP@_DESIGN_HASH ? 0 : -1;
}

void @top@_program(uintptr_t base, const @top@_job *job) {
  static const uint32_t low[@TOP@_STREAMS] = {REG_WEIGHTS_ADDR_LO, REG_WEIGHT_SIDES_ADDR_LO, REG_ACTS_ADDR_LO,
                                              REG_ACT_SIDES_ADDR_LO, REG_RESULT_ADDR_LO,
                                              REG_CHANNELS_ADDR_LO};
  int stream;
  for (stream = 0; stream < @TOP@_STREAMS; stream++) {
    write(base, low[stream], (uint32_t)job->address[stream]);
    write(base, low[stream] + 4, (uint32_t)(job->address[stream] >> 32));
  }
  write(base, REG_M_BLOCKS, job->m_blocks);
  write(base, REG_N_BLOCKS, job->n_blocks);
  write(base, REG_K_STEPS, job->k_steps);
  write(base, REG_K_GROUPS, job->k_groups);
  write(base, REG_JOB_FLAGS, (job->acts_stay ? 1u : 0u) | (job->hold_weights ? 2u : 0u) | (job->hold_acts ? 4u : 0u));
}

void @top@_start(uintptr_t base, int irq) { write(base, REG_CONTROL, irq ? 0x101u : 0x001u); }

uint32_t @top@_status(uintptr_t base) { return read(base, REG_STATUS); }
uint32_t @top@_error(uintptr_t base) { return read(base, REG_ERROR); }
void @top@_abort(uintptr_t base) { write(base, REG_CONTROL, 0x002u); }

uint32_t @top@_acknowledge(uintptr_t base) {
  uint32_t happened = read(base, REG_STATUS) & (@TOP@_DONE | @TOP@_FAILED);
  write(base, REG_STATUS, happened);
  return happened;
}

int @top@_wait(uintptr_t base, uint32_t reads) {
  uint32_t count = 0;
  while ((read(base, REG_STATUS) & (@TOP@_DONE | @TOP@_FAILED)) == 0)
    if (reads != 0 && ++count >= reads)
      return -1;
  return @top@_acknowledge(base) & @TOP@_FAILED ? (int)(read(base, REG_ERROR) & 0xffu) : 0;
}

static uint64_t read64(uintptr_t base, uint32_t offset) {
  /* Reading the low half keeps the high one. */
  uint64_t value = read(base, offset);
  return value | (uint64_t)read(base, offset + 4) << 32;
}

void @top@_read_counters(uintptr_t base, @top@_counters *counters) {
  counters->cycles = read64(base, REG_CYCLES_LO);
  counters->wait_weights = read64(base, REG_WAIT_WEIGHTS_LO);
  counters->wait_acts = read64(base, REG_WAIT_ACTS_LO);
  counters->wait_results = read64(base, REG_WAIT_RESULTS_LO);
  counters->jobs = read(base, REG_JOBS);
}
