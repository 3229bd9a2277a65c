#include "basin/checkpoint/map_builder.h"

#include <algorithm>
#include <set>

#include "basin/linalg/errors.h"
#include "basin/linalg/words.h"

namespace basin {
namespace {

constexpr Index kAll = TensorPart::kWhole;

/// The name without the parts that wrappers of modules put into it.
std::string unwrapped(const std::string& name) {
  static const std::set<std::string> kWrappers = {"_orig_mod", "_fsdp_wrapped_module",
                                                  "_checkpoint_wrapped_module", "_forward_module"};
  std::string plain;
  for (std::size_t from = 0; from <= name.size();) {
    const std::size_t dot = std::min(name.find('.', from), name.size());
    const std::string part = name.substr(from, dot - from);
    const bool wrapper = kWrappers.contains(part) || (part == "module" && plain.empty());
    if (!wrapper) plain += (plain.empty() ? "" : ".") + part;
    from = dot + 1;
  }
  return plain;
}

/// The name of layer i: "h.{i}.ln_1" -> "h.0.ln_1".
std::string numbered(std::string name, Index i) {
  const std::size_t at = name.find("{i}");
  return at == std::string::npos ? name : name.replace(at, 3, std::to_string(i));
}

}  // namespace

LayerDescription described(std::string type, std::map<std::string, LayerOption> options, std::string name,
                           std::vector<LayerDescription> layers) {
  return {std::move(type), std::move(options), std::move(name), std::move(layers)};
}

TensorNames::TensorNames(const Checkpoint& checkpoint) : path_(checkpoint.path()) {
  for (const StoredTensor& tensor : checkpoint.tensors())
    if (const auto [there, added] = stored_.emplace(unwrapped(tensor.name), &tensor); !added)
      throw InputError(path_ + ": found " + there->second->name + " and " + tensor.name +
                       ", which are one name without wrappers; expected one of them");
}

std::string TensorNames::find_prefix(const std::vector<std::string>& bases,
                                     const std::vector<std::string>& anchors) {
  for (const std::string& base : bases)
    for (const std::string& anchor : anchors) {
      std::vector<std::string> prefixes;
      for (const auto& [name, tensor] : stored_)
        if (const std::string end = base + anchor;
            name.ends_with(end) && (name.size() == end.size() || name[name.size() - end.size() - 1] == '.'))
          prefixes.push_back(name.substr(0, name.size() - end.size()));
      if (prefixes.size() > 1)
        throw InputError(path_ + ": found two models, " + shown(prefixes[0] + base + anchor) + " and " +
                         shown(prefixes[1] + base + anchor) + "; expected one");
      if (prefixes.empty()) continue;
      prefix_ = prefixes.front();
      return base;
    }
  return bases.front();
}

const std::vector<Index>* TensorNames::shape(const std::string& name) const {
  const auto found = stored_.find(prefix_ + name);
  return found == stored_.end() ? nullptr : &found->second->shape;
}

std::string TensorNames::stored(const std::string& name) const {
  const auto found = stored_.find(prefix_ + name);
  return found == stored_.end() ? prefix_ + name : found->second->name;
}

void MapBuilder::add(const std::string& block, const std::string& tensor, std::vector<Index> shape,
                     std::vector<Index> reshape, std::vector<Index> index, std::vector<Index> permute) {
  map_.blocks.push_back({block,
                         {{names_.stored(tensor), std::move(shape), std::move(reshape), std::move(index),
                           std::move(permute)}}});
}

void MapBuilder::add_linear(const std::string& layer, const std::string& tensor, Index inputs, Index outputs,
                            bool bias, Stored stored) {
  if (stored == Stored::outputs_first)
    add(layer + ".W", tensor + ".weight", {outputs, inputs}, {}, {}, {1, 0});
  else
    add(layer + ".W", tensor + ".weight", {inputs, outputs});
  if (bias) add(layer + ".b", tensor + ".bias", {outputs});
}

void MapBuilder::add_norm(const std::string& layer, const std::string& tensor, Index width, bool bias) {
  const bool old = !names_.has(tensor + ".weight") && names_.has(tensor + ".gamma");
  add(layer + ".g", tensor + (old ? ".gamma" : ".weight"), {width});
  if (bias) add(layer + ".beta", tensor + (old ? ".beta" : ".bias"), {width});
}

void MapBuilder::add_fused(const std::string& layer, const TransformerBlocks& of, const std::string& tensor,
                           Index part) {
  const Index H = of.heads, d = of.head_dim, D = of.width;
  const std::string letter(1, "QKV"[part]), dot = tensor.ends_with('_') ? "" : ".";
  const std::string weight = tensor + dot + "weight", W = layer + ".W_" + letter;
  if (of.fused == Fused::heads)
    add(W, weight, {3 * H * d, D}, {H, 3, d, D}, {kAll, part}, {0, 2, 1});
  else if (of.stored == Stored::outputs_first)
    add(W, weight, {3 * H * d, D}, {3, H, d, D}, {part}, {0, 2, 1});
  else
    add(W, weight, {D, 3 * H * d}, {D, 3, H, d}, {kAll, part}, {1, 0, 2});
  if (of.attention_bias.find("qkv"[part]) == std::string::npos) return;
  const std::string bias = tensor + dot + "bias", b = layer + ".b_" + letter;
  if (of.fused == Fused::heads)
    add(b, bias, {3 * H * d}, {H, 3, d}, {kAll, part});
  else
    add(b, bias, {3 * H * d}, {3, H, d}, {part});
}

void MapBuilder::add_attention(const std::string& layer, const TransformerBlocks& of, const BlockNames& names,
                               Index i) {
  const Index H = of.heads, d = of.head_dim, D = of.width, G = of.kv_heads > 0 ? of.kv_heads : H;
  const auto has_bias = [&](char letter) { return of.attention_bias.find(letter) != std::string::npos; };
  for (Index part = 0; part < 3; ++part) {
    if (of.fused != Fused::no) {
      add_fused(layer, of, numbered(names.qkv, i), part);
      continue;
    }
    const std::string* tensors[] = {&names.query, &names.key, &names.value};
    const std::string tensor = numbered(*tensors[part], i), letter(1, "QKV"[part]);
    const Index heads = part == 0 ? H : G;
    add(layer + ".W_" + letter, tensor + ".weight", {heads * d, D}, {heads, d, D}, {}, {0, 2, 1});
    if (has_bias("qkv"[part])) add(layer + ".b_" + letter, tensor + ".bias", {heads * d}, {heads, d});
  }
  const std::string projection = numbered(names.projection, i);
  if (of.stored == Stored::outputs_first)
    add(layer + ".W_O", projection + ".weight", {D, H * d}, {D, H, d}, {}, {1, 2, 0});
  else
    add(layer + ".W_O", projection + ".weight", {H * d, D}, {H, d, D});
  if (has_bias('o')) add(layer + ".b_O", projection + ".bias", {D});
}

LayerDescription MapBuilder::add_blocks(const TransformerBlocks& of, const BlockNames& names) {
  using Order = TransformerBlocks::Order;
  // blocks.I.norm1, attention, and mlp.norm, or norm2 where it is not inside the residual of the MLP
  const std::string mlp = of.order == Order::parallel ? "" : "mlp.";
  const std::string norm2 = of.order == Order::pre ? "mlp.norm" : "norm2";
  for (Index i = 0; i < of.layers; ++i) {
    const std::string block = "blocks." + std::to_string(i) + ".";
    add_norm(block + "norm1", numbered(names.norm1, i), of.width, of.norm_bias && !of.rms);
    add_attention(block + "attention", of, names, i);
    add_norm(block + norm2, numbered(names.norm2, i), of.width, of.norm_bias && !of.rms);
    if (of.gated)
      add_linear(block + mlp + "gate", numbered(names.gate, i), of.width, of.hidden, of.mlp_bias, of.stored);
    add_linear(block + mlp + (of.gated ? "up" : "in"), numbered(names.in, i), of.width, of.hidden,
               of.mlp_bias, of.stored);
    add_linear(block + mlp + "out", numbered(names.out, i), of.hidden, of.width, of.mlp_bias, of.stored);
  }

  const auto norm = [&](const std::string& name) {
    auto options = of.norm;
    if (!of.rms && !of.norm_bias) options["bias"] = false;
    return described(of.rms ? "rms-norm" : "layer-norm", options, name);
  };
  auto options = of.attention;
  options["heads"] = of.heads, options["head-dim"] = of.head_dim, options["bias"] = of.attention_bias;
  if (of.kv_heads > 0) options["kv-heads"] = of.kv_heads;
  const LayerDescription attention = described("attention", options);
  const auto linear = [&](const std::string& name, Index outputs) {
    return described("linear", {{"outputs", outputs}, {"bias", of.mlp_bias}}, name);
  };
  const LayerDescription activation = described("activation", {{"function", of.activation}});
  std::vector<LayerDescription> inner = {linear("in", of.hidden), activation, linear("out", of.width)};
  if (of.gated)
    inner = {described("product", {}, {},
                       {described("chain", {}, {}, {linear("gate", of.hidden), activation}),
                        linear("up", of.hidden)}),
             linear("out", of.width)};

  std::vector<LayerDescription> layers;
  if (of.order == Order::parallel) {
    inner.insert(inner.begin(), norm("norm2"));
    layers = {described("sum", {}, {},
                        {described("identity"), described("chain", {}, {}, {norm("norm1"), attention}),
                         described("chain", {}, {}, inner)})};
  } else if (of.order == Order::post) {
    layers = {described("residual", {}, {}, {attention}), norm("norm1"),
              described("residual", {}, "mlp", inner), norm("norm2")};
  } else {
    inner.insert(inner.begin(), norm("norm"));
    layers = {described("residual", {}, {}, {norm("norm1"), attention}),
              described("residual", {}, "mlp", inner)};
  }
  return described("repeat", {{"times", of.layers}}, "blocks", layers);
}

LayerDescription MapBuilder::add_head(const std::string& tensor, const std::string& embedding, Index width,
                                      Index vocabulary, bool tied) {
  if (tied) {
    add_copy(tensor, embedding);
    return described("linear",
                     {{"outputs", vocabulary}, {"bias", false}, {"weight.tied", std::string("embedding.E")}},
                     "head");
  }
  const std::size_t end = tensor.rfind(".weight");
  add_linear("head", tensor.substr(0, end), width, vocabulary, false);
  return described("linear", {{"outputs", vocabulary}, {"bias", false}}, "head");
}

void MapBuilder::add_copy(const std::string& copy, const std::string& original) {
  if (names_.has(copy) && copy != original) map_.copies[names_.stored(copy)] = names_.stored(original);
}

CheckpointMap MapBuilder::take(Architecture architecture) {
  map_.architecture = std::move(architecture);
  return std::move(map_);
}

Index head_dimension(const Configuration& config, const std::string& heads_key, Index heads,
                     const std::string& width_key, Index width) {
  if (width % heads != 0)
    config.refuse(heads_key, "found " + std::to_string(heads) + ", which does not divide " + width_key +
                                 " = " + std::to_string(width) + "; expected a divisor");
  return width / heads;
}

Index layer_count(const Configuration& config, const std::vector<std::string>& keys,
                  const TensorNames& names) {
  const Index layers = config.size(keys);
  if (layers > static_cast<Index>(names.count()))
    config.refuse(keys.front(), "found " + std::to_string(layers) + "; expected no more than the " +
                                    std::to_string(names.count()) + " tensors of " + names.path());
  return layers;
}

Configuration default_rope(const Configuration& config) {
  for (const char* key : {"rope_parameters", "rope_scaling"}) {
    const Configuration rope = config.object(key);
    if (const std::string kind = rope.word({"rope_type", "type"}, "default"); kind != "default")
      config.refuse(key, "found rope_type " + shown(kind) + ", which no layer here does; expected 'default'");
  }
  return config.object("rope_parameters");
}

std::string activation_of(const Configuration& config, const std::vector<std::string>& keys,
                          const std::string& fallback) {
  static const std::vector<std::pair<std::string, std::string>> kNames = {
      {"relu", "relu"},          {"gelu", "gelu"}, {"gelu_python", "gelu"},
      {"gelu_new", "gelu-tanh"}, {"silu", "silu"}, {"gelu_pytorch_tanh", "gelu-tanh"},
      {"swish", "silu"},         {"tanh", "tanh"}};
  const std::string word = config.word(keys, fallback);
  std::vector<std::string> known;
  for (const auto& [name, here] : kNames) {
    if (name == word) return here;
    known.push_back(name);
  }
  for (const std::string& key : keys)
    if (config.has(key))
      config.refuse(key, "unknown activation function " + shown(word) + meant(word, known));
  throw InputError("unknown activation function " + shown(word));
}

}  // namespace basin
