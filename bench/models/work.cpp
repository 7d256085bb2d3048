#include "bench/models/work.h"

namespace onepass::bench {

double pass_operations(const Config& c, size_t tokens, size_t classes) {
  const auto d = static_cast<double>(c.width), t = static_cast<double>(tokens);
  double total = 0;
  for (uint32_t l = 0; l < c.layers; ++l) {
    const size_t stored = c.stored_layer(l);
    const double he = static_cast<double>(c.heads_of(stored)) * c.head_width;
    const double kv = 2.0 * c.kv_heads_of(stored) * c.head_width;
    const auto f = static_cast<double>(c.ffn_width_of(stored)), up = static_cast<double>(c.ffn_rows_of(stored));
    const bool one = l + 1 == c.layers && pools_one_token(c.arch.pool);
    const double rows = one ? 1 : t;
    total += 2 * (rows * d * he + t * d * kv);  // Q; K and V
    const double keys = c.causal() && !one ? (t + 1) / 2 : t;
    total += 4 * rows * keys * he;                  // scores and values
    total += 2 * rows * (he * d + d * f + d * up);  // output, feed-forward
  }
  return total + 2 * d * (c.arch.pooler != 0 ? d : 0) + 2 * d * static_cast<double>(classes);
}

}  // namespace onepass::bench
