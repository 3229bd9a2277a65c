#include "basin/hdf5/file.h"

#include <catch2/catch.hpp>
#include <filesystem>

#include "basin/hdf5/unfinished.h"
#include "basin/linalg/errors.h"
#include "support/temporary_folder.h"

using namespace basin;
using namespace basin::test;
using hdf5::Extent;
using hdf5::Reader;
using hdf5::Writer;

namespace {

std::size_t files_in(const TemporaryFolder& folder) {
  const auto files = std::filesystem::directory_iterator(folder / "");
  return static_cast<std::size_t>(std::distance(begin(files), end(files)));
}

/// A file written by the HDF5 library alone, with one dataset or attribute of the given type.
void write_raw(const std::string& path, hid_t file_type, hid_t memory_type, const std::vector<hsize_t>& shape,
               const void* values) {
  const hid_t file = H5Fcreate(path.c_str(), H5F_ACC_TRUNC, H5P_DEFAULT, H5P_DEFAULT);
  const hid_t space = H5Screate_simple(static_cast<int>(shape.size()), shape.data(), nullptr);
  const hid_t dataset = H5Dcreate2(file, "/x", file_type, space, H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT);
  H5Dwrite(dataset, memory_type, H5S_ALL, H5S_ALL, H5P_DEFAULT, values);
  H5Dclose(dataset);
  H5Sclose(space);
  H5Fclose(file);
}

}  // namespace

TEST_CASE("float64, float32 and big-endian data are read in C order") {
  const TemporaryFolder folder;
  const std::vector<double> values = {0, 1, 2, 3, 4, 5};
  for (const hid_t type : {H5T_IEEE_F64LE, H5T_IEEE_F32LE, H5T_IEEE_F64BE}) {
    write_raw(folder / "x.h5", type, H5T_NATIVE_DOUBLE, {2, 3}, values.data());
    const hdf5::Array x = Reader(folder / "x.h5").read_array("/x", 2);
    CHECK(x.shape == Extent{2, 3});
    CHECK(x.values == Eigen::Map<const Vector<double>>(values.data(), 6));
  }
}

TEST_CASE("data of another kind, rank, or not finite are refused") {
  const TemporaryFolder folder;
  const std::vector<double> values = {0, 1, HUGE_VAL, 3, 4, std::nan("")};
  write_raw(folder / "x.h5", H5T_STD_I32LE, H5T_NATIVE_DOUBLE, {2}, values.data());
  CHECK_THROWS_WITH(Reader(folder / "x.h5").read_array("/x"),
                    Catch::EndsWith("/x: found int32, expected float64 or float32"));
  write_raw(folder / "x.h5", H5T_IEEE_F64LE, H5T_NATIVE_DOUBLE, {2, 1}, values.data());
  CHECK_THROWS_WITH(Reader(folder / "x.h5").read_array("/x", 3),
                    Catch::EndsWith("/x: found rank 2, shape (2, 1); expected rank 3"));
  write_raw(folder / "x.h5", H5T_IEEE_F64LE, H5T_NATIVE_DOUBLE, {2, 3}, values.data());
  CHECK_THROWS_WITH(Reader(folder / "x.h5").read_array("/x"),
                    Catch::EndsWith("/x: found infinity at (0, 2); expected finite numbers"));
  CHECK_THROWS_WITH(Reader(folder / "x.h5").read_array("/data/X"),
                    Catch::EndsWith("/data/X: dataset is missing; /data is missing or empty"));
  CHECK_THROWS_WITH(Reader(folder / "x.h5").read_array("/y"),
                    Catch::EndsWith("/y: dataset is missing; / has x"));
}

TEST_CASE("files that are not there or not HDF5 are refused") {
  const TemporaryFolder folder;
  folder.write("text.h5", "hello");
  CHECK_THROWS_WITH(Reader(folder / "nowhere.h5"), Catch::EndsWith("nowhere.h5: no such file"));
  CHECK_THROWS_WITH(Reader(folder / "text.h5"), Catch::EndsWith("text.h5: not an HDF5 file"));
  CHECK_THROWS_WITH(Reader(folder / ""), Catch::EndsWith("a folder; expected an HDF5 file"));
}

TEST_CASE("every string that is written is UTF-8, whatever bytes it is made of") {
  const TemporaryFolder folder;
  {
    Writer file(folder / "x.h5", false);
    file.write("/name", std::string("\xe9t\xe9 caf\xc3\xa9"));
    file.write("/list", {"\xc0\xaf", "\xed\xa0\xbd", "plain"}, {3});
    file.group("/g");
    file.attribute("/g", "one", std::string("\xff"));
    file.attribute("/g", "many", std::vector<std::string>{"a", "\xf4\x90\x80\x80"});
    file.commit();
  }
  const Reader file(folder / "x.h5");
  CHECK(file.read_string("/name") == "\\xe9t\\xe9 caf\xc3\xa9");
  CHECK(file.string_attribute("/g", "one") == "\\xff");
  std::ifstream stream(folder / "x.h5", std::ios::binary);
  const std::string bytes((std::istreambuf_iterator<char>(stream)), std::istreambuf_iterator<char>());
  for (const char* escaped : {"\\xc0\\xaf", "\\xed\\xa0\\xbd", "\\xf4\\x90\\x80\\x80"})
    CHECK(bytes.find(escaped) != std::string::npos);
  for (const char* raw : {"\xed\xa0\xbd", "\xf4\x90\x80\x80"}) CHECK(bytes.find(raw) == std::string::npos);
}

TEST_CASE("a list of the members of a group is as long as a line can be") {
  const TemporaryFolder folder;
  {
    Writer file(folder / "x.h5", false);
    for (int i = 100; i < 200; ++i) file.write("/g/" + std::to_string(i) + std::string(500, 'x'), 1.0);
    file.commit();
  }
  try {
    Reader(folder / "x.h5").read_array("/g/y");
    FAIL("there is no /g/y");
  } catch (const InputError& error) {
    CHECK(std::string(error.what()).size() < 2000);
    CHECK_THAT(error.what(), Catch::Contains("has 100xxx") && Catch::EndsWith("..."));
  }
}

TEST_CASE("what is written is read back by the HDF5 library") {
  const TemporaryFolder folder;
  {
    Writer file(folder / "x.h5", false);
    const std::vector<double> values = {0, 1, 2, 3, 4, 5};
    file.write("/a/b/x", values.data(), {2, 3});
    file.write("/a/scalar", 2.5);
    file.group("/a", "NXentry");
    file.attribute("/a", "name", std::string("caf\xc3\xa9"));
    file.attribute("/a", "number", 0.1);
    file.hard_link("/a/b/x", "/a/link");
    CHECK_FALSE(std::filesystem::exists(folder / "x.h5"));
    file.commit();
  }
  CHECK(files_in(folder) == 1);
  const Reader file(folder / "x.h5");
  CHECK(file.read_array("/a/link").shape == Extent{2, 3});
  CHECK(file.read_array("/a/link").values[4] == 4);
  CHECK(file.read_array("/a/scalar").values[0] == 2.5);
  CHECK(file.string_attribute("/a", "NX_class") == "NXentry");
  CHECK(file.string_attribute("/a", "name") == "caf\xc3\xa9");
  CHECK(*file.number_attribute("/a", "number") == 0.1);
  CHECK_FALSE(file.number_attribute("/a", "other"));
  CHECK(file.string_attribute("/a", "other").empty());
  CHECK_THROWS_AS(file.number_attribute("/a", "name"), InputError);
  // Raw bytes in row-major order, seen without our own reader.
  const hid_t raw = H5Fopen((folder / "x.h5").c_str(), H5F_ACC_RDONLY, H5P_DEFAULT);
  const hid_t dataset = H5Dopen2(raw, "/a/b/x", H5P_DEFAULT);
  const hid_t space = H5Dget_space(dataset), point = H5Screate(H5S_SCALAR);
  const hsize_t where[2] = {1, 0};
  double value = 0;
  H5Sselect_elements(space, H5S_SELECT_SET, 1, where);
  H5Dread(dataset, H5T_NATIVE_DOUBLE, point, space, H5P_DEFAULT, &value);
  CHECK(value == 3);
  H5Sclose(space);
  H5Sclose(point);
  H5Dclose(dataset);
  H5Fclose(raw);
}

TEST_CASE("an unfinished file leaves nothing, an existing one is kept unless it may be overwritten") {
  const TemporaryFolder folder;
  { Writer unfinished(folder / "x.h5", false); }
  CHECK(files_in(folder) == 0);
  folder.write("x.h5", "precious");
  CHECK_THROWS_WITH(Writer(folder / "x.h5", false),
                    Catch::EndsWith("exists already; give another name or --overwrite"));
  { Writer unfinished(folder / "x.h5", true); }
  CHECK(std::filesystem::file_size(folder / "x.h5") == 8);
  Writer file(folder / "x.h5", true);
  file.write("/x", 1.0);
  file.commit();
  CHECK(Reader(folder / "x.h5").has("/x"));
  CHECK_THROWS_WITH(Writer(folder / "no/such/x.h5", false), Catch::Contains("there is no folder"));

  // Another run has finished first.
  Writer late(folder / "y.h5", false);
  folder.write("y.h5", "precious");
  CHECK_THROWS_AS(late.commit(), WorkError);
  CHECK(std::filesystem::file_size(folder / "y.h5") == 8);
}

TEST_CASE("a signal handler can remove unfinished files") {
  const TemporaryFolder folder;
  Writer file(folder / "x.h5", false);
  CHECK(files_in(folder) == 1);
  remove_unfinished_files();
  CHECK(files_in(folder) == 0);
}
