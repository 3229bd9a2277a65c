#include "common/spectrum/per_block.h"

#include <algorithm>
#include <cmath>
#include <cstdint>

#include "basin/linalg/errors.h"
#include "basin/linalg/statistics.h"
#include "basin/problem/encoding.h"
#include "common/command/tensors.h"
#include "common/spectrum/file.h"
#include "common/spectrum/summary.h"

namespace basin::tools {
namespace {

constexpr Index kSmall = 1000;  ///< rows up to which a part is assembled

/// The trained blocks that the option says, in the order of theta.
std::vector<std::string> chosen_blocks(const Command& command, const Setup& setup) {
  const auto patterns = command.get<std::vector<std::string>>("per-block");
  std::vector<std::string> trained = setup.parameters().trained();
  if (patterns.empty()) return trained;
  const std::vector<ParameterBlock> all = blocks(setup.architecture());
  const auto has = [](const std::vector<std::string>& names, const std::string& name) {
    return std::find(names.begin(), names.end(), name) != names.end();
  };
  std::vector<std::string> wanted;
  Index frozen = 0;
  for (const std::string& pattern : patterns) {
    std::vector<std::string> matched;
    try {
      matched = listed_blocks(pattern, all, setup.checkpoint.get());
    } catch (const InputError& error) {
      throw InputError("--per-block " + pattern + ": " + error.what());
    }
    const std::size_t before = wanted.size();
    for (const std::string& name : matched)
      if (has(trained, name))
        wanted.push_back(name);
      else
        ++frozen;
    if (wanted.size() == before)
      throw InputError(
          "--per-block " + pattern + ": " + matched.front() +
          (matched.size() == 1 ? "" : " and the others it fits") + (matched.size() == 1 ? " is" : " are") +
          " not trained; expected some of the trained blocks, " + shortened(setup.trainable(), 60));
  }
  if (frozen > 0)
    command.message("--per-block: " + std::to_string(frozen) +
                    (frozen == 1 ? " block that fits is" : " blocks that fit are") +
                    " not trained, and left out");
  std::vector<std::string> ordered;
  for (const std::string& name : trained)
    if (has(wanted, name)) ordered.push_back(name);
  return ordered;
}

void check_size(const Command& command, const DiagonalPart& part) {
  for (const char* option : {"largest", "smallest"})
    if (const Index k = command.get<Index>(option); k > part.size)
      throw InputError("--" + std::string(option) + " " + std::to_string(k) + ": " + part.name + " has " +
                       std::to_string(part.size) + (part.size == 1 ? " parameter" : " parameters"));
}

bool is_negative(const SpectrumResults& r) {
  return !semidefinite(r) && r.smallest.value < -r.smallest.error;
}

/// In so many columns; of long names the end, which tells them apart.
std::string padded(std::string text, std::size_t columns, bool left = false) {
  if (text.size() > columns) text = "..." + text.substr(text.size() - columns + 3);
  const std::string blanks(columns - text.size(), ' ');
  return left ? text + blanks : blanks + text;
}

std::string end_cell(const SpectrumEnd& end) {
  const bool open = std::abs(end.value) <= end.error;  // of which sign is not known
  return (open ? "0" : number(end.value)) + (end.found && end.converged ? "" : "*");
}

std::string estimate_cell(const Estimate& e, bool estimated) {
  return (estimated ? "~" : "") + number(e.value);
}

std::string share_cell(const NegativeShare& share) {
  if (share.known.empty()) return "";
  if (share.known != "estimated") return (share.known == "at least" ? ">=" : "") + percent(share.value);
  return "~" + number(100 * share.lower, 2) + "-" + number(100 * share.upper, 2) + " %";
}

/// By how much the blocks differ in how sharp they are.
std::string ratio_of_ends(const PerBlock& of) {
  double most = 0, least = HUGE_VAL;
  for (const SpectrumResults& r : of.results)
    if (r.largest.value > r.largest.error) {
      most = std::max(most, r.largest.value);
      least = std::min(least, r.largest.value);
    }
  return most > least ? number(most / least, 3) : "";
}

}  // namespace

std::vector<DiagonalPart> diagonal_parts(const Command& command, const Setup& setup) {
  const std::vector<std::string> names = chosen_blocks(command, setup);
  const ParameterLayout& parameters = setup.parameters();
  std::vector<DiagonalPart> parts;
  const auto add = [&](const std::string& name, const std::vector<std::string>& blocks) {
    Index size = 0;
    for (const std::string& block : blocks) size += parameters.find(block).block.size();
    parts.push_back({name, blocks, 0, size});
  };
  if (command.get<bool>("by-tensor")) {
    std::vector<bool> used(names.size(), false);
    for (const auto& [tensor, members] : NamedVectors(setup).groups(names)) {
      std::vector<std::string> blocks;
      for (const Index member : members) {
        blocks.push_back(names[static_cast<std::size_t>(member)]);
        used[static_cast<std::size_t>(member)] = true;
      }
      add(tensor, blocks);
    }
    for (std::size_t b = 0; b < names.size(); ++b)  // what several tensors hold a part of each
      if (!used[b]) add(names[b], {names[b]});
  } else {
    for (const std::string& name : names) {
      const Index slices = parameters.find(name).block.slices();
      if (!command.get<bool>("by-head") || slices == 1) {
        add(name, {name});
        continue;
      }
      const Index size = parameters.find(name).block.size() / slices;
      for (Index h = 0; h < slices; ++h)
        parts.push_back({name + "[" + std::to_string(h) + "]", {name}, h * size, size});
    }
  }
  for (const DiagonalPart& part : parts) check_size(command, part);
  return parts;
}

SpectrumRequest request_of_part(SpectrumRequest request, Index size) {
  request.largest = std::max<Index>(request.largest, 1);
  request.smallest = std::max<Index>(request.smallest, 1);
  request.norms = true;
  request.counts = request.counts || size <= std::min(kSmall, request.dense_limit);
  return request;
}

NegativeShare negative_share(const SpectrumResults& r) {
  if (semidefinite(r)) return {0, 0, 0, "proven"};
  if (const EigenvalueCounts* counts = r.find_counts(r.removed)) {
    const auto of = static_cast<double>(counts->size - counts->removed);
    const double share = of > 0 ? static_cast<double>(counts->negative) / of : 0;
    if (counts->exact()) return {share, share, share, "counted"};
    if (!r.quadrature) return {share, share, 1, "at least"};
  }
  if (!r.quadrature) return {kNaN, kNaN, kNaN, ""};
  const Mass mass = share_below(r, -zero_threshold(*r.quadrature));
  return {mass.value, mass.lower, mass.upper, "estimated"};
}

void compare_densities(PerBlock& of) {
  std::vector<const LanczosQuadrature*> spectra;
  for (const SpectrumResults& r : of.results)
    if (r.quadrature && r.quadrature->probes.size() > 1) spectra.push_back(&*r.quadrature);
  if (spectra.size() == of.results.size() && spectra.size() > 1) of.heterogeneity = heterogeneity(spectra);
}

std::string per_block_verdict(const PerBlock& of, const Stationarity* point) {
  const std::vector<SpectrumResults>& all = of.results;
  const auto sharpest = std::max_element(
      all.begin(), all.end(), [](const auto& a, const auto& b) { return a.largest.value < b.largest.value; });
  const auto steepest = std::min_element(all.begin(), all.end(), [](const auto& a, const auto& b) {
    return a.smallest.value < b.smallest.value;
  });
  std::vector<double> values;
  for (const SpectrumResults& r : all) values.push_back(r.largest.value);
  std::sort(values.begin(), values.end());
  const double median = quantile(values, 0.5);
  SpectrumResults whole = all.front();
  whole.block.clear();
  const std::string matrix = matrix_title(whole, all.front().removed);

  const bool one = all.size() == 1;
  std::string text = (one ? "the block " + sharpest->block + " of the " + matrix + ": its"
                          : "of the " + std::to_string(all.size()) + " blocks of the " + matrix + ", " +
                                sharpest->block + " is the sharpest: its") +
                     " largest eigenvalue is " + with_error(sharpest->largest.value, sharpest->largest.error);
  if (all.size() > 2 && median > 0)
    text += ", " + number(sharpest->largest.value / median, 3) + " times the median";
  const auto negative = std::count_if(all.begin(), all.end(), is_negative);
  if (one)
    text += ", its smallest " + with_error(steepest->smallest.value, steepest->smallest.error);
  else if (negative > 0)
    text += "; " + (negative == static_cast<std::ptrdiff_t>(all.size()) ? "all" : std::to_string(negative)) +
            (negative == 1 ? " has" : " have") + " negative curvature, the most in " + steepest->block +
            ": " + with_error(steepest->smallest.value, steepest->smallest.error);
  else
    text += semidefinite(whole) ? "" : "; none has negative curvature beyond the error bound";
  const double curvature = std::max(std::abs(steepest->smallest.value), std::abs(sharpest->largest.value));
  return point == nullptr ? text : text + "; " + stationarity_text(*point, curvature, negative > 0);
}

void say_per_block(Command& command, const PerBlock& of) {
  const std::vector<std::size_t> columns = {10, 13, 12, 13, 13, 11};
  const auto line = [&](const std::string& name, const std::vector<std::string>& cells) {
    std::string text = padded(name, 28, true);
    for (std::size_t c = 0; c < cells.size(); ++c) text += " " + padded(cells[c], columns[c] - 1);
    text.erase(text.find_last_not_of(' ') + 1);
    command.say(text);
  };
  line("block", {"size", "trace", "Frobenius", "largest", "smallest", "below 0"});
  bool estimated = false, unknown = false, open = false;
  for (std::size_t p = 0; p < of.parts.size(); ++p) {
    const SpectrumResults& r = of.results[p];
    const NegativeShare share = negative_share(r);
    estimated = estimated || r.traces->estimated;
    unknown = unknown || share.known.empty();
    open = open || !r.all_converged();
    line(of.parts[p].name,
         {std::to_string(of.parts[p].size), estimate_cell(r.traces->trace, r.traces->estimated),
          estimate_cell(r.traces->frobenius, r.traces->estimated), end_cell(r.largest), end_cell(r.smallest),
          share_cell(share)});
  }
  command.say(std::string("  eigenvalues are bounded, with the errors that the file has") +
              (estimated ? "; ~: estimated from random vectors, with 95 % intervals there" : "") +
              (open ? "; *: not converged" : ""));
  if (unknown)
    command.say("  the share below 0 of blocks with more than " + std::to_string(kSmall) +
                " parameters: --density estimates it");
  if (of.heterogeneity)
    command.say(
        "  the blocks' densities differ by " + number(of.heterogeneity->mean, 3) + " +- " +
        number_above(2 * of.heterogeneity->mean_error, 1) +
        " in the mean over pairs (Jensen-Shannon distance, estimated; 0: the same, 1: nothing in common)");
  if (const std::string ratio = ratio_of_ends(of); !ratio.empty())
    command.say("  their largest eigenvalues differ by a factor of up to " + ratio);
}

void write_per_block(hdf5::Writer& file, const std::string& prefix, const PerBlock& of, bool vectors) {
  const std::string group = prefix + "/per_block";
  const auto count = static_cast<Index>(of.parts.size());
  SpectrumResults whole = of.results.front();
  whole.block.clear();
  hdf5::make_plot(file, group, "largest", {"index"});
  name_matrix(file, group, whole, whole.removed);
  std::vector<std::string> names, known;
  std::vector<double> index;
  std::vector<std::int64_t> sizes, products;
  std::vector<std::uint8_t> converged, estimated;
  std::vector<std::pair<const char*, std::vector<double>>> columns;
  const auto add = [&](const char* name, double value) {
    for (auto& [column, values] : columns)
      if (std::string(column) == name) return values.push_back(value);
    columns.push_back({name, {value}});
  };
  for (std::size_t p = 0; p < of.parts.size(); ++p) {
    const SpectrumResults& r = of.results[p];
    names.push_back(of.parts[p].name);
    index.push_back(static_cast<double>(p));
    sizes.push_back(of.parts[p].size);
    converged.push_back(r.all_converged() ? 1 : 0);
    estimated.push_back(r.traces->estimated ? 1 : 0);
    add("trace", r.traces->trace.value);
    add("trace_errors", r.traces->trace.error);
    add("frobenius_norm", r.traces->frobenius.value);
    add("frobenius_norm_errors", r.traces->frobenius.error);
    add("largest", r.largest.value);
    add("largest_errors", r.largest.error);
    add("smallest", r.smallest.value);
    add("smallest_errors", r.smallest.error);
    const NegativeShare share = negative_share(r);
    add("negative_share", share.value);
    add("negative_share_lower", share.lower);
    add("negative_share_upper", share.upper);
    known.push_back(share.known);
    write_results(file, group + "/spectra/" + of.parts[p].name, r, {.arrays = vectors});
  }
  file.write(group + "/block", names, {count});
  file.write(group + "/index", index);
  file.attribute(group + "/index", "long_name", hdf5::legend("block", names));
  file.write(group + "/size", sizes);
  std::vector<std::string> arrays;
  for (const auto& [name, values] : columns) {
    file.write(group + "/" + name, values);
    arrays.emplace_back(name);
  }
  file.write_bytes(group + "/converged", converged, {count});
  file.write_bytes(group + "/estimated", estimated, {count});
  file.write(group + "/negative_share_known", known, {count});
  file.write(group + "/title",
             "largest eigenvalues of the blocks of the " + matrix_title(whole, whole.removed));
  for (const char* name : {"size", "converged", "estimated"}) arrays.emplace_back(name);
  hdf5::name_dimensions(file, group, arrays, {"index"});
  if (!of.heterogeneity) return;
  const std::string distances = group + "/heterogeneity";
  hdf5::make_plot(file, distances, "distance", {"row", "column"});
  for (const char* axis : {"row", "column"}) {
    file.write(distances + "/" + axis, index);
    file.attribute(distances + "/" + axis, "long_name", hdf5::legend(axis, names));
  }
  const Heterogeneity& h = *of.heterogeneity;
  file.write(distances + "/distance", h.distances.data(), {count, count});
  file.write(distances + "/distance_errors", h.errors.data(), {count, count});
  hdf5::name_dimensions(file, distances, {"distance", "distance_errors"}, {"row", "column"});
  file.attribute(distances, "mean", h.mean);
  file.attribute(distances, "mean_error", h.mean_error);
  file.attribute(distances, "width", h.width);
  file.attribute(
      distances, "definition",
      std::string("Jensen-Shannon distance of spectral densities (square root of the divergence in "
                  "bits) on one linear axis, smoothed by a Gaussian of a hundredth of its range; errors "
                  "are standard errors from the random probes"));
  file.write(distances + "/title", "Jensen-Shannon distances of the blocks' spectral densities");
}

}  // namespace basin::tools
