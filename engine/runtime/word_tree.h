// WordTree: the words of a language model's labels, where their first tokens do not tell them apart.
//
// The root is the end of a text, a node lies some tokens behind it, and an edge is a token that may follow at its node:
// it ends a word, or leads to a further node. So texts are continued by the tokens that lead to each node, all in the
// pass that reads the text, and a head's row is needed for every edge and for no other token.
//
// The score of an edge is its logit at the root, and elsewhere log softmax of its logit among the edges of its node,
// more than the score of the edge that leads there. A class has log(sum(exp)) of the edges that end its words.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "engine/arch/arch.h"
#include "engine/core/array.h"
#include "engine/core/result.h"
#include "formats/onepass/contents.h"

namespace onepass {

struct WordTree {
  Array<uint32_t> ids;     // tokens that lead to each node but the root, one path behind the other
  Array<uint32_t> starts;  // [branches + 1] in ids
  // Edges lie by their nodes, and the edge that leads to a node before those at it.
  Array<uint32_t> edge_starts;  // [branches + 2], by node
  Array<uint32_t> parents;      // [branches + 1], the edge that leads to a node; the root has none
  Array<uint32_t> leaves;       // edges that end a word, by class
  Array<uint32_t> leaf_starts;  // [classes + 1] in leaves

  size_t classes() const noexcept { return leaf_starts.size() - 1; }
  size_t branches() const noexcept { return parents.size() - 1; }
  std::span<const uint32_t> path(size_t branch) const noexcept {
    return ids.span().subspan(starts[branch], starts[branch + 1] - starts[branch]);
  }
};

// Tokens that all nodes together add to a text, at most.
constexpr size_t max_continuation = 4096;

// From the tensors words.path.w and words.edge.w, whose bytes may be hostile; they are not read again. bad_value where
// they are no tree in which every class of an only head has a word.
Result<WordTree> read_word_tree(const Config& config, const float* paths, const float* edges,
                                std::span<const HeadView> heads) noexcept;

}  // namespace onepass
