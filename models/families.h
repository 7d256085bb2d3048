// Every family, each defined in the file of its name.
#pragma once

#include "models/family.h"

namespace onepass::models {

extern const Family albert;
extern const Family bert;
extern const Family camembert;
extern const Family deberta_v2;
extern const Family distilbert;
extern const Family electra;
extern const Family gemma2;
extern const Family gemma3;
extern const Family llama;
extern const Family mistral;
extern const Family mobilellm;
extern const Family modernbert;
extern const Family mpnet;
extern const Family nomic_bert;
extern const Family phi3;
extern const Family qwen2;
extern const Family qwen3;
extern const Family roberta;
extern const Family xlm_roberta;

}  // namespace onepass::models
