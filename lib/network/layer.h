/// The contract of a layer: its value and three derivative rules.
#pragma once

#include <cstdint>
#include <limits>
#include <span>
#include <vector>

#include "basin/linalg/batch.h"
#include "basin/network/parameters.h"
#include "basin/network/reparametrisation.h"

namespace basin {

/// An activation of one sample: `tokens` rows of `width` numbers.
struct Shape {
  Index tokens, width;
  bool operator==(const Shape&) const = default;
  Index size() const { return tokens * width; }
};

/// Which rows of an activation are real: one number a row, 0 where it is masked; empty: all are real.
using Mask = std::vector<std::uint8_t>;

/// What the rows of an activation have beside their numbers, which never moves; and what a layer may keep.
struct Context {
  std::span<const std::int32_t> ids;         ///< token ids, one a row; empty: there are none
  std::span<const std::uint8_t> mask;        ///< as Mask
  std::span<const std::int32_t> types = {};  ///< token types, one a row; empty: there are none
  /// Bytes beyond which a Repeat keeps the inputs of its copies alone.
  std::size_t memory = std::numeric_limits<std::size_t>::max();
};

/// What a rule leaves for the rules after it: a list of batches that the layer numbers as it likes, a view of
/// the rule's own input (whose memory the caller keeps), and the same for the layers inside a composed one.
/// Memory is kept from call to call, so that nothing is allocated in the long run.
template <class S>
struct Saved {
  BatchView<const S> input;
  Context context;  ///< of the input: the caller of `value` or `gradient` says it before
  Mask mask;        ///< of the output, where a composed layer hands it on
  std::vector<Batch<S>> values;
  std::vector<Saved> parts;
  bool inputs_only = false;  ///< of a Repeat: copies are evaluated again
  Index kinks = 0;           ///< and how many it had in all

  Batch<S>& operator[](std::size_t i) { return values[i]; }
  const Batch<S>& operator[](std::size_t i) const { return values[i]; }
  std::size_t bytes() const {
    std::size_t sum = 0;
    for (const Batch<S>& b : values) sum += b.bytes();
    for (const Saved& p : parts) sum += p.bytes();
    return sum;
  }
};

/// What comes behind a layer and acts on each row of its output alone: a loss and its targets. The rows are
/// first_row, ... of the output; y has them at the point.
template <class S>
class RowRule {
 public:
  virtual ~RowRule() = default;
  /// ybar = the gradient in y.
  virtual void gradient(Index first_row, ConstMatrixRef<S> y, MatrixRef<S> ybar) const = 0;
  /// dybar = the Hessian in y times dy, the tangent of y.
  virtual void curvature(Index first_row, ConstMatrixRef<S> y, ConstMatrixRef<S> dy,
                         MatrixRef<S> dybar) const = 0;
};

/// A differentiable map y = f(x; w) from activations x and parameter blocks w, applied to several samples at
/// once: an activation is a matrix of (samples * tokens) x width, the tokens of a sample next to each other.
/// Samples do not interact.
///
/// A layer knows four rules, for one point (x, w) and k directions at once (batches of count k):
///
///     value               y     = f(x; w)
///     tangent             dy    = Df(x; w) [dx, dw]                                        (JVP)
///     adjoint             (xbar, wbar) = Df(x; w)^T ybar                                   (VJP)
///     tangent_of_adjoint  (dxbar, dwbar) = d/dt of the adjoint rule at (x + t dx, w + t dw), ybar + t dybar
///
/// Applied to the gradient of a loss, the last one is a Hessian-vector product, forward over reverse: exact.
/// Adjoints of parameters are added to (wbar += ...); everything else is overwritten. An empty batch stands
/// for zero (a constant input, a frozen block), and nothing is computed for it. A null xbar is not wanted.
/// The input may move in the last rule only if the adjoint rule was asked for xbar.
///
/// `gradient` and `hessian` go forth and back again, through a loss that acts on rows. A layer may do this
/// piece by piece, while the piece is in cache; by default it is one rule after the other.
///
/// To add a layer, write one file that implements this class, and enter it in network/layer_types.cpp;
/// nothing else changes. The tests hold every layer to these definitions with `check_layer` (tests/support).
template <class S>
class Layer {
 public:
  Layer(Shape input, Shape output) : input_(input), output_(output) {}
  virtual ~Layer() = default;
  Layer(const Layer&) = delete;
  Layer& operator=(const Layer&) = delete;

  Shape input() const { return input_; }
  Shape output() const { return output_; }
  /// Those that the rules take.
  virtual std::vector<ParameterBlock> blocks() const = 0;

  /// Where they are made of other blocks, which people name, train and store: how. Null: they are those. A
  /// composed layer hands on what its parts have (JoinedReparametrisation).
  virtual const Reparametrisation<S>* reparametrisation() const { return nullptr; }

  /// Makes the mask of the input that of the output: the same, where a token stays a token.
  virtual void mask(Mask& /*mask*/) const {}

  /// How many numbers, in rows that are real, are where a function has no derivative, as ReLU at 0: there the
  /// rules are those of one of its pieces. Of a point that `value` was called for.
  virtual Index kinks(const Saved<S>& /*value*/) const { return 0; }

  /// Fills `value`, which has its context already, for the three other rules.  x: count 1.
  virtual void value(BlockView<const S> w, BatchView<const S> x, Saved<S>& value, Batch<S>& y) const = 0;

  /// Fills `tangent` for tangent_of_adjoint.
  virtual void tangent(BlockView<const S> w, const Saved<S>& value, BatchView<const S> dx,
                       BlockView<const S> dw, Saved<S>& tangent, Batch<S>& dy) const = 0;

  /// Fills `adjoint`, which serves tangent_of_adjoint when ybar has count 1.
  virtual void adjoint(BlockView<const S> w, const Saved<S>& value, BatchView<const S> ybar,
                       Saved<S>& adjoint, BlockView<S> wbar, Batch<S>* xbar) const = 0;

  /// `adjoint` stems from a single ybar, the one that dybar is the tangent of. What `tangent` has beside what
  /// the tangent rule left is working memory.
  virtual void tangent_of_adjoint(BlockView<const S> w, const Saved<S>& value, const Saved<S>& adjoint,
                                  Saved<S>& tangent, BlockView<const S> dw, BatchView<const S> dybar,
                                  BlockView<S> dwbar, Batch<S>* dxbar) const = 0;

  /// value, ybar = loss.gradient(y), adjoint.
  virtual void gradient(BlockView<const S> w, BatchView<const S> x, const RowRule<S>& loss, Saved<S>& value,
                        Batch<S>& y, Batch<S>& ybar, Saved<S>& adjoint, BlockView<S> wbar,
                        Batch<S>* xbar) const {
    this->value(w, x, value, y);
    ybar.resize(1, y.rows(), y.cols());
    loss.gradient(0, y[0], ybar[0]);
    this->adjoint(w, value, ybar.view(), adjoint, wbar, xbar);
  }

  /// tangent, dybar = loss.curvature(y, dy), tangent_of_adjoint. y: the output at the point, which a layer
  /// may compute again instead. What is left in tangent, dy and dybar is working memory.
  virtual void hessian(BlockView<const S> w, const Saved<S>& value, const Saved<S>& adjoint,
                       BatchView<const S> y, BatchView<const S> dx, BlockView<const S> dw,
                       const RowRule<S>& loss, Saved<S>& tangent, Batch<S>& dy, Batch<S>& dybar,
                       BlockView<S> dwbar, Batch<S>* dxbar) const {
    this->tangent(w, value, dx, dw, tangent, dy);
    dybar.resize(dy.count(), dy.rows(), dy.cols());
    for (Index j = 0; j < dy.count(); ++j) loss.curvature(0, y[0], dy[j], dybar[j]);
    this->tangent_of_adjoint(w, value, adjoint, tangent, dw, dybar.view(), dwbar, dxbar);
  }

 private:
  Shape input_, output_;
};

}  // namespace basin
