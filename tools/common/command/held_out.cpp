#include "common/command/held_out.h"

#include "basin/model/labels.h"

namespace basin::tools {
namespace {

ModelPoint<double> on_held_out(const Setup& setup) {
  return {setup.point.model, setup.point.weights, setup.held_out};
}

}  // namespace

HeldOut::HeldOut(const Setup& setup)
    : samples_(setup.held_out->samples),
      classes_(labelled(*setup.held_out)),
      losses_(on_held_out(setup), ForwardPass<double>(on_held_out(setup)), 0, classes_) {}

HeldOut::Values HeldOut::at(const Vector<double>& weights) {
  const PointLosses::Values values = losses_.at(1, [&](Index, Vector<double>& to) { to = weights; });
  return {values.losses[0], classes_ ? values.accuracies[0] : kNaN};
}

std::string text(const HeldOut::Values& values) {
  return "loss " + number(values.loss, 6) +
         (std::isnan(values.accuracy) ? "" : ", accuracy " + number(values.accuracy, 4) + " %");
}

}  // namespace basin::tools
