#include "tools/convert/token_effects.h"

#include <algorithm>
#include <cmath>
#include <map>

#include "engine/runtime/model.h"
#include "engine/runtime/session.h"

namespace onepass::convert {

namespace {

constexpr size_t kTextsPerToken = 3;

struct Tokens {
  std::vector<uint32_t> ids;
  std::vector<TokenSpan> spans;
};

// Tokens [first, last) of two ways to cut a text that cover the same bytes.
struct Block {
  size_t first, last, other_first, other_last;
};

std::vector<Block> common_blocks(const Tokens& a, const Tokens& b) {
  std::vector<Block> blocks;
  size_t i = 0, j = 0;
  while (i < a.ids.size() && j < b.ids.size()) {
    Block block{i, i + 1, j, j + 1};
    while (a.spans[block.last - 1].end != b.spans[block.other_last - 1].end) {
      if (a.spans[block.last - 1].end < b.spans[block.other_last - 1].end) {
        if (block.last == a.ids.size()) return {};
        ++block.last;
      } else {
        if (block.other_last == b.ids.size()) return {};
        ++block.other_last;
      }
    }
    // Tokens without bytes of their own, as further bytes of a character are.
    const auto goes_on = [](const Tokens& t, size_t at) {
      return at < t.ids.size() && t.spans[at].begin < t.spans[at].end && t.spans[at].end == t.spans[at - 1].end;
    };
    while (goes_on(a, block.last)) ++block.last;
    while (goes_on(b, block.other_last)) ++block.other_last;
    blocks.push_back(block);
    i = block.last;
    j = block.other_last;
  }
  return i == a.ids.size() && j == b.ids.size() ? blocks : std::vector<Block>();
}

class Effects {
 public:
  Effects(const Model& whole, Session session, const Tokenizer& coarse, const std::vector<uint32_t>& kept)
      : whole_(whole), session_(std::move(session)), coarse_(coarse), kept_(kept), tokens_(whole.config().vocab) {
    for (const uint32_t id : kept) tokens_[id].stays = true;
  }

  Status read(const std::string& text) {
    ONEPASS_TRY_ASSIGN(all, cut(whole_.tokenizer(), text));
    std::map<uint32_t, size_t> candidates;  // to a place in the text
    for (size_t i = 0; i < all.ids.size(); ++i) {
      Token& token = tokens_[all.ids[i]];
      ++token.count;
      if (!token.stays && token.texts < kTextsPerToken) candidates.emplace(all.ids[i], i);
    }
    if (candidates.empty() || all.ids.size() > whole_.config().max_tokens) return {};
    ONEPASS_TRY_ASSIGN(split, cut(coarse_, text));
    const std::vector<Block> blocks = common_blocks(all, split);
    if (blocks.empty()) return {};
    ONEPASS_TRY_ASSIGN(before, run(all.ids));
    for (size_t c = 0; c < before.size(); ++c) spread_[c].add(static_cast<double>(before[c]));
    for (const auto& [id, place] : candidates) {
      const auto block =
          std::find_if(blocks.begin(), blocks.end(), [at = place](const Block& b) { return at < b.last; });
      std::vector<uint32_t> ids(all.ids.begin(), all.ids.begin() + static_cast<std::ptrdiff_t>(block->first));
      for (size_t i = block->other_first; i < block->other_last; ++i) ids.push_back(kept_[split.ids[i]]);
      ids.insert(ids.end(), all.ids.begin() + static_cast<std::ptrdiff_t>(block->last), all.ids.end());
      if (ids.size() > whole_.config().max_tokens) continue;
      ONEPASS_TRY_ASSIGN(after, run(ids));
      Token& token = tokens_[id];
      ++token.texts;
      token.changes.resize(before.size());
      for (size_t c = 0; c < before.size(); ++c) {
        const double d = static_cast<double>(after[c]) - static_cast<double>(before[c]);
        token.changes[c] += d * d;
      }
    }
    return {};
  }

  std::vector<uint32_t> ranked() const {
    std::vector<std::pair<double, uint32_t>> order;
    for (uint32_t id = 0; id < tokens_.size(); ++id) {
      const Token& token = tokens_[id];
      if (token.stays || token.count == 0) continue;
      order.emplace_back(-static_cast<double>(token.count) * effect(token), id);
    }
    std::sort(order.begin(), order.end());
    std::vector<uint32_t> ids;
    for (const auto& [weight, id] : order) ids.push_back(id);
    return ids;
  }

 private:
  struct Token {
    bool stays = false;
    uint64_t count = 0;
    size_t texts = 0;             // that it was split in
    std::vector<double> changes;  // of each logit, sums of squares over these texts
  };
  struct Spread {
    double n = 0, sum = 0, squares = 0;
    void add(double x) {
      n += 1;
      sum += x;
      squares += x * x;
    }
    double variance() const { return n > 1 ? std::max(squares / n - sum / n * (sum / n), 1e-12) : 1; }
  };

  Result<Tokens> cut(const Tokenizer& tokenizer, const std::string& text) {
    Array<uint32_t> ids;
    Array<TokenSpan> spans;
    ONEPASS_TRY(tokenizer.encode(text, {}, scratch_, ids, &spans, nullptr));
    return Tokens{{ids.span().begin(), ids.span().end()}, {spans.span().begin(), spans.span().end()}};
  }
  Result<std::vector<float>> run(const std::vector<uint32_t>& ids) {
    const uint32_t starts[] = {0, static_cast<uint32_t>(ids.size())};
    std::vector<float> logits(whole_.total_classes());
    spread_.resize(logits.size());
    ONEPASS_TRY(session_.run_ids(ids, starts, logits));
    return logits;
  }
  double effect(const Token& token) const {
    if (token.texts == 0) return 0;
    double sum = 0;
    size_t c = 0;
    for (const HeadView& head : whole_.heads()) {
      double of_head = 0;
      for (size_t i = 0; i < head.labels.size(); ++i, ++c) of_head += token.changes[c] / spread_[c].variance();
      sum += std::sqrt(of_head / static_cast<double>(token.texts * head.labels.size()));
    }
    return sum;
  }

  const Model& whole_;
  Session session_;
  const Tokenizer& coarse_;
  const std::vector<uint32_t>& kept_;
  std::vector<Token> tokens_;
  std::vector<Spread> spread_;
  EncodeScratch scratch_;
};

}  // namespace

Result<std::vector<uint32_t>> tokens_by_effect(const ModelContent& whole, const ModelContent& coarse,
                                               const std::vector<uint32_t>& kept,
                                               const std::vector<std::string>& corpus,
                                               const std::function<void(size_t)>& progress) noexcept try {
  ONEPASS_TRY_ASSIGN(bytes, serialize_model(whole));
  ONEPASS_TRY_ASSIGN(model, Model::from_memory(bytes, {.mode = LoadMode::copy, .verify = false}));
  if (model.labels_tokens()) {
    return make_error(Code::unsupported, Error::no_offset, "--trim-by", "heads that label tokens: use frequency");
  }
  ONEPASS_TRY_ASSIGN(session, Session::create(model, {}));
  ONEPASS_TRY_ASSIGN(tokenizer, Tokenizer::parse(coarse.tokenizer, coarse.config.vocab));
  Effects effects(model, std::move(session), tokenizer, kept);
  for (size_t i = 0; i < corpus.size(); ++i) {
    ONEPASS_TRY(effects.read(corpus[i]));
    progress(i + 1);
  }
  return effects.ranked();
} catch (const std::exception& error) {
  return make_error(Code::out_of_memory, Error::no_offset, "--trim-by", "%s", error.what());
}

}  // namespace onepass::convert
