#include "basin/single_layer/certificate_input.h"

#include <catch2/catch.hpp>

#include "basin/linalg/dense.h"
#include "support/cases.h"

using namespace basin;
using namespace basin::test;

namespace {

/// Outputs that the weights reach: targets a hundredth of the outputs away.
ModelPoint<double> near_targets(KernelKind kind) {
  const Case c = {"certificate input", 2, 2, 6, 2, 3, 2, kind};
  ModelPoint<double> point = make_instance(c);
  auto data = std::make_shared<Data<double>>(*point.data);
  data->Y = point.linearize().outputs() + 1e-6 * point.data->Y;
  point.data = data;
  return point;
}

}  // namespace

TEST_CASE("what the certificate is made of encloses the singular values of J and the residual") {
  for (const KernelKind kind : {KernelKind::softmax, KernelKind::gaussian}) {
    const ModelPoint<double> point = near_targets(kind);
    const Linearization<double> at = point.linearize();
    const Vector<double> sigma = singular_values(at.jacobian_transposed());
    const KernelMinimum sum =
        kernel_minima(point, measured_factors(point), {point.parameters().trained()}).minima.back();
    const CertificateInput input = certificate_input(point, sum);
    CHECK(input.s0 <= sigma.tail(1)[0]);
    CHECK(input.S0 >= sigma[0]);
    CHECK(input.r0 >= at.residual().norm());
    CHECK(input.r0 <= at.residual().norm() * (1 + 1e-6));
    CHECK(input.F_error < 1e-12 * at.outputs().norm());
    const Certificate c = ball_certificate(input);
    CHECK(c.passes);
    CHECK(c.step == ball_certificate(input.norms, input.s0, input.S0, input.r0).step);
    CHECK(ball_certificate(input, 0).largest_residual == Approx(2 * c.largest_residual));
  }
}

TEST_CASE("the certificate of a point is that of its kernel; what conditions prove only adds to it") {
  const ModelPoint<double> point = near_targets(KernelKind::softmax);
  const Certificate without = certificate_at(point, {.conditions = false}), with = certificate_at(point);
  const KernelMinimum sum =
      kernel_minima(point, measured_factors(point), {point.parameters().trained()}).minima.back();
  CHECK(without.margin == ball_certificate(certificate_input(point, sum)).margin);
  CHECK(with.sigma_min >= without.sigma_min);
  CHECK(with.passes);
}
