/// Eigen's matrix products in double and float, compiled once (products_of_eigen.cpp) instead of in every
/// file that has a product: with the sanitizers such files
/// compile up to twice as fast. Included by linalg/types.h.
#pragma once

#include <Eigen/Core>

// What Eigen 3.4's products are made of: the kernel, packing of both factors in both orders, and products
// with vectors. Other versions of Eigen work without: every file then has its own.
#if EIGEN_WORLD_VERSION == 3 && EIGEN_MAJOR_VERSION == 4
namespace Eigen::internal {

template <class S>
using BasinTraits = gebp_traits<S, S>;
template <class S, int order>
using BasinMapper = const_blas_data_mapper<S, Index, order>;

// NOLINTBEGIN(cppcoreguidelines-macro-usage): an explicit instantiation cannot be written otherwise
#define BASIN_PRODUCTS_OF_EIGEN(EXTERN, S)                                                            \
  EXTERN template struct gebp_kernel<S, S, Index, blas_data_mapper<S, Index, ColMajor, Unaligned, 1>, \
                                     BasinTraits<S>::mr, BasinTraits<S>::nr, false, false>;           \
  BASIN_PRODUCTS_OF_ORDER(EXTERN, S, ColMajor, RowMajor)                                              \
  BASIN_PRODUCTS_OF_ORDER(EXTERN, S, RowMajor, ColMajor)
#define BASIN_PRODUCTS_OF_ORDER(EXTERN, S, ORDER, OTHER)                                                 \
  EXTERN template struct gemm_pack_lhs<S, Index, BasinMapper<S, ORDER>, BasinTraits<S>::mr,              \
                                       BasinTraits<S>::LhsProgress, BasinTraits<S>::LhsPacket4Packing,   \
                                       ORDER>;                                                           \
  EXTERN template struct gemm_pack_rhs<S, Index, BasinMapper<S, ORDER>, BasinTraits<S>::nr, ORDER>;      \
  EXTERN template struct general_matrix_vector_product<Index, S, BasinMapper<S, ORDER>, ORDER, false, S, \
                                                       BasinMapper<S, OTHER>, false>;
// NOLINTEND(cppcoreguidelines-macro-usage)

BASIN_PRODUCTS_OF_EIGEN(extern, double)
BASIN_PRODUCTS_OF_EIGEN(extern, float)

}  // namespace Eigen::internal
#endif
