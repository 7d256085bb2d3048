/* Onepass: one forward pass of a small transformer, on the device. The C API (C99).
 *
 * A model is immutable and may be used by any number of threads at a time; a session is used by one thread at a time
 * and owns every buffer of its passes. No function prints, exits, throws, or keeps a pointer to the caller's memory
 * beyond the call, unless it says so. Every struct that the caller fills begins with its own size, so that a program
 * built against an older header keeps working: set it by ONEPASS_INIT, then change fields. Options of a newer header
 * are taken where the fields that this library does not know are zero, and are `unsupported` elsewhere.
 *
 * Memory: strings that come from a model are pointer and length, not NUL-terminated, and live as long as the model.
 * Failures: a function that can fail returns a status, and fills *error where error is not NULL.
 */
#ifndef ONEPASS_ONEPASS_H
#define ONEPASS_ONEPASS_H

#include <stddef.h>
#include <stdint.h>

#define ONEPASS_ABI_VERSION 1

/* Zeroes a struct and sets its size: onepass_session_options o = ONEPASS_INIT(onepass_session_options); */
#if defined(__cplusplus)
template <class T>
constexpr T onepass_init() {
  T value{};
  value.struct_size = sizeof(T);
  return value;
}
#define ONEPASS_INIT(type) onepass_init<type>()
extern "C" {
#else
#define ONEPASS_INIT(type) ((type){.struct_size = sizeof(type)})
#endif

typedef struct onepass_model onepass_model;
typedef struct onepass_session onepass_session;

/* 0 is success. The numbers are stable; onepass_status_name gives the name, docs/errors.md the list. */
typedef uint32_t onepass_status;
#define ONEPASS_OK 0u

typedef struct onepass_string {
  const char* data;
  size_t size;
} onepass_string;

typedef struct onepass_error {
  size_t struct_size;
  onepass_status status;
  uint64_t offset;   /* byte offset in the input, UINT64_MAX where none is known */
  char where[96];    /* file, section, tensor or key */
  char message[256]; /* why, and what to do */
} onepass_error;

/* ---- Library ---- */

uint32_t onepass_abi_version(void);
const char* onepass_version(void); /* "0.1.0" */
const char* onepass_status_name(onepass_status status);

/* Instruction-set levels: "scalar", "avx2", "avxvnni", "avx512", "avx512vnni", "amx", "neon", "dotprod",
   "i8mm". */
const char* onepass_best_isa(void);
int onepass_isa_available(const char* isa);

/* ---- Model ---- */

typedef struct onepass_model_options {
  size_t struct_size;
  int copy;        /* 0: map the file, which must then not change while the model is open; 1: read it into memory */
  int skip_verify; /* 1: do not check hashes and scan weights (milliseconds); the rest is checked always */
  /* Where not NULL: the SHA-256 (root hash) that the file must have, 32 bytes. */
  const uint8_t* expected_hash;
} onepass_model_options;

/* options may be NULL. */
onepass_status onepass_model_open(const char* path, const onepass_model_options* options, onepass_model** model,
                                  onepass_error* error);
/* `data` is 64-byte aligned and outlives the model, unless options->copy is set. */
onepass_status onepass_model_open_memory(const void* data, size_t size, const onepass_model_options* options,
                                         onepass_model** model, onepass_error* error);
/* From a part of a file that is open, say an asset in an Android package: `length` bytes at `offset`, 0: to the end.
   The offset is a multiple of 64, unless options->copy is set. The descriptor and its position stay the caller's. */
onepass_status onepass_model_open_descriptor(int descriptor, uint64_t offset, uint64_t length,
                                             const onepass_model_options* options, onepass_model** model,
                                             onepass_error* error);
/* A handle more, to be closed like the first. */
onepass_status onepass_model_share(onepass_model* model);
/* The model is freed when all its handles, sessions and slots are closed. NULL is allowed. */
void onepass_model_close(onepass_model* model);

typedef struct onepass_model_info {
  size_t struct_size;
  onepass_string family, model_id, model_version, licence, source_hash, quantisation;
  uint8_t root_hash[32]; /* the model's identity */
  uint64_t file_size;
  uint32_t max_tokens;
  uint32_t head_count;
  uint32_t class_count; /* over all heads */
} onepass_model_info;
onepass_status onepass_model_get_info(const onepass_model* model, onepass_model_info* info);

typedef enum onepass_head_kind {
  ONEPASS_SINGLE_LABEL = 1,
  ONEPASS_MULTI_LABEL = 2,
  ONEPASS_REGRESSION = 3,
  ONEPASS_TOKEN_LABEL = 4 /* single_label for every token; every head of a model is of this kind, or none */
} onepass_head_kind;

typedef struct onepass_head_info {
  size_t struct_size;
  onepass_string name;
  onepass_head_kind kind;
  uint32_t class_count;
  uint32_t first_class; /* of this head among the class_count of the model: where its scores begin */
  float temperature;
  float range_low, range_high; /* regression */
} onepass_head_info;
onepass_status onepass_model_get_head(const onepass_model* model, uint32_t head, onepass_head_info* info);
/* Label of class c of a head, and the threshold of its score (0 where the head's kind has none). Empty when out of
 * range. */
onepass_string onepass_model_label(const onepass_model* model, uint32_t head, uint32_t c);
float onepass_model_threshold(const onepass_model* model, uint32_t head, uint32_t c);

/* Re-hashes the file and runs the self-test vectors that it carries on the level `isa` (NULL: the best). */
onepass_status onepass_model_verify(const onepass_model* model, const char* isa, onepass_error* error);

/* ---- Decisions: is this answer good enough, or should another model be asked? Nothing here sends anything. ---- */

typedef enum onepass_route {
  ONEPASS_ROUTE_LOCAL = 0,
  ONEPASS_ROUTE_CLOUD = 1,
  ONEPASS_ROUTE_LOCAL_UNCERTAIN = 2 /* the cloud would be asked, and cannot be */
} onepass_route;
const char* onepass_route_name(onepass_route route); /* "local", "cloud", "local_uncertain" */

/* Bits of onepass_verdict.reasons. */
#define ONEPASS_REASON_LOW_CONFIDENCE 1u
#define ONEPASS_REASON_NEGATION 2u
#define ONEPASS_REASON_SARCASM 4u
#define ONEPASS_REASON_TOO_LONG 8u
#define ONEPASS_REASON_OFFLINE 16u
#define ONEPASS_REASON_HIGH_STAKES 32u
/* The name of one bit, e.g. "low_confidence"; "" for anything else. */
const char* onepass_reason_name(uint32_t reason);

/* Rules, each of which sends a text to the cloud; all zero: everything stays local. Strings are lists with an entry a
   line, and need to live for the call alone. docs/confidence.md says what each rule looks at. */
typedef struct onepass_policy {
  size_t struct_size;
  float min_confidence;              /* low_confidence below it */
  float abstain_below;               /* a confidence below it is no answer: verdict.abstained */
  uint32_t max_tokens;               /* too_long above it; 0: any length */
  int negation_and_sarcasm;          /* 1: a negation and a marker of sarcasm in one text are reasons */
  int offline;                       /* 1: the cloud cannot be asked now: local_uncertain in its place */
  int high_stakes;                   /* 1: every text goes to the cloud, offline or not */
  onepass_string high_stakes_labels; /* texts to which one of these labels applies go there, too */
  onepass_string negations;          /* data NULL: English ones */
  onepass_string sarcasm_markers;    /* data NULL: English ones */
} onepass_policy;

typedef struct onepass_verdict {
  onepass_route route;
  uint32_t reasons; /* ONEPASS_REASON_... */
  uint32_t abstained;
} onepass_verdict;

/* ---- Session ---- */

/* Runs task(argument, i) for every i in [0, count), each once, and returns when all are done. */
typedef void (*onepass_executor_fn)(void* context, size_t count, void (*task)(void* argument, size_t index),
                                    void* argument);

typedef struct onepass_session_options {
  size_t struct_size;
  uint32_t threads; /* 0 or 1: the calling thread alone */
  const char* isa;  /* NULL: the best that the machine has; else exactly this one */
  /* NULL: the library's own threads (OpenMP, where it was built with it). */
  onepass_executor_fn executor;
  void* executor_context;
  uint32_t tokens_per_pass; /* 0: 1024. More is faster for many texts, and costs memory. */
} onepass_session_options;

/* options may be NULL. The session keeps the model from being freed. */
onepass_status onepass_session_open(const onepass_model* model, const onepass_session_options* options,
                                    onepass_session** session, onepass_error* error);
void onepass_session_close(onepass_session* session);
const char* onepass_session_isa(const onepass_session* session);

/* Bytes that the model and one session of these options take at most: the file, mapped or copied, and the buffers of a
   pass. 0 where an argument is wrong. */
uint64_t onepass_model_memory(const onepass_model* model, const onepass_session_options* options);
/* The first of `count` files whose onepass_model_memory is at most `memory`, so that a small device falls back to a
   smaller model: *chosen (may be NULL) is its number. limit_exceeded where none fits; a file that cannot be opened is
   an error, never passed over. */
onepass_status onepass_model_open_first(const char* const* paths, size_t count, uint64_t memory,
                                        const onepass_session_options* session_options,
                                        const onepass_model_options* options, onepass_model** model, size_t* chosen,
                                        onepass_error* error);

/* What the app knows of battery and heat; the library reads no sensor. The results are the same to the bit. */
typedef enum onepass_power {
  ONEPASS_POWER_NORMAL = 0,
  ONEPASS_POWER_LOW = 1,     /* half the threads, and other work goes first between layers */
  ONEPASS_POWER_CRITICAL = 2 /* one thread, likewise */
} onepass_power;

/* All that a session tells of a call. */
typedef struct onepass_metrics {
  size_t struct_size;
  onepass_status status;
  uint64_t texts;
  uint64_t tokens; /* read */
  uint64_t nanoseconds;
  onepass_string model_id, model_version;
  uint64_t routes[3]; /* texts by onepass_route, where the call had a policy */
} onepass_metrics;
typedef void (*onepass_metrics_fn)(void* context, const onepass_metrics* metrics);

/* Holds for all calls of a session that follow, until it is replaced. */
typedef struct onepass_control {
  size_t struct_size;
  /* Where not NULL: a number that outlives the calls. Once another thread sets it by onepass_cancel, the call ends with
     `cancelled` before its next layer, and so do the following ones until it is 0 again. */
  const uint32_t* cancel;
  uint32_t timeout_ms; /* 0: none. A call that takes longer ends with deadline_exceeded before its next layer. */
  onepass_power power;
  onepass_metrics_fn metrics; /* called on the calling thread at the end of each call; must not use the session */
  void* metrics_context;
} onepass_control;
/* NULL: no control. Not while a call of the session runs. */
onepass_status onepass_session_control(onepass_session* session, const onepass_control* control, onepass_error* error);
/* Sets a flag of onepass_control, from any thread. */
void onepass_cancel(uint32_t* flag, uint32_t value);

typedef enum onepass_on_long {
  ONEPASS_LONG_TRUNCATE = 0, /* the first max_tokens tokens are read */
  ONEPASS_LONG_ERROR = 1,    /* text_too_long */
  ONEPASS_LONG_CHUNK = 2     /* read in overlapping chunks, cut at the ends of sentences or words */
} onepass_on_long;

/* How the logits of chunks become those of their text. Those of regression heads are always averaged. */
typedef enum onepass_chunk_aggregate {
  ONEPASS_CHUNKS_MEAN = 0, /* averaged, weighted by the chunks' tokens without the template's */
  ONEPASS_CHUNKS_MAX = 1   /* the highest of each label */
} onepass_chunk_aggregate;

#define ONEPASS_NO_OVERLAP UINT32_MAX

typedef struct onepass_classify_options {
  size_t struct_size;
  onepass_on_long on_long; /* what happens to a text of more than max_tokens tokens */
  uint32_t max_tokens;     /* 0: the model's */
  uint32_t overlap;        /* tokens that chunks share, at most a quarter of max_tokens; 0: an eighth of it */
  onepass_chunk_aggregate aggregate;
  /* Where not NULL: verdicts [count] becomes what it says of each text. */
  const onepass_policy* policy;
  onepass_verdict* verdicts;
} onepass_classify_options;

typedef struct onepass_result {
  uint32_t tokens;      /* read, the template's included; of all chunks together */
  uint32_t truncated;   /* 1: the text was longer */
  float confidence;     /* highest score of the first label head; 1 where there is none (docs/confidence.md) */
  uint32_t chunks;      /* parts that the text was read in */
  uint32_t text_tokens; /* of the whole text, the template's included, whether read or not */
  uint64_t bytes_read;  /* the tokens read lie in this many bytes from the text's beginning */
} onepass_result;

/* Classifies `count` texts, each any bytes. results [count]; scores [count * class_count]: probabilities of label
 * heads, values of regression heads, at onepass_head_info.first_class; logits likewise, or NULL. options may be NULL.
 */
onepass_status onepass_classify(onepass_session* session, const onepass_string* texts, size_t count,
                                const onepass_classify_options* options, onepass_result* results, float* scores,
                                float* logits, onepass_error* error);

typedef struct onepass_chunk {
  uint64_t begin, end; /* bytes of the text, which the model reads as if they were a text of their own */
  uint32_t tokens;     /* that the model is fed, the template's included */
  uint32_t new_tokens; /* of the text, that no chunk before had */
} onepass_chunk;

/* One text in chunks, whatever options->on_long says, and what each of them says: chunks [capacity], chunk_scores
 * [capacity * class_count] or NULL. *count becomes their number: buffer_too_small where it is above the capacity, and
 * result, scores [class_count] and as many chunks as there is room for are written nevertheless. */
onepass_status onepass_classify_chunks(onepass_session* session, onepass_string text,
                                       const onepass_classify_options* options, onepass_result* result, float* scores,
                                       onepass_chunk* chunks, float* chunk_scores, size_t capacity, size_t* count,
                                       onepass_error* error);

/* 1 where label c of the head applies, given all the scores of one text. */
int onepass_label_applies(const onepass_model* model, uint32_t head, uint32_t c, const float* scores);

/* Logits of texts given as token ids: text b is ids[starts[b] .. starts[b+1]). starts [count + 1]; logits
 * [count * class_count]. Not for models that label tokens. */
onepass_status onepass_run_ids(onepass_session* session, const uint32_t* ids, const uint32_t* starts, size_t count,
                               float* logits, onepass_error* error);

/* Scores and confidence of one text from its logits [class_count], as onepass_classify computes them. scores
 * [class_count]; confidence may be NULL. */
onepass_status onepass_scores(const onepass_model* model, const float* logits, float* scores, float* confidence);

typedef struct onepass_token {
  uint32_t id;
  uint32_t begin, end; /* bytes of the text; both 0 for the template's tokens */
} onepass_token;

/* The tokens of one text as onepass_classify feeds them. Writes at most `capacity` and sets *count to how many there
 * are: buffer_too_small when more. */
onepass_status onepass_tokenize(onepass_session* session, onepass_string text, const onepass_classify_options* options,
                                onepass_token* tokens, size_t capacity, size_t* count, onepass_error* error);
/* The piece of an id; empty when out of range. */
onepass_string onepass_piece(const onepass_model* model, uint32_t id);

/* ---- Labels of tokens: models whose heads are ONEPASS_TOKEN_LABEL. onepass_classify refuses them, and these functions
   all others. ---- */

/* The tokens of one text, as onepass_tokenize, with the scores of each: tokens [capacity]; scores and logits
 * [capacity * class_count], where label c of a head applies to token t by onepass_label_applies on scores +
 * t * class_count. Each of the three may be NULL. *count is how many tokens there are: buffer_too_small when more than
 * `capacity`, and then nothing is written; a model's max_tokens is always enough. result may be NULL; its confidence is
 * that of the token of the text that is least sure. */
onepass_status onepass_label_tokens(onepass_session* session, onepass_string text,
                                    const onepass_classify_options* options, onepass_result* result,
                                    onepass_token* tokens, float* scores, float* logits, size_t capacity, size_t* count,
                                    onepass_error* error);

/* What becomes one entity. Neighbours whose labels are the same but for "B-" and "I-" are one, unless the later has
 * "B-"; "O" is none. As transformers' TokenClassificationPipeline. */
typedef enum onepass_aggregation {
  ONEPASS_AGGREGATE_SIMPLE = 0,  /* of tokens */
  ONEPASS_AGGREGATE_FIRST = 1,   /* of words, each labelled by its first token */
  ONEPASS_AGGREGATE_AVERAGE = 2, /* of words, by the mean of its tokens' scores */
  ONEPASS_AGGREGATE_MAX = 3,     /* of words, by the token with the greatest score */
  ONEPASS_AGGREGATE_NONE = 4     /* nothing is put together: every token that is not "O" */
} onepass_aggregation;

typedef struct onepass_entity_options {
  size_t struct_size;
  onepass_on_long on_long; /* as onepass_classify_options */
  uint32_t max_tokens;
  onepass_aggregation aggregation;
  uint32_t head;
} onepass_entity_options;

typedef struct onepass_entity {
  onepass_string group; /* the label, without "B-" or "I-" unless nothing is put together; the model's memory */
  uint32_t label;       /* number of the label of the first part */
  float score;          /* mean over the parts */
  uint32_t begin, end;  /* bytes of the text */
} onepass_entity;

/* The entities of `count` texts: those of text b are entities[starts[b] .. starts[b+1]). starts [count + 1]; entities
 * [capacity]; results [count] or NULL. buffer_too_small when there are more, starts[count] of them; the first
 * `capacity` are then written. A text has at most as many entities as tokens. */
onepass_status onepass_find_entities(onepass_session* session, const onepass_string* texts, size_t count,
                                     const onepass_entity_options* options, onepass_result* results,
                                     onepass_entity* entities, size_t capacity, size_t* starts, onepass_error* error);

/* ---- Decisions on what was classified before ---- */

/* The route of a text, given what onepass_classify said of it: its result and its scores [class_count]. The scores may
   be NULL where the policy names no labels. */
onepass_status onepass_decide(const onepass_model* model, const onepass_policy* policy, onepass_string text,
                              const onepass_result* result, const float* scores, onepass_verdict* verdict,
                              onepass_error* error);

typedef struct onepass_divergence {
  size_t struct_size;
  float total_variation; /* label heads: 0 the same scores, 1 opposite ones */
  uint32_t label_flips;  /* single_label: 1 where the label differs; multi_label: labels that one alone gives */
  float distance;        /* regression: Euclidean distance between the values */
} onepass_divergence;

/* How far two answers of one head are apart, say of this model and of a larger one elsewhere: the scores of that head's
   classes, [class_count of the head] each, from 0 to 1 in label heads. No text is needed. */
onepass_status onepass_compare(const onepass_model* model, uint32_t head, const float* ours, const float* theirs,
                               onepass_divergence* divergence, onepass_error* error);

/* ---- Slot: a model that is replaced while threads use it. Every function may be called by any thread at any time, but
   for open and close. ---- */

typedef struct onepass_slot onepass_slot;

/* The slot takes a share of the model; the caller's handle stays the caller's. */
onepass_status onepass_slot_open(onepass_model* model, onepass_slot** slot, onepass_error* error);
void onepass_slot_close(onepass_slot* slot);
/* A handle of the current model, for the caller to close; *generation (may be NULL) is the slot's at that moment. */
onepass_model* onepass_slot_acquire(onepass_slot* slot, uint32_t* generation);
/* Changes with every publish and rollback: a thread whose session is of an older one opens a new one. */
uint32_t onepass_slot_generation(const onepass_slot* slot);
/* `model` becomes the current one. The one before is kept for onepass_slot_rollback until onepass_slot_commit or the
   next publish; then it is freed with the last session that uses it. */
onepass_status onepass_slot_publish(onepass_slot* slot, onepass_model* model, onepass_error* error);
onepass_status onepass_slot_rollback(onepass_slot* slot, onepass_error* error);
void onepass_slot_commit(onepass_slot* slot);

#if defined(__cplusplus)
}
#endif

#endif
