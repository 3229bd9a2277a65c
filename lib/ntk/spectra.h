/// Eigenvalues of neural tangent kernels, from singular values of the Jacobian (MATHEMATICS.md).
#pragma once

#include <string>
#include <vector>

#include "basin/model/linearization.h"

namespace basin {

/// Attention weights below 5e-324 are zero in double precision, and those below 2e-308 lose digits. What is
/// made of them, with inputs and weights up to 1e150, is off by less than this: the root of the smallest
/// normal number, so that squares of bounds underflow no more.
inline constexpr double kUnderflowError = 0x1p-511;

/// The spectrum of K = J J^T (m x m) for some of the parameters.
///
/// Eigenvalues are squares of singular values of J, never of a formed K: they are never negative, and their
/// error is relative to |J|, not to |J|^2, so that the small ones keep twice as many digits.
struct NtkSpectrum {
  std::string name;      ///< the block, or "sum"
  Index parameters = 0;  ///< columns of J
  Vector<double>
      singular_values;  ///< of J, descending, all m of them; exact zeros beyond the number of columns
  /// Each singular value is right to within this: 10 sqrt(max(m, columns)) eps |J| for the factorisations,
  /// and the rounding of J itself as measured (jacobian_rounding).
  double singular_value_error = 0;

  Index size() const { return singular_values.size(); }  ///< m
  /// Eigenvalue i, and bounds that enclose the true one.
  double eigenvalue(Index i) const;
  double lower(Index i) const;
  double upper(Index i) const;
  double lambda_min() const { return eigenvalue(size() - 1); }
  double lambda_max() const { return eigenvalue(0); }
  /// Number of singular values that are certainly positive: above the error.
  Index rank() const;
  bool positive_definite() const { return rank() == size(); }
  /// lambda_max / lambda_min; infinity unless positive definite.
  double condition_number() const;
};

/// For every trainable block, an estimate of the Frobenius norm of the rounding error of J's columns: four
/// times their distance from those at a perturbed point (model/perturbation.h), one sample of that error.
/// Jt = J^T: P x m. `progress` counts samples.
std::vector<double> jacobian_rounding(ConstVectorsRef<double> Jt, const Linearization<double>& perturbed,
                                      const Progress& progress = {});

/// The spectra of the kernels of these sets of trainable blocks, each the sum of its blocks' kernels; by
/// default every block, in order, and last all of them. They are called "W_Q,W_K" and so on, all trained
/// blocks in the last place "sum". Jt = J^T, P x m (Linearization::jacobian_transposed), is overwritten: the
/// blocks of rows are reduced by QR factorisations in place, and the sum's spectrum comes from their stacked
/// triangular factors. rounding: of each trainable block (jacobian_rounding). Throws WorkError when J is not
/// finite or the singular values do not converge.
std::vector<NtkSpectrum> ntk_spectra(VectorsRef<double> Jt, const ParameterLayout& parameters,
                                     const std::vector<double>& rounding,
                                     std::vector<std::vector<std::string>> sets = {});

/// What factorisations of J^T do to its singular values: 10 sqrt(max(m, columns)) eps |J|. Worst cases grow
/// with the side itself, as if all roundings had one sign; with signs of their own sums of them grow with its
/// root (Higham and Mary, SIAM J. Sci. Comput. 41, 2019).
double factorisation_error(Index larger_side, double norm);

/// The triangular factors of the trainable blocks' parts of J, of which ntk_spectra and others are made.
class JacobianFactors {
 public:
  /// As for ntk_spectra, for these sets only. For a single set one factorisation does.
  JacobianFactors(VectorsRef<double> Jt, const ParameterLayout& parameters,
                  const std::vector<double>& rounding, const std::vector<std::vector<std::string>>& sets);

  /// R of J^T = Q R for the blocks of a set: min(columns of J, m) x m.
  Vectors<double> triangular(const std::vector<std::string>& set) const;
  Index columns(const std::vector<std::string>& set) const;    ///< of J
  double rounding(const std::vector<std::string>& set) const;  ///< of J, Frobenius norm
  NtkSpectrum spectrum(const std::vector<std::string>& set) const;

 private:
  /// A block, or several that are never needed apart.
  struct Block {
    std::vector<std::string> names;
    Index parameters;
    double rounding;
    Vectors<double> factor;
  };
  std::vector<const Block*> members(const std::vector<std::string>& set) const;
  std::vector<Block> blocks_;
};

/// Bytes that the Jacobian, jacobian_rounding and ntk_spectra need at the peak, for m outputs of `samples`
/// samples.
double ntk_bytes(const ParameterLayout& parameters, Index m, Index samples);

}  // namespace basin
