// onepass convert: a checkpoint to a .onepass file, with a report, and on request the proof.
#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <cstdio>
#include <fstream>
#include <map>
#include <optional>

#include "engine/core/utf8.h"
#include "formats/json/json.h"
#include "formats/onepass/atomic_file.h"
#include "formats/onepass/writer.h"
#include "tools/cli/commands.h"
#include "tools/cli/common.h"
#include "tools/cli/quantise.h"
#include "tools/convert/convert.h"
#include "tools/convert/packed_import.h"
#include "tools/convert/token_effects.h"
#include "tools/convert/verify.h"
#include "tools/quantise/deviations.h"

namespace onepass::cli {

namespace {

const std::map<std::string, convert::WeightType> kWeightTypes = {{"f32", convert::WeightType::f32},
                                                                 {"f16", convert::WeightType::f16},
                                                                 {"int8", convert::WeightType::int8},
                                                                 {"int4", convert::WeightType::int4},
                                                                 {"source", convert::WeightType::source}};
const std::map<std::string, HeadKind> kHeadKinds = {{"single_label", HeadKind::single_label},
                                                    {"multi_label", HeadKind::multi_label},
                                                    {"regression", HeadKind::regression}};

const std::map<std::string, Pool> kPools = {
    {"last", Pool::last}, {"last_not_pad", Pool::last_not_pad}, {"first_pad_minus_1", Pool::first_pad_minus_1}};

std::vector<std::string> read_lines(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) fail("cannot convert", path, "the file cannot be opened");
  std::vector<std::string> lines;
  for (std::string line; std::getline(file, line);) {
    if (!line.empty() && line.back() == '\r') line.pop_back();
    lines.push_back(line);
  }
  while (!lines.empty() && lines.back().empty()) lines.pop_back();
  if (file.bad() || lines.empty())
    fail("cannot convert", path, file.bad() ? "reading failed" : "the file has no lines");
  return lines;
}

// Each line stands for a class: what is wrong with one is said with its number.
[[noreturn]] void fail_line(const std::string& path, size_t index, const std::string& why) {
  fail("cannot convert", path, "line " + std::to_string(index + 1) + ": " + why);
}

std::vector<std::string> read_labels(const std::string& path) {
  std::vector<std::string> labels = read_lines(path);
  std::map<std::string, size_t> seen;
  for (size_t i = 0; i < labels.size(); ++i) {
    if (!is_valid_name(labels[i])) fail_line(path, i, "a label is 1 to 255 bytes of UTF-8 without NUL");
    const auto [before, added] = seen.emplace(labels[i], i);
    if (!added) {
      fail_line(path, i,
                "the label '" + labels[i] + "' occurs twice, in line " + std::to_string(before->second + 1) + ", too");
    }
  }
  return labels;
}

std::optional<float> parse_float(const std::string& text) {
  float value = 0;
  const char* const end = text.data() + text.size();
  const auto [parsed, error] = std::from_chars(text.data(), end, value);
  if (error != std::errc() || parsed != end || !std::isfinite(value)) return std::nullopt;
  return value;
}

std::array<float, 2> parse_range(const std::string& text) {
  const size_t comma = text.find(',');
  if (comma != std::string::npos) {
    const auto low = parse_float(text.substr(0, comma)), high = parse_float(text.substr(comma + 1));
    if (low && high) return {*low, *high};
  }
  throw Misused{"--pad-range: '" + text + "' is not LO,HI"};
}

void read_trim(const ConvertOptions& o, convert::TrimRequest& trim) {
  trim.limit = o.max_vocabulary;
  if (o.trim_texts.ends_with(".ids")) {
    trim.ids = take(convert::read_ids(o.trim_texts), "cannot convert");
    return;
  }
  TextSource source({}, o.trim_texts);
  trim.corpus = source.next(SIZE_MAX);
  if (trim.corpus.empty()) fail("cannot convert", o.trim_texts, "the file has no texts");
}

// NAME=VALUE, where VALUE is JSON (true, 3, "x") or a text.
chat::Chat chat_of(const ConvertOptions& o) {
  chat::Chat chat;
  if (!o.system.empty()) chat.system = o.system;
  for (const std::string& variable : o.chat_variables) {
    const size_t equals = variable.find('=');
    if (equals == std::string::npos || equals == 0) throw Misused{"--chat-set: '" + variable + "' is not NAME=VALUE"};
    const std::string value = variable.substr(equals + 1);
    const auto json = parse_json(value, size_t{1} << 16, "--chat-set");
    if (!is_valid_utf8(value))
      throw Misused{"--chat-set: the value of " + variable.substr(0, equals) + " is not UTF-8"};
    chat.variables.emplace_back(variable.substr(0, equals), json.ok() ? *json : Json(value));
  }
  return chat;
}

convert::Options conversion_options(const ConvertOptions& o) {
  convert::Options out;
  out.source = o.source;
  out.tokenizer = o.tokenizer;
  out.head_from = o.head_from;
  const bool coded = out.source.extension() == ".gguf" || convert::is_packed(out.source);
  out.weights = kWeightTypes.at(!o.weights.empty() ? o.weights : coded ? "source" : "int8");
  out.group = o.group;
  out.model_id = o.name;
  out.model_version = o.version;
  if (!o.embeddings.empty()) out.embeddings = kWeightTypes.at(o.embeddings);
  if (!o.positions.empty()) out.positions = kWeightTypes.at(o.positions);
  if (!o.attention.empty()) out.attention = o.attention == "i8" ? AttentionType::i8 : AttentionType::f32;
  if (!o.pool.empty()) out.pool = kPools.at(o.pool);
  for (const std::string& kind : o.kinds) {
    const size_t equals = kind.find('=');
    const auto found = kHeadKinds.find(equals == std::string::npos ? kind : kind.substr(equals + 1));
    if (equals == std::string::npos || found == kHeadKinds.end()) {
      throw Misused{"--kind: '" + kind + "' is not NAME=single_label, NAME=multi_label or NAME=regression"};
    }
    out.kinds[kind.substr(0, equals)] = found->second;
  }
  for (const std::string& label : o.label_words) {
    const size_t equals = label.find('=');
    if (equals == std::string::npos || equals == 0 || equals + 1 == label.size()) {
      throw Misused{"--label: '" + label + "' is not NAME=WORD"};
    }
    const std::string name = label.substr(0, equals);
    auto& labels = out.label_words.labels;
    auto at = std::find_if(labels.begin(), labels.end(), [&](const convert::Label& l) { return l.name == name; });
    if (at == labels.end()) at = labels.insert(at, {name, {}});
    at->words.push_back(label.substr(equals + 1));
  }
  out.label_words.prompt = o.prompt;
  if (o.chat) out.chat = chat_of(o);
  out.store_prefix = o.store_prefix;
  out.label_words.content_free = o.content_free;
  if (!o.labels_file.empty()) out.labels = read_labels(o.labels_file);
  if (!o.thresholds_file.empty()) {
    const std::vector<std::string> lines = read_lines(o.thresholds_file);
    for (size_t i = 0; i < lines.size(); ++i) {
      const auto threshold = parse_float(lines[i]);
      if (!threshold) fail_line(o.thresholds_file, i, "'" + lines[i] + "' is not a number");
      if (!(*threshold >= 0 && *threshold <= 1)) fail_line(o.thresholds_file, i, "a threshold lies between 0 and 1");
      out.thresholds.push_back(*threshold);
    }
  }
  if (!o.range.empty()) out.range = parse_range(o.range);
  if (!o.trim_texts.empty()) read_trim(o, out.trim);
  return out;
}

void save_ids(const std::vector<uint32_t>& ids, const std::string& path) {
  const std::string text = convert::ids_text(ids);
  AtomicFile file;
  take(file.open(path), "cannot write the vocabulary");
  take(file.write(0, {reinterpret_cast<const uint8_t*>(text.data()), text.size()}), "cannot write the vocabulary");
  take(file.commit(), "cannot write the vocabulary");
}

// The order in which tokens are to stay: half of the room for the most frequent ones, then by what their splitting does
// to an int8 version of the model.
void rank_by_effect(convert::Options& options) {
  convert::Options whole = options, coarse = options;
  whole.weights = convert::WeightType::int8;
  whole.trim = {};
  std::vector<uint32_t> kept;
  coarse.trim.kept = &kept;
  coarse.trim.keep_half = true;
  const ModelContent model = take(convert::convert_folder(whole, nullptr), "cannot convert");
  const ModelContent trimmed = take(convert::convert_folder(coarse, nullptr), "cannot convert");
  Progress progress("effects", options.trim.corpus.size());
  options.trim.ids = kept;
  for (const uint32_t id : take(convert::tokens_by_effect(model, trimmed, kept, options.trim.corpus,
                                                          [&](size_t done) { progress.advance(done); }),
                                "cannot convert")) {
    options.trim.ids.push_back(id);
  }
}

void print_report(const ModelContent& content, const std::vector<std::string>& notes, const std::string& output) {
  std::printf("%s %s (%s)\n", content.metadata.model_id.c_str(), content.metadata.model_version.c_str(),
              content.metadata.family.c_str());
  for (const HeadContent& head : content.heads)
    std::printf("head %s: %zu classes\n", head.name.c_str(), head.labels.size());
  double bits = 0, parameters = 0;
  for (const TensorContent& t : content.tensors) {
    const double bytes = static_cast<double>(kernels::packed_bytes(t.layout, t.n, t.k));
    bits += 8 * bytes;
    parameters += static_cast<double>(t.n) * static_cast<double>(t.k);
    std::printf("  %-26s %-13s [%llu,%llu] %.3f bits%s%s\n", t.name.c_str(), kernels::layout_name(t.layout),
                static_cast<unsigned long long>(t.n), static_cast<unsigned long long>(t.k),
                8 * bytes / (static_cast<double>(t.n) * static_cast<double>(t.k)), t.origin.empty() ? "" : " from ",
                t.origin.c_str());
  }
  for (const std::string& note : notes) std::printf("note: %s\n", note.c_str());
  std::printf("%s\n%.0f parameters, %.3f bits per weight as stored\n", content.metadata.quantisation.c_str(),
              parameters, bits / parameters);
  std::ifstream file(output, std::ios::binary | std::ios::ate);
  std::printf("%s: %lld bytes\n", output.c_str(), static_cast<long long>(file.tellg()));
}

void verify(const ConvertOptions& o, convert::Options reference, const ModelContent& content) {
  reference.weights = convert::WeightType::f32;
  reference.embeddings = reference.positions = convert::WeightType::f32;
  reference.attention = AttentionType::f32;
  reference.trim = {};
  reference.adjust = {};
  const ModelContent f32 = take(convert::convert_folder(reference, nullptr), "cannot convert");
  TextSource source({}, o.verify_texts);
  const std::vector<std::string> texts = source.next(SIZE_MAX);
  if (texts.empty()) fail("cannot verify", o.verify_texts, "the file has no texts");
  Progress progress("verify", texts.size());
  const auto report =
      take(convert::compare(f32, content, texts, [&](size_t done) { progress.advance(done); }), "cannot verify");
  std::fputs(convert::report_text(report).c_str(), stdout);
  for (const auto& head : report.heads) {
    if (head.has_labels() && head.agreement < o.min_agreement) {
      char why[128];
      std::snprintf(
          why, sizeof why,
          "the same labels on %.3f %% of the texts, where --min-agreement asks for %.3f; use --weights f16 or f32",
          100 * head.agreement, 100 * o.min_agreement);
      fail("the conversion is not good enough", head.name, why);
    }
  }
}

}  // namespace

void run_convert(const ConvertOptions& o) {
  convert::Options options = conversion_options(o);
  std::vector<uint32_t> kept;
  if (o.trim_by == "effect" && !options.trim.corpus.empty()) rank_by_effect(options);
  options.trim.kept = &kept;
  QuantisationReport quantised;
  options.adjust = quantisation(o, options, quantised);
  std::vector<std::string> notes;
  ModelContent content = take(convert::convert_folder(options, &notes), "cannot convert");
  if (!o.max_drop) {
    for (std::string& line : quantise::deviations(options, content)) quantised.deviations.push_back(std::move(line));
  }
  for (const std::string& line : quantised.deviations) {
    if (o.strict) fail("not as asked for (--strict)", o.source, line);
    notes.push_back(line);
  }
  take(convert::add_self_tests(content), "cannot convert");
  // Proven before it is written: a conversion that fails its proof leaves no file.
  if (!o.verify_texts.empty()) verify(o, options, content);
  take(write_model(content, o.output), "cannot write the model");
  if (!o.save_vocabulary.empty()) save_ids(kept, o.save_vocabulary);
  print_report(content, notes, o.output);
  for (const std::string& line : quantised.lines) std::printf("%s\n", line.c_str());
}

}  // namespace onepass::cli
