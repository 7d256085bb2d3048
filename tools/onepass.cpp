// The onepass command: its command line. The work is in tools/cli.
#include <onepass/onepass.h>
#include <CLI/CLI.hpp>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <exception>
#include <memory>

#include "tools/cli/commands.h"

namespace onepass::cli {
namespace {

void add_session_flags(CLI::App& app, SessionFlags& flags) {
  app.add_option("--threads", flags.threads, "Threads of a pass")->check(CLI::Range(1, 1024))->capture_default_str();
  app.add_option(
      "--isa", flags.isa,
      "Instruction-set level: scalar avx2 avxvnni avx512 avx512vnni amx neon dotprod i8mm (default: the best that "
      "the machine has)");
  app.add_flag("--copy", flags.copy, "Read the model into memory instead of mapping it");
  app.add_flag("--skip-verify", flags.skip_verify, "Open without checking hashes");
}

// docs/quantisation.md says what each is worth.
void add_quantisation(CLI::App& command, ConvertOptions& options) {
  command.add_option(
      "--calibration", options.calibration,
      "Texts like those that the model will read, one a line (of a .tsv file the first column): codes are "
      "chosen by what they make of its products' inputs");
  command.add_option("--calibration-texts", options.calibration_texts, "Texts to take of them, spread evenly")
      ->check(CLI::Range(1, 1000000))
      ->capture_default_str();
  command
      .add_option("--quantiser", options.quantiser,
                  "With --calibration: gptq (the default; errors made up for by later inputs), awq (to the nearest, "
                  "inputs scaled), rtn (to the nearest)")
      ->check(CLI::IsMember({"rtn", "gptq", "awq"}));
  command.add_flag("--smooth", options.smooth,
                   "With --calibration: scale inputs of products against their outliers, where a norm precedes them");
  command
      .add_option("--prune-heads", options.prune_heads,
                  "With --calibration: take out this share of all heads, those that the texts miss least")
      ->check(CLI::Range(0.0, 0.95));
  command
      .add_option("--prune-ffn", options.prune_ffn,
                  "With --calibration: take out this share of all columns of feed-forward blocks likewise")
      ->check(CLI::Range(0.0, 0.95));
  command.add_option(
      "--sensitivity", options.sensitivity,
      "With --calibration: what quantising each tensor alone does to the logits, as a table, OUT.json and "
      "OUT.svg");
  command
      .add_option("--max-drop", options.max_drop,
                  "With --calibration and --eval-data: the smallest file whose metrics are at most this much lower "
                  "than those of f32")
      ->check(CLI::Range(0.0, 1.0));
  command.add_option("--eval-data", options.eval_data,
                     "[FORMAT:]FILE of labelled texts for --max-drop, formats as of eval; again for another head");
  command.add_option("--metric", options.metric, "For --max-drop, of labels; values have Pearson's r")
      ->check(CLI::IsMember({"macro_f1", "micro_f1", "macro_ap"}))
      ->capture_default_str();
  command.add_option("--eval-split", options.eval_split, "emobank: the rows to take")->capture_default_str();
  command.add_flag("--strict", options.strict, "Fail where anything is not as asked for, in place of a note");
}

void add_convert(CLI::App& app) {
  auto options = std::make_shared<ConvertOptions>();
  CLI::App* command = app.add_subcommand("convert", "A Hugging Face folder or a GGUF file to a .onepass file");
  command
      ->add_option("source", options->source,
                   "A folder with config.json, model.safetensors (or shards) and a tokenizer; or a .gguf file")
      ->required();
  command->add_option("-o,--output", options->output, "The file to write")->required();
  command
      ->add_option("--weights", options->weights,
                   "Type of the products' weights (default: int8; of a .gguf file or a GPTQ or AWQ checkpoint: source, "
                   "as it has "
                   "them)")
      ->check(CLI::IsMember({"f32", "f16", "int8", "int4", "source"}));
  command->add_option("--group", options->group, "Inputs that share a scale in int4 products")
      ->check(CLI::IsMember({32, 64}))
      ->capture_default_str();
  command->add_option("--embeddings", options->embeddings, "Type of the embedding tables (default: as the weights)")
      ->check(CLI::IsMember({"f32", "f16", "int8", "int4", "source"}));
  command
      ->add_option("--positions", options->positions,
                   "Type of the tables of positions and segments (default: as the embeddings)")
      ->check(CLI::IsMember({"f32", "f16", "int8", "int4", "source"}));
  command
      ->add_option("--attention", options->attention, "Numbers of attention (default: i8 with int8 and int4 weights)")
      ->check(CLI::IsMember({"f32", "i8"}));
  command
      ->add_option("--pool", options->pool, "Token that a decoder's head reads (default: the last that is no padding)")
      ->check(CLI::IsMember({"last", "last_not_pad", "first_pad_minus_1"}));
  command->add_option("--kind", options->kinds, "NAME=single_label|multi_label|regression: what a head's numbers mean");
  CLI::Option* label =
      command->add_option("--label", options->label_words,
                          "NAME=WORD: a label of a causal language model and a word for it, with the space before it; "
                          "again for more of both");
  CLI::Option* prompt = command->add_option("--template", options->prompt, "The prompt around a text, with {text}");
  label->needs(prompt);
  prompt->needs(label);
  CLI::Option* chat = command->add_flag("--chat", options->chat,
                                        "--template is what the user says: put it into the checkpoint's chat template");
  chat->needs(prompt);
  command->add_option("--system", options->system, "The system message of the chat")->needs(chat);
  command
      ->add_option("--chat-set", options->chat_variables,
                   "NAME=VALUE: a variable of the chat template, such as enable_thinking=false; again for more")
      ->needs(chat);
  command
      ->add_flag("--store-prefix", options->store_prefix,
                 "Store the keys and values of the prompt before a text, so that no session computes them")
      ->needs(prompt);
  command->add_option("--content-free", options->content_free, "A text that says nothing, to calibrate labels by")
      ->needs(label);
  command->add_option("--labels", options->labels_file, "Names of the labels, one a line in class order");
  command->add_option("--thresholds", options->thresholds_file,
                      "Thresholds of a multi_label head, one a line in class order");
  command->add_option("--pad-range", options->range, "LO,HI: range of the regression heads");
  command->add_option("--tokenizer", options->tokenizer, "Another folder for the tokenizer");
  command->add_option("--head-from", options->head_from, "A Hugging Face folder with the head that a .gguf file lacks");
  command->add_option("--name", options->name, "Model id to store");
  command->add_option("--model-version", options->version, "Model version to store");
  CLI::Option* trim = command->add_option("--trim-vocabulary", options->trim_texts,
                                          "Keep the tokens that these texts use, one a line, and what spells all "
                                          "others; of a name that ends in .ids: the tokens of that list");
  CLI::Option* most =
      command->add_option("--max-vocabulary", options->max_vocabulary, "With --trim-vocabulary: tokens to keep at most")
          ->check(CLI::PositiveNumber)
          ->needs(trim);
  command
      ->add_option("--trim-by", options->trim_by,
                   "With --max-vocabulary: which tokens stay, the most frequent ones, or half of them and those whose "
                   "splitting changes the answers most")
      ->check(CLI::IsMember({"frequency", "effect"}))
      ->capture_default_str()
      ->needs(most);
  command
      ->add_option("--save-vocabulary", options->save_vocabulary,
                   "With --trim-vocabulary: a .ids file for the list of what was kept")
      ->needs(trim);
  add_quantisation(*command, *options);
  CLI::Option* verify = command->add_option("--verify", options->verify_texts,
                                            "Compare with f32 on these texts, one a line, before writing");
  command->add_option("--min-agreement", options->min_agreement, "With --verify: fail below this share of equal labels")
      ->check(CLI::Range(0.0, 1.0))
      ->needs(verify);
  command->callback([options] { run_convert(*options); });
}

void add_inspect(CLI::App& app) {
  auto options = std::make_shared<InspectOptions>();
  CLI::App* command = app.add_subcommand("inspect", "What a model file holds");
  command->add_option("model", options->model, "A .onepass file")->required();
  command->add_flag("--json", options->json, "One JSON object");
  CLI::Option* verify = command->add_flag("--verify", options->verify, "Check every hash and run the stored self-test");
  command->add_option("--isa", options->isa, "Level of the self-test (default: the best that the machine has)")
      ->needs(verify);
  command->callback([options] { run_inspect(*options); });
}

void add_classify(CLI::App& app) {
  auto options = std::make_shared<ClassifyOptions>();
  CLI::App* command = app.add_subcommand("classify", "What texts express: labels, values and a confidence");
  command->add_option("-m,--model", options->model, "A .onepass file")->required();
  command->add_option("text", options->texts, "Texts");
  command->add_option(
      "-i,--input", options->input,
      "One text a line ('-': standard input), or JSON lines {\"text\": ...} where the name ends in .jsonl");
  CLI::Option* json = command->add_flag("--json", options->json, "One JSON object a text");
  command->add_flag("--logits", options->logits, "With --json: the logits too")->needs(json);
  command->add_flag("--ids", options->ids, "The input lines are space-separated token ids");
  command->add_option("--batch", options->batch, "Texts a call")->check(CLI::Range(1, 65536))->capture_default_str();
  command
      ->add_option("--workers", options->workers,
                   "Batches that are worked on side by side, each by a session of its own with --threads threads; "
                   "results keep the order of the input")
      ->check(CLI::Range(1, 256))
      ->capture_default_str();
  command->add_option("--max-tokens", options->max_tokens,
                      "Longest text, template tokens included (default: the model's)");
  command->add_option("--on-long", options->on_long, "What happens to a longer text")
      ->check(CLI::IsMember({"error", "truncate", "chunk"}))
      ->capture_default_str();
  command->add_option("--overlap", options->overlap,
                      "With --on-long chunk: tokens that chunks share, at most a quarter of --max-tokens "
                      "(default: an eighth)");
  command
      ->add_option("--chunk-aggregate", options->chunk_aggregate,
                   "With --on-long chunk: how the labels' logits become one")
      ->check(CLI::IsMember({"mean", "max"}))
      ->capture_default_str();
  command
      ->add_flag("--chunk-scores", options->chunk_scores,
                 "With --on-long chunk and --json: what every chunk says, and how much was read")
      ->needs(json);
  command->add_option("--policy", options->policy,
                      "JSON rules for which texts should be read elsewhere (docs/confidence.md)");
  command->add_option("--aggregation", options->aggregation, "What becomes one entity, of models that label tokens")
      ->check(CLI::IsMember({"simple", "first", "average", "max", "none"}))
      ->capture_default_str();
  add_session_flags(*command, options->session);
  command->callback([options] {
    if (options->texts.empty() == options->input.empty()) {
      throw CLI::ValidationError("classify", "give texts, or a file with -i");
    }
    if (options->on_long != "chunk" && (options->chunk_scores || options->overlap)) {
      throw CLI::ValidationError("classify", "--chunk-scores and --overlap need --on-long chunk");
    }
    run_classify(*options);
  });
}

void add_tokenize(CLI::App& app) {
  auto options = std::make_shared<TokenizeOptions>();
  CLI::App* command = app.add_subcommand("tokenize", "The token ids of texts, cut to the model's max_tokens");
  command->add_option("-m,--model", options->model, "A .onepass file")->required();
  command->add_option("text", options->texts, "Texts");
  command->add_option(
      "-i,--input", options->input,
      "One text a line ('-': standard input), or JSON lines {\"text\": ...} where the name ends in .jsonl");
  command->add_flag("--json", options->json, "Pieces and byte offsets too");
  add_session_flags(*command, options->session);
  command->callback([options] {
    if (options->texts.empty() == options->input.empty()) {
      throw CLI::ValidationError("tokenize", "give texts, or a file with -i");
    }
    run_tokenize(*options);
  });
}

void add_eval(CLI::App& app) {
  auto options = std::make_shared<EvalOptions>();
  CLI::App* command = app.add_subcommand("eval", "Task metrics of one head on labelled texts");
  command->add_option("-m,--model", options->model, "A .onepass file")->required();
  command->add_option("data", options->data, "A file of labelled texts")->required();
  command->add_option("--format", options->format, "Format of the file (default: by its name)")
      ->check(CLI::IsMember({"goemotions", "emobank", "tsv", "jsonl"}));
  command->add_option("--split", options->split, "emobank: the rows to take")->capture_default_str();
  command->add_option("--head", options->head, "Name of the head (default: the first that fits the format)");
  CLI::Option* policy =
      command->add_option("--policy", options->policy,
                          "JSON rules: how many texts they keep local, and how right those are, in place of metrics");
  command->add_option("--plot", options->plot, "With --policy: the curve as an SVG file")->needs(policy);
  command->add_option("--reliability", options->reliability, "An SVG file: what scores say against what is true");
  command->add_flag("--json", options->json, "One JSON object");
  add_session_flags(*command, options->session);
  command->callback([options] {
    if (options->format.empty()) {
      const std::string& name = options->data;
      options->format = name.ends_with(".csv") ? "emobank" : name.ends_with(".jsonl") ? "jsonl" : "tsv";
    }
    run_eval(*options);
  });
}

}  // namespace
}  // namespace onepass::cli

namespace {

// A result that did not arrive is a failure: a full disk shows at the last write, or at one before it.
int flush_result() {
  if (std::fflush(stdout) == 0 && std::ferror(stdout) == 0) return 0;
  std::fprintf(stderr, "onepass: cannot write the result: standard output: %s\n",
               errno == 0 ? "writing failed" : std::strerror(errno));
  return 1;
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app("One forward pass of a small transformer, on this machine: convert a checkpoint, classify texts.",
               "onepass");
  app.set_version_flag("--version", onepass_version());
  app.require_subcommand(1);
  onepass::cli::add_convert(app);
  onepass::cli::add_inspect(app);
  onepass::cli::add_classify(app);
  onepass::cli::add_tokenize(app);
  onepass::cli::add_eval(app);
  try {
    app.parse(argc, argv);
    return flush_result();
  } catch (const CLI::ParseError& error) {
    // --help and --version arrive here too, with exit code 0.
    return app.exit(error) == 0 ? 0 : 2;
  } catch (const onepass::cli::Misused& misused) {
    std::fprintf(stderr, "onepass: %s\nRun with --help for more information.\n", misused.line.c_str());
    return 2;
  } catch (const onepass::cli::Failed& failed) {
    std::fprintf(stderr, "onepass: %s\n", failed.line.c_str());
    return 1;
  } catch (const std::exception& error) {
    std::fprintf(stderr, "onepass: unexpected failure: %s\n", error.what());
    return 1;
  }
}
