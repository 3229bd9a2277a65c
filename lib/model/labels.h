/// Labelled data: targets that name a class.
#pragma once

#include "basin/model/linearization.h"

namespace basin {

/// Whether each row of the targets names a class: a label, or -1 or 1 in Y where there is one output, else
/// one 1 among zeros.
bool labelled(const Data<double>& data);

/// Among the rows of outputs F, which are from first_row on those of the network, how many count
/// (counting_rows) and are in the right class (accuracy).
template <class S>
Index right_rows(Index first_row, ConstMatrixRef<S> F, const Data<double>& data, const Mask& counting);

/// The percentage of so many right ones among the rows that count of all these.
double accuracy(Index right, Index rows, const Mask& counting);

/// The percentage of the rows of outputs F that are in the right class, among those that count
/// (counting_rows): f y > 0 for one output and targets Y, else the class's output above all others. NaN where
/// F is not finite.
double accuracy(const Matrix<double>& F, const Data<double>& data, const Mask& counting = {});

/// The same of the outputs there, which need not exist all at once.
template <class S>
double accuracy(const Linearization<S>& at, const Data<double>& data);

/// By how much the output of its class is above all others of its row, in the worst row that counts; negative
/// where one is in another class. Of labels; infinite without a row that counts.
double smallest_margin(const Linearization<double>& at);

}  // namespace basin
