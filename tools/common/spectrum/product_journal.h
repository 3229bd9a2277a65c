/// Products of operators on disk, so that an algorithm that was killed can go on.
#pragma once

#include <string>

#include "basin/linalg/linear_operator.h"
#include "common/command/journal.h"

namespace basin::tools {

/// The products of one run in the order in which an algorithm asks for them, in a binary file:
///
///     basin-products 1
///     NAME = VALUE ...                    the specification
///     specification CHECKSUM
///     then for each product: eight 64-bit words (magic, operator, rows in, rows out, columns, checksum of
///     the factors, checksum of the products, checksum of these seven) and the products, doubles, columnwise
///
/// Our algorithms ask for the same products in every run, bit for bit. A run that goes on is thus a run from
/// the start in which products that are on disk are read instead of computed, and it ends with the same bits.
/// A record that is torn, damaged or of other factors ends what is taken from the file; what follows is
/// computed. It takes 8 bytes times the length of a vector for each product.
class ProductJournal {
 public:
  /// Starts the journal or goes on with the one that is there. Throws InputError when that is of other work,
  /// or in use, or cannot be written.
  ProductJournal(std::string path, const Specification& specification);
  /// Deletes a journal without a product.
  ~ProductJournal();
  ProductJournal(const ProductJournal&) = delete;
  ProductJournal& operator=(const ProductJournal&) = delete;

  /// Takes the next product from the file; false when it has to be computed.
  bool replay(std::uint64_t operator_number, ConstVectorsRef<double> V, VectorsRef<double> out);
  /// Adds a product. Throws WorkError when it cannot be written.
  void append(std::uint64_t operator_number, ConstVectorsRef<double> V, const VectorsRef<double>& out);

  Index replayed() const { return replayed_; }  ///< vectors taken from the file
  Index computed() const { return computed_; }
  /// Deletes the file: the work is done and its result is safe.
  void remove();

 private:
  void read_header(const Specification& specification);
  void write(const void* bytes, std::size_t count);
  [[noreturn]] void fail() const;

  std::string path_;
  int file_ = -1;
  std::int64_t position_ = 0;  ///< behind the last product that was read or written
  bool replaying_ = true;
  Index replayed_ = 0, computed_ = 0;
};

/// A, with its products in a journal.
class RecordedOperator final : public SelfAdjointOperator {
 public:
  RecordedOperator(const SelfAdjointOperator& A, ProductJournal& journal, std::uint64_t number)
      : SelfAdjointOperator(A.rows()), A_(A), journal_(journal), number_(number) {
    set_underflow(A.underflow());
  }

 private:
  void do_apply(ConstVectorsRef<double> V, VectorsRef<double> out) const override;
  const SelfAdjointOperator& A_;
  ProductJournal& journal_;
  std::uint64_t number_;
};

}  // namespace basin::tools
