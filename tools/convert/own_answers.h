// What a file holds of its model's own answers: the model is run as it will be, and the result joins the content.
#pragma once

#include <cstdint>
#include <span>

#include "engine/core/result.h"
#include "formats/onepass/writer.h"
#include "tools/convert/label_words.h"

namespace onepass::convert {

// What the model says of a text that says nothing is taken off its logits (Zhao et al. 2021, arXiv:2102.09690).
Status calibrate(const LabelWords& labels, const LabelTokens& words, ModelContent& content);

// The keys and values of what the template puts before every text join the tensors.
Status store_prefix(std::span<const uint32_t> classes, ModelContent& content);

}  // namespace onepass::convert
