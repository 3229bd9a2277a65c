#include "common/catalogue_file.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <set>
#include <sstream>

#include "common/catalogue_text.h"
#include "hdf5/provenance.h"
#include "hdf5/result_file.h"
#include "linalg/errors.h"
#include "linalg/statistics.h"
#include "problem/encoding.h"

namespace basin::tools {
namespace {

constexpr std::size_t kCodes = 4;  // seed, origin, kind, valley: before the numbers
const std::string kStarts = "/entry/starts/", kEntries = "/entry/entries/";

std::size_t number_count() {
  StartRecord r;
  std::size_t count = 0;
  StartRecord::numbers(r, [&](const char*, double&) { ++count; });
  return count;
}

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

}  // namespace

std::string name_of(Origin origin) {
  switch (origin) {
    case Origin::descent:
      return "minima";
    case Origin::any:
      return "saddles";
    case Origin::given:
      return "given";
    default:
      return "from";
  }
}

std::size_t RecordShape::size() const {
  return kCodes + number_count() + static_cast<std::size_t>(weights + 2 * parameters + function());
}

RecordShape record_shape(const Setup& setup) {
  const AttentionSpec s = setup.spec();
  return {setup.point.weights.size(),
          setup.parameters().theta_size(),
          setup.point.data->X.rows(),
          s.tokens,
          s.heads,
          s.outputs};
}

StartRecord make_record(const Found& found, Origin origin, std::uint64_t seed, const RecordShape& shape) {
  const StationaryPoint& p = found.point;
  const PointCurvature& c = p.curvature;
  StartRecord r;
  r.seed = seed, r.origin = origin, r.kind = p.kind, r.valley = p.valley;
  r.start_loss = found.start_loss, r.descent_loss = found.descent_loss;
  r.descent_gradient_norm = found.descent_gradient;
  r.loss = p.kind == PointKind::not_finite ? std::nan("") : p.at.loss;
  r.loss_error = p.loss_error, r.gradient_norm = p.at.gradient.stableNorm();
  r.gradient_rounding = p.rounding.gradient;
  r.gradient_scale = p.gradient_scale, r.gradient_known = p.gradient_known ? 1 : 0;
  r.residual_norm = p.residual, r.residual_rounding = p.rounding.residual;
  const auto known = [&](double value) { return c.known() ? value : std::nan(""); };
  r.newton_decrement = known(c.decrement), r.newton_step = known(c.newton_step);
  r.gradient_slope = c.gradient_slope, r.function_error = known(p.function_error);
  r.contraction = known(c.contraction), r.far_gradient = known(c.far_gradient);
  r.step_distance = known(p.step_distance);
  const auto count = [&](Index eigenvalues) { return known(static_cast<double>(eigenvalues)); };
  r.removed = count(c.removed), r.negative = count(c.negative), r.zero = count(c.zero);
  r.undecided = count(c.undecided), r.positive = count(c.positive), r.uncounted = count(c.uncounted());
  r.counts_exact = c.exact ? 1 : 0, r.counts_from = static_cast<double>(c.from);
  r.count_tolerance = known(c.tolerance), r.smallest_eigenvalue = known(c.smallest);
  r.smallest_eigenvalue_bound = known(c.smallest_bound);
  r.saturation = p.saturation, r.before = p.saturation_before;
  const RowPlace sharpest = row_place(p.saturation.sharpest, shape.rows, shape.tokens),
                 weakest = row_place(p.saturation.weakest, shape.rows, shape.tokens);
  r.sharpest_head = static_cast<double>(sharpest.head), r.weakest_head = static_cast<double>(weakest.head);
  r.sharpest_sample = static_cast<double>(sharpest.sample),
  r.weakest_sample = static_cast<double>(weakest.sample);
  r.sharpest_token = static_cast<double>(sharpest.token),
  r.weakest_token = static_cast<double>(weakest.token);
  r.norm = p.norm, r.norm_before = p.norm_before;
  r.distance = found.distance, r.polish_length = found.polish_length;
  r.descent_steps = static_cast<double>(found.descent_steps);
  r.finish_steps = static_cast<double>(found.finish_steps);
  r.polish_steps = static_cast<double>(found.polish_steps);
  r.escapes = static_cast<double>(found.escapes);
  const StepsTaken& taken = found.taken;
  r.first_step = taken.first, r.first_step_share = taken.first_share;
  r.smallest_step = taken.smallest, r.largest_step = taken.largest;
  r.largest_step_share = taken.largest_share, r.steps_shortened = static_cast<double>(taken.shortened);
  r.not_finite = found.not_finite ? 1 : 0, r.rose = found.rose ? 1 : 0, r.safe_step = found.safe_step;
  r.weights = p.weights, r.gradient = p.at.gradient, r.direction = c.direction;
  if (p.kind != PointKind::not_finite) r.function = p.function.flat();
  for (const auto& [v, size] : {std::pair{&r.weights, shape.weights},
                                {&r.gradient, shape.parameters},
                                {&r.direction, shape.parameters},
                                {&r.function, shape.function()}})
    if (v->size() != size) *v = Vector<double>::Constant(size, std::nan(""));  // there is none
  return r;
}

std::vector<double> flat(const StartRecord& r) {
  std::vector<double> all = {static_cast<double>(r.seed), static_cast<double>(r.origin),
                             static_cast<double>(r.kind), static_cast<double>(r.valley)};
  StartRecord::numbers(r, [&](const char*, const double& value) { all.push_back(value); });
  for (const auto* v : {&r.weights, &r.gradient, &r.direction, &r.function})
    all.insert(all.end(), v->begin(), v->end());
  return all;
}

StartRecord from_flat(const std::vector<double>& values, const RecordShape& shape) {
  StartRecord r;
  auto at = values.begin();
  r.seed = static_cast<std::uint64_t>(*at++);
  r.origin = static_cast<Origin>(static_cast<int>(*at++));
  r.kind = static_cast<PointKind>(static_cast<int>(*at++));
  r.valley = static_cast<Valley>(static_cast<int>(*at++));
  StartRecord::numbers(r, [&](const char*, double& value) { value = *at++; });
  for (const auto& [v, size] : {std::pair{&r.weights, shape.weights},
                                {&r.gradient, shape.parameters},
                                {&r.direction, shape.parameters},
                                {&r.function, shape.function()}}) {
    v->resize(size);
    std::copy(at, at + size, v->begin());
    at += size;
  }
  return r;
}

CatalogueItem item_of(const StartRecord& r, const RecordShape& s) {
  // none where the gradient decides: such a point is in no entry
  const auto count = [](double eigenvalues) {
    return std::isnan(eigenvalues) ? Index{0} : static_cast<Index>(eigenvalues);
  };
  return {r.kind,           count(r.negative),
          count(r.zero),    r.loss,
          r.loss_error,     AttentionFunction::from_flat(r.function, s.rows, s.tokens, s.heads, s.outputs),
          r.function_error, count(r.undecided + r.uncounted)};
}

Catalogue make_catalogue(const CatalogueData& data) {
  std::vector<CatalogueItem> items;
  for (const StartRecord& r : data.starts) items.push_back(item_of(r, data.shape));
  return make_catalogue(items, data.known_minimum);
}

std::vector<VerdictShare> verdict_shares(const CatalogueData& data, const Catalogue& catalogue) {
  std::vector<VerdictShare> shares;
  for (const Origin origin : {Origin::descent, Origin::from, Origin::any}) {
    std::vector<Index> counts(kVerdicts, 0);
    Index total = 0;
    for (std::size_t i = 0; i < data.starts.size(); ++i) {
      if (data.starts[i].origin != origin) continue;
      ++counts[static_cast<std::size_t>(catalogue.verdicts[i])], ++total;
    }
    for (int v = 0; v < kVerdicts && total > 0; ++v)
      shares.push_back({origin, static_cast<Verdict>(v), counts[v], total});
  }
  return shares;
}

void write_catalogue(hdf5::Writer& file, const CatalogueData& data, const Catalogue& catalogue) {
  std::vector<const StartRecord*> rows, firsts;
  for (const StartRecord& r : data.starts) rows.push_back(&r);
  file.group("/entry/starts", "NXcollection");
  write_rows(file, kStarts, rows, data.shape);
  write_block(file, kStarts + "function", rows, &StartRecord::function, data.shape.function());
  std::vector<std::int64_t> entry, codes;
  std::vector<std::string> verdicts, texts;
  for (std::size_t i = 0; i < rows.size(); ++i) {
    entry.push_back(catalogue.entry_of[i]);
    verdicts.push_back(name_of(catalogue.verdicts[i]));
    codes.push_back(static_cast<std::int64_t>(catalogue.verdicts[i]));
    texts.push_back(describe(*rows[i], catalogue.verdicts[i], catalogue, data.minimum_source));
  }
  const auto count = static_cast<Index>(rows.size());
  file.write(kStarts + "entry", entry);
  file.write(kStarts + "verdict", verdicts, {count});
  file.write(kStarts + "verdict_code", codes);
  file.write(kStarts + "description", texts, {count});
  file.write(kStarts + "gap", column(rows, [&](const StartRecord& r) { return gap(r, catalogue); }));

  file.group("/entry/entries", "NXcollection");
  std::vector<std::int64_t> counts, representatives;
  std::vector<double> spread, nearest;
  verdicts.clear(), texts.clear(), codes.clear();
  std::vector<std::string> complete;
  for (const CatalogueEntry& e : catalogue.entries) {
    const Index first = e.members[0];
    firsts.push_back(rows[first]);
    representatives.push_back(first);
    counts.push_back(static_cast<std::int64_t>(e.members.size()));
    spread.push_back(e.spread), nearest.push_back(e.nearest);
    verdicts.push_back(name_of(catalogue.verdicts[first]));
    codes.push_back(static_cast<std::int64_t>(catalogue.verdicts[first]));
    texts.push_back(describe(*rows[first], catalogue.verdicts[first], catalogue, data.minimum_source));
    complete.push_back(completeness(rows[first]->counted_from(), rows[first]->counts_exact != 0));
  }
  if (const auto entries = static_cast<Index>(firsts.size()); entries > 0) {
    write_rows(file, kEntries, firsts, data.shape);
    file.write(kEntries + "start", representatives);
    file.write(kEntries + "count", counts);
    file.write(kEntries + "spread", spread);
    file.write(kEntries + "nearest", nearest);
    file.write(kEntries + "verdict", verdicts, {entries});
    file.write(kEntries + "verdict_code", codes);
    file.write(kEntries + "description", texts, {entries});
    file.write(kEntries + "completeness", complete, {entries});
    file.write(kEntries + "gap", column(firsts, [&](const StartRecord& r) { return gap(r, catalogue); }));
  }
  write_shares(file, data, catalogue);
  write_losses(file, data, catalogue);
  const std::string group = "/entry/catalogue/";
  file.group("/entry/catalogue", "NXcollection");
  file.write(group + "specification", specification_text(data.specification));
  file.write(group + "lowest_loss", catalogue.lowest);
  file.write(group + "lowest_is_global", static_cast<std::int64_t>(catalogue.lowest_known ? 1 : 0));
  file.write(group + "known_minimum", data.known_minimum.value_or(std::nan("")));
  file.write(group + "minimum_source", data.minimum_source);
  std::string sources;
  for (const std::string& source : data.sources) sources += (sources.empty() ? "" : "\n") + source;
  file.write(group + "sources", sources);
  file.write(group + "same_function", kSameFunction);
  for (const auto& [name, size] : {std::pair<const char*, Index>{"rows", data.shape.rows},
                                   {"tokens", data.shape.tokens},
                                   {"heads", data.shape.heads},
                                   {"outputs", data.shape.outputs}})
    file.write(group + name, static_cast<std::int64_t>(size));
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

}  // namespace

CatalogueData read_catalogue(const hdf5::Reader& file) {
  hdf5::check_kind(file, "result");
  if (const std::string tool = file.string_attribute("/", "basin_tool"); tool != "basin-stationary")
    throw InputError(file.path() + ": a result of " + (tool.empty() ? "another program" : shortened(tool)) +
                     "; expected one of basin-stationary");
  CatalogueData data;
  const std::string group = "/entry/catalogue/";
  data.specification = parse_specification(file.read_string(group + "specification"));
  data.minimum_source = file.read_string(group + "minimum_source");
  // Catalogues of 0.1.0 lack it, and some numbers below.
  std::istringstream sources(file.has(group + "sources") ? file.read_string(group + "sources") : "");
  for (std::string source; std::getline(sources, source);) data.sources.push_back(source);
  if (const double known = file.read_number(group + "known_minimum"); !std::isnan(known)) {
    if (!(known >= 0) || !std::isfinite(known))
      file.refuse(group + "known_minimum", "found " + number(known) + "; expected a number from 0, or NaN");
    data.known_minimum = known;
  }
  constexpr Index kLargest = 1 << 30;  // so that no product of these overflows
  data.shape.rows = file.read_index(group + "rows", 1, kLargest);
  data.shape.tokens = file.read_index(group + "tokens", 1, data.shape.rows);
  data.shape.heads = file.read_index(group + "heads", 1, 1 << 15);
  data.shape.outputs = file.read_index(group + "outputs", 1, 1 << 15);
  const std::vector<Index> seeds = file.read_indices(kStarts + "seed", hdf5::kAnySize, 0);
  const auto count = static_cast<Index>(seeds.size());
  const auto codes = [&](const char* name, Index most) {
    return file.read_indices(kStarts + name, count, 0, most);
  };
  const std::vector<Index> origins = codes("search_code", static_cast<Index>(Origin::from)),
                           kinds = codes("kind_code", static_cast<Index>(PointKind::not_finite)),
                           valleys = codes("valley_code", static_cast<Index>(Valley::exploding));
  data.starts.resize(seeds.size());
  for (std::size_t i = 0; i < seeds.size(); ++i) {
    StartRecord& r = data.starts[i];
    r.seed = static_cast<std::uint64_t>(seeds[i]);
    r.origin = static_cast<Origin>(origins[i]);
    r.kind = static_cast<PointKind>(kinds[i]);
    r.valley = static_cast<Valley>(valleys[i]);
  }
  StartRecord names;
  StartRecord::numbers(names, [&](const char* name, double&) {
    if (is_later(name) && !file.has(kStarts + name)) return;
    const hdf5::Array values = file.read_numbers(kStarts + name, {count});
    for (Index i = 0; i < count; ++i)
      StartRecord::numbers(data.starts[i], [&](const char* other, double& value) {
        if (std::string_view(name) == other) value = values.values[i];
      });
  });
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
  for (std::size_t i = 0; i < data.starts.size(); ++i)
    check_record(file, data.starts[i], i, data.sources.size());
  return data;
}

}  // namespace basin::tools
