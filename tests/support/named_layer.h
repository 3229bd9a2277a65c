/// A layer by the blocks that people name.
#pragma once

#include <memory>
#include <vector>

#include "basin/network/layer.h"

namespace basin::test {

/// A layer whose rules take other blocks than those that people name (network/reparametrisation.h), with the
/// way from one to the other as part of its rules: what check_layer and check_precision then hold is all of
/// it.
class NamedLayer final : public Layer<double> {
 public:
  explicit NamedLayer(std::unique_ptr<const Layer<double>> inner)
      : Layer<double>(inner->input(), inner->output()),
        inner_(std::move(inner)),
        map_(*inner_->reparametrisation()),
        network_(inner_->blocks()) {
    Index size = 0;
    for (const ParameterBlock& block : network_) {
      slots_.push_back({size, block.rows(), block.cols()});
      size += block.size();
    }
  }

  std::vector<ParameterBlock> blocks() const override { return map_.blocks(); }
  void mask(Mask& mask) const override { inner_->mask(mask); }

  void value(BlockView<const double> w, BatchView<const double> x, Saved<double>& value,
             Batch<double>& y) const override {
    prepare(w, value);
    inner_->value(all(value), x, value.parts[0], y);
  }
  void tangent(BlockView<const double> w, const Saved<double>& value, BatchView<const double> dx,
               BlockView<const double> dw, Saved<double>& tangent, Batch<double>& dy) const override {
    const Moved du(*this, dw, tangent);
    map_.tangent(w, dw, du.view());
    inner_->tangent(all(value), value.parts[0], dx, du, tangent.parts[0], dy);
  }
  void adjoint(BlockView<const double> w, const Saved<double>& value, BatchView<const double> ybar,
               Saved<double>& adjoint, BlockView<double> wbar, Batch<double>* xbar) const override {
    const Moved ubar(*this, wbar, adjoint);
    inner_->adjoint(all(value), value.parts[0], ybar, adjoint.parts[0], ubar.view(), xbar);
    map_.adjoint(w, ubar, wbar);
  }
  void tangent_of_adjoint(BlockView<const double> w, const Saved<double>& value, const Saved<double>& adjoint,
                          Saved<double>& tangent, BlockView<const double> dw, BatchView<const double> dybar,
                          BlockView<double> dwbar, Batch<double>* dxbar) const override {
    const Moved du(*this, dw, tangent, false), ubar(*this, dwbar, const_cast<Saved<double>&>(adjoint), false);
    Saved<double> memory;
    const Moved dubar(*this, dwbar, memory);
    inner_->tangent_of_adjoint(all(value), value.parts[0], adjoint.parts[0], tangent.parts[0], du, dybar,
                               dubar.view(), dxbar);
    map_.tangent_of_adjoint(w, ubar, dw, dubar, dwbar);
  }
  void gradient(BlockView<const double> w, BatchView<const double> x, const RowRule<double>& loss,
                Saved<double>& value, Batch<double>& y, Batch<double>& ybar, Saved<double>& adjoint,
                BlockView<double> wbar, Batch<double>* xbar) const override {
    prepare(w, value);
    const Moved ubar(*this, wbar, adjoint);
    inner_->gradient(all(value), x, loss, value.parts[0], y, ybar, adjoint.parts[0], ubar.view(), xbar);
    map_.adjoint(w, ubar, wbar);
  }
  void hessian(BlockView<const double> w, const Saved<double>& value, const Saved<double>& adjoint,
               BatchView<const double> y, BatchView<const double> dx, BlockView<const double> dw,
               const RowRule<double>& loss, Saved<double>& tangent, Batch<double>& dy, Batch<double>& dybar,
               BlockView<double> dwbar, Batch<double>* dxbar) const override {
    const Moved du(*this, dw, tangent), ubar(*this, dwbar, const_cast<Saved<double>&>(adjoint), false);
    map_.tangent(w, dw, du.view());
    Saved<double> memory;
    const Moved dubar(*this, dwbar, memory);
    inner_->hessian(all(value), value.parts[0], adjoint.parts[0], y, dx, du, loss, tangent.parts[0], dy,
                    dybar, dubar.view(), dxbar);
    map_.tangent_of_adjoint(w, ubar, dw, dubar, dwbar);
  }

 private:
  /// All network blocks, made from w.
  void prepare(BlockView<const double> w, Saved<double>& value) const {
    value.parts.resize(1);
    value.parts[0].context = value.context;
    value.values.resize(1);
    value[0].resize(1, 1, slots_.back().offset + network_.back().size());
    map_.value(w, BlockView<double>(value[0][0].data(), 1, value[0].cols(), slots_));
  }
  BlockView<const double> all(const Saved<double>& value) const {
    return {value[0][0].data(), 1, value[0].cols(), slots_};
  }

  /// Vectors of those network blocks that depend on blocks of w, in saved.values[0].
  class Moved {
   public:
    template <class T>
    Moved(const NamedLayer& of, BlockView<T> w, Saved<double>& saved, bool fresh = true)
        : vectors_((saved.values.resize(1), saved.parts.resize(1), saved.values[0])) {
      for (std::size_t i = 0; i < of.network_.size(); ++i) {
        const ParameterBlock& block = of.network_[i];
        bool moves = false;
        for (std::size_t b = 0; b < of.map_.blocks().size(); ++b) moves |= w.has(b) && of.map_.depends(i, b);
        slots_.push_back({moves ? size_ : -1, block.rows(), block.cols()});
        if (moves) size_ += block.size();
      }
      if (fresh) vectors_.resize_zero(w.count(), 1, size_);
    }
    BlockView<double> view() const { return {vectors_.view()[0].data(), vectors_.count(), size_, slots_}; }
    operator BlockView<const double>() const {  // NOLINT(google-explicit-constructor)
      return {vectors_.view()[0].data(), vectors_.count(), size_, slots_};
    }

   private:
    Batch<double>& vectors_;
    std::vector<BlockSlot> slots_;
    Index size_ = 0;
  };

  std::unique_ptr<const Layer<double>> inner_;
  const Reparametrisation<double>& map_;
  std::vector<ParameterBlock> network_;
  std::vector<BlockSlot> slots_;
};

}  // namespace basin::test
