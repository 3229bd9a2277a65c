#include "common/catalogue/file.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <numeric>
#include <set>
#include <sstream>

#include "basin/hdf5/provenance.h"
#include "basin/hdf5/result_file.h"
#include "basin/linalg/errors.h"
#include "basin/linalg/statistics.h"
#include "basin/problem/encoding.h"
#include "common/catalogue/text.h"
#include "common/command/command.h"

namespace basin::tools {
namespace {

const std::string kStarts = "/entry/starts/", kEntries = "/entry/entries/";

template <class Get>
std::vector<double> column(const std::vector<const StartRecord*>& rows, const Get& get) {
  std::vector<double> values;
  for (const StartRecord* r : rows) values.push_back(get(*r));
  return values;
}

void write_block(hdf5::Writer& file, const std::string& path, const std::vector<const StartRecord*>& rows,
                 Vector<double> StartRecord::*member, Index cols) {
  Matrix<double> block(static_cast<Index>(rows.size()), cols);
  for (std::size_t i = 0; i < rows.size(); ++i)
    block.row(static_cast<Index>(i)) = ((*rows[i]).*member).transpose();
  file.write(path, block.data(), {block.rows(), cols});
}

/// Tables with a column for each attention layer.
void write_attention(hdf5::Writer& file, const std::string& group,
                     const std::vector<const StartRecord*>& rows,
                     std::vector<LayerSaturation> StartRecord::*member, Index layers) {
  if (layers == 0) return;
  file.group(group, "NXcollection");
  std::map<std::string, std::vector<double>> tables;
  for (const StartRecord* r : rows)
    for (const LayerSaturation& l : (*r).*member)
      LayerSaturation::numbers(l,
                               [&](const char* name, const double& value) { tables[name].push_back(value); });
  for (const auto& [name, values] : tables)
    file.write(group + "/" + name, values.data(), {static_cast<Index>(rows.size()), layers});
}

/// A dataset for each quantity, one number a row.
void write_rows(hdf5::Writer& file, const std::string& group, const std::vector<const StartRecord*>& rows,
                const RecordShape& shape) {
  const Index count = static_cast<Index>(rows.size());
  std::vector<std::uint64_t> seeds;
  std::vector<std::string> origins;
  std::vector<std::int64_t> codes, kinds, valleys;
  for (const StartRecord* r : rows) {
    seeds.push_back(r->seed);
    origins.push_back(name_of(r->origin));
    codes.push_back(static_cast<std::int64_t>(r->origin));
    kinds.push_back(static_cast<std::int64_t>(r->kind));
    valleys.push_back(static_cast<std::int64_t>(r->valley));
  }
  file.write_unsigned(group + "seed", seeds, {count});
  file.write(group + "search", origins, {count});
  file.write(group + "search_code", codes);
  file.write(group + "kind_code", kinds);
  file.write(group + "valley_code", valleys);
  StartRecord names;
  std::size_t index = 0;
  std::vector<std::vector<double>> table;
  for (const StartRecord* r : rows) {
    table.emplace_back();
    StartRecord::numbers(*r, [&](const char*, const double& value) { table.back().push_back(value); });
  }
  StartRecord::numbers(names, [&](const char* name, double&) {
    std::vector<double> values;
    for (const auto& row : table) values.push_back(row[index]);
    file.write(group + name, values);
    ++index;
  });
  const auto layers = static_cast<Index>(shape.attention.size());
  write_attention(file, group + "attention", rows, &StartRecord::attention, layers);
  write_attention(file, group + "attention_before", rows, &StartRecord::attention_before, layers);
  write_block(file, group + "weights", rows, &StartRecord::weights, shape.weights);
  write_block(file, group + "gradient", rows, &StartRecord::gradient, shape.parameters);
  write_block(file, group + "direction", rows, &StartRecord::direction, shape.parameters);
}

/// Losses of all ends, sorted: the picture.
void write_losses(hdf5::Writer& file, const CatalogueData& data, const Catalogue& catalogue) {
  std::vector<std::size_t> order;
  for (std::size_t i = 0; i < data.starts.size(); ++i)
    if (std::isfinite(data.starts[i].loss)) order.push_back(i);
  std::stable_sort(order.begin(), order.end(),
                   [&](std::size_t a, std::size_t b) { return data.starts[a].loss < data.starts[b].loss; });
  std::vector<double> losses, errors, rank(order.size());
  std::vector<std::int64_t> start, code;
  for (const std::size_t i : order) {
    losses.push_back(data.starts[i].loss);
    errors.push_back(data.starts[i].loss_error);
    start.push_back(static_cast<std::int64_t>(i));
    code.push_back(static_cast<std::int64_t>(catalogue.verdicts[i]));
  }
  std::iota(rank.begin(), rank.end(), 1);
  hdf5::make_plot(file, "/entry/losses", "loss", {"rank"});
  file.write("/entry/losses/title", std::string("losses where the starts ended, sorted"));
  file.write("/entry/losses/loss", losses);
  file.write("/entry/losses/loss_errors", errors);
  file.write("/entry/losses/rank", rank);
  file.write("/entry/losses/start", start);
  file.write("/entry/losses/verdict_code", code);
  hdf5::name_dimensions(file, "/entry/losses", {"loss", "loss_errors", "start", "verdict_code"}, {"rank"});
}

void write_shares(hdf5::Writer& file, const CatalogueData& data, const Catalogue& catalogue) {
  file.group("/entry/shares", "NXcollection");
  std::vector<std::string> searches, verdicts;
  std::vector<std::int64_t> counts, totals;
  std::vector<double> share, lower, upper;
  for (const VerdictShare& s : verdict_shares(data, catalogue)) {
    searches.push_back(name_of(s.origin));
    verdicts.push_back(name_of(s.verdict));
    counts.push_back(s.count), totals.push_back(s.total);
    const Interval interval = wilson_interval(s.count, s.total);
    share.push_back(static_cast<double>(s.count) / static_cast<double>(s.total));
    lower.push_back(interval.lower), upper.push_back(interval.upper);
  }
  const auto count = static_cast<Index>(verdicts.size());
  file.write("/entry/shares/search", searches, {count});
  file.write("/entry/shares/verdict", verdicts, {count});
  file.write("/entry/shares/count", counts);
  file.write("/entry/shares/total", totals);
  file.write("/entry/shares/share", share);
  file.write("/entry/shares/lower", lower);
  file.write("/entry/shares/upper", upper);
}

/// To the global minimum; NaN where that is not known, as the lowest loss that happens to be found is another
/// thing.
double gap(const StartRecord& r, const Catalogue& catalogue) {
  return catalogue.lowest_known ? r.loss - catalogue.lowest : std::nan("");
}

void write_starts(hdf5::Writer& file, const std::vector<const StartRecord*>& rows, const CatalogueData& data,
                  const Catalogue& catalogue) {
  file.group("/entry/starts", "NXcollection");
  write_rows(file, kStarts, rows, data.shape);
  write_block(file, kStarts + "function", rows, &StartRecord::function, data.shape.function());
  std::vector<std::int64_t> entry, codes;
  std::vector<std::string> verdicts, texts;
  for (std::size_t i = 0; i < rows.size(); ++i) {
    entry.push_back(catalogue.entry_of[i]);
    verdicts.push_back(name_of(catalogue.verdicts[i]));
    codes.push_back(static_cast<std::int64_t>(catalogue.verdicts[i]));
    texts.push_back(describe(*rows[i], catalogue.verdicts[i], catalogue, data.source()));
  }
  const auto count = static_cast<Index>(rows.size());
  file.write(kStarts + "entry", entry);
  file.write(kStarts + "verdict", verdicts, {count});
  file.write(kStarts + "verdict_code", codes);
  file.write(kStarts + "description", texts, {count});
  file.write(kStarts + "gap", column(rows, [&](const StartRecord& r) { return gap(r, catalogue); }));
}

void write_entries(hdf5::Writer& file, const std::vector<const StartRecord*>& rows, const CatalogueData& data,
                   const Catalogue& catalogue) {
  file.group("/entry/entries", "NXcollection");
  if (catalogue.entries.empty()) return;
  std::vector<const StartRecord*> firsts;
  std::vector<std::int64_t> counts, representatives, codes;
  std::vector<double> spread, nearest;
  std::vector<std::string> verdicts, texts, complete;
  for (const CatalogueEntry& e : catalogue.entries) {
    const Index first = e.shown;
    firsts.push_back(rows[first]);
    representatives.push_back(first);
    counts.push_back(static_cast<std::int64_t>(e.members.size()));
    spread.push_back(e.spread), nearest.push_back(e.nearest);
    verdicts.push_back(name_of(catalogue.verdicts[first]));
    codes.push_back(static_cast<std::int64_t>(catalogue.verdicts[first]));
    texts.push_back(describe(*rows[first], catalogue.verdicts[first], catalogue, data.source()));
    complete.push_back(completeness(rows[first]->counted_from(), rows[first]->counts_exact != 0));
  }
  const auto count = static_cast<Index>(firsts.size());
  write_rows(file, kEntries, firsts, data.shape);
  file.write(kEntries + "start", representatives);
  file.write(kEntries + "count", counts);
  file.write(kEntries + "spread", spread);
  file.write(kEntries + "nearest", nearest);
  file.write(kEntries + "verdict", verdicts, {count});
  file.write(kEntries + "verdict_code", codes);
  file.write(kEntries + "description", texts, {count});
  file.write(kEntries + "completeness", complete, {count});
  file.write(kEntries + "gap", column(firsts, [&](const StartRecord& r) { return gap(r, catalogue); }));
}

/// What all starts have in common.
void write_common(hdf5::Writer& file, const CatalogueData& data, const Catalogue& catalogue) {
  const std::string group = "/entry/catalogue/";
  file.group("/entry/catalogue", "NXcollection");
  file.write(group + "specification", specification_text(data.specification));
  file.write(group + "lowest_loss", catalogue.lowest);
  file.write(group + "lowest_is_global", static_cast<std::int64_t>(catalogue.lowest_known ? 1 : 0));
  file.write(group + "known_minimum", data.known ? data.known->loss : std::nan(""));
  file.write(group + "minimum_source", data.source());
  file.write(group + "least_loss", data.bound);
  std::string sources;
  for (const std::string& source : data.sources) sources += (sources.empty() ? "" : "\n") + source;
  file.write(group + "sources", sources);
  std::string layers, kernels;
  for (const LayerSaturation& l : data.shape.attention) {
    layers += (layers.empty() ? "" : "\n") + l.layer;
    kernels += (kernels.empty() ? "" : "\n") + kernel_name(l.kernel);
  }
  file.write(group + "attention_layers", layers);
  file.write(group + "attention_kernels", kernels);
  file.write(group + "same_function", kSameFunction);
  for (const auto& [name, size] : {std::pair<const char*, Index>{"rows", data.shape.rows},
                                   {"tokens", data.shape.tokens},
                                   {"heads", data.shape.heads},
                                   {"outputs", data.shape.outputs}})
    file.write(group + name, static_cast<std::int64_t>(size));
}

}  // namespace

void write_catalogue(hdf5::Writer& file, const CatalogueData& data, const Catalogue& catalogue) {
  std::vector<const StartRecord*> rows;
  for (const StartRecord& r : data.starts) rows.push_back(&r);
  write_starts(file, rows, data, catalogue);
  write_entries(file, rows, data, catalogue);
  write_shares(file, data, catalogue);
  write_losses(file, data, catalogue);
  write_common(file, data, catalogue);
}

void write_escape(hdf5::Writer& file, std::size_t entry, const StartRecord& saddle,
                  const FollowedEscape& followed) {
  const std::string group = "/entry/escape/";
  file.group("/entry/escape", "NXcollection");
  file.write(group + "entry", static_cast<std::int64_t>(entry));
  file.write(group + "step", saddle.escape_step);
  file.write(group + "predicted_fall",
             saddle.escape_step * saddle.escape_step * saddle.smallest_eigenvalue / 2);
  file.write(group + "fall", followed.loss - saddle.loss);
  file.write(group + "loss", followed.loss);
  file.write(group + "weights", followed.weights);
  file.write(group + "followed_loss", followed.end.loss);
  file.write(group + "followed_kind", name_of(followed.end.kind));
  file.write(group + "followed_weights", followed.end.weights);
}

namespace {

/// Numbers that catalogues of 0.1.0 do not have.
bool is_later(std::string_view name) {
  static const std::set<std::string_view> later = {"gradient_scale",
                                                   "gradient_known",
                                                   "newton_contraction",
                                                   "newton_gradient",
                                                   "newton_distance",
                                                   "uncounted",
                                                   "counts_from_code",
                                                   "source",
                                                   "row",
                                                   "attention_range_head",
                                                   "attention_range_sample",
                                                   "attention_range_token",
                                                   "smallest_row_sum_head",
                                                   "smallest_row_sum_sample",
                                                   "smallest_row_sum_token",
                                                   "margin",
                                                   "margin_error",
                                                   "first_step",
                                                   "first_step_share",
                                                   "smallest_step",
                                                   "largest_step",
                                                   "largest_step_share",
                                                   "steps_shortened"};
  return later.contains(name);
}

/// What the matching and the texts rely on.
void check_record(const hdf5::Reader& file, const StartRecord& r, std::size_t row, std::size_t sources) {
  const auto check = [&](const char* name, double value, bool good, const std::string& expected) {
    if (!good)
      file.refuse(kStarts + name,
                  "found " + number(value) + " in row " + std::to_string(row) + "; expected " + expected);
  };
  const auto whole = [&](const char* name, double value, double least, double most) {
    check(name, value, value == std::floor(value) && value >= least && value <= most,
          "a whole number from " + number(least) + " to " + number(most));
  };
  constexpr double kMost = 1e15;
  // the gradient decides, and nothing was counted: so NaN says
  const bool none =
      r.counts_from == static_cast<double>(CountsFrom::none) && r.kind == PointKind::not_stationary;
  for (const auto& [name, value] : {std::pair{"negative", r.negative},
                                    {"zero", r.zero},
                                    {"undecided", r.undecided},
                                    {"positive", r.positive},
                                    {"uncounted", r.uncounted},
                                    {"symmetry_modes", r.removed}})
    if (!none || !std::isnan(value)) whole(name, value, 0, kMost);
  whole("counts_exact", r.counts_exact, 0, 1);
  whole("counts_from_code", r.counts_from, 0,
        static_cast<double>(none ? CountsFrom::none : CountsFrom::balanced));
  const bool given = r.origin == Origin::given || r.origin == Origin::from;
  whole("source", r.source, given && sources > 0 ? 0 : -1, static_cast<double>(sources) - 1);
  whole("row", r.row, -1, kMost);
  if (r.kind == PointKind::not_finite) return;
  check("loss", r.loss, std::isfinite(r.loss) && r.loss >= 0, "a finite number from 0");
  check("loss_error", r.loss_error, std::isfinite(r.loss_error) && r.loss_error >= 0,
        "a finite number from 0");
  if (!r.weights.allFinite()) check("weights", std::nan(""), false, "finite numbers");
  if (!r.function.allFinite()) check("function", std::nan(""), false, "finite numbers");
}

/// Which there are; of catalogues that were written before they were measured: none.
void read_attention_layers(const hdf5::Reader& file, const std::string& group, CatalogueData& data) {
  if (!file.has(group + "attention_layers")) return;
  std::istringstream layers(file.read_string(group + "attention_layers")),
      kernels(file.read_string(group + "attention_kernels"));
  for (std::string layer, kernel; std::getline(layers, layer);) {
    if (!std::getline(kernels, kernel) || (kernel != "softmax" && kernel != "gaussian"))
      file.refuse(group + "attention_kernels", "found '" + shortened(kernel) + "' for " + shortened(layer) +
                                                   "; expected softmax or gaussian");
    data.shape.attention.push_back({layer, kernel_from_name(kernel)});
  }
}

void read_common(const hdf5::Reader& file, CatalogueData& data) {
  const std::string group = "/entry/catalogue/";
  data.specification = parse_specification(file.read_string(group + "specification"));
  const std::string source_of_minimum = file.read_string(group + "minimum_source");
  // Catalogues of 0.1.0 lack it, and some numbers below.
  std::istringstream sources(file.has(group + "sources") ? file.read_string(group + "sources") : "");
  for (std::string source; std::getline(sources, source);) data.sources.push_back(source);
  if (const double known = file.read_number(group + "known_minimum"); !std::isnan(known)) {
    if (!(known >= 0) || !std::isfinite(known))
      file.refuse(group + "known_minimum", "found " + number(known) + "; expected a number from 0, or NaN");
    data.known = GlobalMinimum{known, source_of_minimum};
  }
  if (file.has(group + "least_loss")) {
    data.bound = file.read_number(group + "least_loss");
    if (!(data.bound >= 0) || !std::isfinite(data.bound))
      file.refuse(group + "least_loss", "found " + number(data.bound) + "; expected a number from 0");
  }
  constexpr Index kLargest = 1 << 30;  // so that no product of these overflows
  read_attention_layers(file, group, data);
  data.shape.rows = file.read_index(group + "rows", 1, kLargest);
  data.shape.tokens = file.read_index(group + "tokens", 1, kLargest);
  data.shape.heads = file.read_index(group + "heads", 0, 1 << 15);
  data.shape.outputs = file.read_index(group + "outputs", 1, 1 << 15);
}

/// As many starts as there are, with what is written in codes.
void read_codes(const hdf5::Reader& file, CatalogueData& data) {
  const std::vector<Index> seeds = file.read_indices(kStarts + "seed", hdf5::kAnySize, 0);
  const auto count = static_cast<Index>(seeds.size());
  const auto codes = [&](const char* name, Index most) {
    return file.read_indices(kStarts + name, count, 0, most);
  };
  const std::vector<Index> origins = codes("search_code", static_cast<Index>(Origin::from)),
                           kinds = codes("kind_code", static_cast<Index>(PointKind::not_finite)),
                           valleys = codes("valley_code", static_cast<Index>(Valley::separated));
  data.starts.resize(seeds.size());
  for (std::size_t i = 0; i < seeds.size(); ++i) {
    StartRecord& r = data.starts[i];
    r.seed = static_cast<std::uint64_t>(seeds[i]);
    r.origin = static_cast<Origin>(origins[i]);
    r.kind = static_cast<PointKind>(kinds[i]);
    r.valley = static_cast<Valley>(valleys[i]);
  }
}

void read_numbers(const hdf5::Reader& file, CatalogueData& data) {
  const auto count = static_cast<Index>(data.starts.size());
  StartRecord names;
  StartRecord::numbers(names, [&](const char* name, double&) {
    if (is_later(name) && !file.has(kStarts + name)) return;
    const hdf5::Array values = file.read_numbers(kStarts + name, {count});
    for (Index i = 0; i < count; ++i)
      StartRecord::numbers(data.starts[i], [&](const char* other, double& value) {
        if (std::string_view(name) == other) value = values.values[i];
      });
  });
}

void read_attention(const hdf5::Reader& file, CatalogueData& data) {
  const auto count = static_cast<Index>(data.starts.size()),
             layers = static_cast<Index>(data.shape.attention.size());
  for (StartRecord& r : data.starts) r.attention = r.attention_before = data.shape.attention;
  if (layers == 0) return;
  LayerSaturation names;
  const auto read = [&](const std::string& group, auto member) {
    LayerSaturation::numbers(names, [&](const std::string& name, double&) {
      const hdf5::Array table = file.read_numbers(kStarts + group + name, {count, layers});
      for (Index i = 0; i < table.values.size(); ++i)
        LayerSaturation::numbers((data.starts[i / layers].*member)[i % layers],
                                 [&](const std::string& other, double& value) {
                                   if (name == other) value = table.values[i];
                                 });
    });
  };
  read("attention/", &StartRecord::attention);
  read("attention_before/", &StartRecord::attention_before);
}

/// And the sizes of the shape that they tell.
void read_vectors(const hdf5::Reader& file, CatalogueData& data) {
  const auto count = static_cast<Index>(data.starts.size());
  for (const auto& [name, member] : {std::pair{"weights", &StartRecord::weights},
                                     {"gradient", &StartRecord::gradient},
                                     {"direction", &StartRecord::direction},
                                     {"function", &StartRecord::function}}) {
    // The directions are in the parameters, as the gradients are.
    const Index columns = member == &StartRecord::function    ? data.shape.function()
                          : member == &StartRecord::direction ? data.shape.parameters
                                                              : hdf5::kAnySize;
    const hdf5::Array block = file.read_numbers(kStarts + name, {count, columns});
    const Index width = block.shape[1];
    if (width < 1)
      file.refuse(kStarts + name,
                  "found shape " + hdf5::text(block.shape) + "; expected numbers in every row");
    for (Index i = 0; i < count; ++i) data.starts[i].*member = block.values.segment(i * width, width);
    if (member == &StartRecord::weights) data.shape.weights = width;
    if (member == &StartRecord::gradient) data.shape.parameters = width;
  }
}

}  // namespace

CatalogueData read_catalogue(const hdf5::Reader& file) {
  hdf5::check_kind(file, "result");
  if (const std::string tool = file.string_attribute("/", "basin_tool"); tool != "basin-stationary")
    throw InputError(file.path() + ": a result of " + (tool.empty() ? "another program" : shortened(tool)) +
                     "; expected one of basin-stationary");
  CatalogueData data;
  read_common(file, data);
  read_codes(file, data);
  read_numbers(file, data);
  read_attention(file, data);
  read_vectors(file, data);
  for (std::size_t i = 0; i < data.starts.size(); ++i)
    check_record(file, data.starts[i], i, data.sources.size());
  return data;
}

}  // namespace basin::tools
