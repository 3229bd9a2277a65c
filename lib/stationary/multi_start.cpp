#include "basin/stationary/multi_start.h"

#include <algorithm>
#include <cmath>

#include "basin/linalg/errors.h"
#include "basin/linalg/parallel.h"
#include "basin/linalg/random.h"
#include "basin/stationary/gradient_descent.h"

namespace basin {
namespace {

std::uint64_t without_high_bits(std::uint64_t hash) {
  return hash >> 11U;
}

/// The record of a search, with the way down from a saddle.
StartRecord record_of(const ModelLoss& loss, const Found& found, Origin origin, std::uint64_t seed,
                      const RecordShape& shape) {
  StartRecord record = make_record(found, origin, seed, shape);
  if (found.point.kind == PointKind::saddle) {
    ModelObjective f = loss.objective();
    const PointCurvature& c = found.point.curvature;
    if (const auto away = escape(f, found.point.at, c.direction, c.smallest, found.point.rounding.loss)) {
      record.escape_step = away->step;
      record.escape_fall = away->fall;
    }
  }
  return record;
}

StartRecord placed(StartRecord record, const GivenWeights& given) {
  record.source = static_cast<double>(given.source);
  record.row = static_cast<double>(given.row);
  return record;
}

StartRecord judge(ModelLoss loss, const GivenWeights& given, Index dense_limit, const RecordShape& shape) {
  loss.point.weights = given.weights;
  try {
    const Found found = examine(loss, loss.point.theta(), dense_limit);
    return placed(record_of(loss, found, Origin::given, 0, shape), given);
  } catch (const WorkError& error) {
    throw WorkError(given.name + ": " + error.what());
  }
}

StartRecord descend_from(const ModelLoss& loss, const GivenWeights& given, const SearchOptions& options,
                         const RecordShape& shape) {
  const Vector<double> theta = loss.point.parameters().extract(given.weights);
  const std::string_view bytes(reinterpret_cast<const char*>(theta.data()),
                               static_cast<std::size_t>(theta.size()) * sizeof(double));
  try {
    const Found found = search(loss, theta, Target::minima, options);
    return placed(record_of(loss, found, Origin::from, without_high_bits(fnv1a(bytes)), shape), given);
  } catch (const InputError& error) {
    throw InputError(given.name + ": " + error.what());
  }
}

StartRecord search_drawn(const ModelLoss& loss, const Starts& starts, const StartTask& task,
                         const SearchOptions& options, const RecordShape& shape) {
  const std::uint64_t seed = start_seed(starts.seed, task.index);
  const Vector<double> theta = starts.draw(seed);
  const Target target = task.origin == Origin::descent ? Target::minima : Target::any;
  try {
    return record_of(loss, search(loss, theta, target, options), task.origin, seed, shape);
  } catch (const InputError& error) {
    throw InputError("start " + std::to_string(task.index) + ", seed " + std::to_string(seed) + ": " +
                     error.what());
  }
}

}  // namespace

std::vector<StartTask> tasks_of(const Starts& starts) {
  std::vector<StartTask> tasks;
  const auto add = [&](Origin origin, Index count) {
    for (Index i = 0; i < count; ++i) tasks.push_back({origin, i});
  };
  add(Origin::given, static_cast<Index>(starts.points.size()));
  add(Origin::from, static_cast<Index>(starts.from.size()));
  if (starts.minima) add(Origin::descent, starts.drawn);
  if (starts.any) add(Origin::any, starts.drawn);
  return tasks;
}

std::uint64_t start_seed(std::uint64_t base, Index k) {
  // the name is part of what seeds have been since the first version
  return without_high_bits(
      fnv1a("basin-stationary seed=" + std::to_string(base) + " start=" + std::to_string(k)));
}

std::vector<StartRecord> search_from_all(const ModelLoss& loss, const Starts& starts,
                                         const SearchOptions& options, const KeptRecords& kept,
                                         const Progress& progress) {
  const std::vector<StartTask> tasks = tasks_of(starts);
  const RecordShape shape = record_shape(loss);
  std::vector<StartRecord> records(tasks.size());
  std::vector<Index> open;
  for (Index t = 0; t < static_cast<Index>(tasks.size()); ++t)
    if (auto done = kept.done ? kept.done(t) : std::nullopt)
      records[t] = std::move(*done);
    else
      open.push_back(t);
  const auto run = [&](const StartTask& task) {
    const auto i = static_cast<std::size_t>(task.index);
    if (task.origin == Origin::given) return judge(loss, starts.points[i], options.dense_limit, shape);
    if (task.origin == Origin::from) return descend_from(loss, starts.from[i], options, shape);
    return search_drawn(loss, starts, task, options, shape);
  };
  parallel_for(
      static_cast<Index>(open.size()),
      [&](Index i, Index) {
        StartRecord record = run(tasks[open[i]]);
        if (kept.keep) kept.keep(open[i], record);
        records[open[i]] = std::move(record);
      },
      progress);
  return records;
}

double dense_search_bytes(Index parameters, Index dense_limit) {
  const auto P = static_cast<double>(parameters);
  const double each = parameters <= std::min(dense_limit, kNewtonLimit) ? 96
                      : parameters <= dense_limit                       ? 24
                                                                        : 0;
  return each * P * P * static_cast<double>(thread_slots());
}

SearchOptions along_flow(SearchOptions options) {
  options.method = [](Objective&, const Iterate&, double share) -> std::unique_ptr<const DescentMethod> {
    if (share < 1) return nullptr;
    return std::make_unique<FlowDescent>();
  };
  return options;
}

Catalogue make_catalogue(const StartsFound& found) {
  std::vector<CatalogueItem> items;
  for (const StartRecord& r : found.starts) {
    items.push_back(item_of(r, found.shape));
    if (found.bound > 0 && r.kind == PointKind::valley && r.loss - found.bound <= kNearBound * found.bound)
      items.back().to_infimum = true;
  }
  Catalogue c = make_catalogue(items, found.known ? std::optional(found.known->loss) : std::nullopt);
  c.bound = found.bound;
  return c;
}

void use_bound(StartsFound& found) {
  if (found.known || !(found.bound > 0)) return;
  for (const StartRecord& r : found.starts)
    if ((r.kind == PointKind::strict_minimum || r.kind == PointKind::degenerate) &&
        r.loss - found.bound <= r.loss_error)
      found.known = GlobalMinimum{found.bound, "the least that these labels allow"};
}

void use_convexity(const ModelLoss& loss, StartsFound& found) {
  if (found.known || !is_convex(loss)) return;
  for (const StartRecord& r : found.starts)
    if ((r.kind == PointKind::strict_minimum || r.kind == PointKind::degenerate) &&
        r.residual_norm > r.residual_rounding && r.loss < (found.known ? found.known->loss : HUGE_VAL))
      found.known = GlobalMinimum{r.loss, by_convexity(loss)};
}

void note_zero(const Catalogue& catalogue, const std::string& where, StartsFound& found) {
  if (!catalogue.lowest_known) found.known = GlobalMinimum{0, where};
}

std::vector<VerdictShare> verdict_shares(const StartsFound& found, const Catalogue& catalogue) {
  std::vector<VerdictShare> shares;
  for (const Origin origin : {Origin::descent, Origin::from, Origin::any}) {
    std::vector<Index> counts(kVerdicts, 0);
    Index total = 0;
    for (std::size_t i = 0; i < found.starts.size(); ++i) {
      if (found.starts[i].origin != origin) continue;
      ++counts[static_cast<std::size_t>(catalogue.verdicts[i])], ++total;
    }
    for (int v = 0; v < kVerdicts && total > 0; ++v)
      shares.push_back({origin, static_cast<Verdict>(v), counts[v], total});
  }
  return shares;
}

}  // namespace basin
