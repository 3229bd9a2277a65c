#include "basin/linalg/products_of_eigen.h"

#ifdef BASIN_PRODUCTS_OF_EIGEN
namespace Eigen::internal {
BASIN_PRODUCTS_OF_EIGEN(, double)
BASIN_PRODUCTS_OF_EIGEN(, float)
}  // namespace Eigen::internal
#endif
