/// How a network does on the data of a problem that are held out.
#pragma once

#include "basin/model/point_losses.h"
#include "common/command/setup.h"

namespace basin::tools {

class HeldOut {
 public:
  /// Of a setup that has such data.
  explicit HeldOut(const Setup& setup);

  struct Values {
    double loss = 0;      ///< as of the data that are trained on; not finite where the arithmetic overflows
    double accuracy = 0;  ///< percent; NaN where targets name no classes
  };
  /// At these weights, of all blocks.
  Values at(const Vector<double>& weights);

  Index samples() const { return samples_; }

 private:
  Index samples_;
  bool classes_;
  PointLosses losses_;
};

/// "loss 0.52, accuracy 81.2 %"
std::string text(const HeldOut::Values& values);

}  // namespace basin::tools
