#include "basin/checkpoint/checkpoint_map.h"

#include <algorithm>
#include <iomanip>
#include <nlohmann/json.hpp>
#include <set>
#include <sstream>

#include "basin/linalg/errors.h"
#include "basin/linalg/memory.h"
#include "basin/linalg/words.h"
#include "basin/network/architecture_json.h"
#include "basin/network/strict_json.h"

namespace basin {
namespace {

using Json = nlohmann::ordered_json;

constexpr std::size_t kMostText = std::size_t{1} << 26U;  // bytes of a map
constexpr Index kMostEntry = Index{1} << 40U;

[[noreturn]] void refuse(const std::string& where, const std::string& what) {
  throw InputError(where + ": " + what);
}

void check_members(const Json& object, const std::string& where, const std::vector<std::string>& known) {
  if (!object.is_object()) refuse(where, std::string("found ") + object.type_name() + "; expected an object");
  for (const auto& [key, value] : object.items())
    if (std::find(known.begin(), known.end(), key) == known.end())
      refuse(where, "unknown member " + shown(key) + meant(key, known));
}

std::string word_at(const Json& value, const std::string& where) {
  if (!value.is_string()) refuse(where, std::string("found ") + value.type_name() + "; expected a string");
  return value.get<std::string>();
}

std::vector<Index> sizes_at(const Json& value, const std::string& where, bool whole_axes = false) {
  if (!value.is_array()) refuse(where, std::string("found ") + value.type_name() + "; expected a list");
  std::vector<Index> sizes;
  for (const Json& size : value) {
    if (whole_axes && size.is_string() && size.get<std::string>() == ":") {
      sizes.push_back(TensorPart::kWhole);
      continue;
    }
    if (!size.is_number_unsigned() || size.get<std::uint64_t>() > static_cast<std::uint64_t>(kMostEntry))
      refuse(where, "found " + size.dump().substr(0, 40) + "; expected whole numbers from 0" +
                        (whole_axes ? R"( and ":" for whole axes)" : ""));
    sizes.push_back(size.get<Index>());
  }
  return sizes;
}

TensorPart part_at(const Json& value, const std::string& where) {
  check_members(value, where, {"tensor", "shape", "reshape", "index", "permute"});
  if (!value.contains("tensor")) refuse(where, "'tensor' is missing");
  TensorPart part;
  part.tensor = word_at(value["tensor"], where + ".tensor");
  if (value.contains("shape")) part.shape = sizes_at(value["shape"], where + ".shape");
  if (value.contains("reshape")) part.reshape = sizes_at(value["reshape"], where + ".reshape");
  if (value.contains("index")) part.index = sizes_at(value["index"], where + ".index", true);
  if (value.contains("permute")) part.permute = sizes_at(value["permute"], where + ".permute");
  return part;
}

std::vector<BlockSource> blocks_at(const Json& value) {
  if (!value.is_object())
    refuse("blocks", std::string("found ") + value.type_name() + "; expected an object, a member a block");
  std::vector<BlockSource> blocks;
  for (const auto& [block, source] : value.items()) {
    const std::string where = "blocks." + block.substr(0, 80);
    BlockSource one = {block, {}};
    if (source.is_array())
      for (const Json& part : source)
        one.parts.push_back(part_at(part, where + "[" + std::to_string(one.parts.size()) + "]"));
    else
      one.parts.push_back(part_at(source, where));
    if (one.parts.empty()) refuse(where, "found an empty list; expected parts of tensors");
    blocks.push_back(std::move(one));
  }
  return blocks;
}

std::map<std::string, std::string> words_at(const Json& value, const std::string& where) {
  if (!value.is_object()) refuse(where, std::string("found ") + value.type_name() + "; expected an object");
  std::map<std::string, std::string> words;
  for (const auto& [key, word] : value.items()) words[key] = word_at(word, where + "." + key.substr(0, 80));
  return words;
}

Json object_of(const TensorPart& part) {
  Json json = {{"tensor", part.tensor}};
  if (part.shape) json["shape"] = *part.shape;
  if (!part.reshape.empty()) json["reshape"] = part.reshape;
  if (!part.index.empty()) {
    json["index"] = Json::array();
    for (const Index entry : part.index)
      json["index"].push_back(entry == TensorPart::kWhole ? Json(":") : Json(entry));
  }
  if (!part.permute.empty()) json["permute"] = part.permute;
  return json;
}

Json object_of(const std::vector<BlockSource>& blocks) {
  Json json = Json::object();
  for (const BlockSource& source : blocks) {
    Json parts = Json::array();
    for (const TensorPart& part : source.parts) parts.push_back(object_of(part));
    json[source.block] = parts.size() == 1 ? parts[0] : parts;
  }
  return json;
}

Json json_of(const std::string& text) {
  Json json = strict_json(text, kMostText);
  if (!json.is_object()) throw InputError(std::string("found ") + json.type_name() + "; expected an object");
  return json;
}

/// The text of a table: one line for each of its entries, and not one for each number.
std::string table_text(const Json& json) {
  std::string text = "{";
  for (const auto& [key, value] : json.items()) {
    text += (text.size() > 1 ? ",\n  " : "\n  ") + Json(key).dump() + ": ";
    if (key == "architecture" || !value.is_structured() || value.empty()) {
      std::string inner = value.dump(key == "architecture" ? 2 : -1);
      for (std::size_t at = 0; (at = inner.find('\n', at)) != std::string::npos; ++at)
        inner.insert(at + 1, "  ");
      text += inner;
      continue;
    }
    const bool object = value.is_object();
    std::string lines;
    for (const auto& [name, entry] : value.items())
      lines +=
          (lines.empty() ? "\n    " : ",\n    ") + (object ? Json(name).dump() + ": " : "") + entry.dump();
    text += (object ? "{" : "[") + lines + "\n  " + (object ? "}" : "]");
  }
  return text + "\n}\n";
}

/// The entries of a tensor that a block has taken.
class Taken {
 public:
  explicit Taken(const StoredTensor& tensor)
      : tensor_(tensor), by_(static_cast<std::size_t>(tensor.size()), kNobody) {}

  void take(const TensorView& view, std::size_t block, const std::vector<BlockSource>& blocks) {
    view.for_each([&](Index, Index place) {
      auto& by = by_[static_cast<std::size_t>(place)];
      if (by != kNobody)
        throw MapError("tensor " + tensor_.name + ": its entry " + std::to_string(place) +
                       " (C order) is in " + blocks[static_cast<std::size_t>(by)].block + " and in " +
                       blocks[block].block + "; expected each in one block");
      by = static_cast<std::int32_t>(block);
    });
  }
  void check_all() const {
    const auto left = std::count(by_.begin(), by_.end(), kNobody);
    if (left == 0) return;
    const auto first = std::find(by_.begin(), by_.end(), kNobody) - by_.begin();
    throw MapError("tensor " + tensor_.name + ": " + std::to_string(left) + " of its " +
                   std::to_string(by_.size()) + " entries are in no block, the first " +
                   std::to_string(first) + " (C order)");
  }

 private:
  static constexpr std::int32_t kNobody = -1;
  const StoredTensor& tensor_;
  std::vector<std::int32_t> by_;
};

const StoredTensor* find(const std::vector<StoredTensor>& tensors, const std::string& name) {
  const auto found =
      std::find_if(tensors.begin(), tensors.end(), [&](const auto& t) { return t.name == name; });
  return found == tensors.end() ? nullptr : &*found;
}

bool is_real(const std::string& type) {
  return type == "F64" || type == "F32" || type == "F16" || type == "BF16";
}

/// The parts of a block fill it, one after another along its first axis.
void check_extents(const BlockSource& source, const std::vector<TensorView>& views,
                   const ParameterBlock& block) {
  std::vector<Index> together = views.front().extents();
  for (std::size_t p = 1; p < views.size(); ++p) {
    const std::vector<Index>& more = views[p].extents();
    if (together.empty() || more.size() != together.size() ||
        !std::equal(more.begin() + 1, more.end(), together.begin() + 1))
      throw MapError("block " + block.name + ": its parts have shapes " +
                     shape_text(views.front().extents()) + " and " + shape_text(more) +
                     ", which do not follow one another along the first axis");
    together[0] += more[0];
  }
  if (together != block.shape)
    throw MapError("block " + block.name + ": what the map takes of " + source.parts.front().tensor +
                   (views.size() > 1 ? " and others" : "") + " has shape " + shape_text(together) +
                   "; expected " + shape_text(block.shape));
}

TensorView view_of(const TensorPart& part, const std::vector<StoredTensor>& tensors, const std::string& why) {
  const StoredTensor* tensor = find(tensors, part.tensor);
  if (tensor == nullptr) {
    std::vector<std::string> names;
    for (const StoredTensor& t : tensors) names.push_back(t.name);
    throw InputError("tensor " + part.tensor + " is missing, which " + why + " implies; of the " +
                     std::to_string(names.size()) + " there are the nearest is " +
                     (names.empty() ? "none" : nearest(part.tensor, names, 1).front()));
  }
  if (!is_real(tensor->type))
    throw InputError("tensor " + part.tensor + " is stored as " + tensor->type +
                     "; expected F64, F32, F16 or BF16 for weights");
  if (part.shape && tensor->shape != *part.shape) {
    const std::vector<Index> reversed(tensor->shape.rbegin(), tensor->shape.rend());
    throw InputError("tensor " + part.tensor + " has shape " + shape_text(tensor->shape) + "; expected " +
                     shape_text(*part.shape) + ", which " + why + " implies" +
                     (reversed == *part.shape ? " (it is transposed: linear layers store (outputs, inputs), "
                                                "Conv1D of GPT-2 (inputs, outputs))"
                                              : ""));
  }
  return {part, tensor->shape};
}

bool fits(const std::vector<std::string>& patterns, const std::string& name) {
  return std::any_of(patterns.begin(), patterns.end(),
                     [&](const std::string& pattern) { return fits_pattern(pattern, name); });
}

/// A part of a block that is in a tensor.
struct Use {
  std::size_t block;
  Index offset;  ///< of the part in its block
  TensorView view;
};

/// Of each tensor. Throws InputError for tensors that are not there, or not as the parts say.
std::vector<std::vector<Use>> uses_of(const std::vector<StoredTensor>& tensors,
                                      const std::vector<BlockSource>& blocks, const std::string& why) {
  std::vector<std::vector<Use>> uses(tensors.size());
  for (std::size_t b = 0; b < blocks.size(); ++b) {
    Index offset = 0;
    for (const TensorPart& part : blocks[b].parts) {
      const TensorView view = view_of(part, tensors, why);
      uses[static_cast<std::size_t>(find(tensors, part.tensor) - tensors.data())].push_back(
          {b, offset, view});
      offset += view.size();
    }
  }
  return uses;
}

std::string digits(double value) {
  std::ostringstream text;
  text << std::setprecision(17) << value;
  return text.str();
}

/// Takes the numbers of a tensor to where its parts stand in `to`, by the offsets of the blocks there.
void gather(const Vector<double>& tensor, const TensorView& view, double* to) {
  view.for_each([&](Index k, Index place) { to[k] = tensor[place]; });
}

}  // namespace

CheckpointMap checkpoint_map_from_json(const std::string& text) {
  const Json json = json_of(text);
  check_members(json, "map", {"architecture", "blocks", "copies", "skipped"});
  for (const char* name : {"architecture", "blocks"})
    if (!json.contains(name)) throw InputError("'" + std::string(name) + "' is missing");
  CheckpointMap map;
  map.architecture = architecture_from_json(json["architecture"].dump());
  map.says_loss = json["architecture"].contains("loss");
  map.blocks = blocks_at(json["blocks"]);
  if (json.contains("copies")) map.copies = words_at(json["copies"], "copies");
  if (json.contains("skipped")) {
    if (!json["skipped"].is_array()) refuse("skipped", "expected a list of names");
    for (const Json& name : json["skipped"]) map.skipped.push_back(word_at(name, "skipped"));
  }
  return map;
}

std::string to_json(const CheckpointMap& map) {
  Json json;
  json["architecture"] = Json::parse(to_json(map.architecture));
  json["blocks"] = object_of(map.blocks);
  if (!map.copies.empty()) json["copies"] = map.copies;
  if (!map.skipped.empty()) json["skipped"] = map.skipped;
  return table_text(json);
}

std::string to_json(const CheckpointLayout& layout) {
  Json json;
  json["tensors"] = Json::object();
  for (const StoredTensor& t : layout.tensors)
    json["tensors"][t.name] = {{"dtype", t.type}, {"shape", t.shape}, {"data_offsets", {t.begin, t.end}}};
  json["metadata"] = Json::object();
  for (const auto& [key, value] : layout.metadata) json["metadata"][key] = value;
  json["blocks"] = object_of(layout.blocks);
  if (!layout.copies.empty()) json["copies"] = layout.copies;
  return table_text(json);
}

CheckpointLayout checkpoint_layout_from_json(const std::string& text) {
  const Json json = json_of(text);
  check_members(json, "checkpoint", {"tensors", "metadata", "blocks", "copies"});
  CheckpointLayout layout;
  if (!json.contains("tensors") || !json["tensors"].is_object()) refuse("tensors", "expected an object");
  for (const auto& [name, t] : json["tensors"].items()) {
    const std::string where = "tensors." + name.substr(0, 80);
    check_members(t, where, {"dtype", "shape", "data_offsets"});
    for (const char* member : {"dtype", "shape", "data_offsets"})
      if (!t.contains(member)) refuse(where, "'" + std::string(member) + "' is missing");
    const std::vector<Index> offsets = sizes_at(t["data_offsets"], where + ".data_offsets");
    StoredTensor tensor = {name, word_at(t["dtype"], where + ".dtype"),
                           sizes_at(t["shape"], where + ".shape")};
    double bytes = static_cast<double>(type_size(tensor.type));
    for (const Index size : tensor.shape) bytes *= static_cast<double>(size);
    if (type_size(tensor.type) == 0 || offsets.size() != 2 || offsets[1] < offsets[0] ||
        static_cast<double>(offsets[1] - offsets[0]) != bytes)
      refuse(where, "type, shape and offsets do not belong together");
    tensor.begin = static_cast<std::uint64_t>(offsets[0]),
    tensor.end = static_cast<std::uint64_t>(offsets[1]);
    layout.tensors.push_back(std::move(tensor));
  }
  if (json.contains("metadata"))
    for (const auto& [key, value] : json["metadata"].items())
      layout.metadata.emplace_back(key, word_at(value, "metadata." + key.substr(0, 80)));
  if (!json.contains("blocks")) refuse("blocks", "expected an object");
  layout.blocks = blocks_at(json["blocks"]);
  if (json.contains("copies")) layout.copies = words_at(json["copies"], "copies");
  return layout;
}

void check_layout(const CheckpointLayout& layout, const std::vector<ParameterBlock>& blocks,
                  const std::string& why) {
  std::set<std::string> sources;
  for (const BlockSource& source : layout.blocks) {
    const auto block = std::find_if(blocks.begin(), blocks.end(), [&](const ParameterBlock& b) {
      return b.name == source.block && b.tied_to.empty();
    });
    if (block == blocks.end()) {
      std::vector<std::string> names;
      for (const ParameterBlock& b : blocks)
        if (b.tied_to.empty()) names.push_back(b.name);
      throw MapError("block " + shown(source.block) + " is none of the network; the nearest is " +
                     nearest(source.block, names, 1).front());
    }
    if (!sources.insert(source.block).second) throw MapError("block " + source.block + " stands twice");
    std::vector<TensorView> views;
    for (const TensorPart& part : source.parts) views.push_back(view_of(part, layout.tensors, why));
    check_extents(source, views, *block);
  }
  for (const ParameterBlock& block : blocks)
    if (block.tied_to.empty() && !sources.contains(block.name))
      throw MapError("block " + block.name + " of the network has no tensor in " + why);

  const auto uses = uses_of(layout.tensors, layout.blocks, why);
  for (std::size_t t = 0; t < layout.tensors.size(); ++t) {
    const StoredTensor& tensor = layout.tensors[t];
    const bool copy = layout.copies.contains(tensor.name), kept = layout.kept.contains(tensor.name);
    if (uses[t].empty()) {
      if (!copy && !kept)
        throw InputError("tensor " + tensor.name + " " + shape_text(tensor.shape) +
                         " is not used by the model that " + why + " describes (it can be named as unused)");
      continue;
    }
    if (copy || kept)
      throw MapError("tensor " + tensor.name + " is " +
                     (copy ? "a copy by the map" : "named as no parameter, or as unused") +
                     ", but gives block " + layout.blocks[uses[t].front().block].block);
    Taken taken(tensor);
    for (const Use& use : uses[t]) taken.take(use.view, use.block, layout.blocks);
    taken.check_all();
  }
  for (const auto& [copy, original] : layout.copies) {
    const StoredTensor *here = find(layout.tensors, copy), *there = find(layout.tensors, original);
    if (here == nullptr || there == nullptr)
      throw MapError("copies: tensor " + (here == nullptr ? copy : original) + " is missing");
    if (layout.copies.contains(original))
      throw MapError("copies: " + original + " is a copy itself; expected the tensor that gives the block");
    if (here->type != there->type || here->shape != there->shape)
      throw InputError("tensor " + copy + " " + here->type + " " + shape_text(here->shape) + " is tied to " +
                       original + " " + there->type + " " + shape_text(there->shape) +
                       "; expected the same type and shape");
  }
}

ImportedCheckpoint import_checkpoint(const Checkpoint& checkpoint, const CheckpointMap& map,
                                     const std::vector<std::string>& unused, const std::string& why) {
  try {
    const std::vector<ParameterBlock> all = blocks(map.architecture);
    ImportedCheckpoint imported;
    CheckpointLayout& layout = imported.layout;
    layout.tensors = checkpoint.tensors();
    layout.metadata = checkpoint.metadata();
    layout.blocks = map.blocks;
    for (const auto& [copy, original] : map.copies)
      if (checkpoint.find(copy) != nullptr && !fits(unused, copy)) layout.copies[copy] = original;
    std::set<std::string> used;
    for (const BlockSource& source : map.blocks)
      for (const TensorPart& part : source.parts) used.insert(part.tensor);
    for (const StoredTensor& t : layout.tensors)
      if (fits(unused, t.name) ||
          (!used.contains(t.name) && !layout.copies.contains(t.name) && fits(map.skipped, t.name)))
        layout.kept[t.name] = {};
    check_layout(layout, all, why);
    for (auto& [name, bytes] : layout.kept) bytes = checkpoint.bytes(name);

    const ParameterLayout parameters(all, matching_blocks({"*"}, all));
    require_memory("the weights", 2 * 8 * static_cast<double>(parameters.weight_count()));
    imported.weights.resize(parameters.weight_count());
    const auto uses = uses_of(layout.tensors, layout.blocks, why);
    for (std::size_t t = 0; t < uses.size(); ++t) {
      if (uses[t].empty()) continue;
      const Vector<double> values = checkpoint.values(layout.tensors[t].name);
      for (const Use& use : uses[t])
        gather(values, use.view,
               imported.weights.data() + parameters.find(layout.blocks[use.block].block).offset + use.offset);
    }
    for (const auto& [copy, original] : layout.copies)
      if (checkpoint.bytes(copy) != checkpoint.bytes(original)) {
        const Vector<double> here = checkpoint.values(copy), there = checkpoint.values(original);
        Index k = 0;
        while (k + 1 < here.size() && here[k] == there[k]) ++k;
        throw InputError("tensor " + copy + " is tied to " + original + ", but they differ, first in entry " +
                         std::to_string(k) + " (C order): " + digits(here[k]) + " and " + digits(there[k]) +
                         "; expected them equal bit for bit");
      }
    return imported;
  } catch (const MapError& error) {
    throw InputError(why + ": " + printable(error.what(), 600));
  } catch (const InputError& error) {
    const std::string what = error.what();
    if (std::any_of(checkpoint.files().begin(), checkpoint.files().end(),
                    [&](const std::string& file) { return what.starts_with(file + ": "); }) ||
        what.starts_with(checkpoint.path()))
      throw;
    throw InputError(checkpoint.path() + ": " + printable(what, 600));
  }
}

TensorVectors::TensorVectors(const CheckpointLayout& layout, const ParameterLayout& parameters) {
  const auto uses = uses_of(layout.tensors, layout.blocks, "the problem file");
  for (std::size_t t = 0; t < uses.size(); ++t) {
    std::vector<Piece> pieces;
    bool trained = false;
    for (const Use& use : uses[t]) {
      const Index offset = parameters.find(layout.blocks[use.block].block).theta_offset;
      pieces.push_back({offset < 0 ? -1 : offset + use.offset, use.view});
      trained = trained || offset >= 0;
    }
    if (!trained) continue;
    tensors_.push_back(layout.tensors[t]);
    pieces_.push_back(std::move(pieces));
  }
}

Vector<double> TensorVectors::tensor(std::size_t k, const Vector<double>& theta) const {
  Vector<double> values = Vector<double>::Zero(tensors_[k].size());
  for (const Piece& piece : pieces_[k])
    if (piece.theta_offset >= 0)
      piece.view.for_each([&](Index i, Index place) { values[place] = theta[piece.theta_offset + i]; });
  return values;
}

void TensorVectors::insert(std::size_t k, const Vector<double>& tensor, Vector<double>& theta) const {
  for (const Piece& piece : pieces_[k])
    if (piece.theta_offset >= 0)
      gather(tensor, piece.view, theta.data() + piece.theta_offset);
    else
      piece.view.for_each([&](Index, Index place) {
        if (tensor[place] != 0)
          throw InputError("tensor " + tensors_[k].name + ": its entry " + std::to_string(place) +
                           " (C order) is of a block that is not trained; expected 0");
      });
}

}  // namespace basin
