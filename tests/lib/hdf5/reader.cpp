#include "basin/hdf5/reader.h"

#include <catch2/catch.hpp>
#include <cmath>
#include <filesystem>
#include <numeric>

#include "basin/hdf5/file.h"
#include "basin/hdf5/provenance.h"
#include "basin/hdf5/trial.h"
#include "basin/linalg/errors.h"
#include "support/temporary_folder.h"

using namespace basin;
using namespace basin::test;
using hdf5::Handle;
using hdf5::kAnySize;
using hdf5::Reader;
using hdf5::Writer;

namespace {

Handle new_file(const std::string& path) {
  return {H5Fcreate(path.c_str(), H5F_ACC_TRUNC, H5P_DEFAULT, H5P_DEFAULT), H5Fclose};
}

Handle space_of(const std::vector<hsize_t>& shape) {
  return {H5Screate_simple(static_cast<int>(shape.size()), shape.data(), nullptr), H5Sclose};
}

Handle new_dataset(const Handle& file, const std::string& name, const std::vector<hsize_t>& shape,
                   const Handle& creation) {
  return {H5Dcreate2(file.get(), name.c_str(), H5T_NATIVE_DOUBLE, space_of(shape).get(), H5P_DEFAULT,
                     creation.get(), H5P_DEFAULT),
          H5Dclose};
}

Handle creation_list() {
  return {H5Pcreate(H5P_DATASET_CREATE), H5Pclose};
}

/// /x: 0, 1, 2, ...
void write_counted(const std::string& path, Index count) {
  Writer file(path, true);
  std::vector<double> values(static_cast<std::size_t>(count));
  std::iota(values.begin(), values.end(), 0);
  file.write("/x", values);
  file.commit();
}

/// /v of two sources of three numbers each.
void write_virtual(const std::string& path, const std::string& first, const std::string& second) {
  const Handle file = new_file(path), creation = creation_list(), source = space_of({3}),
               whole = space_of({6});
  const hsize_t three = 3;
  for (const auto& [begin, name] : {std::pair<hsize_t, std::string>{0, first}, {3, second}}) {
    H5Sselect_hyperslab(whole.get(), H5S_SELECT_SET, &begin, nullptr, &three, nullptr);
    H5Pset_virtual(creation.get(), whole.get(), name.c_str(), "/x", source.get());
  }
  REQUIRE(new_dataset(file, "/v", {6}, creation).valid());
}

}  // namespace

TEST_CASE("one number, whole numbers in a range and shapes are checked where they are read") {
  const TemporaryFolder folder;
  {
    Writer file(folder / "x.h5", true);
    file.write("/one", 3.0);
    file.write("/half", 0.5);
    file.write("/nan", std::nan(""));
    file.write("/large", std::ldexp(1.0, 62));
    file.write("/negative", -1.0);
    file.write("/none", std::vector<double>{});
    file.write("/two", std::vector<double>{1, 2});
    file.write("/text", std::string("3"));
    file.commit();
  }
  const Reader file(folder / "x.h5");
  CHECK(file.read_number("/one") == 3);
  CHECK(file.read_index("/one", 0) == 3);
  CHECK(std::isnan(file.read_number("/nan")));
  CHECK(file.read_indices("/two", 2, 1, 2) == std::vector<Index>{1, 2});
  CHECK(file.read_indices("/none", kAnySize, 0).empty());
  using Catch::EndsWith;
  CHECK_THROWS_WITH(file.read_number("/none"), EndsWith("x.h5: /none: found shape (0,); expected ()"));
  CHECK_THROWS_WITH(file.read_number("/two"), EndsWith("/two: found shape (2,); expected ()"));
  CHECK_THROWS_WITH(file.read_number("/text"), EndsWith("/text: found text, expected numbers"));
  CHECK_THROWS_WITH(file.read_finite("/nan"), EndsWith("/nan: found nan; expected a finite number"));
  CHECK_THROWS_WITH(file.read_index("/nan", 0), EndsWith("/nan: found nan; expected a whole number from 0"));
  CHECK_THROWS_WITH(file.read_index("/half", 0, 1),
                    EndsWith("found 0.5; expected a whole number from 0 to 1"));
  CHECK_THROWS_WITH(file.read_index("/large", 0),
                    EndsWith("found 4.6116860184273879e+18; expected a whole number from 0"));
  CHECK_THROWS_WITH(file.read_index("/negative", 0), EndsWith("found -1; expected a whole number from 0"));
  CHECK_THROWS_WITH(file.read_indices("/two", 2, 0, 1),
                    EndsWith("found 2 at (1,); expected a whole number from 0 to 1"));
  CHECK_THROWS_WITH(file.read_indices("/two", 3, 0), EndsWith("/two: found shape (2,); expected (3,)"));
  CHECK_THROWS_WITH(file.read_numbers("/two", {kAnySize, 2}),
                    EndsWith("found shape (2,); expected (any, 2)"));
}

TEST_CASE("what is declared, but cannot be held, is refused before memory is taken for it") {
  const TemporaryFolder folder;
  const hsize_t large = hsize_t(1) << 42U;
  {
    const Handle file = new_file(folder / "x.h5"), creation = creation_list();
    const hsize_t chunk = 1024;
    H5Pset_chunk(creation.get(), 1, &chunk);
    new_dataset(file, "/chunks", {large}, creation);
    new_dataset(file, "/x", {large, large}, creation_list());
  }
  const Reader file(folder / "x.h5");
  CHECK_THROWS_WITH(file.read_array("/chunks"),
                    Catch::Contains("x.h5: /chunks, shape (4398046511104,), with a copy of it, "
                                    "would take 70.4 TB of memory, and "));
  CHECK_THROWS_WITH(file.read_numbers("/x"), Catch::Contains("/x, shape (4398046511104, 4398046511104)") &&
                                                 Catch::Contains("PB of memory"));
}

TEST_CASE("values that were never written are refused") {
  const TemporaryFolder folder;
  {
    const Handle file = new_file(folder / "x.h5"), creation = creation_list(), space = space_of({4});
    const hsize_t chunk = 1, first = 0, one = 1;
    H5Pset_chunk(creation.get(), 1, &chunk);
    const Handle chunks = new_dataset(file, "/chunks", {4}, creation);
    H5Sselect_hyperslab(space.get(), H5S_SELECT_SET, &first, nullptr, &one, nullptr);
    const double value = 1;
    H5Dwrite(chunks.get(), H5T_NATIVE_DOUBLE, space_of({1}).get(), space.get(), H5P_DEFAULT, &value);
    new_dataset(file, "/whole", {4}, creation_list());
  }
  const Reader file(folder / "x.h5");
  CHECK_THROWS_WITH(file.read_array("/chunks"),
                    Catch::EndsWith("/chunks: 3 of its 4 chunks were never written"));
  CHECK_THROWS_WITH(file.read_array("/whole"), Catch::EndsWith("/whole: its values were never written"));
}

TEST_CASE("a virtual dataset is read where all its sources are there") {
  const TemporaryFolder folder;
  write_counted(folder / "a.h5", 3);
  write_counted(folder / "b.h5", 3);
  write_virtual(folder / "v.h5", "a.h5", "b.h5");
  CHECK(Reader(folder / "v.h5").read_array("/v").values.sum() == 6);
  write_virtual(folder / "twice.h5", "a.h5", "v.h5");  // which has no /x
  CHECK_THROWS_WITH(Reader(folder / "twice.h5").read_array("/v"),
                    Catch::Contains("v.h5: /x: dataset is missing"));
  write_counted(folder / "b.h5", 2);
  CHECK_THROWS_WITH(Reader(folder / "v.h5").read_array("/v"),
                    Catch::Contains("b.h5: /x: found shape (2,), too small for the virtual dataset /v"));
  folder.write("b.h5", "junk");
  CHECK_THROWS_WITH(Reader(folder / "v.h5").read_array("/v"), Catch::EndsWith("b.h5: not an HDF5 file"));
  std::filesystem::remove(folder / "b.h5");
  CHECK_THROWS_WITH(Reader(folder / "v.h5").read_array("/v"),
                    Catch::EndsWith("v.h5: /v: needs the file 'b.h5', which is not there"));
}

TEST_CASE("raw files of external storage must be there, and long enough") {
  const TemporaryFolder folder;
  const std::string raw = folder / "x.raw";
  {
    const Handle file = new_file(folder / "x.h5"), creation = creation_list();
    H5Pset_external(creation.get(), raw.c_str(), 0, H5F_UNLIMITED);
    REQUIRE(new_dataset(file, "/x", {2}, creation).valid());
  }
  CHECK_THROWS_WITH(Reader(folder / "x.h5").read_array("/x"),
                    Catch::Contains("/x: needs the file ") && Catch::EndsWith("No such file or directory"));
  folder.write("x.raw", std::string(15, '\0'));
  CHECK_THROWS_WITH(Reader(folder / "x.h5").read_array("/x"),
                    Catch::Contains("/x: needs 16 bytes of the file ") && Catch::EndsWith("which has 15"));
  folder.write("x.raw", std::string(16, '\0'));
  CHECK(Reader(folder / "x.h5").read_array("/x").values.isZero());
}

TEST_CASE("links are followed, and those that lead nowhere refused") {
  const TemporaryFolder folder;
  write_counted(folder / "x.h5", 3);
  {
    const Handle file = new_file(folder / "l.h5");
    H5Lcreate_external("x.h5", "/x", file.get(), "/there", H5P_DEFAULT, H5P_DEFAULT);
    H5Lcreate_external("gone.h5", "/x", file.get(), "/gone", H5P_DEFAULT, H5P_DEFAULT);
    H5Lcreate_external("x.h5", "/y", file.get(), "/other", H5P_DEFAULT, H5P_DEFAULT);
    H5Lcreate_soft("/there", file.get(), "/soft", H5P_DEFAULT, H5P_DEFAULT);
    H5Lcreate_soft("/nowhere", file.get(), "/dangling", H5P_DEFAULT, H5P_DEFAULT);
    H5Lcreate_soft("/loop", file.get(), "/loop", H5P_DEFAULT, H5P_DEFAULT);
  }
  const Reader file(folder / "l.h5");
  CHECK(file.read_array("/there").values.size() == 3);
  CHECK(file.read_array("/soft").values.size() == 3);
  CHECK_FALSE(file.has("/nothing"));
  CHECK_THROWS_WITH(file.has("/gone"),
                    Catch::EndsWith("l.h5: /gone: needs the file 'gone.h5', which is not there"));
  CHECK_THROWS_WITH(file.has("/other"), Catch::Contains("/other: a link to '/y' in ") &&
                                            Catch::EndsWith("x.h5, which is not there"));
  CHECK_THROWS_WITH(file.has("/dangling"),
                    Catch::EndsWith("/dangling: a link to '/nowhere', which is not there"));
  CHECK_THROWS_WITH(file.has("/loop"), Catch::Contains("more than 16 links"));
}

TEST_CASE("the checksum is that of all files that were read, as they were opened") {
  const TemporaryFolder folder;
  write_counted(folder / "a.h5", 3);
  write_counted(folder / "b.h5", 3);
  write_virtual(folder / "v.h5", "a.h5", "b.h5");
  const std::string alone = hdf5::sha256_of_file(folder / "a.h5");
  {
    const Reader a(folder / "a.h5");
    std::filesystem::rename(folder / "a.h5", folder / "moved.h5");
    CHECK(hdf5::sha256_of(a) == alone);
    write_counted(folder / "a.h5", 4);
    CHECK(hdf5::sha256_of(a) == alone);
    folder.write("moved.h5", "overwritten");
    CHECK_THROWS_WITH(hdf5::sha256_of(a), Catch::EndsWith("a.h5: was changed while it was read"));
  }
  write_counted(folder / "a.h5", 3);
  const auto of_virtual = [&] {
    const Reader v(folder / "v.h5");
    v.read_array("/v");
    return hdf5::sha256_of(v);
  };
  const std::string before = of_virtual();
  CHECK(before == hdf5::sha256_of_files(folder / "", {"v.h5", "a.h5", "b.h5"}));
  {
    Writer other(folder / "b.h5", true);
    other.write("/x", std::vector<double>{5, 6, 7});
    other.commit();
  }
  CHECK(of_virtual() != before);
  {
    const Handle file = new_file(folder / "l.h5");
    H5Lcreate_external("a.h5", "/x", file.get(), "/x", H5P_DEFAULT, H5P_DEFAULT);
  }
  const Reader link(folder / "l.h5");
  CHECK(hdf5::sha256_of(link) == hdf5::sha256_of_file(folder / "l.h5"));  // nothing of another file was read
  link.read_array("/x");
  CHECK(hdf5::sha256_of(link) == hdf5::sha256_of_files(folder / "", {"l.h5", "a.h5"}));
}

TEST_CASE("a file that the HDF5 library does not come to an end with is refused") {
  const TemporaryFolder folder;
  {
    Writer file(folder / "x.h5", true);
    file.attribute("/", "kernel", std::string("softmax"));
    file.commit();
  }
  std::string bytes(std::filesystem::file_size(folder / "x.h5"), '\0');
  std::ifstream(folder / "x.h5", std::ios::binary)
      .read(bytes.data(), static_cast<std::streamsize>(bytes.size()));
  // One bit in the size of the global heap: HDF5 1.10.8 then steps through it by zero bytes.
  const std::size_t heap = bytes.find("GCOL");
  REQUIRE(heap != std::string::npos);
  bytes[heap + 9] = static_cast<char>(bytes[heap + 9] ^ 0x40);
  folder.write("damaged.h5", bytes + std::string(1 << 15, '\0'));
  CHECK_THROWS_AS(Reader(folder / "damaged.h5").string_attribute("/", "kernel"), InputError);
  CHECK(Reader(folder / "x.h5").string_attribute("/", "kernel") == "softmax");
}
