/// What a point is as a function, whatever its gauge (MATHEMATICS.md, "The same point").
#pragma once

#include <vector>

#include "model/attention_model.h"
#include "stationary/saturation.h"

namespace basin {

/// One head: its attention S (N n x n) and what its values contribute, X_i W_V W_O (N n x D_out), for softmax
/// without the mean over the tokens of a sample, which the rows of S hand on unchanged and other heads may
/// carry.
struct HeadFunction {
  Matrix<double> S, V;
  double scale = 0;  ///< |X W_V W_O|: what rounding and differences of the values are relative to
};

/// Neither the gauges of theory nor the data tell points apart that agree in these, up to the order of heads.
struct AttentionFunction {
  Matrix<double> outputs;  ///< F, N n x D_out
  double scale = 0;        ///< the larger of |F| and |Y|
  std::vector<HeadFunction> heads;

  Saturation saturation() const;
  /// All numbers in one vector, for files: outputs, then S and V head by head, then the scales: of outputs,
  /// and of the values head by head.
  Vector<double> flat() const;
  static AttentionFunction from_flat(const Vector<double>& flat, Index rows, Index tokens, Index heads,
                                     Index outputs);
  /// How many numbers that is.
  static Index flat_size(Index rows, Index tokens, Index heads, Index outputs);
};

/// weights: all blocks.
AttentionFunction attention_function(const AttentionSpec& spec, const Vector<double>& weights,
                                     const Data<double>& data);

/// |F - F'| over the larger scale.
double output_distance(const AttentionFunction& a, const AttentionFunction& b);

/// The largest of the distances of outputs, attention and values, each relative to its size, with the heads
/// of b in the order that fits those of a: head by head the nearest one that is left. (Where two points are
/// the same to a tolerance far below the distance of different heads, that is the only order that can fit.)
double function_distance(const AttentionFunction& a, const AttentionFunction& b);

}  // namespace basin
