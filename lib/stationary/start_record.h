/// What is kept of a start and where it ended.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "basin/stationary/catalogue.h"
#include "basin/stationary/search.h"

namespace basin {

/// How a point was looked for.
enum class Origin {
  descent,  ///< descent from a drawn start
  any,      ///< from a drawn start, stationary points of any index
  given,    ///< not at all: the point is given
  from,     ///< as `descent`, from a given start
};

/// A start and where it ended: numbers by name, and vectors.
struct StartRecord {
  /// 53 bits, so that a double holds it; of a given start its checksum, of a given point 0.
  std::uint64_t seed = 0;
  Origin origin = Origin::descent;
  PointKind kind = PointKind::not_finite;
  Valley valley = Valley::none;
  double start_loss = 0, descent_loss = 0, descent_gradient_norm = 0;
  double loss = 0, loss_error = 0, gradient_norm = 0, gradient_rounding = 0;
  double residual_norm = 0, residual_rounding = 0;
  double gradient_scale = 0, gradient_known = 1;
  double newton_decrement = 0, newton_step = 0, gradient_slope = 0, function_error = 0;
  double contraction = 0, far_gradient = 0, step_distance = 0;
  double removed = 0, negative = 0, zero = 0, undecided = 0, positive = 0, uncounted = 0;
  double counts_exact = 0, counts_from = 0;  ///< of CountsFrom
  double count_tolerance = 0, smallest_eigenvalue = 0, smallest_eigenvalue_bound = 0;
  double source = -1, row = -1;  ///< of what is given: where it is from (-1: nothing is said)
  Saturation saturation, before;
  /// The rows of attention with `saturation.range` and `saturation.smallest_sum`: head, sample and token.
  /// NaN, as `saturation`, of networks that are not the single attention layer.
  double sharpest_head = 0, sharpest_sample = 0, sharpest_token = 0;
  double weakest_head = 0, weakest_sample = 0, weakest_token = 0;
  double margin = kNaN, margin_error = kNaN;  ///< Separation
  double norm = 0, norm_before = 0, distance = 0, polish_length = 0;
  double descent_steps = 0, finish_steps = 0, polish_steps = 0, escapes = 0;
  double not_finite = 0, rose = 0, safe_step = 0;
  double first_step = 0, first_step_share = 0, smallest_step = 0, largest_step = 0, largest_step_share = 0,
         steps_shortened = 0;               ///< of the method
  double escape_step = 0, escape_fall = 0;  ///< of saddles: a step along the direction, and f there - f here
  double perturbed = 0, returned = 0;       ///< of the first start of an entry

  std::vector<LayerSaturation> attention, attention_before;  ///< of these, layer by layer
  Vector<double> weights;                                    ///< of all blocks, where it ended
  Vector<double> gradient, direction;                        ///< P: grad f, and PointCurvature::direction
  Vector<double> function;                                   ///< PointSignature::flat

  CountsFrom counted_from() const { return static_cast<CountsFrom>(static_cast<int>(counts_from)); }
  /// visit(name, reference) for all numbers.
  template <class Record, class Visit>
  static void numbers(Record& r, const Visit& visit);
};

/// Sizes of the vectors.
struct RecordShape {
  Index weights, parameters;           ///< of all blocks, and P
  Index rows, tokens, heads, outputs;  ///< rows of F, n, heads that are told apart (maybe none), D_out
  std::vector<LayerSaturation> attention = {};  ///< names and kernels of StartRecord::attention
  Index function() const { return PointSignature::flat_size(rows, tokens, heads, outputs); }
  std::size_t size() const;  ///< numbers in all
};
RecordShape record_shape(const ModelLoss& loss);

/// Vectors that there are none of are NaN.
StartRecord make_record(const Found& found, Origin origin, std::uint64_t seed, const RecordShape& shape);

/// All of it in `shape.size()` numbers, to be kept, and back to the same bits.
std::vector<double> flat(const StartRecord& record);
StartRecord from_flat(const std::vector<double>& values, const RecordShape& shape);

/// What a catalogue needs of it.
CatalogueItem item_of(const StartRecord& record, const RecordShape& shape);

/// "minima", "saddles", "given" or "from".
std::string name_of(Origin origin);

template <class Record, class Visit>
void StartRecord::numbers(Record& r, const Visit& visit) {
  visit("start_loss", r.start_loss), visit("descent_loss", r.descent_loss);
  visit("descent_gradient_norm", r.descent_gradient_norm);
  visit("loss", r.loss), visit("loss_error", r.loss_error);
  visit("gradient_norm", r.gradient_norm), visit("gradient_rounding", r.gradient_rounding);
  visit("residual_norm", r.residual_norm), visit("residual_rounding", r.residual_rounding);
  visit("gradient_scale", r.gradient_scale), visit("gradient_known", r.gradient_known);
  visit("newton_decrement", r.newton_decrement), visit("newton_step", r.newton_step);
  visit("newton_contraction", r.contraction), visit("newton_gradient", r.far_gradient);
  visit("newton_distance", r.step_distance);
  visit("gradient_slope", r.gradient_slope), visit("function_error", r.function_error);
  visit("symmetry_modes", r.removed), visit("negative", r.negative), visit("zero", r.zero);
  visit("undecided", r.undecided), visit("positive", r.positive), visit("uncounted", r.uncounted);
  visit("counts_exact", r.counts_exact), visit("counts_from_code", r.counts_from);
  visit("count_tolerance", r.count_tolerance);
  visit("smallest_eigenvalue", r.smallest_eigenvalue);
  visit("smallest_eigenvalue_bound", r.smallest_eigenvalue_bound);
  visit("mean_entropy", r.saturation.mean_entropy), visit("largest_weight", r.saturation.largest_weight);
  visit("attention_range", r.saturation.range), visit("smallest_row_sum", r.saturation.smallest_sum);
  visit("largest_row_sum", r.saturation.largest_sum);
  visit("mean_entropy_before", r.before.mean_entropy),
      visit("largest_weight_before", r.before.largest_weight);
  visit("attention_range_before", r.before.range), visit("smallest_row_sum_before", r.before.smallest_sum);
  visit("largest_row_sum_before", r.before.largest_sum);
  visit("margin", r.margin), visit("margin_error", r.margin_error);
  visit("norm", r.norm), visit("norm_before", r.norm_before);
  visit("distance", r.distance), visit("polish_length", r.polish_length);
  visit("descent_steps", r.descent_steps), visit("finish_steps", r.finish_steps);
  visit("polish_steps", r.polish_steps), visit("saddles_left", r.escapes);
  visit("not_finite", r.not_finite), visit("rose", r.rose), visit("safe_step", r.safe_step);
  visit("first_step", r.first_step), visit("first_step_share", r.first_step_share);
  visit("smallest_step", r.smallest_step), visit("largest_step", r.largest_step);
  visit("largest_step_share", r.largest_step_share), visit("steps_shortened", r.steps_shortened);
  visit("escape_step", r.escape_step), visit("escape_fall", r.escape_fall);
  visit("perturbed", r.perturbed), visit("returned", r.returned);
  visit("source", r.source), visit("row", r.row);
  visit("attention_range_head", r.sharpest_head), visit("attention_range_sample", r.sharpest_sample);
  visit("attention_range_token", r.sharpest_token), visit("smallest_row_sum_head", r.weakest_head);
  visit("smallest_row_sum_sample", r.weakest_sample), visit("smallest_row_sum_token", r.weakest_token);
}

}  // namespace basin
