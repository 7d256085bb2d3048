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
};

// Every buffer of a pass.
struct Buffers {
  uint32_t* positions;  // [T]
  float* x;             // [T,D]
  float* qkv;           // [T,QKV]
  float* attn;          // [T,HE]
  float* pooled_x;      // [B,D]
  float* pooled_q;      // [B,pooled_q_stride]
  uint8_t* slots;       // RowScratch of every thread
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
  const size_t widest = std::max({width, size_t{c.table_width()}, c.ffn_rows(), query_width(c)});
  RowScratch s;
  s.wide = arena.take<float>(chunk_rows * widest);
  s.narrow = arena.take<float>(chunk_rows * width);
  s.normed = arena.take<float>(c.arch.norm_place == NormPlace::pre ? chunk_rows * width : 0);
  s.codes = arena.take<int8_t>(chunk_rows * codes_stride(widest));
  s.scales = arena.take<float>(chunk_rows);
  s.peaks = arena.take<int32_t>(chunk_rows * 16);
  s.ids = arena.take<uint32_t>(chunk_rows);
  s.attention = arena.take<float>(attention_floats(c, shape.longest));
  return s;
}

RowScratch Buffers::slot(const Config& config, const Shape& shape, size_t i) const noexcept {
  Arena arena(slots + i * slot_bytes);
  return take_scratch(arena, config, shape);
}

Buffers take_buffers(Arena& arena, const Config& c, const Shape& shape) noexcept {
  Buffers b;
  b.positions = arena.take<uint32_t>(shape.tokens);
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
       const StageObserver& observer, const PositionTables& tables, const PassControl& control) noexcept
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
        control_(control),
        x_{buffers.x, config.width},
        qkv_{buffers.qkv, qkv_width(config)},
        attn_{buffers.attn, query_width(config)},
        pooled_x_{buffers.pooled_x, config.width},
        pooled_q_{buffers.pooled_q, pooled_q_stride(config)} {}

  Status run() noexcept {
    fill_positions();
    rows_in_chunks(batch_.tokens(), [&](size_t begin, size_t rows, const RowScratch& scratch) {
      embed_rows(config_, weights_, kernels_, batch_.ids.data() + begin, buffers_.positions + begin, rows,
                 {x_.row(begin), x_.stride}, scratch);
      project(0, begin, rows, scratch);
    });
    observe("embed", x_, batch_.tokens());
    for (size_t l = 0; l < config_.layers; ++l) {
      ONEPASS_TRY(control_.check());
      attend(l);
      if (pools_first(l)) {
        rows_in_chunks(batch_.texts(), [&](size_t begin, size_t rows, const RowScratch& scratch) {
          for (size_t b = begin; b < begin + rows; ++b) {
            std::memcpy(pooled_x_.row(b), x_.row(batch_.starts[b]), config_.width * sizeof(float));
          }
          layer_tail_rows(config_, layer(l), kernels_, {attn_.row(begin), attn_.stride}, rows,
                          {pooled_x_.row(begin), pooled_x_.stride}, scratch);
          if (config_.arch.final_norm == 0) finish(pooled_rows(begin), begin, rows, scratch);
        });
        observe_layer(l, pooled_x_, batch_.texts());
        if (config_.arch.final_norm == 0) return {};
        rows_in_chunks(batch_.texts(), [&](size_t begin, size_t rows, const RowScratch& scratch) {
          final_norm(pooled_rows(begin), rows);
          finish(pooled_rows(begin), begin, rows, scratch);
        });
        observe("final_norm", pooled_x_, batch_.texts());
        return {};
      }
      rows_in_chunks(batch_.tokens(), [&](size_t begin, size_t rows, const RowScratch& scratch) {
        const Matrix x{x_.row(begin), x_.stride};
        layer_tail_rows(config_, layer(l), kernels_, {attn_.row(begin), attn_.stride}, rows, x, scratch);
        if (l + 1 < config_.layers)
          project(l + 1, begin, rows, scratch);
        else if (labels_tokens() && config_.arch.final_norm == 0)
          finish(x, begin, rows, scratch);
      });
      observe_layer(l, x_, batch_.tokens());
    }
    if (config_.arch.final_norm != 0) {
      rows_in_chunks(batch_.tokens(), [&](size_t begin, size_t rows, const RowScratch& scratch) {
        final_norm({x_.row(begin), x_.stride}, rows);
        if (labels_tokens()) finish({x_.row(begin), x_.stride}, begin, rows, scratch);
      });
      observe("final_norm", x_, batch_.tokens());
    }
    if (labels_tokens()) return {};
    rows_in_chunks(batch_.texts(), [&](size_t begin, size_t rows, const RowScratch& scratch) {
      for (size_t b = begin; b < begin + rows; ++b) {
        pool_text(config_.arch.pool, {x_.row(batch_.starts[b]), x_.stride}, text_tokens(b), config_.width,
                  pooled_x_.row(b));
      }
      finish(pooled_rows(begin), begin, rows, scratch);
    });
    return {};
  }

 private:
  const LayerWeights& layer(size_t l) const noexcept { return weights_.layers[config_.stored_layer(l)]; }
  size_t text_tokens(size_t b) const noexcept { return batch_.starts[b + 1] - batch_.starts[b]; }

  bool labels_tokens() const noexcept { return config_.arch.pool == Pool::every_token; }
  Matrix pooled_rows(size_t begin) const noexcept { return {pooled_x_.row(begin), pooled_x_.stride}; }

  // True in the layer of which only the first token of each text is needed.
  bool pools_first(size_t layer) const noexcept {
    return layer + 1 == config_.layers && config_.arch.pool == Pool::first_token;
  }

  void fill_positions() noexcept {
    const uint32_t first = config_.arch.position_first;
    const bool skip_pad = config_.arch.position == Position::learned_after_pad;
    for (size_t b = 0; b < batch_.texts(); ++b) {
      uint32_t next = first;
      for (size_t t = batch_.starts[b]; t < batch_.starts[b + 1]; ++t) {
        buffers_.positions[t] = skip_pad && batch_.ids[t] + 1 == first ? first - 1 : next++;
      }
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
    const Linear& qkv = layer(l).qkv;
    const ConstMatrix x =
        attention_input_rows(config_, layer(l), l, kernels_, {x_.row(begin), x_.stride}, rows, scratch);
    const LinearInput input = prepare_input(kernels_, qkv, x, rows, scratch);
    const Matrix out{qkv_.row(begin), qkv_.stride};
    if (!pools_first(l)) {
      linear_channels(kernels_, qkv, input, out, 0, qkv.n);
      rotate(l, begin, out, config_.heads + config_.kv_heads, rows);
      return;
    }
    linear_channels(kernels_, qkv, input, out, query_width(config_) / 32 * 32, qkv.n);
    rotate(l, begin, {out.data + query_width(config_), out.stride}, config_.kv_heads, rows);
    // The texts whose first token lies in these rows are neighbours: their rows are moved together, so that their
    // queries are one product. They stand at position 0, where nothing is turned.
    const auto first = std::lower_bound(batch_.starts.begin(), batch_.starts.end() - 1, begin);
    const auto last = std::lower_bound(first, batch_.starts.end() - 1, begin + rows);
    const auto b0 = static_cast<size_t>(first - batch_.starts.begin());
    LinearInput pooled{{scratch.narrow, config_.width},
                       static_cast<size_t>(last - first),
                       input.codes,
                       input.codes_stride,
                       input.scales};
    for (size_t i = 0; i < pooled.rows; ++i) {
      const size_t row = batch_.starts[b0 + i] - begin;  // >= i, so moving forward overwrites nothing still needed
      if (input.codes != nullptr) {
        std::memmove(scratch.codes + i * input.codes_stride, scratch.codes + row * input.codes_stride,
                     input.codes_stride);
        scratch.scales[i] = scratch.scales[row];
      } else {
        std::memcpy(scratch.narrow + i * config_.width, x.row(row), config_.width * sizeof(float));
      }
    }
    linear_channels(kernels_, qkv, pooled, {pooled_q_.row(b0), pooled_q_.stride}, 0, pooled_q_.stride);
  }

  void rotate(size_t l, size_t begin, Matrix x, size_t heads, size_t rows) noexcept {
    if (config_.arch.position != Position::rotary) return;
    rotate_rows(config_, config_.windowed(l) ? tables_.local() : tables_.global(), kernels_, x, heads,
                buffers_.positions + begin, rows);
  }

  void final_norm(Matrix x, size_t rows) noexcept {
    norm_rows(config_, weights_.final_norm, kernels_, x, {nullptr, 0}, rows, config_.width, x);
  }

  // Attention of every text and head; pairs are dealt out by their cost, which grows with the square of the length.
  void attend(size_t layer) noexcept {
    const bool first_only = pools_first(layer);
    const auto cost = [&](size_t b) {
      const auto t = static_cast<double>(text_tokens(b));
      return first_only ? t : t * t;
    };
    double total = 0;
    for (size_t b = 0; b < batch_.texts(); ++b) total += cost(b) * config_.heads;
    run_on_all(executor_, [&](size_t slot, size_t slots) {
      const RowScratch scratch = buffers_.slot(config_, shape_, slot);
      const double low = total * static_cast<double>(slot) / static_cast<double>(slots);
      const double high = total * static_cast<double>(slot + 1) / static_cast<double>(slots);
      double before = 0;
      for (size_t b = 0; b < batch_.texts(); ++b) {
        for (size_t h = 0; h < config_.heads; ++h, before += cost(b)) {
          // A pair belongs to the slot in whose share its middle lies.
          const double middle = before + 0.5 * cost(b);
          if (middle < low || middle >= high) continue;
          const size_t start = batch_.starts[b];
          const size_t tokens = text_tokens(b);
          const size_t q_width = query_width(config_);
          const size_t kv_width = size_t{config_.kv_heads} * config_.head_width;
          const ConstMatrix k{qkv_.row(start) + q_width, qkv_.stride};
          const ConstMatrix v{qkv_.row(start) + q_width + kv_width, qkv_.stride};
          if (first_only) {
            attention_head(config_, weights_, kernels_, layer, h, {pooled_q_.row(b), pooled_q_.stride}, 1, k, v, tokens,
                           tables_.relative_index(), {attn_.row(b), attn_.stride}, scratch);
          } else {
            attention_head(config_, weights_, kernels_, layer, h, {qkv_.row(start), qkv_.stride}, tokens, k, v, tokens,
                           tables_.relative_index(), {attn_.row(start), attn_.stride}, scratch);
          }
        }
      }
    });
  }

  // The logits of rows [begin, begin + rows), from what was pooled for them or, labelling tokens, from their own rows.
  void finish(ConstMatrix x, size_t begin, size_t rows, const RowScratch& scratch) noexcept {
    const ConstMatrix pooled = pooler_rows(config_, weights_, kernels_, rows, x, scratch);
    head_rows(weights_, kernels_, rows, pooled, {logits_.data() + begin * shape_.total_classes, shape_.total_classes},
              scratch);
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
  const PassControl& control_;
  const Matrix x_, qkv_, attn_, pooled_x_, pooled_q_;
};

Shape shape_of(const Batch& batch, size_t total_classes, unsigned threads) noexcept {
  Shape shape{batch.tokens(), batch.texts(), 0, total_classes, threads};
  for (size_t b = 0; b < batch.texts(); ++b) {
    shape.longest = std::max<size_t>(shape.longest, batch.starts[b + 1] - batch.starts[b]);
  }
  return shape;
}

}  // namespace

size_t forward_arena_bytes(const Config& config, size_t total_classes, size_t tokens, size_t texts, size_t longest,
                           unsigned threads) noexcept {
  Arena measure(nullptr);
  take_buffers(measure, config, {tokens, texts, longest, total_classes, std::max(threads, 1u)});
  return measure.used();
}

Status forward(const Config& config, const Weights& weights, const KernelTable& kernels, const Executor& executor,
               const Batch& batch, std::span<uint8_t> arena, std::span<float> logits, const StageObserver& observer,
               const PositionTables& tables, const PassControl& control) noexcept {
  size_t total_classes = 0;
  for (const Linear& head : weights.heads) total_classes += head.n;
  const Shape shape = shape_of(batch, total_classes, std::max(executor.threads, 1u));
  Arena take(arena.data());
  const Buffers buffers = take_buffers(take, config, shape);
  const size_t rows = config.logit_rows(shape.tokens, shape.texts);
  if (take.used() > arena.size() || logits.size() < rows * total_classes) {
    return make_error(Code::buffer_too_small, Error::no_offset, "arena", "the pass needs %zu bytes", take.used());
  }
  ONEPASS_TRY(Pass(config, weights, kernels, executor, batch, shape, buffers, logits, observer, tables, control).run());
  for (size_t i = 0; i < rows * total_classes; ++i) {
    if (!std::isfinite(logits[i])) {
      size_t text = i / total_classes;
      if (rows == shape.tokens) {
        const auto after = std::upper_bound(batch.starts.begin(), batch.starts.end(), static_cast<uint32_t>(text));
        text = static_cast<size_t>(after - batch.starts.begin()) - 1;
      }
      return make_error(
          Code::non_finite_result, Error::no_offset, "logits",
          "text %zu has a logit that is not finite: the model's weights are out of range; convert it again",
          batch.first_text + text);
    }
  }
  return {};
}

}  // namespace onepass
