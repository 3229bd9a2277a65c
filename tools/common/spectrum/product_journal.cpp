#include "common/spectrum/product_journal.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdio>
#include <cstring>

#include "basin/linalg/errors.h"
#include "basin/linalg/random.h"
#include "common/command/interrupt.h"
#include "common/command/journal_header.h"

namespace basin::tools {
namespace {

constexpr const char* kProductsFirstLine = "basin-products 1";
constexpr std::uint64_t kMagic = 0x53'54'43'44'4f'52'50'42;  // "BPRODCTS"

using Words = std::array<std::uint64_t, 8>;

/// FNV-1a word by word, columns after columns.
std::uint64_t checksum(ConstVectorsRef<double> V) {
  std::uint64_t hash = 0xcbf29ce484222325U;
  for (Index j = 0; j < V.cols(); ++j)
    for (Index i = 0; i < V.rows(); ++i) {
      std::uint64_t word = 0;
      const double value = V(i, j);
      std::memcpy(&word, &value, sizeof word);
      hash = (hash ^ word) * 0x100000001b3U;
      hash ^= hash >> 29U;
    }
  return hash;
}

std::uint64_t checksum(const Words& words) {
  return fnv1a({reinterpret_cast<const char*>(words.data()), 7 * sizeof words[0]});
}

Words header_of(std::uint64_t number, ConstVectorsRef<double> V, Index rows) {
  Words w = {kMagic,
             number,
             static_cast<std::uint64_t>(V.rows()),
             static_cast<std::uint64_t>(rows),
             static_cast<std::uint64_t>(V.cols()),
             checksum(V),
             0,
             0};
  return w;
}

/// Reads so many bytes at a position; false when there are fewer.
bool read_at(int file, void* bytes, std::size_t count, std::int64_t position) {
  std::size_t done = 0;
  while (done < count) {
    const ssize_t got = pread(file, static_cast<char*>(bytes) + done, count - done,
                              static_cast<off_t>(position + static_cast<std::int64_t>(done)));
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) return false;
    done += static_cast<std::size_t>(got);
  }
  return true;
}

}  // namespace

ProductJournal::ProductJournal(std::string path, const Specification& specification)
    : path_(std::move(path)) {
  file_ = open(path_.c_str(), O_CREAT | O_RDWR | O_CLOEXEC, 0666);
  if (file_ < 0) throw InputError(path_ + ": cannot be written: " + std::strerror(errno));
  try {
    if (flock(file_, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK)
      throw InputError(path_ + ": in use by another run");
    read_header(specification);
  } catch (...) {
    close(file_);
    throw;
  }
  say_on_interrupt(going_on(path_));
}

ProductJournal::~ProductJournal() {
  if (computed_ + replayed_ == 0) remove();
  say_on_interrupt("");
  close(file_);
}

void ProductJournal::fail() const {
  throw WorkError(path_ + ": cannot be written: " + std::strerror(errno));
}

void ProductJournal::read_header(const Specification& specification) {
  const std::string expected = journal_header(kProductsFirstLine, specification);
  const off_t length = lseek(file_, 0, SEEK_END);
  if (length < 0) fail();
  constexpr off_t kLongest = 1 << 20;
  std::string bytes(static_cast<std::size_t>(std::min(length, kLongest)), '\0');
  if (!read_at(file_, bytes.data(), bytes.size(), 0)) fail();
  const std::optional<FoundHeader> found = find_header(bytes, kProductsFirstLine, expected);
  if (!found)
    throw InputError(path_ + ": found no journal of products of version 1, or a damaged one; delete it");
  if (!found->has_records(
          static_cast<std::size_t>(length))) {  // of a run that ended before its first product
    if (ftruncate(file_, 0) != 0) fail();
    write(expected.data(), expected.size());
    replaying_ = false;
    return;
  }
  const std::string difference = first_difference(found->specification, specification);
  if (!difference.empty())
    throw InputError(path_ + ": the journal of another run (" + difference +
                     "); give the same problem and options, or delete it");
  position_ = static_cast<std::int64_t>(found->end);
}

bool ProductJournal::replay(std::uint64_t operator_number, ConstVectorsRef<double> V,
                            VectorsRef<double> out) {
  if (!replaying_) return false;
  Words words{};
  const Words expected = header_of(operator_number, V, out.rows());
  const std::size_t bytes = static_cast<std::size_t>(out.size()) * sizeof(double);
  Vectors<double> products(out.rows(), out.cols());
  const auto begin = position_ + static_cast<std::int64_t>(sizeof words);
  if (read_at(file_, words.data(), sizeof words, position_) && words[7] == checksum(words) &&
      std::equal(expected.begin(), expected.begin() + 6, words.begin()) &&
      read_at(file_, products.data(), bytes, begin) && checksum(products) == words[6]) {
    out = products;
    position_ = begin + static_cast<std::int64_t>(bytes);
    replayed_ += V.cols();
    return true;
  }
  replaying_ = false;
  if (ftruncate(file_, static_cast<off_t>(position_)) != 0) fail();
  return false;
}

void ProductJournal::append(std::uint64_t operator_number, ConstVectorsRef<double> V,
                            const VectorsRef<double>& out) {
  const Vectors<double> products = out;
  Words words = header_of(operator_number, V, out.rows());
  words[6] = checksum(products);
  words[7] = checksum(words);
  write(words.data(), sizeof words);
  write(products.data(), static_cast<std::size_t>(products.size()) * sizeof(double));
  computed_ += V.cols();
}

void ProductJournal::write(const void* bytes, std::size_t count) {
  std::size_t done = 0;
  while (done < count) {
    const ssize_t written = pwrite(file_, static_cast<const char*>(bytes) + done, count - done,
                                   static_cast<off_t>(position_ + static_cast<std::int64_t>(done)));
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) fail();
    done += static_cast<std::size_t>(written);
  }
  position_ += static_cast<std::int64_t>(count);
}

void ProductJournal::remove() {
  std::remove(path_.c_str());
}

void RecordedOperator::do_apply(ConstVectorsRef<double> V, VectorsRef<double> out) const {
  if (journal_.replay(number_, V, out)) return;
  A_.apply(V, out);
  journal_.append(number_, V, out);
}

}  // namespace basin::tools
