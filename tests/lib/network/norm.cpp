#include "basin/network/norm.h"

#include "support/check_layer.h"
#include "support/check_precision.h"

using namespace basin;
using namespace basin::test;

TEST_CASE("norms obey the four rules, with and without gain and shift, and keep their digits") {
  for (const Centring centring : {Centring::mean, Centring::none})
    for (const bool gain : {true, false})
      for (const bool shift : {true, false}) {
        CAPTURE(centring == Centring::mean, gain, shift);
        for (const Shape shape : {Shape{3, 7}, Shape{1, 2}, Shape{2, 19}}) {
          const Norm<double> layer(shape, centring, 1e-2, gain, shift);
          check_layer(layer, 2, true, {});
          if (gain || shift) check_layer(layer, 2, false, {});
          if (gain) check_layer(layer, 2, true, {"g"});
          if (shift) check_layer(layer, 2, true, {"beta"});
          if (gain || !shift)  // sums of a few numbers alone may be the same in both precisions
            check_precision(layer, Norm<long double>(shape, centring, 1e-2, gain, shift), 2);
        }
      }
}

TEST_CASE("a row whose spread is 1e-7 of its mean keeps its digits") {
  const Shape shape{1, 16};
  Matrix<double> x(1, 16);
  for (Index i = 0; i < 16; ++i) x(0, i) = 1 + 1e-7 * std::sin(static_cast<double>(i));
  const auto normed = [&](auto scalar) {
    using S = decltype(scalar);
    const Matrix<S> in = x.cast<S>();
    Saved<S> saved;
    Batch<S> y;
    Norm<S>(shape, Centring::mean, 0, false, false)
        .value({nullptr, 1, 0, {}}, {in.data(), 1, 1, 16}, saved, y);
    return Matrix<long double>(y[0].template cast<long double>());
  };
  const Matrix<long double> found = normed(double{}), exact = normed(static_cast<long double>(0));
  // the numbers themselves are known to 1e-16 of the mean, and given exactly
  CHECK(static_cast<double>((found - exact).norm()) <= 1e-8 * static_cast<double>(exact.norm()));
  CHECK(static_cast<double>((found - exact).norm()) <= 1e-14 * static_cast<double>(exact.norm()));
}

TEST_CASE("a row of equal numbers is its shift, and undefined where epsilon is 0") {
  const Matrix<double> x = Matrix<double>::Constant(1, 4, 3.0);
  Saved<double> saved;
  Batch<double> y;
  const BlockView<const double> none(nullptr, 1, 0, {});
  Norm<double>({1, 4}, Centring::mean, 1e-5, false, false).value(none, {x.data(), 1, 1, 4}, saved, y);
  CHECK(y[0].norm() == 0);
  Norm<double>({1, 4}, Centring::mean, 0, false, false).value(none, {x.data(), 1, 1, 4}, saved, y);
  CHECK(std::isnan(y[0](0, 0)));
}
