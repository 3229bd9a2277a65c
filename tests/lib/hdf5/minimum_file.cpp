#include "hdf5/minimum_file.h"

#include <catch2/catch.hpp>

#include "linalg/errors.h"
#include "support/temporary_folder.h"

using namespace basin;
using namespace basin::test;

TEST_CASE("a known minimum is read as it was written, for the model that it is of") {
  const TemporaryFolder folder;
  const std::string path = folder / "p.h5";
  KnownMinimum minimum{0.25, "why not", KernelKind::gaussian, 1.5, 2, 3, {}};
  minimum.blocks["W_O"] = Vector<double>::LinSpaced(2 * 3 * 5, 0, 1);
  minimum.blocks["W_Q"] = Vector<double>::LinSpaced(2 * 4 * 3, 0, 1);
  {
    hdf5::Writer file(path, true);
    hdf5::write_minimum(file, minimum, 4, 5);
    file.commit();
  }
  const hdf5::Reader file(path);
  const AttentionSpec spec{6, 4, 2, 3, 5, KernelKind::gaussian, 1.5};
  const auto read = hdf5::read_minimum(file, spec);
  REQUIRE(read);
  CHECK(read->loss == 0.25);
  CHECK(read->reason == "why not");
  CHECK(read->blocks == minimum.blocks);
  AttentionSpec other = spec;
  other.kernel = KernelKind::softmax;
  CHECK_FALSE(hdf5::read_minimum(file, other));
  other = spec, other.bandwidth = 1;
  CHECK_FALSE(hdf5::read_minimum(file, other));
  other = spec, other.heads = 3;
  CHECK_FALSE(hdf5::read_minimum(file, other));
  {
    hdf5::Writer wrong(path, true);
    minimum.loss = -1;
    hdf5::write_minimum(wrong, minimum, 4, 5);
    wrong.commit();
  }
  CHECK_THROWS_WITH(
      hdf5::read_minimum(hdf5::Reader(path), spec),
      Catch::Contains("/minimum: attribute 'loss': found -1") && Catch::EndsWith("expected a number from 0"));
}
