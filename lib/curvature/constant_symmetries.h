/// Symmetries of any network whose directions are the same at all weights.
#pragma once

#include <string>
#include <vector>

#include "basin/curvature/symmetries.h"
#include "basin/model/model_point.h"

namespace basin {

/// - *Biases of keys* under softmax without rotary positions: they add the same to all scores of a row.
/// - *Class shift* under a loss of classes (LossFacts::centred) and a linear last layer: the same is added to
///   all outputs of a row, by the weights (a (1, ..., 1), any a) unless they are tied, and by the bias. The
///   loss does not change; outputs do.
///
/// Of trained blocks. The gradient is orthogonal to these, and the Hessian times them is 0, everywhere.
std::vector<Symmetries::Named> constant_symmetries(const ModelPoint<double>& point);

/// How many of the directions in these blocks, trained or not, are such symmetries, which no weights make
/// matter: of those that change no outputs, or also of class shifts, which change no differences of outputs.
Index unseen_directions(const Model<double>& model, const std::vector<std::string>& blocks,
                        bool up_to_class_shift);

}  // namespace basin
