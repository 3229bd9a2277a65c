/// What is put on record along a run of descent.
#pragma once

#include <string>
#include <vector>

#include "basin/hdf5/file.h"
#include "basin/training/record.h"

namespace basin::tools {

/// The quantities of one record, in the order of their first mention.
class Row {
 public:
  void add(const std::string& name, double value) { names_.push_back(name), values_.push_back(value); }
  const std::vector<std::string>& names() const { return names_; }
  const std::vector<double>& values() const { return values_; }

 private:
  std::vector<std::string> names_;
  std::vector<double> values_;
};

/// By the names that files have, always the same with the same options, in the same order. parameters: of the
/// model.
Row row_of(const DescentRecord& record, const ParameterLayout& parameters);

/// /entry/run and, if it is there, /entry/certificate: a dataset for each quantity, one number a record; of
/// networks with attention /entry/attention, with a column for each layer.
void write_records(hdf5::Writer& file, const std::vector<std::string>& names,
                   const std::vector<std::vector<double>>& rows);

}  // namespace basin::tools
