#include "engine/runtime/word_tree.h"

namespace onepass {

namespace {

constexpr const char* kPaths = "words.path.w";
constexpr const char* kEdges = "words.edge.w";

Error bad(const char* where, size_t row, const char* why) noexcept {
  return make_error(Code::bad_value, Error::no_offset, where, "row %zu %s: convert the model again", row, why);
}

Error no_memory() noexcept {
  return make_error(Code::out_of_memory, Error::no_offset, kEdges, "no memory for the tree of words");
}

// A whole number below `limit`, which is at most 2^24; false where it is none.
bool whole_number(float value, uint32_t limit, uint32_t& out) noexcept {
  if (!(value >= 0 && value < static_cast<float>(limit))) return false;
  out = static_cast<uint32_t>(value);
  return static_cast<float>(out) == value;
}

Status read_paths(const Config& config, const float* paths, WordTree& tree) noexcept {
  const size_t longest = config.branch_tokens;
  if (!tree.ids.reserve(config.branches * longest) || !tree.starts.resize(config.branches + 1)) return no_memory();
  for (size_t b = 0; b < config.branches; ++b) {
    const float* path = paths + b * longest;
    size_t length = 0;
    for (size_t t = 0; t < longest; ++t) {
      const float value = path[t];
      uint32_t id = 0;
      if (value == -1) continue;
      if (t != length || !whole_number(value, config.vocab, id)) {
        return bad(kPaths, b, "is not tokens of the vocabulary and then -1");
      }
      if (!tree.ids.push_back(id)) return no_memory();
      ++length;
    }
    if (length == 0) return bad(kPaths, b, "has no token");
    if (tree.ids.size() > max_continuation) return bad(kPaths, b, "ends a tree of more than 4,096 tokens");
    tree.starts[b + 1] = static_cast<uint32_t>(tree.ids.size());
  }
  return {};
}

}  // namespace

Result<WordTree> read_word_tree(const Config& config, const float* paths, const float* edges,
                                std::span<const HeadView> heads) noexcept {
  if (heads.size() != 1) {
    return make_error(Code::bad_value, Error::no_offset, "heads", "a tree of words belongs to a model's only head");
  }
  const auto classes = static_cast<uint32_t>(heads[0].labels.size());
  WordTree tree;
  ONEPASS_TRY(read_paths(config, paths, tree));
  Array<uint32_t> labels;  // of each edge that ends a word, else `classes`
  if (!tree.edge_starts.resize(config.branches + 2) || !tree.parents.resize(config.branches + 1) ||
      !tree.leaf_starts.resize(classes + 1) || !labels.resize(config.edges) || !tree.leaves.reserve(config.edges)) {
    return no_memory();
  }
  constexpr uint32_t unknown = UINT32_MAX;
  for (size_t node = 1; node <= config.branches; ++node) tree.parents[node] = unknown;
  uint32_t node = 0;
  for (uint32_t e = 0; e < config.edges; ++e) {
    uint32_t at = 0, target = 0;
    if (!whole_number(edges[2 * e], config.branches + 1, at) || at < node || at > node + 1) {
      return bad(kEdges, e, "is not of the node before it or of the next one");
    }
    if (e == 0 && at != 0) return bad(kEdges, e, "is not of the root");
    if (at != node) tree.edge_starts[at] = e;
    node = at;
    if (node != 0 && tree.parents[node] == unknown) return bad(kEdges, e, "is of a node that nothing leads to");
    if (!whole_number(edges[2 * e + 1], classes + config.branches, target)) {
      return bad(kEdges, e, "leads neither to a class nor to a node");
    }
    labels[e] = target < classes ? target : classes;
    if (target < classes) {
      ++tree.leaf_starts[target + 1];
    } else {
      const uint32_t to = target - classes + 1;
      if (to <= node || tree.parents[to] != unknown) return bad(kEdges, e, "leads back, or where another one leads");
      tree.parents[to] = e;
    }
  }
  if (node != config.branches) return bad(kEdges, config.edges, "is missing: a node has no edge");
  tree.edge_starts[config.branches + 1] = config.edges;
  for (uint32_t c = 0; c < classes; ++c) {
    if (tree.leaf_starts[c + 1] == 0) {
      return make_error(Code::bad_value, Error::no_offset, kEdges, "the class %u has no word: convert the model again",
                        c);
    }
    tree.leaf_starts[c + 1] += tree.leaf_starts[c];
  }
  Array<uint32_t> next;
  if (!next.resize(classes) || !tree.leaves.resize(tree.leaf_starts[classes])) return no_memory();
  for (uint32_t c = 0; c < classes; ++c) next[c] = tree.leaf_starts[c];
  for (uint32_t e = 0; e < config.edges; ++e) {
    if (labels[e] < classes) tree.leaves[next[labels[e]]++] = e;
  }
  return tree;
}

}  // namespace onepass
