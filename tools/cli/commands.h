// The commands: what each may be asked, and the function that does it. Their options are declared in
// tools/onepass.cpp, the one place that knows the command line.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "tools/cli/common.h"

namespace onepass::cli {

struct ConvertOptions {
  std::string source, output, weights, embeddings, positions, attention, pool, tokenizer, head_from;
  uint32_t group = 32;
  std::vector<std::string> kinds, label_words;
  std::string prompt, content_free, system;
  std::vector<std::string> chat_variables;
  bool chat = false;
  bool store_prefix = false;
  std::string labels_file, thresholds_file, range;
  std::string verify_texts;
  std::string calibration, quantiser, sensitivity, metric = "macro_f1", eval_split = "dev";
  uint32_t calibration_texts = 1024;
  std::vector<std::string> eval_data;
  std::optional<double> max_drop;
  double prune_heads = 0, prune_ffn = 0;
  bool smooth = false, strict = false;
  std::string trim_texts, trim_by = "frequency", save_vocabulary;
  size_t max_vocabulary = 0;
  std::string name, version;
  double min_agreement = 0;
};
void run_convert(const ConvertOptions& options);

struct InspectOptions {
  std::string model;
  bool json = false;
  bool verify = false;
  std::string isa;
};
void run_inspect(const InspectOptions& options);

struct ClassifyOptions {
  std::string model;
  std::vector<std::string> texts;
  std::string input;
  bool json = false;
  bool logits = false;
  bool ids = false;
  uint32_t batch = 64;
  uint32_t workers = 1;
  uint32_t max_tokens = 0;
  std::string on_long = "truncate";
  std::optional<uint32_t> overlap;
  std::string chunk_aggregate = "mean";
  bool chunk_scores = false;
  std::string policy;
  std::string aggregation = "simple";  // of models that label tokens
  SessionFlags session;
};
void run_classify(const ClassifyOptions& options);
// The part of run_classify for models that label tokens.
void run_entities(const ClassifyOptions& options, const Model& model, Session& session);

struct TokenizeOptions {
  std::string model;
  std::vector<std::string> texts;
  std::string input;
  bool json = false;
  SessionFlags session;
};
void run_tokenize(const TokenizeOptions& options);

struct EvalOptions {
  std::string model;
  std::string data;
  std::string format;
  std::string split = "test";
  std::string head;
  std::string policy, plot, reliability;
  bool json = false;
  SessionFlags session;
};
void run_eval(const EvalOptions& options);

}  // namespace onepass::cli
