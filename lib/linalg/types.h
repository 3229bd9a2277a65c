/// Dense types of the toolkit. One letter per dimension throughout: N samples, n tokens, D embedding
/// dimension, H heads, d head dimension, D_out outputs, P trainable parameters, m = N n D_out outputs in all.
#pragma once

#include <limits>

#include "basin/linalg/products_of_eigen.h"

namespace basin {

using Eigen::Index;

inline constexpr double kEps = std::numeric_limits<double>::epsilon();
inline constexpr double kInfinity = std::numeric_limits<double>::infinity();
inline constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();

/// Row-major, so that its memory is the C order of the HDF5 datasets it comes from.
template <class S>
using Matrix = Eigen::Matrix<S, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;

template <class S>
using Vector = Eigen::Matrix<S, Eigen::Dynamic, 1>;

/// A block of k vectors of length P or m: one column each, P x k or m x k.
template <class S>
using Vectors = Eigen::Matrix<S, Eigen::Dynamic, Eigen::Dynamic, Eigen::ColMajor>;

template <class S>
using MatrixRef = Eigen::Ref<Matrix<S>>;
template <class S>
using ConstMatrixRef = const Eigen::Ref<const Matrix<S>>&;

template <class S>
using VectorsRef = Eigen::Ref<Vectors<S>>;
template <class S>
using ConstVectorsRef = const Eigen::Ref<const Vectors<S>>&;

}  // namespace basin
