/// Losses and accuracies at many points of a model, several at once.
#pragma once

#include <functional>
#include <vector>

#include "basin/linalg/progress.h"
#include "basin/model/forward_pass.h"

namespace basin {

/// f, and if asked for the accuracy (model/labels.h), at weights that a caller makes one after the other. The
/// unit of work is a chunk of samples at a point, shared out to threads: as many points at once as memory has
/// room for their weights, one at least; threads then share its chunks. The bits of a loss are those of
/// LossEvaluator, whatever is evaluated with it.
class PointLosses {
 public:
  /// forward: of the model and data of the point. memory: bytes, for the weights of points. Throws InputError
  /// for the accuracy of data without labels.
  PointLosses(const ModelPoint<double>& of, ForwardPass<double> forward, std::size_t memory,
              bool accuracy = false);

  struct Values {
    Vector<double> losses;      ///< not finite where the arithmetic overflows
    Vector<double> accuracies;  ///< NaN where outputs are not finite; empty unless asked for
  };
  /// At `count` points; set_weights(i, weights) puts there all weights of the model at point i, and is called
  /// by several threads at once. `progress` counts points.
  Values at(Index count, const std::function<void(Index, Vector<double>&)>& set_weights,
            const Progress& progress = {});

  /// How many points are evaluated at once.
  Index points_at_once() const;
  const ForwardPass<double>& forward() const { return forward_; }

 private:
  /// A chunk at a point of the block: its part of the loss, and how many of its rows are right.
  void evaluate(Index point, Index chunk, Index slot);
  double accuracy_of(Index point) const;

  std::shared_ptr<const Model<double>> model_;
  std::shared_ptr<const Data<double>> data_;
  ForwardPass<double> forward_;
  std::size_t memory_;
  bool accuracy_;
  Mask counting_;  // of the rows of outputs
  // Of the points of a block: what the rules take, and chunk by chunk what comes out.
  std::vector<Vector<double>> weights_;
  std::vector<double> parts_, right_;
  // Of each thread: working memory, and all weights of a point by their names.
  std::vector<ForwardPass<double>::Workspace> work_;
  std::vector<Vector<double>> named_;
};

}  // namespace basin
