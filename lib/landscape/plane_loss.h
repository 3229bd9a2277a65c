/// The loss at the points of a plane.
#pragma once

#include <algorithm>
#include <span>
#include <string>
#include <vector>

#include "basin/landscape/grid.h"
#include "basin/linalg/progress.h"
#include "basin/model/point_losses.h"

namespace basin {

/// f(theta + a u + b v) on a grid, by whatever is known of the plane: what a network's structure allows
/// derives from this (single_layer/plane_ways.h). All ways agree to rounding: about 1e-12, relative to the
/// larger of the loss and the squared outputs.
///
/// Work is shared out to threads; the bits of a loss depend neither on their number nor on which other points
/// are computed with it.
class PlaneLoss {
 public:
  /// u, v: P. Throws InputError when a length does not fit.
  PlaneLoss(const ModelPoint<double>& point, const Vector<double>& u, const Vector<double>& v,
            const Grid& grid);
  virtual ~PlaneLoss() = default;
  PlaneLoss(const PlaneLoss&) = delete;
  PlaneLoss& operator=(const PlaneLoss&) = delete;

  /// How, in a word.
  virtual std::string way() const = 0;
  const std::vector<Piece>& pieces() const { return pieces_; }

  /// The losses of some pieces, one after the other. They may be infinite or NaN far out. `progress` counts
  /// units of work. The more pieces at once, the less is computed again: `pieces_at_once` are enough.
  virtual Vector<double> losses(std::span<const Index> pieces, const Progress& progress = {}) = 0;
  /// The accuracies (model/labels.h) at the points of the last call of `losses`, NaN where outputs are not
  /// finite. Empty where they are not asked for, or a way makes no outputs.
  const Vector<double>& accuracies() const { return accuracies_; }
  virtual Index pieces_at_once() const { return static_cast<Index>(pieces_.size()); }

  /// The weights at a point.
  Vector<double> weights_at(double a, double b) const;

 protected:
  const ModelPoint<double>& point() const { return point_; }
  const Grid& grid() const { return grid_; }
  const Vector<double>& u() const { return u_; }
  const Vector<double>& v() const { return v_; }
  void set_accuracies(Vector<double> of_points) { accuracies_ = std::move(of_points); }
  /// The weights at a point, in memory that is there.
  void set_weights(double a, double b, Vector<double>& weights) const;
  /// Of some pieces.
  Index points(std::span<const Index> pieces) const;
  /// Calls body(number, a, b) for the points of pieces, in order.
  template <class Body>
  void for_points(std::span<const Index> pieces, const Body& body) const {
    Index number = 0;
    for (const Index p : pieces)
      for (Index j = 0; j < pieces_[p].count; ++j)
        body(number++, grid_.x.at(pieces_[p].first + j), grid_.y.at(pieces_[p].row));
  }

 private:
  ModelPoint<double> point_;
  Vector<double> u_, v_, accuracies_;
  Grid grid_;
  std::vector<Piece> pieces_;
};

/// The model, point by point: any network. What no direction moves is evaluated once (ForwardPass).
class PlainPlane final : public PlaneLoss {
 public:
  /// memory: bytes; half of them for what is evaluated once, the others for weights of points that are
  /// evaluated at once (PointLosses). accuracy: whether that is counted, too. Throws InputError as
  /// PointLosses.
  PlainPlane(const ModelPoint<double>& point, const Vector<double>& u, const Vector<double>& v,
             const Grid& grid, std::size_t memory = std::size_t{2} << 30U, bool accuracy = false);
  std::string way() const override { return "plain"; }
  Vector<double> losses(std::span<const Index> pieces, const Progress& progress = {}) override;
  /// Nothing is shared by points: few, so that what is done is told and kept soon.
  Index pieces_at_once() const override { return std::min<Index>(4, static_cast<Index>(pieces().size())); }

  const PointLosses& point_losses() const { return point_losses_; }

 private:
  PointLosses point_losses_;
};

}  // namespace basin
