// Entities: the labels of a text's tokens as parts of the text, as the TokenClassificationPipeline of transformers
// makes them.
#pragma once

#include <span>
#include <string_view>

#include "engine/runtime/model.h"
#include "engine/runtime/session.h"

namespace onepass {

// What becomes one entity. Labels may begin with "B-" (a new entity begins) or "I-" (it goes on); without either a
// label counts as "I-". Neighbours of the same label, but for that, are one entity; where the later one has "B-", two.
// What is labelled "O" is none. The score of an entity is the mean of its parts.
enum class Aggregation : uint8_t {
  simple = 0,   // parts are tokens
  first = 1,    // parts are words, labelled by their first token
  average = 2,  // by the mean of their tokens' scores
  max = 3,      // by the token with the greatest score
  none = 4,     // every token is an entity
};
constexpr uint32_t aggregation_count = 5;

struct Entity {
  std::string_view group;  // the label; unless Aggregation::none, what stands behind its first "-"
  uint32_t label;          // of the first part
  float score;
  uint32_t begin, end;  // bytes of the text
};

// Called with each entity in turn.
struct EntitySink {
  void (*call)(void* context, const Entity& entity) noexcept;
  void* context;
};

class EntityFinder {
 public:
  EntityFinder(const Model& model, size_t head, Aggregation aggregation) noexcept;

  // Finds the entities of one text. A word begins where a token is no continuation by its mark (WordPiece), or follows
  // or begins with a space. Aggregation::average changes scores of the rows.
  void find(const TokenRows& rows, const EntitySink& sink) noexcept;

 private:
  // A token, or a word under an aggregation of words.
  struct Part {
    uint32_t label;
    float score;
    uint32_t begin, end;
  };
  struct Group {
    uint32_t label = 0, begin = 0, end = 0, parts = 0;
    float sum = 0;
  };
  bool continues_word(const TokenRows& rows, size_t token) const noexcept;
  std::span<float> scores_of(const TokenRows& rows, size_t token) const noexcept;
  Part part(const TokenRows& rows, size_t first, size_t end) const noexcept;
  void add(const Part& part, const EntitySink& sink) noexcept;
  void flush(const EntitySink& sink) noexcept;

  const Model& model_;
  const HeadView& head_;
  size_t first_class_ = 0;
  Aggregation aggregation_;
  Group group_;
};

}  // namespace onepass
