#include "common/descent/records.h"

#include <map>

#include "basin/hdf5/result_file.h"
#include "common/ntk/certificate_numbers.h"

namespace basin::tools {
namespace {

const std::string kCertificate = "certificate/", kAttention = "attention/";

void add_saturation(Row& row, const Saturation& s) {
  row.add("mean_entropy", s.mean_entropy);
  row.add("largest_weight", s.largest_weight);
  row.add("attention_range", s.range);
  row.add("smallest_row_sum", s.smallest_sum);
  row.add("largest_row_sum", s.largest_sum);
}

/// attention/NAME/LAYER.
void add_attention(Row& row, const std::vector<LayerSaturation>& layers) {
  for (const LayerSaturation& l : layers)
    LayerSaturation::numbers(
        l, [&](const std::string& name, double value) { row.add(kAttention + name + "/" + l.layer, value); });
}

void add_certificate(Row& row, const DescentRecord::Certified& certified, double step) {
  const auto& [c, norms, existence_residual, bounds] = certified;
  row.add(kCertificate + "step", step);
  row.add(kCertificate + "passes", c.passes ? 1 : 0);
  for (const auto& [name, value] :
       certificate_numbers(c, norms, existence_residual))  // of which one is a step
    row.add(kCertificate + (name == "step" ? "certified_step" : name), value);
  for (std::size_t h = 0; h < bounds.size(); ++h)
    for (const auto& [name, value] : head_numbers(norms.heads[h], bounds[h]))
      row.add(kCertificate + "heads/" + std::to_string(h) + "/" + name, value);
}

std::vector<double> column(const std::vector<std::vector<double>>& rows, std::size_t index) {
  std::vector<double> values;
  for (const auto& row : rows) values.push_back(row[index]);
  return values;
}

/// A table for each quantity, a row for each record and a column for each layer.
void write_attention(hdf5::Writer& file, const std::vector<std::string>& names,
                     const std::vector<std::vector<double>>& rows) {
  std::vector<std::string> layers;  // in order, as each has each quantity
  std::map<std::string, std::vector<std::size_t>> columns;
  for (std::size_t i = 0; i < names.size(); ++i) {
    if (names[i].rfind(kAttention, 0) != 0) continue;
    const std::string rest = names[i].substr(kAttention.size());
    const auto slash = rest.find('/');
    std::vector<std::size_t>& of = columns[rest.substr(0, slash)];
    of.push_back(i);
    if (of.size() > layers.size()) layers.push_back(rest.substr(slash + 1));
  }
  if (layers.empty()) return;
  const std::string group = "/entry/attention";
  const auto count = static_cast<Index>(layers.size());
  file.group(group, "NXcollection");
  file.write(group + "/layer", layers, {count});
  for (const auto& [name, of] : columns) {
    Matrix<double> table(static_cast<Index>(rows.size()), count);
    for (std::size_t r = 0; r < rows.size(); ++r)
      for (std::size_t l = 0; l < of.size(); ++l)
        table(static_cast<Index>(r), static_cast<Index>(l)) = rows[r][of[l]];
    file.write(group + "/" + name, table.data(), {table.rows(), count});
  }
}

}  // namespace

Row row_of(const DescentRecord& record, const ParameterLayout& parameters) {
  Row row;
  const auto step = static_cast<double>(record.step);
  row.add("step", step);
  row.add("loss", record.loss);
  row.add("gradient_norm", record.gradient_norm);
  row.add("step_size", record.step_size);
  row.add("step_length", record.step_length);
  row.add("distance", record.distance);
  row.add("pl_ratio", record.pl_ratio);
  row.add("measured_rate", record.measured_rate);
  row.add("guaranteed_rate", record.guaranteed_rate);
  for (std::size_t b = 0; b < record.block_norms.size(); ++b)
    row.add("norm_" + parameters.entries()[b].block.name, record.block_norms[b]);
  if (record.saturation.known()) add_saturation(row, record.saturation);
  add_attention(row, record.attention);
  row.add("losses", static_cast<double>(record.counts.losses));
  row.add("gradients", static_cast<double>(record.counts.gradients));
  row.add("products", static_cast<double>(record.counts.products));
  if (const auto& kernel = record.kernel) {
    row.add("lambda_min", kernel->lambda_min);
    row.add("lambda_min_lower", kernel->lower);
    row.add("lambda_min_upper", kernel->upper);
    row.add("lambda_max", kernel->lambda_max);
    row.add("predicted_rate", record.predicted_rate);
  }
  if (record.certified) add_certificate(row, *record.certified, step);
  return row;
}

void write_records(hdf5::Writer& file, const std::vector<std::string>& names,
                   const std::vector<std::vector<double>>& rows) {
  hdf5::make_plot(file, "/entry/run", "loss", {"step"});
  hdf5::curve_scales(file, "/entry/run", "log");
  file.write("/entry/run/title", std::string("loss along the descent"));
  for (std::size_t i = 0; i < names.size(); ++i) {
    if (names[i].rfind(kAttention, 0) == 0) continue;
    const bool certificate = names[i].rfind(kCertificate, 0) == 0;
    const std::string group = certificate ? "/entry/certificate" : "/entry/run",
                      name = certificate ? names[i].substr(kCertificate.size()) : names[i];
    file.write(group + "/" + name, column(rows, i));
    hdf5::name_dimensions(file, group, {name}, {"step"});  // the first of each group
  }
  write_attention(file, names, rows);
}

}  // namespace basin::tools
