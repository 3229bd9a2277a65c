#include "basin/hdf5/provenance.h"

#include <catch2/catch.hpp>

#include "basin/linalg/errors.h"
#include "support/temporary_folder.h"

using namespace basin;
using namespace basin::test;

TEST_CASE("SHA-256 of files") {
  const TemporaryFolder folder;
  folder.write("empty", "");
  folder.write("abc", "abc");  // the test vector of FIPS 180-4
  folder.write("long", std::string(1000000, 'a'));
  CHECK(hdf5::sha256_of_file(folder / "empty") ==
        "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  CHECK(hdf5::sha256_of_file(folder / "abc") ==
        "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  CHECK(hdf5::sha256_of_file(folder / "long") ==
        "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
  CHECK_THROWS_AS(hdf5::sha256_of_file(folder / "nowhere"), InputError);
}
