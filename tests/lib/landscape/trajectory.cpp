#include "basin/landscape/trajectory.h"

#include <Eigen/LU>
#include <catch2/catch.hpp>

#include "basin/linalg/errors.h"
#include "support/cases.h"

using namespace basin;
using namespace basin::test;

TEST_CASE("a path in the plane is found again, and the distance of one beside it") {
  const Vectors<double> d = random_vectors(30, 4, 1);
  const Vector<double> origin = d.col(0), u = d.col(1), v = d.col(2) + 0.8 * u;  // not orthogonal
  Vector<double> normal = d.col(3);
  Vectors<double> plane(30, 2);
  plane << u, v;
  normal -= plane * (plane.transpose() * plane).inverse() * (plane.transpose() * normal);
  normal /= normal.norm();
  const Vector<double> x{{0, 1, -2, 0.5}}, y{{0, 3, 1, -0.5}}, off{{0, 0, 0.25, -2}};
  Vectors<double> path = (plane.col(0) * x.transpose() + plane.col(1) * y.transpose()).colwise() + origin;
  const ProjectedPath inside = project_path(path, origin, u, v);
  CHECK(inside.x.isApprox(x, 1e-13));
  CHECK(inside.y.isApprox(y, 1e-13));
  CHECK(inside.distance.maxCoeff() < 1e-13 * path.norm());
  CHECK(inside.variance_share == Approx(1));
  const double spread = (path.colwise() - path.rowwise().mean()).squaredNorm();
  path += normal * off.transpose();
  const ProjectedPath beside = project_path(path, origin, u, v);
  CHECK(beside.x.isApprox(x, 1e-12));
  CHECK(beside.y.isApprox(y, 1e-12));
  CHECK(beside.distance.isApprox(off.cwiseAbs(), 1e-12));
  const double lost = (off.array() - off.mean()).square().sum();
  CHECK(beside.variance_share == Approx(spread / (spread + lost)));

  const Vectors<double> centred = path.colwise() - path.rowwise().mean();
  CHECK(beside.u_share ==
        Approx((u.transpose() * centred).squaredNorm() / u.squaredNorm() / centred.squaredNorm()));
  CHECK(beside.v_share ==
        Approx((v.transpose() * centred).squaredNorm() / v.squaredNorm() / centred.squaredNorm()));

  const ProjectedPath line = project_path(path, origin, u, Vector<double>::Zero(30));
  CHECK(line.y.isZero(0));
  CHECK(line.v_share == 0);
  CHECK(line.variance_share == line.u_share);
  CHECK(line.x[1] == Approx(u.dot(path.col(1) - origin) / u.squaredNorm()));
  CHECK_THROWS_AS(project_path(path, origin, u, -2 * u), InputError);
  CHECK_THROWS_AS(project_path(path, origin, 0 * u, v), InputError);
  CHECK(std::isnan(project_path(path.leftCols(1), origin, u, v).variance_share));
}

TEST_CASE("principal directions of a path with known variances") {
  const Index P = GENERATE(20, 200);
  const Vectors<double> d = random_vectors(P, 2, 2);
  Vector<double> first = d.col(0).normalized();
  Vector<double> second = d.col(1) - first.dot(d.col(1)) * first;
  second /= second.norm();
  const Vector<double> s{{-3, -1, 1, 3}}, t{{1, -1, -1, 1}};  // orthogonal, variances 20 and 4
  const Vectors<double> path = (first * s.transpose() + second * t.transpose()).colwise() + d.col(1);
  const PrincipalDirections found = principal_directions(path, 2);
  CHECK(found.directions.col(0).isApprox(first, 1e-12));
  CHECK(std::abs(found.directions.col(1).dot(second)) == Approx(1));
  CHECK(found.shares[0] == Approx(20.0 / 24));
  CHECK(found.shares[1] == Approx(4.0 / 24));
  CHECK_THROWS_WITH(principal_directions(path, 3), "the trajectory spans 2 directions; expected 3");
  CHECK_THROWS_WITH(principal_directions(path, 999999999999), Catch::Contains("spans 2 directions"));
  CHECK_THROWS_AS(principal_directions(path.leftCols(1), 1), InputError);
  const Vectors<double> still = d.col(0).replicate(1, 3);  // its mean is rounded
  CHECK_THROWS_WITH(principal_directions(still, 1), "the trajectory spans 0 directions; expected 1");
  CHECK(std::isnan(project_path(still, d.col(1), first, second).variance_share));
}
