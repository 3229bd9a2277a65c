#include "basin/stationary/start_record.h"

#include <algorithm>
#include <cmath>

namespace basin {
namespace {

constexpr std::size_t kCodes = 4;  // seed, origin, kind, valley: before the numbers

std::size_t number_count() {
  StartRecord r;
  std::size_t count = 0;
  StartRecord::numbers(r, [&](const char*, double&) { ++count; });
  return count;
}

constexpr std::size_t kLayerNumbers = 6;  // of LayerSaturation

/// visit(reference) for the numbers of all layers, where the record has them or not.
template <class Record, class Visit>
void visit_layers(Record& r, const Visit& visit) {
  for (auto* layers : {&r.attention, &r.attention_before})
    for (auto& layer : *layers)
      LayerSaturation::numbers(layer, [&](const char*, auto& value) { visit(value); });
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
  return kCodes + number_count() + 2 * attention.size() * kLayerNumbers +
         static_cast<std::size_t>(weights + 2 * parameters + function());
}

RecordShape record_shape(const ModelLoss& loss) {
  const ModelPoint<double>& point = loss.point;
  const PointSignature f = loss.theory->signature(point);
  return {point.weights.size(),
          point.theta_size(),
          f.outputs.rows(),
          point.model->network().input().tokens,
          static_cast<Index>(f.heads.size()),
          f.outputs.cols(),
          f.heads.empty() ? attention_layers(*point.model) : std::vector<LayerSaturation>{}};
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
  r.margin = p.separation.margin, r.margin_error = p.separation.error;
  r.saturation = p.saturation, r.before = p.saturation_before;
  r.attention = p.attention, r.attention_before = p.attention_before;
  for (auto* layers : {&r.attention, &r.attention_before})
    if (layers->size() != shape.attention.size()) *layers = shape.attention;  // nothing was measured
  for (auto* layers : {&r.attention, &r.attention_before})
    for (LayerSaturation& l : *layers) l.rows.resize(0);
  const RowPlace sharpest = row_place(p.saturation.sharpest, shape.rows, shape.tokens),
                 weakest = row_place(p.saturation.weakest, shape.rows, shape.tokens);
  const auto place = [&](Index index) { return p.saturation.known() ? static_cast<double>(index) : kNaN; };
  r.sharpest_head = place(sharpest.head), r.weakest_head = place(weakest.head);
  r.sharpest_sample = place(sharpest.sample), r.weakest_sample = place(weakest.sample);
  r.sharpest_token = place(sharpest.token), r.weakest_token = place(weakest.token);
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
  visit_layers(r, [&](const double& value) { all.push_back(value); });
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
  r.attention = r.attention_before = shape.attention;
  visit_layers(r, [&](double& value) { value = *at++; });
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
  return {r.kind,
          count(r.negative),
          count(r.zero),
          r.loss,
          r.loss_error,
          PointSignature::from_flat(r.function, s.rows, s.tokens, s.heads, s.outputs),
          r.function_error,
          count(r.undecided + r.uncounted),
          r.valley == Valley::separated};
}

}  // namespace basin
