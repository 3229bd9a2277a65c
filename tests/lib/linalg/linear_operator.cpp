#include "linalg/linear_operator.h"

#include <catch2/catch.hpp>

#include "support/known_matrix.h"

using namespace basin;
using namespace basin::test;

TEST_CASE("assemble recovers a matrix, whatever its size against the block width") {
  for (const Index size : {1, 15, 16, 17, 40}) {
    Vectors<double> A = random_orthogonal(size, 3);
    A = (A + A.transpose()).eval();
    Index last = 0;
    const MatrixOperator op(A);
    CHECK(assemble(op, [&](Index done, Index total) {
            CHECK(done > last);
            CHECK(total == size);
            last = done;
          }) == A);
    CHECK(last == size);
    CHECK(op.products() == size);
  }
}
