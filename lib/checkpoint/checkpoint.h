/// The tensors of a checkpoint, whatever files they are in.
#pragma once

#include <string>
#include <vector>

#include "basin/checkpoint/safetensors.h"

namespace basin {

/// A .safetensors file; the shards that a .safetensors.index.json lists; or a folder with either. Nothing
/// that a file says is believed before it is checked.
class Checkpoint {
 public:
  /// Throws InputError, naming the file: for what SafetensorsFile refuses, an index that does not say exactly
  /// which tensor is in which file beside it, and a folder with none or several of them.
  explicit Checkpoint(const std::string& path);

  /// The file or index that was found.
  const std::string& path() const { return path_; }
  /// The folder it is in, with a slash behind it; empty: the working folder.
  std::string folder() const;
  /// All that was opened, in order.
  const std::vector<std::string>& files() const { return files_; }

  /// Those of all files, as if these stood one after another, in the order of their names, in a single one.
  const std::vector<StoredTensor>& tensors() const { return tensors_; }
  const Metadata& metadata() const { return metadata_; }
  /// Null where there is none of that name.
  const StoredTensor* find(const std::string& name) const;

  /// See SafetensorsFile.
  Vector<double> values(const std::string& name) const;
  std::string bytes(const std::string& name) const;

 private:
  struct Place {
    std::size_t shard, tensor;
  };
  void open_index();
  void add(std::size_t shard);
  const Place& place(const std::string& name) const;

  std::string path_;
  std::vector<std::string> files_;
  std::vector<SafetensorsFile> shards_;
  std::vector<StoredTensor> tensors_;
  std::vector<Place> places_;  ///< of each
  Metadata metadata_;
};

}  // namespace basin
