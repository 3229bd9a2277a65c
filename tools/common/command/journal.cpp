#include "common/command/journal.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <iterator>
#include <sstream>

#include "basin/hdf5/file_calls.h"
#include "basin/linalg/errors.h"
#include "common/command/checksum.h"
#include "common/command/interrupt.h"
#include "common/command/journal_header.h"

namespace basin::tools {
namespace {

constexpr const char* kFirstLine = "basin-journal 1";
constexpr std::chrono::seconds kSyncEvery(5);

/// The text with its checksum, as a line.
std::string sealed(const std::string& text) {
  return text + " " + checksum(text) + "\n";
}

}  // namespace

Journal::Journal(std::string path, const Specification& specification, std::size_t values_per_record,
                 bool resume)
    : path_(std::move(path)), values_per_record_(values_per_record) {
  file_ = open(path_.c_str(), O_CREAT | O_RDWR | O_APPEND | O_CLOEXEC, 0666);
  if (file_ < 0) throw InputError(path_ + ": cannot be written: " + std::strerror(errno));
  const bool is_new = lseek(file_, 0, SEEK_END) == 0;
  try {
    if (flock(file_, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK)
      throw InputError(path_ + ": in use by another run");
    read(specification, resume);
  } catch (const InputError&) {
    close(file_);
    throw;
  } catch (...) {
    if (is_new) std::remove(path_.c_str());  // the disk is full; what was there before is kept
    close(file_);
    throw;
  }
  say_on_interrupt(going_on(path_));
}

Journal::~Journal() {
  if (empty_) remove();
  say_on_interrupt("");
  close(file_);
}

void Journal::read(const Specification& specification, bool resume) {
  std::ifstream in(path_, std::ios::binary);
  const std::string bytes((std::istreambuf_iterator<char>(in)), std::istreambuf_iterator<char>());
  const std::string ours = journal_header(kFirstLine, specification);
  const std::optional<FoundHeader> found = find_header(bytes, kFirstLine, ours);
  if (!found) throw InputError(path_ + ": found no journal of version 1, or a damaged one; delete it");
  if (!found->has_records(bytes.size())) {  // of a run that ended before its first record
    cut(0);
    write(ours);
    return;
  }
  if (!resume)
    throw InputError(path_ + ": an unfinished run has left its journal; go on with --resume, or delete it");
  empty_ = false;
  const std::string difference = first_difference(found->specification, specification);
  if (!difference.empty())
    throw InputError(path_ + ": the journal of another run (" + difference +
                     "); give the same options, or delete it");
  std::size_t whole = found->end;
  for (std::size_t end; (end = bytes.find('\n', whole)) != std::string::npos; whole = end + 1)
    if (!read_record(bytes.substr(whole, end - whole))) ++damaged_;
  cut(whole);  // so that new records start on a line of their own
}

bool Journal::read_record(const std::string& line) {
  const std::size_t space = line.rfind(' ');
  if (space == std::string::npos || line.substr(space + 1) != checksum(line.substr(0, space))) return false;
  std::istringstream words(line.substr(0, space));
  Index number = 0;
  words >> number;
  std::vector<double> values;
  for (std::string word; words >> word;) values.push_back(std::strtod(word.c_str(), nullptr));
  if (values.size() != values_per_record_) return false;
  records_[number] = std::move(values);
  return true;
}

void Journal::cut(std::size_t size) {
  if (ftruncate(file_, static_cast<off_t>(size)) != 0)
    throw WorkError(path_ + ": cannot be written: " + std::strerror(errno));
}

void Journal::append(Index number, const std::vector<double>& values) {
  std::string text = std::to_string(number);
  char digits[40];
  for (const double value : values) {
    std::snprintf(digits, sizeof digits, " %a", value);
    text += digits;
  }
  const std::lock_guard<std::mutex> lock(mutex_);
  write(sealed(text));
  empty_ = false;
  const auto now = std::chrono::steady_clock::now();
  if (now - synced_ < kSyncEvery) return;
  synced_ = now;
  if (fdatasync(file_) != 0 && !is_missing_call(errno))
    throw WorkError(path_ + ": cannot be written: " + std::strerror(errno));
}

void Journal::write(const std::string& text) {
  std::size_t written = 0;
  while (written < text.size()) {
    const ssize_t count = ::write(file_, text.data() + written, text.size() - written);
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) throw WorkError(path_ + ": cannot be written: " + std::strerror(errno));
    written += static_cast<std::size_t>(count);
  }
}

void Journal::remove() {
  std::remove(path_.c_str());
  empty_ = false;  // nothing is left to delete
}

}  // namespace basin::tools
