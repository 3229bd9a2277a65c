#include "basin/checkpoint/checkpoint.h"

#include <algorithm>
#include <filesystem>
#include <map>
#include <nlohmann/json.hpp>
#include <set>

#include "basin/checkpoint/text_file.h"
#include "basin/linalg/errors.h"
#include "basin/network/strict_json.h"

namespace basin {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;

constexpr std::size_t kMostIndex = std::size_t{1} << 26U;  // bytes of an index
constexpr const char* kIndexEnd = ".index.json";
constexpr const char* kFileEnd = ".safetensors";

std::string quoted(const std::string& name) {
  return "'" + printable(name) + "'";
}

/// What is in a folder that could be meant.
std::string file_in(const std::string& folder) {
  std::vector<std::string> files, indices, pickles;
  std::error_code error;
  for (fs::directory_iterator entry(folder, error), end; !error && entry != end; entry.increment(error)) {
    const std::string name = entry->path().filename().string();
    if (name.ends_with(std::string(kFileEnd) + kIndexEnd)) indices.push_back(name);
    if (name.ends_with(kFileEnd)) files.push_back(name);
    for (const char* end_of_pickle : {".pt", ".pth", ".bin", ".ckpt"})
      if (name.ends_with(end_of_pickle)) pickles.push_back(name);
  }
  if (error) throw InputError(folder + ": cannot be read: " + error.message());
  for (auto* names : {&files, &indices, &pickles}) std::sort(names->begin(), names->end());
  const std::string prefix = folder.ends_with('/') ? folder : folder + "/";
  // shards stand beside their index
  if (indices.size() == 1 && std::find(files.begin(), files.end(), "model.safetensors") == files.end())
    return prefix + indices.front();
  if (indices.empty() && files.size() == 1) return prefix + files.front();
  std::string list;
  for (const auto* names : {&indices, &files})
    for (const std::string& name : *names) list += (list.empty() ? "" : ", ") + quoted(name);
  if (!list.empty())
    throw InputError(folder + ": found " + list +
                     "; expected one .safetensors file, or one index of shards: name the one that is meant");
  if (!pickles.empty()) throw PickleError(pickle_recipe(prefix + pickles.front()));
  throw InputError(folder + ": found no .safetensors file and no .safetensors.index.json");
}

/// Name of a tensor -> name of its file.
std::vector<std::pair<std::string, std::string>> weight_map(const std::string& path) {
  Json index;
  try {
    index = strict_json(text_of_file(path, kMostIndex), kMostIndex);
  } catch (const InputError& error) {
    const std::string what = error.what();
    throw InputError(what.starts_with(path) ? what : path + ": " + what);
  }
  const auto map = index.is_object() ? index.find("weight_map") : index.end();
  if (!index.is_object() || map == index.end() || !map->is_object() || map->empty())
    throw InputError(path +
                     ": expected an object with a member 'weight_map', from names of tensors to names of "
                     "files");
  std::vector<std::pair<std::string, std::string>> pairs;
  for (const auto& [tensor, file] : map->items()) {
    if (!file.is_string())
      throw InputError(path + ": weight_map: the file of " + quoted(tensor) + " is " +
                       std::string(file.type_name()) + "; expected a name");
    const auto name = file.get<std::string>();
    if (name.empty() || name == "." || name == ".." || name.find_first_of("/\\") != std::string::npos ||
        name.find('\0') != std::string::npos)
      throw InputError(path + ": weight_map: shard " + quoted(name) +
                       "; expected a plain file name, of a file beside the index");
    pairs.emplace_back(tensor, name);
  }
  return pairs;
}

}  // namespace

Checkpoint::Checkpoint(const std::string& path) : path_(path) {
  std::error_code error;
  if (fs::is_directory(path_, error)) path_ = file_in(path_);
  files_ = {path_};
  if (path_.ends_with(".json")) {
    open_index();
  } else {
    shards_.emplace_back(path_);
    metadata_ = shards_.front().metadata();
    add(0);
  }
}

void Checkpoint::open_index() {
  std::map<std::string, std::set<std::string>> wanted;  // by shard, in the order of their names
  for (const auto& [tensor, file] : weight_map(path_)) wanted[file].insert(tensor);
  for (const auto& [file, names] : wanted) {
    const std::string shard = folder() + file;
    std::error_code error;
    if (!fs::exists(shard, error))
      throw InputError(path_ + ": weight_map: shard " + quoted(file) + " is missing: there is no " + shard);
    shards_.emplace_back(shard);
    files_.push_back(shard);
    if (shards_.size() == 1) metadata_ = shards_.front().metadata();
    std::set<std::string> missing = names;
    for (const StoredTensor& tensor : shards_.back().tensors())
      if (missing.erase(tensor.name) == 0)
        throw InputError(shard + ": has the tensor " + quoted(tensor.name) + ", which " + path_ +
                         " does not list in it");
    if (!missing.empty())
      throw InputError(shard + ": has no tensor " + quoted(*missing.begin()) + ", which " + path_ +
                       " lists in it");
    add(shards_.size() - 1);
  }
}

void Checkpoint::add(std::size_t shard) {
  std::uint64_t before = 0;
  for (const StoredTensor& tensor : tensors_) before = std::max(before, tensor.end);
  for (std::size_t k = 0; k < shards_[shard].tensors().size(); ++k) {
    StoredTensor tensor = shards_[shard].tensors()[k];
    tensor.begin += before, tensor.end += before;
    tensors_.push_back(std::move(tensor));
    places_.push_back({shard, k});
  }
}

std::string Checkpoint::folder() const {
  const std::size_t slash = path_.rfind('/');
  return slash == std::string::npos ? "" : path_.substr(0, slash + 1);
}

const StoredTensor* Checkpoint::find(const std::string& name) const {
  const auto found =
      std::find_if(tensors_.begin(), tensors_.end(), [&](const auto& tensor) { return tensor.name == name; });
  return found == tensors_.end() ? nullptr : &*found;
}

const Checkpoint::Place& Checkpoint::place(const std::string& name) const {
  const StoredTensor* tensor = find(name);
  if (tensor == nullptr) throw InputError(path_ + ": there is no tensor " + quoted(name));
  return places_[static_cast<std::size_t>(tensor - tensors_.data())];
}

Vector<double> Checkpoint::values(const std::string& name) const {
  const Place& at = place(name);
  return shards_[at.shard].values(shards_[at.shard].tensors()[at.tensor]);
}

std::string Checkpoint::bytes(const std::string& name) const {
  const Place& at = place(name);
  return shards_[at.shard].bytes(shards_[at.shard].tensors()[at.tensor]);
}

}  // namespace basin
