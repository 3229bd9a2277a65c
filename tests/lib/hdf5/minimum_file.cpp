#include "basin/hdf5/minimum_file.h"

#include <catch2/catch.hpp>

#include "basin/linalg/errors.h"
#include "support/temporary_folder.h"

using namespace basin;
using namespace basin::test;

TEST_CASE("a known minimum is read as it was written, for the data that it is of") {
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
  const auto read = hdf5::read_minimum(file, 4, 5);
  REQUIRE(read);
  CHECK(read->loss == 0.25);
  CHECK(read->reason == "why not");
  CHECK(read->kernel == KernelKind::gaussian);
  CHECK(read->bandwidth == 1.5);
  CHECK(read->heads == 2);
  CHECK(read->head_dim == 3);
  CHECK(read->blocks == minimum.blocks);
  CHECK_FALSE(hdf5::read_minimum(file, 4, 6));  // of other data
  {
    hdf5::Writer wrong(path, true);
    minimum.loss = -1;
    hdf5::write_minimum(wrong, minimum, 4, 5);
    wrong.commit();
  }
  CHECK_THROWS_WITH(
      hdf5::read_minimum(hdf5::Reader(path), 4, 5),
      Catch::Contains("/minimum: attribute 'loss': found -1") && Catch::EndsWith("expected a number from 0"));
}
