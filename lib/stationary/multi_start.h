/// The search from many starts, and what is known when it is done (MATHEMATICS.md, "Search").
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "basin/linalg/progress.h"
#include "basin/stationary/known_minimum.h"
#include "basin/stationary/start_record.h"

namespace basin {

/// Weights that are given.
struct GivenWeights {
  Vector<double> weights;      ///< of all blocks; those that are held fixed as the point of the loss has them
  std::string name = "given";  ///< how a message on it begins
  Index source = -1, row = -1;  ///< StartRecord::source and row
};

/// Where to start.
struct Starts {
  std::vector<GivenWeights> points;  ///< judged where they are
  std::vector<GivenWeights> from;    ///< descended from
  Index drawn = 0;                   ///< so many random ones
  bool minima = true, any = false;   ///< the targets of the searches from each of these
  std::uint64_t seed = 1;            ///< what they are drawn with: start_seed(seed, k)
  std::function<Vector<double>(std::uint64_t seed)> draw = {};  ///< theta (P); called by several threads
};

/// One search, number `index` of its kind.
struct StartTask {
  Origin origin;
  Index index;
};
/// Of points, given starts, drawn ones for minima, and for any point, in this order.
std::vector<StartTask> tasks_of(const Starts& starts);

/// Of drawn start k, 53 bits: it depends on these two numbers alone.
std::uint64_t start_seed(std::uint64_t base, Index k);

/// For a search that goes on: what was found before, and what is to be kept, by the number of the task.
struct KeptRecords {
  std::function<std::optional<StartRecord>(Index task)> done = {};
  std::function<void(Index task, const StartRecord& record)> keep = {};  ///< called by several threads
};

/// Does all tasks, several at a time; the result does not depend on how many. The record of a saddle says how
/// far f falls from there (escape, Reach::far). Throws what a search throws, after the name of its start.
std::vector<StartRecord> search_from_all(const ModelLoss& loss, const Starts& starts,
                                         const SearchOptions& options, const KeptRecords& kept = {},
                                         const Progress& progress = {});

/// Bytes of dense Hessians, with what their decomposition or inertia takes, in searches on all threads.
double dense_search_bytes(Index parameters, Index dense_limit);

/// The same search by gradient descent along the flow, from starts that the options do not speak of.
SearchOptions along_flow(SearchOptions options);

/// What a search found, and what is known of the global minimum.
struct StartsFound {
  RecordShape shape{};
  std::vector<StartRecord> starts;
  std::optional<GlobalMinimum> known;
  /// f is no less, whatever the weights, as labels contradict each other (least_loss_of_labels); 0: nothing
  /// beyond f >= 0 is known.
  double bound = 0;

  std::string source() const { return known ? known->source : ""; }
};

/// With every start, in order, as an item.
Catalogue make_catalogue(const StartsFound& found);

/// Where f is convex and no minimum is known, it is the lowest stationary point that was found with a
/// residual beyond rounding.
void use_convexity(const ModelLoss& loss, StartsFound& found);

/// A loss is as good as the bound if it is so near, relative to it: a valley that low is a global one.
inline constexpr double kNearBound = 1e-6;
/// Where no minimum is known, and a stationary point is at the bound to the error of its loss, that is one.
void use_bound(StartsFound& found);

/// A point with f = 0 to rounding was reached outside of the starts: that is the global minimum, unless the
/// catalogue knows it. where: "reached from near a minimum".
void note_zero(const Catalogue& catalogue, const std::string& where, StartsFound& found);

/// Share of the starts of one kind of search that ended with a verdict.
struct VerdictShare {
  Origin origin;
  Verdict verdict;
  Index count, total;
};
/// All verdicts of every kind of search that was made; given points are no starts.
std::vector<VerdictShare> verdict_shares(const StartsFound& found, const Catalogue& catalogue);

}  // namespace basin
