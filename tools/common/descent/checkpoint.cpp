#include "common/descent/checkpoint.h"

#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <type_traits>

#include "basin/hdf5/file.h"
#include "basin/linalg/errors.h"
#include "common/command/checksum.h"
#include "common/command/run_output.h"

namespace basin::tools {
namespace {

namespace fs = std::filesystem;

/// The numbers of a run that go from step to step, by their names.
template <class Run, class Visit>
void visit_numbers(Run& run, const Visit& visit) {
  auto& account = run.account;
  visit("recorded", account.recorded), visit("guaranteed", account.guaranteed);
  visit("broken", account.broken), visit("rises", account.rises);
  visit("certified", account.certified), visit("last_loss", account.loss);
  auto& since = account.since;
  visit("record_step", since.record_step), visit("record_loss", since.record_loss);
  visit("loss_before", since.loss_before), visit("last_step", since.last.step);
  visit("last_length", since.last.length), visit("last_bound", since.last.loss_bound);
  auto& taken = run.run.taken;
  visit("shortened", taken.shortened), visit("first_step", taken.first);
  visit("first_share", taken.first_share), visit("smallest_step", taken.smallest);
  visit("largest_step", taken.largest), visit("largest_share", taken.largest_share);
}

/// Of all that a checkpoint holds.
std::string checksum_of(const Checkpoint& c) {
  std::string bytes = c.of_run;
  const auto add = [&](const std::string& name, const double* values, Index count) {
    bytes += "\n" + name + " " + std::to_string(count) + " ";
    bytes.append(reinterpret_cast<const char*>(values), static_cast<std::size_t>(count) * sizeof(double));
  };
  const std::vector<double> counts = {static_cast<double>(c.run.step), static_cast<double>(c.counts.losses),
                                      static_cast<double>(c.counts.gradients),
                                      static_cast<double>(c.counts.products)};
  add("counts", counts.data(), static_cast<Index>(counts.size()));
  add("theta", c.run.at.theta.data(), c.run.at.theta.size());
  for (const auto& [name, block] : c.run.memory.vectors)
    add("vectors/" + name + " " + std::to_string(block.cols()), block.data(), block.size());
  for (const auto& [name, value] : c.run.memory.numbers) add("memory/" + name, &value, 1);
  for (const auto& [name, value] : c.numbers) add("numbers/" + name, &value, 1);
  for (const auto& row : c.records) add("record", row.data(), static_cast<Index>(row.size()));
  return checksum(bytes);
}

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
  file.write("/run", c.of_run);
  file.write("/checksum", checksum_of(c));
  file.commit();
}

std::map<std::string, double> read_named(const hdf5::Reader& file, const std::string& group) {
  std::map<std::string, double> numbers;
  if (file.has(group))
    for (const std::string& name : file.members(group)) numbers[name] = file.read_number(group + "/" + name);
  return numbers;
}

Checkpoint read_checkpoint(const std::string& path) {
  const hdf5::Reader file(path);
  if (file.string_attribute("/", "basin_file") != "checkpoint")
    throw InputError(path + ": found no checkpoint of Basin; delete it");
  Checkpoint c;
  c.run.step = file.read_index("/step", 0);
  c.run.at.theta = file.read_numbers("/theta", {hdf5::kAnySize}).values;
  const std::vector<Index> counts = file.read_indices("/counts", 3, 0);
  c.counts = {counts[0], counts[1], counts[2]};
  if (file.has("/vectors"))
    for (const std::string& name : file.members("/vectors")) {
      const hdf5::Array block = file.read_numbers("/vectors/" + name, {hdf5::kAnySize, hdf5::kAnySize});
      c.run.memory.vectors[name] =
          Eigen::Map<const Vectors<double>>(block.values.data(), block.shape[1], block.shape[0]);
    }
  c.run.memory.numbers = read_named(file, "/memory");
  c.numbers = read_named(file, "/numbers");
  const hdf5::Array rows = file.read_numbers("/records", {hdf5::kAnySize, hdf5::kAnySize});
  for (Index i = 0; i < rows.shape[0]; ++i) {
    const double* row = rows.values.data() + i * rows.shape[1];
    c.records.emplace_back(row, row + rows.shape[1]);
  }
  c.of_run = file.read_string("/run");
  if (file.read_string("/checksum") != checksum_of(c))
    throw InputError(
        path + ": damaged: its checksum is not that of what it holds; delete it and the journal beside it");
  return c;
}

}  // namespace

Checkpoint checkpoint_at(const RecordedRun& run, const std::vector<std::vector<double>>& records) {
  Checkpoint c{run.run, run.account.settled, {}, records};
  visit_numbers(run,
                [&](const char* name, const auto& value) { c.numbers[name] = static_cast<double>(value); });
  return c;
}

void go_back_to(const Checkpoint& c, const std::string& path, ModelObjective& f, RecordedRun& run) {
  run.run = c.run;
  take_up(f, run.run, c.counts);
  run.account.settled = c.counts;
  visit_numbers(run, [&](const char* name, auto& value) {
    const auto found = c.numbers.find(name);
    if (found == c.numbers.end())
      throw InputError(path + ": /numbers/" + name + " is missing; delete it, and the journal");
    value = static_cast<std::decay_t<decltype(value)>>(found->second);
  });
}

CheckpointFiles::CheckpointFiles(const std::string& output, const Specification& specification, Index weights,
                                 bool resume)
    : path_(checkpoint_of(output)),
      run_(checksum(specification_text(specification))),
      found_(resume && fs::exists(path_) ? std::optional(read_checkpoint(path_)) : std::nullopt),
      journal_(journal_of(output), specification, static_cast<std::size_t>(weights), resume) {
  if (!found_ && !fs::exists(path_)) return;
  if (found_)
    for (const auto& [step, row] : journal_.records())
      if (step <= found_->run.step) trajectory_[step] = row;
  if (!found_ || found_->of_run != run_ || !trajectory_.contains(found_->run.step) ||
      !found_->numbers.contains("rows") || static_cast<double>(trajectory_.size()) != found_->numbers["rows"])
    throw InputError(path_ + ": does not belong to " + journal_of(output) + "; delete both");
}

void CheckpointFiles::save(const Checkpoint& checkpoint, const Vector<double>& weights) {
  std::vector<double> row(weights.data(), weights.data() + weights.size());
  if (!trajectory_.contains(checkpoint.run.step)) journal_.append(checkpoint.run.step, row);
  trajectory_[checkpoint.run.step] = std::move(row);
  Checkpoint whole = checkpoint;
  whole.of_run = run_;
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
