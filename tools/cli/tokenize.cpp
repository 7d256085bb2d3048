// onepass tokenize: texts to the ids that the model reads.
#include <cstdio>

#include "tools/cli/common.h"

namespace onepass::cli {

namespace {

struct Options {
  std::string model;
  std::vector<std::string> texts;
  std::string input;
  bool json = false;
  SessionFlags session;
};

std::string plain_line(const std::vector<onepass_token>& tokens) {
  std::string out;
  for (const onepass_token& t : tokens) out += (out.empty() ? "" : " ") + std::to_string(t.id);
  return out + '\n';
}

std::string json_line(const Model& model, size_t index, const std::vector<onepass_token>& tokens) {
  std::string ids, pieces, offsets;
  for (const onepass_token& t : tokens) {
    const char* comma = ids.empty() ? "" : ",";
    ids += comma + std::to_string(t.id);
    pieces += comma + json_string(model.piece(t.id));
    offsets += std::string(comma) + '[' + std::to_string(t.begin) + ',' + std::to_string(t.end) + ']';
  }
  return "{\"i\":" + std::to_string(index) + ",\"ids\":[" + ids + "],\"pieces\":[" + pieces + "],\"offsets\":[" +
         offsets + "]}\n";
}

void run(const Options& options) {
  const Model model = options.session.open_model(options.model);
  Session session = options.session.open_session(model);
  TextSource source(options.texts, options.input);
  size_t index = 0;
  for (std::vector<std::string> texts; !(texts = source.next(256)).empty();) {
    for (const std::string& text : texts) {
      const auto tokens = take(session.tokenize(text), "cannot tokenize");
      const std::string line = options.json ? json_line(model, index, tokens) : plain_line(tokens);
      std::fwrite(line.data(), 1, line.size(), stdout);
      ++index;
    }
  }
}

}  // namespace

void add_tokenize(CLI::App& app) {
  auto options = std::make_shared<Options>();
  CLI::App* command = app.add_subcommand("tokenize", "The token ids of texts, cut to the model's max_tokens");
  command->add_option("-m,--model", options->model, "A .onepass file")->required();
  command->add_option("text", options->texts, "Texts");
  command->add_option(
      "-i,--input", options->input,
      "One text a line ('-': standard input), or JSON lines {\"text\": ...} where the name ends in .jsonl");
  command->add_flag("--json", options->json, "Pieces and byte offsets too");
  options->session.add_to(*command);
  command->callback([options] {
    if (options->texts.empty() == options->input.empty()) {
      throw CLI::ValidationError("tokenize", "give texts, or a file with -i");
    }
    run(*options);
  });
}

}  // namespace onepass::cli
