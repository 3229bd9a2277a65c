/// What is put on record along a run of descent.
#pragma once

#include <string>
#include <vector>

#include "common/setup.h"
#include "ntk/certificate_input.h"
#include "stationary/descent.h"

namespace basin::tools {

/// The quantities of one record, in the order of their first mention.
class Row {
 public:
  void add(const std::string& name, double value) { names_.push_back(name), values_.push_back(value); }
  const std::vector<std::string>& names() const { return names_; }
  const std::vector<double>& values() const { return values_; }
  double operator[](const std::string& name) const;

 private:
  std::vector<std::string> names_;
  std::vector<double> values_;
};

struct RecordOptions {
  bool ntk = false;       ///< the smallest eigenvalue of the NTK
  bool certify = false;   ///< and the ball certificate
  bool one_step = false;  ///< the method steps along -grad f: rates are predicted
  double memory = 0;      ///< bytes for the NTK
};

/// What happened since the last record, and in all.
struct SinceRecord {
  Move last;               ///< the last step
  double loss_before = 0;  ///< before the last step
  Index record_step = 0;   ///< of the last record
  double record_loss = 0;
};

/// All quantities at the point of the run, where `here` is too. `start`: theta at step 0. Always the same
/// names with the same options, in the same order: NaN where one does not apply.
Row measure(const RecordOptions& options, const Descent& run, const Linearization<double>& here,
            const Counts& counts, const Vector<double>& start, const SinceRecord& since);

/// /entry/run and, if it is there, /entry/certificate: a dataset for each quantity, one number a record.
void write_records(hdf5::Writer& file, const std::vector<std::string>& names,
                   const std::vector<std::vector<double>>& rows);

}  // namespace basin::tools
