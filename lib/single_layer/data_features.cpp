#include "basin/single_layer/data_features.h"

#include "basin/linalg/dense.h"

namespace basin {
namespace {

/// Right singular vectors of A, all of them, and how many belong to the row space.
struct RowSpace {
  Vectors<double> vectors;
  Index rank;
};

RowSpace row_space(const Vectors<double>& A, double largest) {
  Vectors<double> copy = A;
  const SingularPairs svd = singular_pairs(triangular_factor(copy));
  Index rank = 0;
  while (rank < svd.values.size() && svd.values[rank] > 1e-10 * largest) ++rank;
  return {svd.vectors, rank};
}

double spectral_norm(const Vectors<double>& A) {
  Vectors<double> copy = A;
  const Vector<double> values = singular_values(triangular_factor(copy));
  return values.size() > 0 ? values[0] : 0;
}

/// X with the mean token of each sample taken away.
Matrix<double> centred_inputs(const Matrix<double>& X, Index tokens) {
  Matrix<double> centred = X;
  for (Index first = 0; first < X.rows(); first += tokens) {
    const Vector<double> mean =
        X.middleRows(first, tokens).transpose() * Vector<double>::Ones(tokens) / static_cast<double>(tokens);
    centred.middleRows(first, tokens).rowwise() -= mean.transpose();
  }
  return centred;
}

}  // namespace

DataFeatures data_features(const Data<double>& data) {
  const Matrix<double>& X = data.X;
  const Index D = X.cols();
  const double norm = spectral_norm(X);
  DataFeatures f;
  if (norm == 0) {
    f.null = Vectors<double>::Identity(D, D);
    f.constant.resize(D, 0);
    f.moving.resize(D, 0);
    return f;
  }
  const RowSpace all = row_space(X, norm);
  f.null = all.vectors.rightCols(D - all.rank);
  // The centred inputs in coordinates of the row space: what they do not reach there is constant.
  const Vectors<double> R = all.vectors.leftCols(all.rank);
  const RowSpace moving = row_space(centred_inputs(X, X.rows() / data.samples) * R, norm);
  f.moving = R * moving.vectors.leftCols(moving.rank);
  f.constant = R * moving.vectors.rightCols(all.rank - moving.rank);
  return f;
}

Vectors<double> bias_feature(const DataFeatures& features, const Data<double>& data) {
  const Index e = features.constant.cols();
  if (e == 0) return Vectors<double>(0, 0);
  const Vectors<double> values = data.X * features.constant;  // rows x e
  const Vector<double> ones = Vector<double>::Ones(values.rows());
  const SingularPairs svd = singular_pairs(values.transpose() * values);
  Vector<double> z = svd.left.transpose() * (values.transpose() * ones);
  for (Index k = 0; k < e; ++k) z[k] = svd.values[k] > 1e-20 * svd.values[0] ? z[k] / svd.values[k] : 0;
  const Vector<double> u = svd.vectors.leftCols(e) * z;
  if ((values * u - ones).lpNorm<Eigen::Infinity>() > 1e-10) return Vectors<double>(e, 0);
  return u;
}

}  // namespace basin
