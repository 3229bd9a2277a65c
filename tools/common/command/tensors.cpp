#include "common/command/tensors.h"

#include <algorithm>
#include <cmath>
#include <fstream>

#include "basin/checkpoint/export.h"
#include "basin/hdf5/part_file.h"
#include "basin/hdf5/problem_file.h"
#include "basin/linalg/errors.h"
#include "basin/linalg/words.h"
#include "common/command/words.h"

namespace basin::tools {
namespace {

constexpr const char* kSpecificationKey = "basin_specification";

std::vector<ParameterBlock> blocks_of(const Setup& setup) {
  return blocks(setup.architecture());
}

const CheckpointLayout& layout_of(const std::string& path, const Setup& setup) {
  if (!setup.checkpoint)
    throw InputError(path + ": tensors of a checkpoint; " + setup.input +
                     " came from none (basin-problem checkpoint makes problems that know theirs)");
  return *setup.checkpoint;
}

/// Writes a file, and says how far its numbers are from those that were meant.
template <class Write>
std::string write_and_compare(const std::string& path, bool may_replace, const Setup& setup,
                              const Vector<double>& all, const Write& write) {
  PartFile part(path, may_replace);
  {
    std::ofstream out(part.part(), std::ios::binary | std::ios::trunc);
    write(out);
    out.flush();
    if (!out) throw WorkError(path + ": cannot be written");
  }
  // what a reader finds
  const std::vector<ParameterBlock> blocks = blocks_of(setup);
  const TensorVectors vectors(*setup.checkpoint, ParameterLayout(blocks, matching_blocks({"*"}, blocks)));
  const SafetensorsFile file(part.part());
  double worst = 0;
  Index vanished = 0;
  std::string where;
  for (std::size_t k = 0; k < vectors.tensors().size(); ++k) {
    const Vector<double> meant = vectors.tensor(k, all);
    const auto there = std::find_if(file.tensors().begin(), file.tensors().end(),
                                    [&](const auto& t) { return t.name == vectors.tensors()[k].name; });
    const Vector<double> found = file.values(*there);
    for (Index i = 0; i < meant.size(); ++i)
      if (meant[i] != found[i]) {
        if (found[i] == 0) ++vanished;
        if (const double error = std::abs(found[i] / meant[i] - 1); error > worst)
          worst = error, where = there->type;
      }
  }
  part.commit();
  if (worst == 0) return path + ": exactly, to the last bit";
  return path + ": rounded to " + where + ", numbers by up to " + number(100 * worst, 3) + " %" +
         (vanished > 0 ? ", " + std::to_string(vanished) + " of them to 0" : "");
}

}  // namespace

bool is_safetensors(const std::string& path) {
  return path.ends_with(".safetensors") || path.ends_with(".safetensors.index.json");
}

NamedVectors::NamedVectors(const Setup& setup)
    : setup_(setup), all_(blocks_of(setup), matching_blocks({"*"}, blocks_of(setup))) {
  if (!setup.checkpoint) return;
  tensors_.emplace(*setup.checkpoint, setup.parameters());
  all_tensors_.emplace(*setup.checkpoint, all_);
}

void NamedVectors::write(hdf5::Writer& file, const std::string& group, const Vector<double>& theta) const {
  if (tensors_) {
    for (std::size_t k = 0; k < tensors_->tensors().size(); ++k) {
      const StoredTensor& tensor = tensors_->tensors()[k];
      file.write(group + "/" + tensor.name, tensors_->tensor(k, theta).data(), tensor.shape);
    }
    return;
  }
  for (const auto& e : setup_.parameters().entries())
    if (e.trainable()) file.write(group + "/" + e.block.name, theta.data() + e.theta_offset, e.block.shape);
}

std::vector<std::pair<std::string, std::vector<Index>>> NamedVectors::groups(
    const std::vector<std::string>& blocks) const {
  std::vector<std::pair<std::string, std::vector<Index>>> all;
  if (!setup_.checkpoint) {
    for (std::size_t b = 0; b < blocks.size(); ++b) all.push_back({blocks[b], {static_cast<Index>(b)}});
    return all;
  }
  for (const StoredTensor& tensor : setup_.checkpoint->tensors) {
    std::vector<Index> members;
    for (const BlockSource& source : setup_.checkpoint->blocks)
      for (const TensorPart& part : source.parts)
        if (part.tensor == tensor.name && source.parts.size() == 1)
          if (const auto found = std::find(blocks.begin(), blocks.end(), source.block); found != blocks.end())
            members.push_back(found - blocks.begin());
    if (!members.empty()) all.emplace_back(tensor.name, std::move(members));
  }
  return all;
}

Vector<double> NamedVectors::all_blocks(const hdf5::Reader& file, const std::string& group,
                                        bool every) const {
  if (!file.has_group(group))
    file.refuse(group, "expected a group with an array for each " +
                           std::string(setup_.checkpoint ? "tensor of the checkpoint" : "block"));
  const std::vector<std::string> members = file.members(group);
  const auto there = [&](const std::string& name) {
    return std::find(members.begin(), members.end(), name) != members.end();
  };
  const auto array = [&](const std::string& name, const std::vector<Index>& shape) {
    const std::string path = group + "/" + name;
    hdf5::Array found = file.read_array(path);
    if (found.shape != shape)
      file.refuse(path, "found shape " + hdf5::text(found.shape) + "; expected " + hdf5::text(shape));
    return std::move(found.values);
  };
  const auto missing = [&](const std::string& name, const char* what) {
    file.refuse(group + "/" + name,
                std::string("missing; expected an array for each ") + (every ? "" : "trained ") + what);
  };
  Vector<double> all = Vector<double>::Zero(all_.theta_size());
  std::vector<std::string> names;
  if (all_tensors_ && std::any_of(all_tensors_->tensors().begin(), all_tensors_->tensors().end(),
                                  [&](const StoredTensor& t) { return there(t.name); })) {
    const auto& needed = every ? all_tensors_->tensors() : tensors_->tensors();
    for (const StoredTensor& t : needed)
      if (!there(t.name)) missing(t.name, "tensor of the checkpoint");
    for (std::size_t k = 0; k < all_tensors_->tensors().size(); ++k) {
      const StoredTensor& t = all_tensors_->tensors()[k];
      names.push_back(t.name);
      if (there(t.name)) all_tensors_->insert(k, array(t.name, t.shape), all);
    }
    for (const auto& [copy, original] : setup_.checkpoint->copies) {
      names.push_back(copy);
      if (there(copy) && there(original)) {
        const auto shape = std::find_if(all_tensors_->tensors().begin(), all_tensors_->tensors().end(),
                                        [&, &name = original](const auto& t) { return t.name == name; })
                               ->shape;
        if (array(copy, shape) != array(original, shape))
          file.refuse(group + "/" + copy, "differs from " + original + ", which it is tied to");
      }
    }
  } else {
    for (const auto& e : all_.entries()) {
      if (!every && !setup_.parameters().find(e.block.name).trainable()) continue;
      names.push_back(e.block.name);
      if (!there(e.block.name)) missing(e.block.name, "block");
      all.segment(e.theta_offset, e.block.size()) = array(e.block.name, e.block.shape);
    }
  }
  hdf5::check_names(file, group, names, {});
  return all;
}

Vector<double> NamedVectors::trained_part(const std::string& place, const Vector<double>& all) const {
  for (const auto& e : setup_.parameters().entries())
    if (!e.trainable() && !all.segment(all_.find(e.block.name).theta_offset, e.block.size()).isZero(0))
      throw InputError(place + ": is not 0 in block " + e.block.name +
                       ", which is not trained; add it to --train");
  return setup_.parameters().extract(all);
}

Vector<double> NamedVectors::read(const hdf5::Reader& file, const std::string& group) const {
  return trained_part(file.path() + ": " + group, all_blocks(file, group, false));
}

Vector<double> NamedVectors::read_weights(const hdf5::Reader& file, const std::string& group) const {
  return all_blocks(file, group, true);
}

Vector<double> NamedVectors::read_weights(const std::string& path) const {
  const CheckpointLayout& layout = layout_of(path, setup_);
  CheckpointMap map = {setup_.architecture(), layout.blocks, layout.copies, {}};
  for (const auto& [name, bytes] : layout.kept) map.skipped.push_back(name);
  return import_checkpoint(Checkpoint(path), map, {}, setup_.input).weights;
}

Vector<double> NamedVectors::read_safetensors(const std::string& path) const {
  return trained_part(path, read_weights(path));
}

Vector<double> vector_from(const Setup& setup, const std::string& path, std::string dataset,
                           bool row_needed) {
  const Index P = setup.parameters().theta_size();
  const hdf5::Reader file(path);
  if (dataset.starts_with('/') && file.has_group(dataset)) return NamedVectors(setup).read(file, dataset);
  Index row = 1;
  bool named = false;
  if (const std::size_t colon = dataset.rfind(':'); colon != std::string::npos) {
    const std::string text = dataset.substr(colon + 1);
    row = text.empty() ? 1 : parse_index(text).value_or(0);
    if (row < 1) throw InputError(path + ":" + dataset + ": found '" + text + "'; expected a number from 1");
    dataset = dataset.substr(0, colon);
    named = true;
  }
  if (dataset.empty() || dataset[0] != '/') dataset = "/" + dataset;
  const hdf5::Array array = file.read_array(dataset);
  const Index rows = array.shape.size() == 2 ? array.shape[0] : 1;
  if (array.shape.empty() || array.shape.size() > 2 || array.shape.back() != P || row > rows)
    throw InputError(path + ": " + dataset + ": found shape " + hdf5::text(array.shape) + "; expected (" +
                     std::to_string(P) + ",), or row " + std::to_string(row) + " of (k, " +
                     std::to_string(P) + ")");
  if (row_needed && !named && rows > 1)
    throw InputError(path + ": " + dataset + ": found " + std::to_string(rows) + " rows; expected " +
                     dataset + ":ROW, from 1");
  return array.values.segment((row - 1) * P, P);
}

std::string write_weights_at(const std::string& path, bool may_replace, const Setup& setup,
                             const Vector<double>& weights, const std::string& specification) {
  const CheckpointLayout& layout = layout_of(path, setup);
  return write_and_compare(path, may_replace, setup, weights, [&](std::ostream& out) {
    write_weights(out, layout, blocks_of(setup), weights,
                  specification.empty() ? Metadata() : Metadata{{kSpecificationKey, specification}});
  });
}

std::string specification_of_safetensors(const std::string& path) {
  const SafetensorsFile file(path);
  for (const auto& [key, value] : file.metadata())
    if (key == kSpecificationKey) return value;
  return "";
}

std::string write_vector_at(const std::string& path, bool may_replace, const Setup& setup,
                            const Vector<double>& theta, const std::string& type) {
  const CheckpointLayout& layout = layout_of(path, setup);
  Vector<double> all = Vector<double>::Zero(setup.point.weights.size());
  setup.parameters().insert(theta, all);
  return write_and_compare(path, may_replace, setup, all, [&](std::ostream& out) {
    write_vector(out, layout, blocks_of(setup), all, type);
  });
}

}  // namespace basin::tools
