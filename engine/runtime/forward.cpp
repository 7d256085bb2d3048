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
  float* edges;                // [B,edges], of a tree of words
  uint32_t* flags;             // [threads][Crew::flag_stride]
  uint8_t* slots;              // RowScratch of every thread
  size_t slot_bytes;

  RowScratch slot(const Config& config, const Shape& shape, size_t i) const noexcept;
};

// Of the widest layer; a layer of fewer heads uses the first channels of these buffers' rows.
size_t widest_qkv(const Config& c) noexcept { return (size_t{c.heads} + 2 * size_t{c.kv_heads}) * c.head_width; }
size_t widest_query(const Config& c) noexcept { return size_t{c.heads} * c.head_width; }
// Queries alone are computed in whole panels of 32 channels.
size_t whole_panels(size_t query_width, size_t qkv_width) noexcept {
  return std::min(kernels::round_up(query_width, 32), qkv_width);
}
size_t pooled_q_stride(const Config& c) noexcept { return whole_panels(widest_query(c), widest_qkv(c)); }

RowScratch take_scratch(Arena& arena, const Config& c, const Shape& shape) noexcept {
  const size_t width = c.width;
  const size_t widest = std::max({width, size_t{c.table_width()}, c.ffn_rows(), widest_query(c),
                                  c.has_words() ? c.head_rows(shape.total_classes) : 0});
  RowScratch s;
  s.wide = arena.take<float>(chunk_rows * widest);
  s.narrow = arena.take<float>(chunk_rows * width);
  s.normed = arena.take<float>(c.arch.norm_place != NormPlace::post ? chunk_rows * width : 0);
  s.codes = arena.take<int8_t>(chunk_rows * codes_stride(widest));
  s.scales = arena.take<float>(chunk_rows);
  s.peaks = arena.take<int32_t>(chunk_rows * 16);
  s.all_peaks = arena.take<int32_t>(shape.threads > 1 ? chunk_rows * 16 : 0);
  s.ids = arena.take<uint32_t>(chunk_rows);
  const size_t keys = shape.prefix + shape.longest + c.branch_tokens;
  s.attention = arena.take<float>(attention_floats(c, keys));
  s.shared = arena.take<float>(shape.prefix != 0 || c.branches != 0 ? 2 * keys * c.head_width : 0);
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
  b.qkv = arena.take<float>(shape.tokens * widest_qkv(c));
  b.attn = arena.take<float>(shape.tokens * widest_query(c));
  b.pooled_x = arena.take<float>(shape.texts * c.width);
  b.pooled_q = arena.take<float>(shape.texts * pooled_q_stride(c));
  b.edges = arena.take<float>(shape.texts * c.edges);
  b.flags = arena.take<uint32_t>(shape.threads > 1 ? shape.threads * Crew::flag_stride : 0);
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
       const StageObserver& observer, const PositionTables& tables, const PassControl& control,
       std::span<float* const> record = {}) noexcept
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
        record_(record),
        x_{buffers.x, config.width},
        qkv_{buffers.qkv, widest_qkv(config)},
        attn_{buffers.attn, widest_query(config)},
        pooled_x_{buffers.pooled_x, config.width},
        pooled_q_{buffers.pooled_q, pooled_q_stride(config)},
        edges_{buffers.edges, config.edges} {}

  // An error where `control` stopped it.
  Status run() noexcept {
    fill_positions();
    if (executor_.run_together == nullptr || executor_.threads <= 1) {
      Crew alone;
      run_member(alone);
      return stopped_;
    }
    std::memset(buffers_.flags, 0, executor_.threads * Crew::flag_stride * sizeof(uint32_t));
    run_all_together(executor_, [&](size_t slot, size_t slots) {
      Crew crew(slot, slots, buffers_.flags);
      run_member(crew);
    });
    return stopped_;
  }

 private:
  // The pass, by each thread of an executor that runs them together, or by one that lets the executor run each section.
  void run_member(Crew& crew) noexcept {
    run_layers(crew);
    if (config_.edges == 0 || !record_.empty() || !stopped_.ok()) return;
    // What the words at the nodes of each text say together.
    crew.sync();
    const size_t nodes = batch_.branches + 1;
    const Range own = crew.share(batch_.texts() / nodes);
    for (size_t t = own.begin; t < own.end; ++t) {
      word_logits(weights_.tree, weights_.heads[0].bias, {edges_.row(t * nodes), edges_.stride},
                  logits_.data() + t * shape_.total_classes);
    }
    crew.sync();
  }

  void run_layers(Crew& crew) noexcept {
    over_rows(crew, batch_.tokens(), [&](size_t begin, size_t rows, const RowScratch& scratch, const Workplace& place) {
      const Range own = place.crew->share(rows);
      const Matrix x{x_.row(begin + own.begin), x_.stride};
      embed_rows(config_, weights_, kernels_, batch_.ids.data() + begin + own.begin,
                 buffers_.positions + begin + own.begin, own.end - own.begin, x, *place.own);
      place.crew->sync();
      first_attention_input_rows(config_, layer(0), kernels_, {x_.row(begin), x_.stride}, own, scratch);
      project(0, begin, rows, scratch, place);
    });
    observe(crew, "embed", x_, batch_.tokens());
    for (size_t l = 0; l < config_.layers; ++l) {
      if (stops(crew)) return;
      if (!record_.empty() && l + 1 == config_.layers) return;
      attend(crew, l);
      if (pools_one(l)) {
        over_rows(crew, batch_.texts(),
                  [&](size_t begin, size_t rows, const RowScratch& scratch, const Workplace& place) {
                    const Range own = place.crew->share(rows);
                    for (size_t b = begin + own.begin; b < begin + own.end; ++b) {
                      std::memcpy(pooled_x_.row(b), x_.row(buffers_.pooled_rows[b]), config_.width * sizeof(float));
                    }
                    layer_tail_rows(config_, layer(l), nullptr, kernels_, {attn_.row(begin), attn_.stride}, rows,
                                    {pooled_x_.row(begin), pooled_x_.stride}, scratch, place);
                    if (config_.arch.final_norm == 0) {
                      finish(pooled_rows(begin), begin, rows, scratch, *place.crew);
                    }
                  });
        observe_layer(crew, l, pooled_x_, batch_.texts());
        if (config_.arch.final_norm == 0) return;
        over_rows(crew, batch_.texts(),
                  [&](size_t begin, size_t rows, const RowScratch& scratch, const Workplace& place) {
                    final_norm(pooled_x_, begin, place.crew->share(rows));
                    finish(pooled_rows(begin), begin, rows, scratch, *place.crew);
                  });
        observe(crew, "final_norm", pooled_x_, batch_.texts());
        return;
      }
      over_rows(crew, batch_.tokens(),
                [&](size_t begin, size_t rows, const RowScratch& scratch, const Workplace& place) {
                  const bool last = l + 1 == config_.layers;
                  layer_tail_rows(config_, layer(l), last ? nullptr : &layer(l + 1), kernels_,
                                  {attn_.row(begin), attn_.stride}, rows, {x_.row(begin), x_.stride}, scratch, place);
                  if (!last) {
                    project(l + 1, begin, rows, scratch, place);
                  } else if (labels_tokens() && config_.arch.final_norm == 0) {
                    finish({x_.row(begin), x_.stride}, begin, rows, scratch, *place.crew);
                  }
                });
      observe_layer(crew, l, x_, batch_.tokens());
    }
    if (config_.arch.final_norm != 0) {
      over_rows(crew, batch_.tokens(),
                [&](size_t begin, size_t rows, const RowScratch& scratch, const Workplace& place) {
                  final_norm(x_, begin, place.crew->share(rows));
                  if (labels_tokens()) finish({x_.row(begin), x_.stride}, begin, rows, scratch, *place.crew);
                });
      observe(crew, "final_norm", x_, batch_.tokens());
    }
    if (labels_tokens()) return;
    crew.sync();
    over_rows(crew, batch_.texts(), [&](size_t begin, size_t rows, const RowScratch& scratch, const Workplace& place) {
      const Range own = place.crew->share(rows);
      for (size_t b = begin + own.begin; b < begin + own.end; ++b) {
        mean_of_rows({x_.row(batch_.starts[b]), x_.stride}, text_tokens(b), config_.width, pooled_x_.row(b));
      }
      finish(pooled_rows(begin), begin, rows, scratch, *place.crew);
    });
  }

  // True for every member of the crew where one is to stop: the first looks, and the others hear of it.
  bool stops(Crew& crew) noexcept {
    if (control_.cancel == nullptr && control_.deadline == 0 && !control_.yield) return false;
    if (crew.member() == 0) stopped_ = control_.check();
    crew.sync();
    return !stopped_.ok();
  }

  const LayerWeights& layer(size_t l) const noexcept { return weights_.layers[config_.stored_layer(l)]; }
  size_t kv_heads(size_t l) const noexcept { return config_.kv_heads_of(config_.stored_layer(l)); }
  size_t kv_width(size_t l) const noexcept { return kv_heads(l) * config_.head_width; }
  size_t query_width(size_t l) const noexcept { return config_.heads_of(config_.stored_layer(l)) * config_.head_width; }
  size_t text_tokens(size_t b) const noexcept { return batch_.starts[b + 1] - batch_.starts[b]; }
  // What a text is seen behind: the prefix, and what it continues.
  size_t tokens_before(size_t b) const noexcept {
    const size_t text = batch_.text_of(b);
    return batch_.prefix.tokens + (text == b ? 0 : text_tokens(text));
  }

  bool labels_tokens() const noexcept { return config_.arch.pool == Pool::every_token; }
  Matrix pooled_rows(size_t begin) const noexcept { return {pooled_x_.row(begin), pooled_x_.stride}; }

  // True in the layer of which only one token of each text is needed.
  bool pools_one(size_t layer) const noexcept {
    return layer + 1 == config_.layers && pools_one_token(config_.arch.pool);
  }

  void fill_positions() noexcept {
    const uint32_t first = config_.arch.position_first;
    const bool skip_pad = config_.arch.position == Position::learned_after_pad;
    for (size_t b = 0; b < batch_.texts(); ++b) {
      const size_t before = tokens_before(b), text = batch_.prefix.tokens + text_tokens(batch_.text_of(b));
      const bool is_long = config_.rotary_original != 0 && text > config_.rotary_original;
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

  // True where threads that run together share out the channels of products over `rows` rows, and not the rows: each
  // then reads its share of the weights, and what the others made. Measured (docs/performance.md): with more rows a
  // thread the weights come as fast as they are used, and what is handed over grows with the rows.
  bool shares_channels(const Crew& crew, size_t rows) const noexcept {
    const size_t rows_a_thread = kernels_.isa == kernels::Isa::avx512vnni ? 12 : 20;
    return !crew.alone() && rows <= rows_a_thread * crew.members();
  }

  // f(begin, rows, scratch, place) over [0, count) in chunks: every thread its own contiguous part, or the whole crew
  // each chunk. What f wrote is seen by the crew when this returns, but where threads share channels.
  template <class F>
  void over_rows(Crew& crew, size_t count, F&& f) noexcept {
    if (shares_channels(crew, count)) {
      const RowScratch scratch = buffers_.slot(config_, shape_, 0), own = buffers_.slot(config_, shape_, crew.member());
      for (size_t begin = 0; begin < count; begin += chunk_rows) {
        if (begin != 0) crew.sync();  // the scratch may still be read
        f(begin, std::min(chunk_rows, count - begin), scratch, Workplace{&crew, &own, buffers_.slot_bytes});
      }
      return;
    }
    over_slots(crew, [&](size_t slot, size_t slots) {
      const Range part = split_range(count, slot, slots);
      const RowScratch scratch = buffers_.slot(config_, shape_, slot);
      Crew alone;
      for (size_t begin = part.begin; begin < part.end; begin += chunk_rows) {
        f(begin, std::min(chunk_rows, part.end - begin), scratch, Workplace{&alone, &scratch, 0});
      }
    });
  }

  // f(slot, slots) on every thread, and what it wrote is seen by all.
  template <class F>
  void over_slots(Crew& crew, F&& f) noexcept {
    if (crew.alone()) {
      run_on_all(executor_, f);
    } else {
      f(crew.member(), crew.members());
      crew.sync();
    }
  }

  // The heads whose queries, keys and values a member computes, and attends with.
  struct OwnHeads {
    Range q, kv;
  };
  OwnHeads own_heads(const Crew& crew, size_t l) const noexcept {
    const Range kv = crew.share(kv_heads(l));
    const size_t group = config_.heads / config_.kv_heads;
    return {{kv.begin * group, kv.end * group}, kv};
  }
  // True where members' heads are whole panels of the product: then nobody waits between the product and attention.
  bool heads_are_panels(const Crew& crew, size_t l) const noexcept {
    const size_t width = config_.head_width, unit = width * (config_.heads / config_.kv_heads);
    if (query_width(l) % 32 != 0 || kv_width(l) % 32 != 0) return false;
    for (size_t m = 1; m < crew.members(); ++m) {
      const size_t first = split_range(kv_heads(l), m, crew.members()).begin;
      if (first * width % 32 != 0 || first * unit % 32 != 0) return false;
    }
    return true;
  }

  // Q, K and V of layer `l` for the rows [begin, begin + rows), which are prepared; queries of pooled rows alone where
  // that is enough.
  void project(size_t l, size_t begin, size_t rows, const RowScratch& scratch, const Workplace& place) noexcept {
    Crew& crew = *place.crew;
    crew.sync();
    const Linear& qkv = layer(l).qkv;
    const ConstMatrix x = attention_input(config_, l, {x_.row(begin), x_.stride}, scratch);
    const LinearInput input = prepared_input(qkv, x, rows, scratch);
    const Matrix out{qkv_.row(begin), qkv_.stride};
    const size_t q_width = query_width(l);
    const OwnHeads heads = own_heads(crew, l);
    const bool pooled_only = pools_one(l);
    const bool by_heads = !crew.alone() && heads_are_panels(crew, l);
    const auto multiply = [&](size_t first, Range own_of_it) {
      const size_t width = config_.head_width;
      linear_channels(kernels_, qkv, input, out, first + own_of_it.begin * width, first + own_of_it.end * width);
    };
    if (by_heads) {
      if (!pooled_only) multiply(0, heads.q);
      multiply(q_width, heads.kv);
      multiply(q_width + kv_width(l), heads.kv);
    } else {
      const size_t first = pooled_only ? q_width / 32 * 32 : 0;
      const Range own = crew.share(qkv.n - first, 32);
      linear_channels(kernels_, qkv, input, out, first + own.begin, first + own.end);
    }
    Pooled pooled{};
    if (pooled_only) pooled = project_pooled(l, begin, input, by_heads, scratch, place);
    if (!crew.alone() && !by_heads) crew.sync();
    const uint32_t* positions = buffers_.positions + begin;
    if (pooled_only) {
      place_heads(l, layer(l).q_norm, {pooled_q_.row(pooled.first), pooled_q_.stride}, heads.q,
                  buffers_.pooled_positions + pooled.first, pooled.count);
    } else {
      place_heads(l, layer(l).q_norm, out, heads.q, positions, rows);
    }
    place_heads(l, layer(l).k_norm, {out.data + q_width, out.stride}, heads.kv, positions, rows);
    if (!record_.empty()) record(l, begin, rows, heads.kv);
  }

  // Keeps keys and values of some heads for the texts that will share them.
  void record(size_t l, size_t begin, size_t rows, Range heads) noexcept {
    const size_t width = kv_width(l), first = heads.begin * config_.head_width;
    const size_t bytes = (heads.end - heads.begin) * config_.head_width * sizeof(float);
    for (size_t t = begin; t < begin + rows; ++t) {
      const float* from = qkv_.row(t) + query_width(l) + first;
      float* to = record_[l] + t * 2 * width + first;
      std::memcpy(to, from, bytes);
      std::memcpy(to + width, from + width, bytes);
    }
  }

  // Norms and turns some heads of queries or keys.
  void place_heads(size_t l, const NormWeights& norm, Matrix all, Range heads, const uint32_t* positions,
                   size_t rows) noexcept {
    if (heads.empty() || rows == 0) return;
    const Matrix x{all.data + heads.begin * config_.head_width, all.stride};
    const size_t count = heads.end - heads.begin;
    if (config_.arch.qk_norm != 0) norm_heads(config_, norm, kernels_, x, count, rows);
    if (config_.arch.position != Position::rotary) return;
    rotate_rows(config_, config_.windowed(l) ? tables_.local() : tables_.global(), kernels_, x, count, positions, rows);
  }

  // Texts [first, first + count).
  struct Pooled {
    size_t first, count;
  };
  // The queries of the texts whose pooled token lies in the rows [begin, begin + input.rows). They are neighbours:
  // their rows are moved together, so that their queries are one product.
  Pooled project_pooled(size_t l, size_t begin, const LinearInput& input, bool by_heads, const RowScratch& scratch,
                        const Workplace& place) noexcept {
    const uint32_t* all = buffers_.pooled_rows;
    const uint32_t* first = std::lower_bound(all, all + batch_.texts(), begin);
    const uint32_t* last = std::lower_bound(first, all + batch_.texts(), begin + input.rows);
    const auto b0 = static_cast<size_t>(first - all);
    // A crew's codes are still read by others, and its buffers of wide rows by nobody.
    const bool alone = place.crew->alone();
    int8_t* codes = alone ? scratch.codes : reinterpret_cast<int8_t*>(place.own->wide);
    float* scales = alone ? scratch.scales : reinterpret_cast<float*>(place.own->all_peaks);
    float* floats = alone ? scratch.narrow : place.own->wide;
    const LinearInput pooled{{floats, config_.width},
                             static_cast<size_t>(last - first),
                             input.codes != nullptr ? codes : nullptr,
                             input.codes_stride,
                             scales};
    for (size_t i = 0; i < pooled.rows; ++i) {
      const size_t row = first[i] - begin;  // >= i, so moving forward overwrites nothing still needed
      if (input.codes != nullptr) {
        std::memmove(codes + i * input.codes_stride, input.codes + row * input.codes_stride, input.codes_stride);
        scales[i] = input.scales[row];
      } else {
        std::memcpy(floats + i * config_.width, input.x.row(row), config_.width * sizeof(float));
      }
    }
    const size_t channels = whole_panels(query_width(l), layer(l).qkv.n);
    const Range own = by_heads ? own_heads(*place.crew, l).q : place.crew->share(channels, 32);
    const size_t unit = by_heads ? config_.head_width : 1;
    linear_channels(kernels_, layer(l).qkv, pooled, {pooled_q_.row(b0), pooled_q_.stride}, own.begin * unit,
                    own.end * unit);
    return {b0, pooled.rows};
  }

  void final_norm(Matrix all, size_t begin, Range rows) noexcept {
    if (rows.empty()) return;
    const Matrix x{all.row(begin + rows.begin), all.stride};
    norm_rows(config_, weights_.final_norm, kernels_, x, {nullptr, 0}, rows.end - rows.begin, config_.width, x);
  }

  // Attention of every text and head. Heads that share keys and values are computed together, but where that would
  // leave slots without work. Members of a crew have heads of their own; else what is computed together is dealt out by
  // its cost, which grows with the square of the length.
  void attend(Crew& crew, size_t layer) noexcept {
    if (shares_channels(crew, batch_.tokens())) {
      const RowScratch own = buffers_.slot(config_, shape_, crew.member());
      const Range kv = own_heads(crew, layer).kv;
      const size_t group = config_.heads / config_.kv_heads;
      for (size_t b = 0; b < batch_.texts(); ++b) {
        for (size_t g = kv.begin; g < kv.end; ++g) attend_text(layer, b, {g * group, (g + 1) * group}, own);
      }
      crew.sync();
      return;
    }
    const bool one_only = pools_one(layer);
    const size_t groups = kv_heads(layer), group = config_.heads / config_.kv_heads;
    const auto cost = [&](size_t b, size_t heads) {
      const auto t = static_cast<double>(text_tokens(b)), keys = t + static_cast<double>(tokens_before(b));
      return (one_only ? keys : t * keys) * static_cast<double>(heads);
    };
    double total = 0;
    for (size_t b = 0; b < batch_.texts(); ++b) total += cost(b, groups * group);
    over_slots(crew, [&](size_t slot, size_t slots) {
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
    const size_t q_width = query_width(layer), values = kv_width(layer);
    const size_t of_group = heads.begin / (config_.heads / config_.kv_heads) * config_.head_width;
    ConstMatrix k{qkv_.row(start) + q_width + of_group, qkv_.stride};
    ConstMatrix v{qkv_.row(start) + q_width + values + of_group, qkv_.stride};
    const size_t before = tokens_before(b);
    if (before != 0) {
      k = with_before(layer, b, of_group, scratch.shared);
      v = with_before(layer, b, values + of_group, scratch.shared + (before + tokens) * config_.head_width);
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

  // A head's keys or values, which begin at `column` of them all, of everything that a text sees: of the prefix, of
  // what it continues, and its own, one below the other in `out`.
  ConstMatrix with_before(size_t layer, size_t b, size_t column, float* out) const noexcept {
    const size_t width = config_.head_width, q_width = query_width(layer);
    float* next = out;
    const auto append = [&](const float* from, size_t stride, size_t rows) {
      for (size_t t = 0; t < rows; ++t, next += width) std::memcpy(next, from + t * stride, width * sizeof(float));
    };
    if (batch_.prefix.tokens != 0) {
      append(batch_.prefix.keys_values[layer] + column, 2 * kv_width(layer), batch_.prefix.tokens);
    }
    if (const size_t text = batch_.text_of(b); text != b) {
      append(qkv_.row(batch_.starts[text]) + q_width + column, qkv_.stride, text_tokens(text));
    }
    append(qkv_.row(batch_.starts[b]) + q_width + column, qkv_.stride, text_tokens(b));
    return {out, width};
  }

  // The logits of rows [begin, begin + rows), from what was pooled for them or, labelling tokens, from their own rows.
  void finish(ConstMatrix x, size_t begin, size_t rows, const RowScratch& scratch, Crew& crew) noexcept {
    const ConstMatrix pooled = pooler_rows(config_, weights_, kernels_, rows, x, scratch, crew);
    if (config_.edges != 0) {
      edge_rows(config_, weights_.heads[0], kernels_, rows, pooled, {edges_.row(begin), edges_.stride}, scratch, crew);
      return;
    }
    head_rows(config_, weights_, kernels_, rows, pooled,
              {logits_.data() + begin * shape_.total_classes, shape_.total_classes}, scratch, crew);
  }

  void observe(Crew& crew, const char* stage, Matrix rows, size_t count) noexcept {
    if (observer_.call == nullptr) return;
    crew.sync();
    if (crew.member() == 0) observer_.call(observer_.context, stage, rows.data, count, config_.width);
    crew.sync();
  }
  void observe_layer(Crew& crew, size_t layer, Matrix rows, size_t count) noexcept {
    if (observer_.call == nullptr) return;
    char name[max_tensor_name];
    write_tensor_name("layers.{i}", static_cast<uint32_t>(layer), name);
    observe(crew, name, rows, count);
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
  Status stopped_;
  const std::span<float* const> record_;  // where keys and values go, by layer; empty: nowhere
  const Matrix x_, qkv_, attn_, pooled_x_, pooled_q_, edges_;
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
               const PositionTables& tables, const PassControl& control) noexcept {
  size_t total_classes = 0;
  for (const Linear& head : weights.heads) total_classes += config.words != 0 ? head.n / config.words : head.n;
  if (config.edges != 0) total_classes = weights.tree.classes();
  const Shape shape = shape_of(batch, total_classes, std::max(executor.threads, 1u));
  Arena take(arena.data());
  const Buffers buffers = take_buffers(take, config, shape);
  const size_t rows = config.logit_rows(shape.tokens, shape.texts / (batch.branches + 1));
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

Status forward_prefix(const Config& config, const Weights& weights, const KernelTable& kernels,
                      const Executor& executor, const Batch& batch, std::span<uint8_t> arena,
                      std::span<float* const> keys_values, const PositionTables& tables,
                      const PassControl& control) noexcept {
  const Shape shape = shape_of(batch, 0, std::max(executor.threads, 1u));
  Arena take(arena.data());
  const Buffers buffers = take_buffers(take, config, shape);
  if (take.used() > arena.size() || keys_values.size() < config.layers) {
    return make_error(Code::buffer_too_small, Error::no_offset, "arena", "the pass needs %zu bytes", take.used());
  }
  const StageObserver nobody;
  return Pass(config, weights, kernels, executor, batch, shape, buffers, {}, nobody, tables, control, keys_values)
      .run();
}

}  // namespace onepass
