/// What a point is as a function, whatever its gauge (MATHEMATICS.md, "The same point").
#pragma once

#include <vector>

#include "basin/model/model_point.h"
#include "basin/stationary/saturation.h"

namespace basin {

/// One head of an attention whose output is that of the network: its attention S (N n x n) and its values X_i
/// W_V W_O (N n x D_out), for softmax without what the head adds to all tokens of a sample alike (the mean
/// over k of S_k V), which other heads may carry instead.
struct HeadSignature {
  Matrix<double> S, V;
  double scale =
      0;  ///< |S_kl V_l| over all k and l, with that mean: what rounding of the head is relative to
};

/// Points are the same when their functions agree on the data. Where more is known of the network
/// (NetworkTheory) heads are told apart, too, up to their order.
struct PointSignature {
  Matrix<double> outputs;            ///< F, rows as in Data::Y, or what output_signature makes of it
  double scale = 0;                  ///< the larger of |F| and |Y|
  std::vector<HeadSignature> heads;  ///< none, where the network is not known to be a sum of them

  Saturation saturation() const;  ///< of the heads
  /// All numbers in one vector, for files: outputs, then S and V head by head, then the scales: of outputs,
  /// and of the values head by head.
  Vector<double> flat() const;
  static PointSignature from_flat(const Vector<double>& flat, Index rows, Index tokens, Index heads,
                                  Index outputs);
  /// How many numbers that is.
  static Index flat_size(Index rows, Index tokens, Index heads, Index outputs);
};

/// Of any network: the outputs alone, 0 in rows that do not count, and less their mean over a row where the
/// loss does not see it (LossFacts::centred). Of more than 2^16 outputs 1024 random sums (a sketch): their
/// distances are those of the outputs to some 4 %, which tells points that are the same to 1e-6 from others
/// as well. NaN, and nearest to nothing, where outputs or gradient are not finite.
PointSignature output_signature(const ModelPoint<double>& point);

/// |S_kl V_l - S'_kl V'_l| over all tokens k and l of each sample; without another head |S_kl V_l|.
double carried(const HeadSignature& a, const HeadSignature* b = nullptr);

/// What distances are relative to: outputs or targets, or what heads carry where that cancels.
double signature_scale(const PointSignature& f);

/// |F - F'| over the larger scale.
double output_distance(const PointSignature& a, const PointSignature& b);

/// The largest of the distances of outputs and of what each head carries from each token to each other,
/// S_kl V_l, relative to the largest scale there is: attention and values count as far as they contribute.
/// The heads of b are taken in the order that fits those of a: head by head the nearest one that is left.
/// (Where two points are the same to a tolerance far below the distance of different heads, that is the only
/// order that can fit.)
double signature_distance(const PointSignature& a, const PointSignature& b);

}  // namespace basin
