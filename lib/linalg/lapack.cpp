#include "basin/linalg/lapack.h"

#include <dlfcn.h>
#include <fcntl.h>
#include <link.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <unistd.h>

#include <cstdlib>
#include <limits>
#include <optional>

#include "basin/linalg/errors.h"

namespace basin::lapack {
namespace {

/// A variable of the environment has another value for as long as this lives.
class Environment {
 public:
  Environment(const char* name, const char* value) : name_(name) {
    if (const char* const before = std::getenv(name)) before_ = before;
    setenv(name_, value, 1);
  }
  ~Environment() {
    if (before_)
      setenv(name_, before_->c_str(), 1);
    else
      unsetenv(name_);
  }
  Environment(const Environment&) = delete;
  Environment& operator=(const Environment&) = delete;

 private:
  const char* name_;
  std::optional<std::string> before_;
};

/// OpenBLAS's name for the newest instructions of this processor; null: let it find out.
const char* core_of_this_processor() {
#if defined(__x86_64__)
  __builtin_cpu_init();
  if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
      __builtin_cpu_supports("avx512cd") && __builtin_cpu_supports("avx512dq") &&
      __builtin_cpu_supports("avx512vl"))
    return "SkylakeX";
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"))
    return __builtin_cpu_is("amd") ? "Zen" : "Haswell";
#endif
  return nullptr;
}

/// The library of the build, or what this machine has.
constexpr const char* kLibraries[] = {BASIN_LAPACK_LIBRARY, "libopenblas.so.0", "liblapack.so.3"};

// Others of the same names may be there. (The sanitizers do not go with it.)
#ifdef BASIN_SANITIZE
constexpr int kOwnSymbolsFirst = 0;
#else
constexpr int kOwnSymbolsFirst = RTLD_DEEPBIND;
#endif

/// The same library once more, with threads and settings of its own; null where that cannot be had.
void* own_copy(void* handle) {
  link_map* map = nullptr;
  if (dlinfo(handle, RTLD_DI_LINKMAP, &map) != 0) return nullptr;
  const int from = open(map->l_name, O_RDONLY | O_CLOEXEC), to = memfd_create("LAPACK of Basin", MFD_CLOEXEC);
  void* copy = nullptr;
  if (from >= 0 && to >= 0) {  // another file, or it would be recognised
    ssize_t sent = 0;
    do {
      sent = sendfile(to, from, nullptr, std::size_t{1} << 30U);
    } while (sent > 0);
    if (sent == 0)
      copy =
          dlopen(("/proc/self/fd/" + std::to_string(to)).c_str(), RTLD_NOW | RTLD_LOCAL | kOwnSymbolsFirst);
  }
  for (const int file : {from, to})
    if (file >= 0) close(file);
  return copy;
}

struct Loaded {
  void* handle = nullptr;
  Library library;
};

Loaded load() {
  const Environment one_thread("OPENBLAS_NUM_THREADS", "1");
  std::optional<Environment> core;
  if (const char* const name = core_of_this_processor(); name && !std::getenv("OPENBLAS_CORETYPE"))
    core.emplace("OPENBLAS_CORETYPE", name);
  Loaded loaded;
  std::string why;
  for (const char* path : kLibraries) {
    // Not among the symbols of the process: a host's own BLAS would be mixed up with it.
    loaded.handle = dlopen(path, RTLD_NOW | RTLD_LOCAL | RTLD_NOLOAD);
    if (loaded.handle) {  // somebody else's: it may have any number of threads
      void* const copy = own_copy(loaded.handle);
      loaded.library.shared = copy == nullptr;
      if (copy) loaded.handle = copy;
    }
    if (!loaded.handle) loaded.handle = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    loaded.library.path = path;
    if (loaded.handle) break;
    why += std::string("; ") + dlerror();
  }
  if (!loaded.handle) throw WorkError("no LAPACK library could be loaded" + why);
  using Text = const char* (*)();
  const auto text = [&](const char* name) -> std::string {
    const auto function = reinterpret_cast<Text>(dlsym(loaded.handle, name));
    return function ? function() : "";
  };
  const std::string config = text("openblas_get_config");  // "OpenBLAS 0.3.21 NO_LAPACKE ..."
  loaded.library.name = config.empty() ? "LAPACK" : config.substr(0, config.find(' ', config.find(' ') + 1));
  loaded.library.core = text("openblas_get_corename");
  return loaded;
}

const Loaded& loaded() {
  static const Loaded once = load();
  return once;
}

/// A routine by its Fortran name.
template <class... Arguments>
auto routine(const char* name) {
  void* const function = symbol(name);
  if (!function)
    throw WorkError(library().path + ": has no " + name + "; expected a LAPACK library with its BLAS");
  return reinterpret_cast<void (*)(Arguments...)>(function);
}

int size(Index n) {
  if (n > std::numeric_limits<int>::max())
    throw WorkError("a matrix of " + std::to_string(n) + " rows or columns is too large for LAPACK");
  return static_cast<int>(n);
}

/// The leading dimension, which LAPACK wants to be positive.
int step(VectorsRef<double> A) {
  return size(std::max<Index>(1, A.outerStride()));
}

void refuse_nan(const char* routine, bool found) {
  if (found) throw WorkError(std::string("LAPACK ") + routine + ": an entry of the matrix is not a number");
}

bool lower_has_nan(VectorsRef<double> A) {
  for (Index j = 0; j < A.cols(); ++j)
    if (A.col(j).tail(A.rows() - j).hasNaN()) return true;
  return false;
}

/// Asks the routine how much working memory it wants, and calls it with that.
template <class Call>
int with_workspace(const Call& call) {
  double wanted = 0;
  int info = call(&wanted, -1);
  if (info != 0) return info;
  std::vector<double> work(static_cast<std::size_t>(wanted));
  info = call(work.data(), static_cast<int>(work.size()));
  return info;
}

}  // namespace

const Library& library() {
  return loaded().library;
}

void* symbol(const char* name) {
  return dlsym(loaded().handle, name);
}

int gesvd(VectorsRef<double> A, Vector<double>& values, Vectors<double>* left, Vectors<double>* right) {
  static const auto dgesvd =
      routine<const char*, const char*, const int*, const int*, double*, const int*, double*, double*,
              const int*, double*, const int*, double*, const int*, int*>("dgesvd_");
  refuse_nan("dgesvd", A.hasNaN());
  const int m = size(A.rows()), n = size(A.cols()), lda = step(A);
  const int ldu = left ? m : 1, ldvt = right ? n : 1;
  values.resize(std::min(A.rows(), A.cols()));
  return with_workspace([&](double* work, int length) {
    int info = 0;
    dgesvd(left ? "S" : "N", right ? "A" : "N", &m, &n, A.data(), &lda, values.data(),
           left ? left->data() : nullptr, &ldu, right ? right->data() : nullptr, &ldvt, work, &length, &info);
    return info;
  });
}

int geqrf(VectorsRef<double> A, Vector<double>& tau) {
  static const auto dgeqrf =
      routine<const int*, const int*, double*, const int*, double*, double*, const int*, int*>("dgeqrf_");
  refuse_nan("dgeqrf", A.hasNaN());
  const int m = size(A.rows()), n = size(A.cols()), lda = step(A);
  tau.resize(std::min(A.rows(), A.cols()));
  return with_workspace([&](double* work, int length) {
    int info = 0;
    dgeqrf(&m, &n, A.data(), &lda, tau.data(), work, &length, &info);
    return info;
  });
}

int orgqr(VectorsRef<double> A, const Vector<double>& tau) {
  static const auto dorgqr = routine<const int*, const int*, const int*, double*, const int*, const double*,
                                     double*, const int*, int*>("dorgqr_");
  const int m = size(A.rows()), n = size(A.cols()), lda = step(A);
  return with_workspace([&](double* work, int length) {
    int info = 0;
    dorgqr(&m, &n, &n, A.data(), &lda, tau.data(), work, &length, &info);
    return info;
  });
}

int sytrf_rook(VectorsRef<double> A, std::vector<int>& pivots) {
  static const auto dsytrf_rook =
      routine<const char*, const int*, double*, const int*, int*, double*, const int*, int*>("dsytrf_rook_");
  refuse_nan("dsytrf_rook", lower_has_nan(A));
  const int n = size(A.rows()), lda = step(A);
  pivots.resize(static_cast<std::size_t>(n));
  return with_workspace([&](double* work, int length) {
    int info = 0;
    dsytrf_rook("L", &n, A.data(), &lda, pivots.data(), work, &length, &info);
    return info;
  });
}

int syevd(VectorsRef<double> A, bool with_vectors, Vector<double>& values) {
  static const auto dsyevd = routine<const char*, const char*, const int*, double*, const int*, double*,
                                     double*, const int*, int*, const int*, int*>("dsyevd_");
  refuse_nan("dsyevd", lower_has_nan(A));
  const int n = size(A.rows()), lda = step(A);
  values.resize(A.rows());
  std::vector<int> integers(1);
  return with_workspace([&](double* work, int length) {
    int info = 0;
    const int integer_length = length < 0 ? -1 : static_cast<int>(integers.size());
    dsyevd(with_vectors ? "V" : "N", "L", &n, A.data(), &lda, values.data(), work, &length, integers.data(),
           &integer_length, &info);
    if (length < 0) integers.resize(static_cast<std::size_t>(integers[0]));
    return info;
  });
}

int trtri(VectorsRef<double> A) {
  static const auto dtrtri =
      routine<const char*, const char*, const int*, double*, const int*, int*>("dtrtri_");
  bool nan = false;
  for (Index j = 0; j < A.cols(); ++j) nan |= A.col(j).head(j + 1).hasNaN();
  refuse_nan("dtrtri", nan);
  const int n = size(A.rows()), lda = step(A);
  int info = 0;
  dtrtri("U", "N", &n, A.data(), &lda, &info);
  return info;
}

int potrf(VectorsRef<double> A) {
  static const auto dpotrf = routine<const char*, const int*, double*, const int*, int*>("dpotrf_");
  const int n = size(A.rows()), lda = step(A);
  int info = 0;
  dpotrf("L", &n, A.data(), &lda, &info);
  return info;
}

int potrs(const Vectors<double>& factor, VectorsRef<double> solution) {
  static const auto dpotrs =
      routine<const char*, const int*, const int*, const double*, const int*, double*, const int*, int*>(
          "dpotrs_");
  const int n = size(factor.rows()), k = size(solution.cols()), lda = size(factor.outerStride()),
            ldb = step(solution);
  int info = 0;
  dpotrs("L", &n, &k, factor.data(), &lda, solution.data(), &ldb, &info);
  return info;
}

}  // namespace basin::lapack
