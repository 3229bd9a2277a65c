/// Vectors over theta by name, and weights, from and to files: one array for each tensor of the checkpoint
/// that the problem came from, in its own name and shape; of other problems, for each block.
#pragma once

#include <optional>
#include <string>

#include "basin/checkpoint/checkpoint_map.h"
#include "basin/hdf5/file.h"
#include "basin/hdf5/reader.h"
#include "common/command/setup.h"

namespace basin::tools {

/// Whether a path is that of a file with the tensors of a checkpoint, and not of an HDF5 file.
bool is_safetensors(const std::string& path);

/// The arrays that vectors are made of.
class NamedVectors {
 public:
  explicit NamedVectors(const Setup& setup);

  /// Writes it as a group: what has trained blocks, with 0 where one is not trained.
  void write(hdf5::Writer& file, const std::string& group, const Vector<double>& theta) const;

  /// Reads such a group, by tensors or by blocks; what is not trained may be there as zeros. Throws
  /// InputError.
  Vector<double> read(const hdf5::Reader& file, const std::string& group) const;
  /// The same from a .safetensors file with the tensors of the checkpoint, of any type.
  Vector<double> read_safetensors(const std::string& path) const;

  /// Which of these blocks make up each array: its name, and their numbers. Tensors that are no more than a
  /// part of a block are left out.
  std::vector<std::pair<std::string, std::vector<Index>>> groups(
      const std::vector<std::string>& blocks) const;

  /// Weights of all blocks: those of a group with all tensors, or all blocks; of a .safetensors file. Throws
  /// InputError.
  Vector<double> read_weights(const hdf5::Reader& file, const std::string& group) const;
  Vector<double> read_weights(const std::string& path) const;

 private:
  Vector<double> all_blocks(const hdf5::Reader& file, const std::string& group, bool every) const;
  Vector<double> trained_part(const std::string& place, const Vector<double>& all) const;

  const Setup& setup_;
  ParameterLayout all_;                                 ///< every block, as if all were trained
  std::optional<TensorVectors> tensors_, all_tensors_;  ///< with a checkpoint
};

/// A vector over theta: P numbers in a dataset of an HDF5 file, a row of a matrix with that many columns
/// ("/matrix:2", from 1; the first where none is named, unless that is needed), or a group of arrays by name.
/// Throws InputError.
Vector<double> vector_from(const Setup& setup, const std::string& path, std::string dataset,
                           bool row_needed = false);

/// Writes weights of all blocks as the .safetensors file that the problem came from, and says in a line what
/// their types changed. text: of the run, kept in the metadata. Throws InputError for a problem that came
/// from no checkpoint.
std::string write_weights_at(const std::string& path, bool may_replace, const Setup& setup,
                             const Vector<double>& weights, const std::string& specification = "");

/// The text that write_weights_at kept; empty where there is none.
std::string specification_of_safetensors(const std::string& path);

/// Writes a vector over theta in the same way, 0 where a block is not trained. type: of all tensors; empty:
/// as they are stored.
std::string write_vector_at(const std::string& path, bool may_replace, const Setup& setup,
                            const Vector<double>& theta, const std::string& type);

}  // namespace basin::tools
