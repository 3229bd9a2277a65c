/// What the inputs can tell apart: null features and features that are constant inside every sample.
#pragma once

#include "basin/model/model.h"

namespace basin {

/// R^D split in three orthogonal parts by the inputs X (N n x D) and their centred X~, in which every token
/// has the mean token of its sample taken away: null features (X u = 0), constant features (X~ u = 0, X u is
/// not 0; a bias gives one), and the rest, in which tokens of a sample differ.
struct DataFeatures {
  Vectors<double> null;      ///< orthonormal basis, D x (D - r_X)
  Vectors<double> constant;  ///< orthonormal basis, D x e, e = r_X - r~
  Vectors<double> moving;    ///< orthonormal basis, D x r~

  Index rank() const { return moving.cols() + constant.cols(); }  ///< r_X = rank X
  Index rank_centred() const { return moving.cols(); }            ///< r~ = rank X~
  /// Basis of the row space of X, D x r_X.
  Vectors<double> seen() const {
    Vectors<double> both(moving.rows(), rank());
    both << moving, constant;
    return both;
  }
};

/// By singular values; those above 1e-10 of the largest count.
DataFeatures data_features(const Data<double>& data);

/// The feature c = constant u with X c = 1 in every row, as a bias gives one: u, e x 1; e x 0 where there is
/// none.
Vectors<double> bias_feature(const DataFeatures& features, const Data<double>& data);

}  // namespace basin
