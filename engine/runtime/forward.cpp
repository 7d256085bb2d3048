#include "engine/runtime/forward.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "engine/blocks/blocks.h"
#include "engine/runtime/arena.h"

namespace onepass {

namespace {

using kernels::KernelTable;

// Sizes of one pass.
struct Shape {
  size_t tokens, texts, longest, total_classes;
  unsigned threads;
  size_t prefix = 0;  // tokens before those of each text
};

// Every buffer of a pass.
struct Buffers {
  uint32_t* positions;         // [T]
  uint32_t* pooled_rows;       // [B], of x, where pools_one_token
  uint32_t* pooled_positions;  // [B]
  float* x;                    // [T,D]
  float* qkv;                  // [T,QKV]
  float* attn;                 // [T,HE]
  float* pooled_x;             // [B,D]
  float* pooled_q;             // [B,pooled_q_stride]
  uint8_t* slots;              // RowScratch of every thread
  size_t slot_bytes;

  RowScratch slot(const Config& config, const Shape& shape, size_t i) const noexcept;
};

size_t qkv_width(const Config& c) noexcept { return (size_t{c.heads} + 2 * size_t{c.kv_heads}) * c.head_width; }
size_t query_width(const Config& c) noexcept { return size_t{c.heads} * c.head_width; }
// Queries alone are computed in whole panels of 32 channels.
size_t pooled_q_stride(const Config& c) noexcept {
  return std::min(kernels::round_up(query_width(c), 32), qkv_width(c));
}

RowScratch take_scratch(Arena& arena, const Config& c, const Shape& shape) noexcept {
  const size_t width = c.width;
  const size_t widest = std::max({width, size_t{c.table_width()}, c.ffn_rows(), query_width(c),
                                  c.words != 0 ? c.head_rows(shape.total_classes) : 0});
  RowScratch s;
  s.wide = arena.take<float>(chunk_rows * widest);
  s.narrow = arena.take<float>(chunk_rows * width);
  s.normed = arena.take<float>(c.arch.norm_place != NormPlace::post ? chunk_rows * width : 0);
  s.codes = arena.take<int8_t>(chunk_rows * codes_stride(widest));
  s.scales = arena.take<float>(chunk_rows);
  s.peaks = arena.take<int32_t>(chunk_rows * 16);
  s.ids = arena.take<uint32_t>(chunk_rows);
  const size_t keys = shape.prefix + shape.longest;
  s.attention = arena.take<float>(attention_floats(c, keys));
  s.shared = arena.take<float>(shape.prefix != 0 ? 2 * keys * c.head_width : 0);
  return s;
}

RowScratch Buffers::slot(const Config& config, const Shape& shape, size_t i) const noexcept {
  Arena arena(slots + i * slot_bytes);
  return take_scratch(arena, config, shape);
}

Buffers take_buffers(Arena& arena, const Config& c, const Shape& shape) noexcept {
  Buffers b;
  b.positions = arena.take<uint32_t>(shape.tokens);
  b.pooled_rows = arena.take<uint32_t>(shape.texts);
  b.pooled_positions = arena.take<uint32_t>(shape.texts);
  b.x = arena.take<float>(shape.tokens * c.width);
  b.qkv = arena.take<float>(shape.tokens * qkv_width(c));
  b.attn = arena.take<float>(shape.tokens * query_width(c));
  b.pooled_x = arena.take<float>(shape.texts * c.width);
  b.pooled_q = arena.take<float>(shape.texts * pooled_q_stride(c));
  Arena one(nullptr);
  take_scratch(one, c, shape);
  b.slot_bytes = one.used();
  b.slots = arena.take<uint8_t>(b.slot_bytes * shape.threads);
  return b;
}

class Pass {
 public:
  Pass(const Config& config, const Weights& weights, const KernelTable& kernels, const Executor& executor,
       const Batch& batch, const Shape& shape, const Buffers& buffers, std::span<float> logits,
       const StageObserver& observer, const PositionTables& tables, std::span<float* const> record = {}) noexcept
      : config_(config),
        weights_(weights),
        kernels_(kernels),
        executor_(executor),
        batch_(batch),
        shape_(shape),
        buffers_(buffers),
        logits_(logits),
        observer_(observer),
        tables_(tables),
        record_(record),
        x_{buffers.x, config.width},
        qkv_{buffers.qkv, qkv_width(config)},
        attn_{buffers.attn, query_width(config)},
        pooled_x_{buffers.pooled_x, config.width},
        pooled_q_{buffers.pooled_q, pooled_q_stride(config)} {}

  void run() noexcept {
    fill_positions();
    rows_in_chunks(batch_.tokens(), [&](size_t begin, size_t rows, const RowScratch& scratch) {
      embed_rows(config_, weights_, kernels_, batch_.ids.data() + begin, buffers_.positions + begin, rows,
                 {x_.row(begin), x_.stride}, scratch);
      project(0, begin, rows, scratch);
    });
    observe("embed", x_, batch_.tokens());
    for (size_t l = 0; l < config_.layers; ++l) {
      if (!record_.empty() && l + 1 == config_.layers) return;
      attend(l);
      if (pools_one(l)) {
        rows_in_chunks(batch_.texts(), [&](size_t begin, size_t rows, const RowScratch& scratch) {
          for (size_t b = begin; b < begin + rows; ++b) {
            std::memcpy(pooled_x_.row(b), x_.row(buffers_.pooled_rows[b]), config_.width * sizeof(float));
          }
          layer_tail_rows(config_, layer(l), kernels_, {attn_.row(begin), attn_.stride}, rows,
                          {pooled_x_.row(begin), pooled_x_.stride}, scratch);
          if (config_.arch.final_norm == 0) finish(begin, rows, scratch);
        });
        observe_layer(l, pooled_x_, batch_.texts());
        if (config_.arch.final_norm == 0) return;
        rows_in_chunks(batch_.texts(), [&](size_t begin, size_t rows, const RowScratch& scratch) {
          final_norm({pooled_x_.row(begin), pooled_x_.stride}, rows);
          finish(begin, rows, scratch);
        });
        observe("final_norm", pooled_x_, batch_.texts());
        return;
      }
      rows_in_chunks(batch_.tokens(), [&](size_t begin, size_t rows, const RowScratch& scratch) {
        layer_tail_rows(config_, layer(l), kernels_, {attn_.row(begin), attn_.stride}, rows, {x_.row(begin), x_.stride},
                        scratch);
        if (l + 1 < config_.layers) project(l + 1, begin, rows, scratch);
      });
      observe_layer(l, x_, batch_.tokens());
    }
    if (config_.arch.final_norm != 0) {
      rows_in_chunks(batch_.tokens(), [&](size_t begin, size_t rows, const RowScratch&) {
        final_norm({x_.row(begin), x_.stride}, rows);
      });
      observe("final_norm", x_, batch_.tokens());
    }
    rows_in_chunks(batch_.texts(), [&](size_t begin, size_t rows, const RowScratch& scratch) {
      for (size_t b = begin; b < begin + rows; ++b) {
        mean_of_rows({x_.row(batch_.starts[b]), x_.stride}, text_tokens(b), config_.width, pooled_x_.row(b));
      }
      finish(begin, rows, scratch);
    });
  }

 private:
  const LayerWeights& layer(size_t l) const noexcept { return weights_.layers[config_.stored_layer(l)]; }
  size_t text_tokens(size_t b) const noexcept { return batch_.starts[b + 1] - batch_.starts[b]; }

  // True in the layer of which only one token of each text is needed.
  bool pools_one(size_t layer) const noexcept {
    return layer + 1 == config_.layers && pools_one_token(config_.arch.pool);
  }

  void fill_positions() noexcept {
    const uint32_t first = config_.arch.position_first;
    const bool skip_pad = config_.arch.position == Position::learned_after_pad;
    for (size_t b = 0; b < batch_.texts(); ++b) {
      const size_t before = batch_.prefix.tokens;
      const bool is_long = config_.rotary_original != 0 && before + text_tokens(b) > config_.rotary_original;
      uint32_t next = (is_long ? static_cast<uint32_t>(tables_.long_row()) : first) + static_cast<uint32_t>(before);
      for (size_t t = batch_.starts[b]; t < batch_.starts[b + 1]; ++t) {
        buffers_.positions[t] = skip_pad && batch_.ids[t] + 1 == first ? first - 1 : next++;
      }
      if (!pools_one_token(config_.arch.pool)) continue;
      const size_t token = pooled_token(config_, batch_.ids.subspan(batch_.starts[b], text_tokens(b)));
      buffers_.pooled_rows[b] = static_cast<uint32_t>(batch_.starts[b] + token);
      buffers_.pooled_positions[b] = buffers_.positions[buffers_.pooled_rows[b]];
    }
  }

  // f(begin, rows, scratch) over [0, count), every thread its own contiguous part.
  template <class F>
  void rows_in_chunks(size_t count, F&& f) noexcept {
    run_on_all(executor_, [&](size_t slot, size_t slots) {
      const Range part = split_range(count, slot, slots);
      const RowScratch scratch = buffers_.slot(config_, shape_, slot);
      for (size_t begin = part.begin; begin < part.end; begin += chunk_rows) {
        f(begin, std::min(chunk_rows, part.end - begin), scratch);
      }
    });
  }

  // Q, K and V of layer `l` for the rows [begin, begin + rows); queries of pooled rows alone where that is enough.
  void project(size_t l, size_t begin, size_t rows, const RowScratch& scratch) noexcept {
    project_rows(l, begin, rows, scratch);
    if (record_.empty()) return;
    const size_t width = qkv_width(config_) - query_width(config_);
    for (size_t t = begin; t < begin + rows; ++t) {
      std::memcpy(record_[l] + t * width, qkv_.row(t) + query_width(config_), width * sizeof(float));
    }
  }

  void project_rows(size_t l, size_t begin, size_t rows, const RowScratch& scratch) noexcept {
    const Linear& qkv = layer(l).qkv;
    const ConstMatrix x =
        attention_input_rows(config_, layer(l), l, kernels_, {x_.row(begin), x_.stride}, rows, scratch);
    const LinearInput input = prepare_input(kernels_, qkv, x, rows, scratch);
    const Matrix out{qkv_.row(begin), qkv_.stride};
    const uint32_t* positions = buffers_.positions + begin;
    if (!pools_one(l)) {
      linear_channels(kernels_, qkv, input, out, 0, qkv.n);
      norm_queries(l, out, rows);
      norm_keys(l, {out.data + query_width(config_), out.stride}, rows);
      rotate(l, positions, out, config_.heads + config_.kv_heads, rows);
      return;
    }
    linear_channels(kernels_, qkv, input, out, query_width(config_) / 32 * 32, qkv.n);
    const Matrix keys{out.data + query_width(config_), out.stride};
    norm_keys(l, keys, rows);
    rotate(l, positions, keys, config_.kv_heads, rows);
    // The texts whose pooled token lies in these rows are neighbours: their rows are moved together, so that their
    // queries are one product.
    const uint32_t* all = buffers_.pooled_rows;
    const uint32_t* first = std::lower_bound(all, all + batch_.texts(), begin);
    const uint32_t* last = std::lower_bound(first, all + batch_.texts(), begin + rows);
    const auto b0 = static_cast<size_t>(first - all);
    LinearInput pooled{{scratch.narrow, config_.width},
                       static_cast<size_t>(last - first),
                       input.codes,
                       input.codes_stride,
                       input.scales};
    for (size_t i = 0; i < pooled.rows; ++i) {
      const size_t row = first[i] - begin;  // >= i, so moving forward overwrites nothing still needed
      if (input.codes != nullptr) {
        std::memmove(scratch.codes + i * input.codes_stride, scratch.codes + row * input.codes_stride,
                     input.codes_stride);
        scratch.scales[i] = scratch.scales[row];
      } else {
        std::memcpy(scratch.narrow + i * config_.width, x.row(row), config_.width * sizeof(float));
      }
    }
    const Matrix queries{pooled_q_.row(b0), pooled_q_.stride};
    linear_channels(kernels_, qkv, pooled, queries, 0, pooled_q_.stride);
    norm_queries(l, queries, pooled.rows);
    rotate(l, buffers_.pooled_positions + b0, queries, config_.heads, pooled.rows);
  }

  void norm_queries(size_t l, Matrix x, size_t rows) noexcept {
    if (config_.arch.qk_norm != 0) norm_heads(config_, layer(l).q_norm, kernels_, x, config_.heads, rows);
  }
  void norm_keys(size_t l, Matrix x, size_t rows) noexcept {
    if (config_.arch.qk_norm != 0) norm_heads(config_, layer(l).k_norm, kernels_, x, config_.kv_heads, rows);
  }

  void rotate(size_t l, const uint32_t* positions, Matrix x, size_t heads, size_t rows) noexcept {
    if (config_.arch.position != Position::rotary || rows == 0) return;
    rotate_rows(config_, config_.windowed(l) ? tables_.local() : tables_.global(), kernels_, x, heads, positions, rows);
  }

  void final_norm(Matrix x, size_t rows) noexcept {
    norm_rows(config_, weights_.final_norm, kernels_, x, {nullptr, 0}, rows, config_.width, x);
  }

  // Attention of every text and head. Heads that share keys and values are computed together, but where that would
  // leave slots without work. What is computed together is dealt out by its cost, which grows with the square of the
  // length.
  void attend(size_t layer) noexcept {
    const bool one_only = pools_one(layer);
    const size_t groups = config_.kv_heads, group = config_.heads / groups;
    const auto cost = [&](size_t b, size_t heads) {
      const auto t = static_cast<double>(text_tokens(b));
      return (one_only ? t : t * t) * static_cast<double>(heads);
    };
    double total = 0;
    for (size_t b = 0; b < batch_.texts(); ++b) total += cost(b, config_.heads);
    run_on_all(executor_, [&](size_t slot, size_t slots) {
      const RowScratch scratch = buffers_.slot(config_, shape_, slot);
      const double low = total * static_cast<double>(slot) / static_cast<double>(slots);
      const double high = total * static_cast<double>(slot + 1) / static_cast<double>(slots);
      const size_t wholes = batch_.texts() * groups;
      const size_t parts = std::min(group, (slots + wholes - 1) / wholes);
      double before = 0;
      for (size_t b = 0; b < batch_.texts(); ++b) {
        for (size_t part = 0; part < groups * parts; ++part) {
          const Range range = split_range(group, part % parts, parts);
          const size_t first_head = part / parts * group;
          // A part belongs to the slot in whose share its middle lies.
          const double middle = before + 0.5 * cost(b, range.end - range.begin);
          before += cost(b, range.end - range.begin);
          if (middle < low || middle >= high) continue;
          attend_text(layer, b, {first_head + range.begin, first_head + range.end}, scratch);
        }
      }
    });
  }

  void attend_text(size_t layer, size_t b, HeadRange heads, const RowScratch& scratch) noexcept {
    const size_t start = batch_.starts[b], tokens = text_tokens(b);
    const size_t q_width = query_width(config_), kv_width = size_t{config_.kv_heads} * config_.head_width;
    const size_t of_group = heads.begin / (config_.heads / config_.kv_heads) * config_.head_width;
    ConstMatrix k{qkv_.row(start) + q_width + of_group, qkv_.stride};
    ConstMatrix v{qkv_.row(start) + q_width + kv_width + of_group, qkv_.stride};
    const size_t before = batch_.prefix.tokens;
    if (before != 0) {
      const float* prefix = batch_.prefix.keys_values[layer] + of_group;
      k = behind(prefix, k, tokens, scratch.shared);
      v = behind(prefix + kv_width, v, tokens, scratch.shared + (before + tokens) * config_.head_width);
    }
    if (pools_one(layer)) {
      attention_heads(config_, weights_, kernels_, layer, heads, {pooled_q_.row(b), pooled_q_.stride},
                      before + buffers_.pooled_rows[b] - start, 1, k, v, before + tokens, tables_.relative_index(),
                      {attn_.row(b), attn_.stride}, scratch);
    } else {
      attention_heads(config_, weights_, kernels_, layer, heads, {qkv_.row(start), qkv_.stride}, before, tokens, k, v,
                      before + tokens, tables_.relative_index(), {attn_.row(start), attn_.stride}, scratch);
    }
  }

  // A head's keys or values of the prefix and, behind them, of a text, one below the other in `out`.
  ConstMatrix behind(const float* prefix, ConstMatrix own, size_t tokens, float* out) const noexcept {
    const size_t before = batch_.prefix.tokens, width = config_.head_width;
    const size_t stride = qkv_width(config_) - query_width(config_);
    for (size_t t = 0; t < before; ++t) std::memcpy(out + t * width, prefix + t * stride, width * sizeof(float));
    for (size_t t = 0; t < tokens; ++t) {
      std::memcpy(out + (before + t) * width, own.row(t), width * sizeof(float));
    }
    return {out, width};
  }

  void finish(size_t begin, size_t rows, const RowScratch& scratch) noexcept {
    const ConstMatrix pooled =
        pooler_rows(config_, weights_, kernels_, rows, {pooled_x_.row(begin), pooled_x_.stride}, scratch);
    head_rows(config_, weights_, kernels_, rows, pooled,
              {logits_.data() + begin * shape_.total_classes, shape_.total_classes}, scratch);
  }

  void observe(const char* stage, Matrix rows, size_t count) noexcept {
    if (observer_.call != nullptr) observer_.call(observer_.context, stage, rows.data, count, config_.width);
  }
  void observe_layer(size_t layer, Matrix rows, size_t count) noexcept {
    if (observer_.call == nullptr) return;
    char name[max_tensor_name];
    write_tensor_name("layers.{i}", static_cast<uint32_t>(layer), name);
    observe(name, rows, count);
  }

  const Config& config_;
  const Weights& weights_;
  const KernelTable& kernels_;
  const Executor& executor_;
  const Batch& batch_;
  const Shape shape_;
  const Buffers& buffers_;
  const std::span<float> logits_;
  const StageObserver& observer_;
  const PositionTables& tables_;
  const std::span<float* const> record_;  // where keys and values go, by layer; empty: nowhere
  const Matrix x_, qkv_, attn_, pooled_x_, pooled_q_;
};

Shape shape_of(const Batch& batch, size_t total_classes, unsigned threads) noexcept {
  Shape shape{batch.tokens(), batch.texts(), 0, total_classes, threads, batch.prefix.tokens};
  for (size_t b = 0; b < batch.texts(); ++b) {
    shape.longest = std::max<size_t>(shape.longest, batch.starts[b + 1] - batch.starts[b]);
  }
  return shape;
}

}  // namespace

size_t forward_arena_bytes(const Config& config, size_t total_classes, size_t tokens, size_t texts, size_t longest,
                           unsigned threads, size_t prefix) noexcept {
  Arena measure(nullptr);
  take_buffers(measure, config, {tokens, texts, longest, total_classes, std::max(threads, 1u), prefix});
  return measure.used();
}

Status forward(const Config& config, const Weights& weights, const KernelTable& kernels, const Executor& executor,
               const Batch& batch, std::span<uint8_t> arena, std::span<float> logits, const StageObserver& observer,
               const PositionTables& tables) noexcept {
  size_t total_classes = 0;
  for (const Linear& head : weights.heads) total_classes += config.words != 0 ? head.n / config.words : head.n;
  const Shape shape = shape_of(batch, total_classes, std::max(executor.threads, 1u));
  Arena take(arena.data());
  const Buffers buffers = take_buffers(take, config, shape);
  if (take.used() > arena.size() || logits.size() < shape.texts * total_classes) {
    return make_error(Code::buffer_too_small, Error::no_offset, "arena", "the pass needs %zu bytes", take.used());
  }
  Pass(config, weights, kernels, executor, batch, shape, buffers, logits, observer, tables).run();
  for (size_t i = 0; i < shape.texts * total_classes; ++i) {
    if (!std::isfinite(logits[i])) {
      return make_error(
          Code::non_finite_result, Error::no_offset, "logits",
          "text %zu has a logit that is not finite: the model's weights are out of range; convert it again",
          batch.first_text + i / total_classes);
    }
  }
  return {};
}

Status forward_prefix(const Config& config, const Weights& weights, const KernelTable& kernels,
                      const Executor& executor, const Batch& batch, std::span<uint8_t> arena,
                      std::span<float* const> keys_values, const PositionTables& tables) noexcept {
  const Shape shape = shape_of(batch, 0, std::max(executor.threads, 1u));
  Arena take(arena.data());
  const Buffers buffers = take_buffers(take, config, shape);
  if (take.used() > arena.size() || keys_values.size() < config.layers) {
    return make_error(Code::buffer_too_small, Error::no_offset, "arena", "the pass needs %zu bytes", take.used());
  }
  const StageObserver nobody;
  Pass(config, weights, kernels, executor, batch, shape, buffers, {}, nobody, tables, keys_values).run();
  return {};
}

}  // namespace onepass
