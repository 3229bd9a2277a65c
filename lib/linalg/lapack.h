/// LAPACK, in a library that is loaded when it is first needed.
#pragma once

#include <string>
#include <vector>

#include "basin/linalg/types.h"

namespace basin::lapack {

/// What serves the calls below.
struct Library {
  std::string path;  ///< the file that was loaded
  std::string name;  ///< "OpenBLAS 0.3.21"; "LAPACK" for libraries that do not say
  std::string core;  ///< whose code OpenBLAS runs: "Haswell", "Zen", "SkylakeX", ...; else empty
  bool shared;       ///< the process had loaded it before: the number of its threads is left alone

  std::string text() const { return core.empty() ? name : name + " (" + core + ")"; }
};

/// Loads it at the first call, on one thread, so that the bits do not depend on the number of threads. Throws
/// WorkError if there is none.
///
/// OpenBLAS knows processors by their model numbers and takes those it does not know for very old ones, four
/// times too slow; so it is told what the instructions of this one allow, unless OPENBLAS_CORETYPE in the
/// environment says otherwise. It reads the environment while it is loaded, which is why it is loaded here
/// and not by the linker. Debian's OpenBLAS without threads would not do: it has no locks, and gives wrong
/// eigenvalues to threads that call it at the same time.
const Library& library();

/// A function of the library by its name there, say "dgemm_"; null if it has none of that name.
void* symbol(const char* name);

// The routines, by their names without the leading d; column-major, leading dimension at least the number of
// rows. They return LAPACK's info: 0 if all went well, > 0 as the routine says. Throw WorkError for sizes
// beyond 2^31 - 1, for NaN in A, and for a library that has no such routine.

/// values: min(rows, cols). left: rows x min(rows, cols), right: cols x cols (transposed), both or none.
int gesvd(VectorsRef<double> A, Vector<double>& values, Vectors<double>* left, Vectors<double>* right);
int geqrf(VectorsRef<double> A, Vector<double>& tau);
int orgqr(VectorsRef<double> A, const Vector<double>& tau);
int sytrf_rook(VectorsRef<double> A, std::vector<int>& pivots);              ///< lower triangle
int syevd(VectorsRef<double> A, bool with_vectors, Vector<double>& values);  ///< lower triangle
int trtri(VectorsRef<double> A);  ///< upper triangle; 1 + i if entry (i, i) is 0

// These two look for no NaN first, which would read the whole matrix each time.
int potrf(VectorsRef<double> A);                                        ///< lower triangle
int potrs(const Vectors<double>& factor, VectorsRef<double> solution);  ///< of potrf; solution: right sides

}  // namespace basin::lapack
