#include "basin/stationary/perturbed_descents.h"

#include "basin/linalg/errors.h"
#include "basin/linalg/parallel.h"
#include "basin/linalg/random.h"

namespace basin {

void check_returns(const ModelLoss& loss, const SearchOptions& search_options, const ReturnOptions& options,
                   const Catalogue& catalogue, StartsFound& found, const Progress& progress) {
  std::vector<Index> firsts;
  for (const CatalogueEntry& e : catalogue.entries)
    if (found.starts[e.shown].kind == PointKind::strict_minimum) firsts.push_back(e.shown);
  if (options.starts == 0 || firsts.empty()) return;
  const Index count = static_cast<Index>(firsts.size()) * options.starts;
  struct Return {
    bool same, zero;
  };
  std::vector<Return> returns(count);
  parallel_for(
      count,
      [&](Index i, Index) {
        const StartRecord& r = found.starts[firsts[i / options.starts]];
        ModelLoss there = loss;
        there.point.weights = r.weights;
        const Vector<double> theta = there.point.theta();
        Vector<double> move(theta.size());
        Random(static_cast<std::uint64_t>(i % options.starts), "return").fill_normal(move);
        move *= options.radius * there.objective().length(theta) / move.norm();
        const Vector<double> start = theta + move;
        const StartRecord end = make_record(search(there, start, Target::minima, search_options),
                                            Origin::descent, 0, found.shape);
        returns[i] = {same_point(item_of(r, found.shape), item_of(end, found.shape)),
                      end.kind == PointKind::zero_loss};
      },
      progress);
  for (Index i = 0; i < count; ++i) {
    StartRecord& r = found.starts[firsts[i / options.starts]];
    r.perturbed += 1, r.returned += returns[i].same ? 1 : 0;
    if (returns[i].zero) note_zero(catalogue, "reached from near a minimum", found);
  }
}

FollowedEscape follow_escape(const ModelLoss& loss, const StartRecord& saddle,
                             const SearchOptions& search_options) {
  if (!(saddle.escape_fall < 0)) throw InputError("no direction is known in which the loss falls");
  ModelLoss there = loss;
  there.point.weights = saddle.weights;
  ModelObjective f = there.objective();
  const Vector<double> start = there.point.theta() + saddle.escape_step * saddle.direction;
  FollowedEscape followed;
  followed.weights = f.point_at(start).weights;
  followed.loss = f.loss(start);
  followed.end =
      make_record(search(there, start, Target::minima, search_options), Origin::given, 0, record_shape(loss));
  return followed;
}

}  // namespace basin
