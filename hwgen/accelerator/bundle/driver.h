/* @top@_driver.h: pack operands into images, run jobs, unpack results. Written by hwgen @version@, design hash @hash@.
 *
 * Freestanding C99: nothing but stdint.h and stddef.h. Images are bytes in memory that the accelerator reads through
 * m_axi_*, each from a multiple of @TOP@_BUS_BYTES; the caller sees to it that they have left the caches before
 * @top@_start, and that results are not read from stale lines after @top@_wait.
 *
 * Codes are the bits of the formats that the manifest names (tile.operands, but activations' `pre.source` where there
 * is a block before their ring), one in each uint32_t, row by row.
 */
#ifndef @TOP@_DRIVER_H
#define @TOP@_DRIVER_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* The design. Bits unless the name says otherwise. */
@defines@

/* Streams, as indices of images. */
enum { @TOP@_WEIGHTS, @TOP@_WEIGHT_SIDES, @TOP@_ACTS, @TOP@_ACT_SIDES, @TOP@_RESULT, @TOP@_CHANNELS, @TOP@_STREAMS };

/* Bits of STATUS. */
#define @TOP@_BUSY 0x001u
#define @TOP@_QUEUED 0x002u
#define @TOP@_DONE 0x100u
#define @TOP@_FAILED 0x200u

/* Y[rows, outputs] = X[rows, k] W[outputs, k]^T. */
typedef struct {
  uint32_t rows, outputs, k;
} @top@_layer;

/* A job as the registers hold it; `address` by stream, in bytes. */
typedef struct {
  uint32_t m_blocks, n_blocks, k_steps, k_groups;
  uint32_t acts_stay;                /* 0: weights stay, activations pass; 1: the other way round */
  uint32_t hold_weights, hold_acts;  /* read once and replayed: windows must fit their rings, see @top@_fits */
  uint64_t address[@TOP@_STREAMS];
} @top@_job;

typedef struct {
  uint64_t cycles, wait_weights, wait_acts, wait_results;
  uint32_t jobs;
} @top@_counters;

/* Registers at `base`. Define @TOP@_CUSTOM_MMIO and both functions before this header to reach them in another way. */
#ifndef @TOP@_CUSTOM_MMIO
static inline uint32_t @top@_read32(uintptr_t address) { return *(volatile const uint32_t *)address; }
static inline void @top@_write32(uintptr_t address, uint32_t value) { *(volatile uint32_t *)address = value; }
#endif

/* Counts of a layer, and what can be held; weights stay. Returns 0, or -1 where the layer does not fit: a size is 0, a
 * count has more than @TOP@_COUNT_BITS bits, or k leaves a part of a step although activations have no code for 0. */
int @top@_plan(const @top@_layer *layer, @top@_job *job);

/* Whether a window of `stream` fits its ring, with the job's order and counts; 1 for streams that the design lacks. */
int @top@_fits(const @top@_job *job, int stream);

/* Bytes of the image of a stream, or of the results; 0 for streams that the design lacks. */
uint64_t @top@_image_bytes(const @top@_job *job, int stream);

/* Puts all images one after the other from `base` and returns where the results end. */
uint64_t @top@_place(@top@_job *job, uint64_t base);

/* Elements of `codes` in a row: k / @TOP@_ACT_ELEMENTS (or @TOP@_WEIGHT_ELEMENTS), rounded up. */
uint32_t @top@_act_codes(const @top@_layer *layer);
uint32_t @top@_weight_codes(const @top@_layer *layer);

/* Images of codes [rows, @top@_act_codes] and [outputs, @top@_weight_codes].
 * With @TOP@_ACTS_PREPACKED activations are the tile's own words instead, as the block before the buffer makes them:
 * [rows, k_steps, @TOP@_ACT_ROW_WORDS], the row's part of a step, lowest bits first. */
void @top@_pack_acts(const @top@_layer *layer, const uint32_t *codes, uint8_t *image);
void @top@_pack_weights(const @top@_layer *layer, const uint32_t *codes, uint8_t *image);

/* Images of side information: one array [rows, k_groups] (or [outputs / @TOP@_OUTPUTS, k_groups]) for each field, in
 * this order: activations @act_sides@; weights @weight_sides@. */
void @top@_pack_act_sides(const @top@_layer *layer, const uint32_t *const *sides, uint8_t *image);
void @top@_pack_weight_sides(const @top@_layer *layer, const uint32_t *const *sides, uint8_t *image);

#if @TOP@_CHANNEL_FIELDS
/* Image of what each output channel has: one array [outputs] for each field, in this order: @channel_fields@. */
void @top@_pack_channels(const @top@_layer *layer, const uint32_t *const *fields, uint8_t *image);
#endif

/* Results of a job from memory.
 * With @TOP@_LANES: y [rows, outputs], @result_format@ of @TOP@_RESULT_BITS bits each, not extended by a sign.
 * Without: sums [groups, rows, columns, @TOP@_SUMS, @TOP@_SUM_WORDS], the words of a sum lowest first and extended by
 * its sign, groups = @top@_sum_groups, columns = outputs / @TOP@_OUTPUTS rounded up; and row sums [groups, rows] where
 * @TOP@_ROW_SUMS says that there are any. */
uint32_t @top@_sum_groups(const @top@_job *job);
#if @TOP@_LANES
void @top@_unpack_results(const @top@_layer *layer, const @top@_job *job, const uint8_t *image, uint32_t *y);
#else
void @top@_unpack_sums(const @top@_layer *layer, const @top@_job *job, const uint8_t *image, uint32_t *sums);
#if @TOP@_ROW_SUMS
void @top@_unpack_row_sums(const @top@_layer *layer, const @top@_job *job, const uint8_t *image, int32_t *rows);
#endif
#endif

/* 0 where this design is at `base`, -1 where something else is. */
int @top@_probe(uintptr_t base);

/* Writes a job's registers; they may be written while another job runs. */
void @top@_program(uintptr_t base, const @top@_job *job);

/* Starts the job that was programmed, or queues it behind the one that runs; with an interrupt at its end or without. */
void @top@_start(uintptr_t base, int irq);

/* Waits for the end of a job by reading STATUS at most `reads` times (0: without end) and acknowledges it. Returns 0,
 * the cause of an error (register ERROR), or -1 where the job was not over. */
int @top@_wait(uintptr_t base, uint32_t reads);

/* For an interrupt handler: acknowledges what happened and returns it (@TOP@_DONE, @TOP@_FAILED, or 0). */
uint32_t @top@_acknowledge(uintptr_t base);

uint32_t @top@_status(uintptr_t base);
uint32_t @top@_error(uintptr_t base);
void @top@_abort(uintptr_t base);
void @top@_read_counters(uintptr_t base, @top@_counters *counters);

#ifdef __cplusplus
}
#endif
#endif
