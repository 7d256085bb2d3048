// Which tokens of a corpus a model needs most, where its vocabulary cannot hold all of them.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "engine/core/result.h"
#include "formats/onepass/writer.h"

namespace onepass::convert {

// The tokens of the corpus that `coarse` does not have, as ids of `whole`, the ones to keep first: by how often a token
// occurs times what its splitting does to the logits, in the texts where it is met first. `coarse` is the same model
// with a trimmed vocabulary, which says how a token is split; `kept` are its tokens as ids of `whole`. A change counts
// in standard deviations of its logit over the corpus, the root of the mean square of a head, added over heads. Errors:
// unsupported (heads that label tokens), those of running the models. `progress` is called with the number of texts
// done.
Result<std::vector<uint32_t>> tokens_by_effect(const ModelContent& whole, const ModelContent& coarse,
                                               const std::vector<uint32_t>& kept,
                                               const std::vector<std::string>& corpus,
                                               const std::function<void(size_t)>& progress) noexcept;

}  // namespace onepass::convert
