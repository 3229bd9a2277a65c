#include "common/checkpoint.h"

#include <algorithm>
#include <cstdio>
#include <filesystem>

#include "common/run_output.h"
#include "hdf5/file.h"
#include "linalg/errors.h"

namespace basin::tools {
namespace {

namespace fs = std::filesystem;

void write_checkpoint(const std::string& path, const Checkpoint& c) {
  hdf5::Writer file(path, true);
  file.attribute("/", "basin_file", std::string("checkpoint"));
  file.write("/step", static_cast<double>(c.run.step));
  file.write("/theta", c.run.at.theta);
  file.write("/counts", std::vector<double>{static_cast<double>(c.counts.losses),
                                            static_cast<double>(c.counts.gradients),
                                            static_cast<double>(c.counts.products)});
  for (const auto& [name, block] : c.run.memory.vectors)
    file.write("/vectors/" + name, block.data(), {block.cols(), block.rows()});
  for (const auto& [name, value] : c.run.memory.numbers) file.write("/memory/" + name, value);
  for (const auto& [name, value] : c.numbers) file.write("/numbers/" + name, value);
  std::vector<double> rows;
  for (const auto& row : c.records) rows.insert(rows.end(), row.begin(), row.end());
  const auto count = static_cast<Index>(c.records.size());
  file.write("/records", rows.data(), {count, count > 0 ? static_cast<Index>(rows.size()) / count : 0});
  file.commit();
}

std::map<std::string, double> read_named(const hdf5::Reader& file, const std::string& group) {
  std::map<std::string, double> numbers;
  if (file.has(group))
    for (const std::string& name : file.members(group))
      numbers[name] = file.read_numbers(group + "/" + name).values[0];
  return numbers;
}

Checkpoint read_checkpoint(const std::string& path) {
  const hdf5::Reader file(path);
  if (file.string_attribute("/", "basin_file") != "checkpoint")
    throw InputError(path + ": found no checkpoint of Basin; delete it");
  Checkpoint c;
  c.run.step = static_cast<Index>(file.read_numbers("/step").values[0]);
  c.run.at.theta = file.read_numbers("/theta").values;
  const Vector<double> counts = file.read_numbers("/counts").values;
  c.counts = {static_cast<Index>(counts[0]), static_cast<Index>(counts[1]), static_cast<Index>(counts[2])};
  if (file.has("/vectors"))
    for (const std::string& name : file.members("/vectors")) {
      const hdf5::Array block = file.read_numbers("/vectors/" + name);
      c.run.memory.vectors[name] =
          Eigen::Map<const Vectors<double>>(block.values.data(), block.shape[1], block.shape[0]);
    }
  c.run.memory.numbers = read_named(file, "/memory");
  c.numbers = read_named(file, "/numbers");
  const hdf5::Array rows = file.read_numbers("/records");
  for (Index i = 0; i < rows.shape[0]; ++i) {
    const double* row = rows.values.data() + i * rows.shape[1];
    c.records.emplace_back(row, row + rows.shape[1]);
  }
  return c;
}

}  // namespace

CheckpointFiles::CheckpointFiles(const std::string& output, const Specification& specification, Index weights,
                                 bool resume)
    : path_(checkpoint_of(output)),
      journal_(journal_of(output), specification, static_cast<std::size_t>(weights), resume) {
  if (!fs::exists(path_)) return;
  Checkpoint c = read_checkpoint(path_);
  for (const auto& [step, row] : journal_.records())
    if (step <= c.run.step) trajectory_[step] = row;
  if (!trajectory_.contains(c.run.step) || !c.numbers.contains("rows") ||
      static_cast<double>(trajectory_.size()) != c.numbers["rows"])
    throw InputError(path_ + ": does not belong to " + journal_of(output) + "; delete both");
  found_ = std::move(c);
}

void CheckpointFiles::save(const Checkpoint& checkpoint, const Vector<double>& weights) {
  std::vector<double> row(weights.data(), weights.data() + weights.size());
  if (!trajectory_.contains(checkpoint.run.step)) journal_.append(checkpoint.run.step, row);
  trajectory_[checkpoint.run.step] = std::move(row);
  Checkpoint whole = checkpoint;
  whole.numbers["rows"] = static_cast<double>(trajectory_.size());
  write_checkpoint(path_, whole);
}

void CheckpointFiles::remove() {
  std::error_code ignored;
  remove_unfinished(path_);
  fs::remove(path_, ignored);
  journal_.remove();
}

}  // namespace basin::tools
