#include "tools/quantise/workbench.h"

#include <algorithm>
#include <cstring>
#include <filesystem>
#include <random>

#include "engine/runtime/forward.h"
#include "engine/runtime/session.h"
#include "kernels/pack/pack.h"
#include "tools/quantise/recorder.h"

namespace onepass::quantise {

using kernels::Layout;

namespace {

Error no_memory() {
  return make_error(Code::out_of_memory, Error::no_offset, "calibration", "no memory for the weights of a layer");
}

// A file that is gone when nobody has it open any more, or at the latest with this object.
class TemporaryFile {
 public:
  TemporaryFile() {
    std::random_device random;
    path_ = std::filesystem::temp_directory_path() /
            ("onepass-" + std::to_string(random()) + std::to_string(random()) + ".tmp");
  }
  ~TemporaryFile() {
    std::error_code ignored;
    std::filesystem::remove(path_, ignored);
  }
  TemporaryFile(const TemporaryFile&) = delete;
  TemporaryFile& operator=(const TemporaryFile&) = delete;
  std::string path() const { return path_.string(); }

 private:
  std::filesystem::path path_;
};

const Workbench::Tensor kNone{};

Linear* linear_of(Weights& w, const Workbench::Tensor& t) {
  switch (t.slot) {
    case Slot::attn_qkv_w:
    case Slot::attn_qkv_b:
      return &w.layers[t.index].qkv;
    case Slot::attn_out_w:
    case Slot::attn_out_b:
      return &w.layers[t.index].attn_out;
    case Slot::ffn_up_w:
    case Slot::ffn_up_b:
      return &w.layers[t.index].ffn_up;
    case Slot::ffn_down_w:
    case Slot::ffn_down_b:
      return &w.layers[t.index].ffn_down;
    case Slot::embed_project_w:
    case Slot::embed_project_b:
      return &w.embed_project;
    case Slot::pooler_w:
    case Slot::pooler_b:
      return &w.pooler;
    case Slot::head_w:
    case Slot::head_b:
      return &w.heads[t.index];
    default:
      return nullptr;
  }
}

Table* table_of(Weights& w, const Workbench::Tensor& t) {
  switch (t.slot) {
    case Slot::embed_token:
      return &w.token;
    case Slot::embed_position:
      return &w.position;
    case Slot::embed_type:
      return &w.segment;
    case Slot::attn_relative_key:
      return &w.layers[t.index].relative_key;
    case Slot::attn_relative_query:
      return &w.layers[t.index].relative_query;
    default:
      return nullptr;
  }
}

const float** norm_of(Weights& w, const Workbench::Tensor& t) {
  switch (t.slot) {
    case Slot::attn_norm_w:
      return &w.layers[t.index].attn_norm.weight;
    case Slot::attn_norm_b:
      return &w.layers[t.index].attn_norm.bias;
    case Slot::ffn_norm_w:
      return &w.layers[t.index].ffn_norm.weight;
    case Slot::ffn_norm_b:
      return &w.layers[t.index].ffn_norm.bias;
    default:
      return nullptr;
  }
}

}  // namespace

Workbench::Workbench(Model model, Weights weights)
    : model_(std::move(model)), config_(model_.config()), weights_(std::move(weights)) {
  for (const TensorView& t : model_.file().tensors()) {
    const SlotSpec& spec = slot_specs()[static_cast<size_t>(t.slot)];
    tensors_.push_back({std::string(t.name), t.slot, spec.role, spec.scope, t.index, static_cast<size_t>(t.n),
                        static_cast<size_t>(t.k)});
  }
  written_.resize(tensors_.size());
  exchanged_.resize(tensors_.size());
  coded_.resize(tensors_.size());
}

Status Workbench::set_attention(AttentionType attention) {
  config_.attention = attention;
  const Layout layout = coded_rows_layout(attention);
  for (size_t i = 0; i < tensors_.size(); ++i) {
    const Tensor& t = tensors_[i];
    if (t.role != Role::coded_rows) continue;
    const TensorView& view = model_.file().tensors()[i];
    Table& table = *table_of(weights_, t);
    table.layout = layout;
    table.data = view.data;
    if (layout == view.layout) continue;
    Exchanged& coded = coded_[i];
    if (coded.bytes.empty()) {
      Array<uint8_t> bytes;
      if (!bytes.resize(kernels::packed_bytes(layout, t.n, t.k))) {
        return make_error(Code::out_of_memory, Error::no_offset, t.name, "no memory for its codes");
      }
      if (!kernels::pack(layout, static_cast<const float*>(view.data), t.n, t.k, bytes.data()).ok()) {
        return make_error(Code::non_finite, Error::no_offset, t.name, "a value is not a finite number");
      }
      coded.bytes = std::move(bytes);
    }
    table.data = coded.bytes.data();
  }
  return {};
}

Result<std::unique_ptr<Workbench>> Workbench::open(const ModelContent& f32, AttentionType attention) {
  const TemporaryFile file;
  ONEPASS_TRY(write_model(f32, file.path()));
  ONEPASS_TRY_ASSIGN(model, Model::open(file.path().c_str(), {.mode = LoadMode::map, .verify = false}));
  ONEPASS_TRY_ASSIGN(weights, bind_weights(model.file()));
  // Not make_unique: the constructor is private.
  std::unique_ptr<Workbench> bench(new Workbench(std::move(model), std::move(weights)));
  ONEPASS_TRY(bench->set_attention(attention));
  return bench;
}

size_t Workbench::find(Slot slot, uint32_t index) const {
  const auto is = [&](const Tensor& t) { return t.slot == slot && t.index == index; };
  return static_cast<size_t>(std::find_if(tensors_.begin(), tensors_.end(), is) - tensors_.begin());
}

Result<Texts> Workbench::tokenize(std::span<const std::string> texts) const {
  ONEPASS_TRY_ASSIGN(session, Session::create(model_, {}));
  Texts out;
  for (const std::string& text : texts) {
    ONEPASS_TRY_ASSIGN(tokens, session.tokenize(text, {}));
    out.ids.insert(out.ids.end(), tokens.ids.begin(), tokens.ids.end());
    out.starts.push_back(static_cast<uint32_t>(out.ids.size()));
  }
  return out;
}

Status Workbench::bind(size_t tensor, const void* data, Layout layout) {
  const Tensor& t = tensors_[tensor];
  if (t.role == Role::matrix) {
    Linear& linear = *linear_of(weights_, t);
    linear.w = data;
    linear.layout = layout;
    return {};
  }
  if (t.role == Role::table && layout_fits(t.role, layout, config_.attention)) {
    Table& table = *table_of(weights_, t);
    table.data = data;
    table.layout = layout;
    return {};
  }
  if (t.role == Role::vector && layout == Layout::f32_rows) {
    if (const float** norm = norm_of(weights_, t)) {
      *norm = static_cast<const float*>(data);
      return {};
    }
    if (Linear* linear = linear_of(weights_, t)) {
      linear->bias = static_cast<const float*>(data);
      return {};
    }
  }
  return make_error(Code::invalid_argument, Error::no_offset, t.name, "this tensor cannot be exchanged for %s",
                    kernels::layout_name(layout));
}

std::vector<float> Workbench::read(size_t tensor) const {
  const Tensor& t = tensors_[tensor];
  const TensorView& view = model_.file().tensors()[tensor];
  const Exchanged& written = written_[tensor];
  std::vector<float> values(t.n * t.k);
  // An f32 content has f32 layouts alone.
  if (!kernels::unpack(view.layout, written.bytes.empty() ? view.data : written.bytes.data(), t.n, t.k,
                       values.data())) {
    values.clear();
  }
  return values;
}

Status Workbench::write(size_t tensor, std::span<const float> values) {
  const Tensor& t = tensors_[tensor];
  const Layout layout = model_.file().tensors()[tensor].layout;
  Exchanged& written = written_[tensor];
  if (!written.bytes.resize(kernels::packed_bytes(layout, t.n, t.k))) return no_memory();
  const kernels::PackResult packed = kernels::pack(layout, values.data(), t.n, t.k, written.bytes.data());
  if (!packed.ok()) {
    return make_error(Code::non_finite, Error::no_offset, t.name, "element %zu is not a finite number", packed.index);
  }
  return restore(tensor);
}

Status Workbench::exchange(size_t tensor, Layout layout, std::span<const uint8_t> packed) {
  Exchanged& exchanged = exchanged_[tensor];
  if (!exchanged.bytes.resize(packed.size())) return no_memory();
  std::memcpy(exchanged.bytes.data(), packed.data(), packed.size());
  exchanged.layout = layout;
  return bind(tensor, exchanged.bytes.data(), layout);
}

Status Workbench::restore(size_t tensor) {
  const TensorView& view = model_.file().tensors()[tensor];
  const Exchanged& written = written_[tensor];
  ONEPASS_TRY(bind(tensor, written.bytes.empty() ? view.data : written.bytes.data(), view.layout));
  exchanged_[tensor] = {};
  return {};
}

Status Workbench::revert(size_t tensor) {
  written_[tensor] = {};
  return restore(tensor);
}

Status Workbench::run(const Texts& texts, const kernels::KernelTable& kernels, const PassControl& control,
                      std::span<float> logits, const Progress& progress, const std::function<void()>& after_pass) {
  constexpr size_t kTokens = 1024;  // of a pass; a longer text is one of its own
  const size_t classes = model_.total_classes();
  size_t rows_before = 0;
  for (size_t begin = 0; begin < texts.size();) {
    size_t end = begin + 1, longest = 0;
    while (end < texts.size() && texts.starts[end + 1] - texts.starts[begin] <= kTokens) ++end;
    std::vector<uint32_t> ids, starts{0};
    const auto append = [&](std::span<const uint32_t> more) {
      ids.insert(ids.end(), more.begin(), more.end());
      starts.push_back(static_cast<uint32_t>(ids.size()));
      longest = std::max(longest, more.size());
    };
    for (size_t b = begin; b < end; ++b) {
      append({texts.ids.data() + texts.starts[b], texts.starts[b + 1] - texts.starts[b]});
      // The words that may follow a text run behind it, where a model has a tree of them.
      for (size_t branch = 0; branch < config_.branches; ++branch) append(weights_.tree.path(branch));
    }
    const Batch batch{.ids = ids, .starts = starts, .first_text = begin, .branches = config_.branches};
    const size_t need = forward_arena_bytes(config_, classes, ids.size(), batch.texts(), longest, 1);
    if (need > arena_.size() && !arena_.resize_uninitialized(need)) return no_memory();
    ONEPASS_TRY(tables_.reserve(config_, weights_, longest + config_.branch_tokens));
    const size_t rows = config_.logit_rows(ids.size(), end - begin);
    const Status status = forward(config_, weights_, kernels, {}, batch, arena_.span(),
                                  logits.subspan(rows_before, rows * classes), {}, tables_, control);
    // Cancelled where no later layer is of interest.
    if (!status.ok() && !(status.code() == Code::cancelled && control.cancel != nullptr)) return status;
    rows_before += rows * classes;
    after_pass();
    begin = end;
    if (progress) progress(end);
  }
  return {};
}

Result<std::vector<float>> Workbench::logits(const Texts& texts, const Progress& progress) {
  std::vector<float> out(config_.logit_rows(texts.ids.size(), texts.size()) * model_.total_classes());
  ONEPASS_TRY(run(texts, *kernels::kernel_table(kernels::best_isa()), {}, out, progress, [] {}));
  return out;
}

Status Workbench::collect(const Texts& texts, std::span<const Wanted> wanted, const Progress& progress) {
  Recorder recorder(*kernels::kernel_table(kernels::best_isa()));
  uint32_t cancel = 0;
  for (const Wanted& w : wanted) {
    const Tensor& t = tensors_[w.tensor];
    const Linear& linear = *linear_of(weights_, t);
    if (kernels::dtype_of(linear.layout) != kernels::Dtype::f32) {
      return make_error(Code::invalid_argument, Error::no_offset, t.name, "its inputs are codes already");
    }
    recorder.add(linear.w, t.k, *w.moments);
  }
  // The end of a layer is the end of a pass where nothing behind it is of interest.
  const Tensor& last = wanted.empty() ? kNone : tensors_[wanted.back().tensor];
  if (last.slot == Slot::ffn_down_w && config_.stored_layers == 0) {
    recorder.stop_at(linear_of(weights_, last)->w, &cancel);
  }
  std::vector<float> unused(config_.logit_rows(texts.ids.size(), texts.size()) * model_.total_classes());
  PassControl control;
  control.cancel = &cancel;
  ONEPASS_TRY(run(texts, recorder.table(), control, unused, progress, [&] { cancel = 0; }));
  recorder.finish();
  return {};
}

}  // namespace onepass::quantise
