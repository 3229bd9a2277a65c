/// Tables of numbers and words in a result file.
#pragma once

#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "basin/hdf5/file.h"

namespace basin::tools {

/// A table: one array for each column, filled row by row. One that is a plot, too, has been made by
/// make_plot.
class Table {
 public:
  Table(hdf5::Writer& file, std::string group, bool is_plot = false) : file_(file), group_(std::move(group)) {
    if (!is_plot) file_.group(group_, "NXcollection");
  }
  template <class Rows, class Column>
  void column(const std::string& name, const Rows& rows, const Column& column) {
    names_.push_back(name);
    using Value = std::decay_t<decltype(column(*rows.begin()))>;
    const hdf5::Extent extent = {static_cast<Index>(rows.size())};
    if constexpr (std::is_same_v<Value, bool>) {
      std::vector<std::uint8_t> values;
      for (const auto& row : rows) values.push_back(column(row) ? 1 : 0);
      file_.write_bytes(group_ + "/" + name, values, extent);
    } else if constexpr (std::is_same_v<Value, std::string>) {
      std::vector<std::string> values;
      for (const auto& row : rows) values.push_back(column(row));
      file_.write(group_ + "/" + name, values, extent);
    } else {
      std::vector<std::conditional_t<std::is_same_v<Value, Index>, std::int64_t, double>> values;
      for (const auto& row : rows) values.push_back(column(row));
      file_.write(group_ + "/" + name, values);
    }
  }
  /// All so far.
  const std::vector<std::string>& columns() const { return names_; }

 private:
  hdf5::Writer& file_;
  std::string group_;
  std::vector<std::string> names_;
};

}  // namespace basin::tools
