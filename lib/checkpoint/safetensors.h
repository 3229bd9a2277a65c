/// Files of named tensors, as Hugging Face's safetensors writes them
/// (https://github.com/huggingface/safetensors): 8 bytes N, little-endian; N bytes of JSON, the header; the
/// buffer, in which the tensors stand packed, little-endian and row-major.
#pragma once

#include <cstdint>
#include <functional>
#include <iosfwd>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "basin/linalg/errors.h"
#include "basin/linalg/types.h"

namespace basin {

/// What the header says of one tensor.
struct StoredTensor {
  std::string name;
  std::string type;          ///< "F32", as the header has it
  std::vector<Index> shape;  ///< empty for a single number; a size may be 0
  std::uint64_t begin = 0;   ///< of its bytes in the buffer
  std::uint64_t end = 0;     ///< one past the last

  Index size() const;  ///< numbers in all
};

/// The strings under "__metadata__", in the order of the header.
using Metadata = std::vector<std::pair<std::string, std::string>>;

/// A file that is open for reading. Copies share it; functions may be called from several threads.
class SafetensorsFile {
 public:
  /// Reads the header, which may be anyone's, and checks all but the values. Throws InputError "PATH: ...",
  /// saying what was found and what is expected, for what is not a regular file; a header length that is 0,
  /// beyond the format's 100000000 bytes or beyond the file; a header that is no JSON, has a name twice, or
  /// says anything but types, shapes of at most 32 sizes and 2^40 numbers, and offsets that go with them;
  /// tensors that do not tile the buffer to its last byte; names that could not be those of HDF5 objects
  /// (empty, "." and "..", with '/' or a zero byte, or of more than 4096 bytes). All are one line but for
  /// PyTorch's archives (looks_like_pickle), where pickle_recipe follows. Nothing is allocated for what the
  /// file does not have.
  explicit SafetensorsFile(std::string path);

  const std::string& path() const { return path_; }
  const std::vector<StoredTensor>& tensors() const { return tensors_; }  ///< in the order of the header
  const Metadata& metadata() const { return metadata_; }

  /// The numbers of one of tensors(), in row-major order: of F64, F32, F16 and BF16, all of which doubles
  /// hold exactly. Throws InputError for another type, for NaN or infinity, naming the first such entry
  /// ("PATH: NAME: entry [3, 1] is NaN; expected finite numbers"), and for a file that was cut since it was
  /// opened.
  Vector<double> values(const StoredTensor& tensor) const;

  /// Its bytes as they are in the file, of any type.
  std::string bytes(const StoredTensor& tensor) const;

 private:
  class OpenFile;

  std::string path_;
  std::shared_ptr<const OpenFile> file_;
  std::vector<StoredTensor> tensors_;
  Metadata metadata_;
  std::uint64_t buffer_begin_ = 0, buffer_bytes_ = 0;  ///< of the file
};

/// Bytes of one number: 4 for "F32"; 0 for a type that is not known.
std::size_t type_size(const std::string& type);

/// Numbers in the bytes of a file: F64, F32, F16 or BF16 (InputError for another type), little-endian, each
/// rounded once, to the nearest and in ties to the even one. What is too small becomes subnormal or a zero
/// with its sign. Throws WorkError, naming `name`, the entry, its value and the type, for a value that would
/// become infinite, and for one that is not finite.
std::string encoded(const Vector<double>& values, const std::string& type, const std::string& name);

/// Writes a file: the header, with the tensors in the order given, padded by spaces so that the buffer begins
/// at a multiple of 8 bytes, then the buffer, in which each tensor stands where its begin and end say; they
/// have to tile it, in any order. bytes(k) gives the bytes of tensors[k]; it is called once for each, in the
/// order of the buffer. Throws InputError for tensors that the reader would refuse, before anything is
/// written, and WorkError if a tensor's bytes are not as many as it says, or the stream takes no more.
void write_safetensors(std::ostream& out, const std::vector<StoredTensor>& tensors, const Metadata& metadata,
                       const std::function<std::string(std::size_t)>& bytes);

/// A file of PyTorch's: the message is a line, and then the indented lines of pickle_recipe.
class PickleError : public InputError {
  using InputError::InputError;
};

/// Do these first bytes of a file (9 or more, if it has them) begin what torch.save writes, a zip archive or
/// a pickle? A header length can have the same bytes: then '{' follows.
bool looks_like_pickle(std::string_view first_bytes);

/// "a PyTorch archive (zip, pickle), not safetensors; ..." and four indented lines of Python that convert the
/// file at this path.
std::string pickle_recipe(const std::string& path);

}  // namespace basin
