// onepass tokenize: texts to the ids that the model reads.
#include <cstdio>

#include "tools/cli/commands.h"
#include "tools/cli/common.h"

namespace onepass::cli {

namespace {

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

}  // namespace

void run_tokenize(const TokenizeOptions& options) {
  const Model model = options.session.open_model(options.model);
  Session session = options.session.open_session(model);
  TextSource source(options.texts, options.input);
  size_t index = 0;
  for (std::vector<std::string> texts; !(texts = source.next(256)).empty();) {
    for (const std::string& text : texts) {
      const auto tokenized = session.tokenize(text);
      if (!tokenized) {
        Failure failure = tokenized.error();
        failure.where = source.where(index);
        fail("cannot tokenize", failure);
      }
      const auto& tokens = *tokenized;
      const std::string line = options.json ? json_line(model, index, tokens) : plain_line(tokens);
      std::fwrite(line.data(), 1, line.size(), stdout);
      ++index;
    }
  }
}

}  // namespace onepass::cli
