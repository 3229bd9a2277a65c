/// Images as tokens.
#pragma once

#include <string>

#include "basin/linalg/errors.h"
#include "basin/network/fixed_map.h"

namespace basin {

/// Images of channels x height x width numbers, a row of pixels a token, to one token for each patch of size
/// x size pixels, whose numbers are ordered (channel, row, column), as a convolution's weights are.
template <class S>
class Patches final : public FixedMap<S> {
 public:
  /// Throws InputError for sizes that do not divide the image.
  Patches(Shape input, Index channels, Index size)
      : FixedMap<S>(input, patches(input, channels, size)),
        channels_(channels),
        size_(size),
        height_(input.tokens / channels),
        across_(input.width / size) {}

 private:
  static Shape patches(Shape input, Index channels, Index size) {
    if (channels < 1 || size < 1 || input.tokens % channels != 0 || (input.tokens / channels) % size != 0 ||
        input.width % size != 0)
      throw InputError("patches: size = " + std::to_string(size) + " of images of " +
                       std::to_string(channels) + " channels, " +
                       std::to_string(channels < 1 ? 0 : input.tokens / channels) + " x " +
                       std::to_string(input.width) + "; expected a size that divides both");
    return {input.tokens / channels / size * (input.width / size), channels * size * size};
  }
  /// body(row and column of the image rows, row and column of the patches) for every number.
  template <class Body>
  void for_numbers(Index rows, Body body) const {
    const Index n = this->input().tokens, patches = this->output().tokens;
    for (Index row = 0; row < rows; ++row) {
      const Index sample = row / n, channel = row % n / height_, v = row % height_;
      for (Index u = 0; u < this->input().width; ++u)
        body(row, u, sample * patches + v / size_ * across_ + u / size_,
             (channel * size_ + v % size_) * size_ + u % size_);
    }
  }
  void apply(const Context& /*context*/, BatchView<const S> x, Batch<S>& y) const override {
    y.resize(x.count(), x.rows() / this->input().tokens * this->output().tokens, this->output().width);
    for (Index j = 0; j < x.count(); ++j)
      for_numbers(x.rows(), [from = x[j], to = y[j]](Index r, Index c, Index row, Index col) mutable {
        to(row, col) = from(r, c);
      });
  }
  void apply_transpose(const Context& /*context*/, BatchView<const S> ybar, Batch<S>& xbar) const override {
    xbar.resize(ybar.count(), ybar.rows() / this->output().tokens * this->input().tokens,
                this->input().width);
    for (Index j = 0; j < ybar.count(); ++j)
      for_numbers(xbar.rows(),
                  [from = ybar[j], to = xbar[j]](Index r, Index c, Index row, Index col) mutable {
                    to(r, c) = from(row, col);
                  });
  }

  Index channels_, size_, height_, across_;
};

}  // namespace basin
