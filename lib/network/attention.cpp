#include "basin/network/attention.h"

#include <array>

#include "basin/linalg/errors.h"

namespace basin {
namespace {

// The parameter blocks, and what the rules save under the same numbers, for k vectors, H heads and B samples:
//   saved[kQ], [kK], [kV]   Q, K, V = X W      batch j H + h,         B n x d
//   saved[kO]               R = A V            batch j H + h,         B n x d
//   saved[kA]               A                  batch (j H + h) B + i, n x n
// `value` saves these themselves, `tangent` their tangents, `adjoint` their adjoints.
constexpr std::size_t kQ = 0, kK = 1, kV = 2, kO = 3, kA = 4, kSaved = 5;
constexpr std::array<std::size_t, 3> kProjections = {kQ, kK, kV};

template <class S>
void resize(Saved<S>& saved, std::size_t b, bool wanted, Index count, Index rows, Index cols) {
  if (wanted)
    saved[b].resize(count, rows, cols);
  else
    saved[b].clear();
}

}  // namespace

template <class S>
Attention<S>::Attention(Shape input, Index heads, Index head_dim, Index outputs,
                        std::shared_ptr<const AttentionKernel<S>> kernel)
    : Layer<S>(input, {input.tokens, outputs}),
      heads_(heads),
      head_dim_(head_dim),
      kernel_(std::move(kernel)) {
  if (input.tokens < 1 || input.width < 1 || heads < 1 || head_dim < 1 || outputs < 1)
    throw InputError(
        "attention: tokens n, embedding dimension D, heads H, head dimension d and outputs D_out must all be "
        "at "
        "least 1");
}

template <class S>
std::vector<ParameterBlock> Attention<S>::blocks() const {
  const Index D = this->input().width;
  return {{"W_Q", {heads_, D, head_dim_}},
          {"W_K", {heads_, D, head_dim_}},
          {"W_V", {heads_, D, head_dim_}},
          {"W_O", {heads_, head_dim_, this->output().width}, {}, BlockRole::stacked_map}};
}

template <class S>
void Attention<S>::value(BlockView<const S> w, BatchView<const S> x, Saved<S>& value, Batch<S>& y) const {
  const Index n = this->input().tokens, B = x.rows() / n, H = heads_;
  value.input = x;
  value.values.resize(kSaved);
  for (const std::size_t b : {kQ, kK, kV, kO}) value[b].resize(H, B * n, head_dim_);
  value[kA].resize(H * B, n, n);
  y.resize_zero(1, B * n, this->output().width);

  for (Index h = 0; h < H; ++h) {
    // Q = X W_Q,  K = X W_K,  V = X W_V
    for (const std::size_t b : kProjections) value[b][h].noalias() = x[0] * w(b, 0, h);
    // A = A(Q, K),  R = A V
    for (Index i = 0; i < B; ++i) {
      auto A = value[kA][h * B + i];
      kernel_->value(value[kQ].slice(h, i * n, n), value[kK].slice(h, i * n, n), A);
      value[kO].slice(h, i * n, n).noalias() = A * value[kV].slice(h, i * n, n);
    }
    // F = sum_h R W_O
    y[0].noalias() += value[kO][h] * w(kO, 0, h);
  }
}

template <class S>
void Attention<S>::tangent(BlockView<const S> w, const Saved<S>& value, BatchView<const S> dx,
                           BlockView<const S> dw, Saved<S>& tangent, Batch<S>& dy) const {
  const BatchView<const S> x = value.input;
  const Index n = this->input().tokens, B = x.rows() / n, H = heads_, k = dw.count();
  tangent.input = dx;
  tangent.values.resize(kSaved);
  for (const std::size_t b : kProjections)
    resize(tangent, b, dw.has(b) || !dx.empty(), k * H, B * n, head_dim_);
  const bool dA_moves = !tangent[kQ].empty() || !tangent[kK].empty();
  const bool dR_moves = dA_moves || !tangent[kV].empty();
  resize(tangent, kA, dA_moves, k * H * B, n, n);
  resize(tangent, kO, dR_moves, k * H, B * n, head_dim_);
  dy.resize_zero(k, B * n, this->output().width);

  for (Index j = 0; j < k; ++j) {
    for (Index h = 0; h < H; ++h) {
      const Index jh = j * H + h;
      // dQ = X dW_Q + dX W_Q, and so on
      for (const std::size_t b : kProjections) {
        if (tangent[b].empty()) continue;
        auto dP = tangent[b][jh];
        dP.setZero();
        if (dw.has(b)) dP.noalias() += x[0] * dw(b, j, h);
        if (!dx.empty()) dP.noalias() += dx[j] * w(b, 0, h);
      }
      // dA = DA [dQ, dK],  dR = dA V + A dV
      for (Index i = 0; dR_moves && i < B; ++i) {
        auto dR = tangent[kO].slice(jh, i * n, n);
        dR.setZero();
        if (dA_moves) {
          auto dA = tangent[kA][jh * B + i];
          kernel_->tangent(value[kQ].slice(h, i * n, n), value[kK].slice(h, i * n, n), value[kA][h * B + i],
                           tangent[kQ].slice(jh, i * n, n), tangent[kK].slice(jh, i * n, n), dA);
          dR.noalias() += dA * value[kV].slice(h, i * n, n);
        }
        if (!tangent[kV].empty()) dR.noalias() += value[kA][h * B + i] * tangent[kV].slice(jh, i * n, n);
      }
      // dF = sum_h dR W_O + R dW_O
      if (dR_moves) dy[j].noalias() += tangent[kO][jh] * w(kO, 0, h);
      if (dw.has(kO)) dy[j].noalias() += value[kO][h] * dw(kO, j, h);
    }
  }
}

template <class S>
void Attention<S>::adjoint(BlockView<const S> w, const Saved<S>& value, BatchView<const S> ybar,
                           Saved<S>& adjoint, BlockView<S> wbar, Batch<S>* xbar) const {
  const BatchView<const S> x = value.input;
  const Index n = this->input().tokens, B = x.rows() / n, H = heads_, k = ybar.count();
  const bool want_QK = wbar.has(kQ) || wbar.has(kK) || xbar;
  adjoint.input = ybar;
  adjoint.values.resize(kSaved);
  for (const std::size_t b : {kQ, kK, kV, kO}) adjoint[b].resize(k * H, B * n, head_dim_);
  resize(adjoint, kA, want_QK, k * H * B, n, n);
  if (xbar) xbar->resize_zero(k, B * n, x.cols());

  for (Index j = 0; j < k; ++j) {
    for (Index h = 0; h < H; ++h) {
      const Index jh = j * H + h;
      // W_Obar = R^T Fbar,  Rbar = Fbar W_O^T
      if (wbar.has(kO)) wbar(kO, j, h).noalias() += value[kO][h].transpose() * ybar[j];
      adjoint[kO][jh].noalias() = ybar[j] * w(kO, 0, h).transpose();
      // Vbar = A^T Rbar,  Abar = Rbar V^T,  (Qbar, Kbar) = DA^T Abar
      for (Index i = 0; i < B; ++i) {
        const auto A = value[kA][h * B + i];
        const auto Rbar = adjoint[kO].slice(jh, i * n, n);
        adjoint[kV].slice(jh, i * n, n).noalias() = A.transpose() * Rbar;
        if (!want_QK) continue;
        auto Abar = adjoint[kA][jh * B + i];
        Abar.noalias() = Rbar * value[kV].slice(h, i * n, n).transpose();
        kernel_->adjoint(value[kQ].slice(h, i * n, n), value[kK].slice(h, i * n, n), A, Abar,
                         adjoint[kQ].slice(jh, i * n, n), adjoint[kK].slice(jh, i * n, n));
      }
      // W_Qbar = X^T Qbar,  Xbar = Qbar W_Q^T, and so on
      for (const std::size_t b : kProjections) {
        if (wbar.has(b)) wbar(b, j, h).noalias() += x[0].transpose() * adjoint[b][jh];
        if (xbar) (*xbar)[j].noalias() += adjoint[b][jh] * w(b, 0, h).transpose();
      }
    }
  }
}

template <class S>
void Attention<S>::tangent_of_adjoint(BlockView<const S> w, const Saved<S>& value, const Saved<S>& adjoint,
                                      Saved<S>& tangent, BlockView<const S> dw, BatchView<const S> dybar,
                                      BlockView<S> dwbar, Batch<S>* dxbar) const {
  const BatchView<const S> x = value.input, ybar = adjoint.input, dx = tangent.input;
  const Index n = this->input().tokens, B = x.rows() / n, H = heads_, k = dybar.count();
  const bool want_QK = dwbar.has(kQ) || dwbar.has(kK) || dxbar;
  if (dxbar) dxbar->resize_zero(k, B * n, x.cols());
  std::array<Matrix<S>, 3> dPbar;  // dQbar, dKbar, dVbar
  dPbar.fill(Matrix<S>(B * n, head_dim_));
  Matrix<S> dRbar(B * n, head_dim_), dAbar(n, n);

  for (Index j = 0; j < k; ++j) {
    for (Index h = 0; h < H; ++h) {
      const Index jh = j * H + h;
      // dW_Obar = dR^T Fbar + R^T dFbar,  dRbar = dFbar W_O^T + Fbar dW_O^T
      if (dwbar.has(kO)) {
        dwbar(kO, j, h).noalias() += value[kO][h].transpose() * dybar[j];
        if (!tangent[kO].empty()) dwbar(kO, j, h).noalias() += tangent[kO][jh].transpose() * ybar[0];
      }
      dRbar.noalias() = dybar[j] * w(kO, 0, h).transpose();
      if (dw.has(kO)) dRbar.noalias() += ybar[0] * dw(kO, j, h).transpose();

      for (Index i = 0; i < B; ++i) {
        const auto A = value[kA][h * B + i];
        const auto dA = tangent[kA][jh * B + i];
        const auto Rbar = adjoint[kO].slice(h, i * n, n);
        const auto dRbar_i = dRbar.middleRows(i * n, n);
        // dVbar = dA^T Rbar + A^T dRbar
        auto dVbar = dPbar[kV].middleRows(i * n, n);
        dVbar.noalias() = A.transpose() * dRbar_i;
        if (dA.size() > 0) dVbar.noalias() += dA.transpose() * Rbar;
        if (!want_QK) continue;
        // dAbar = dRbar V^T + Rbar dV^T,  (dQbar, dKbar) = the tangent of DA^T Abar
        dAbar.noalias() = dRbar_i * value[kV].slice(h, i * n, n).transpose();
        if (!tangent[kV].empty()) dAbar.noalias() += Rbar * tangent[kV].slice(jh, i * n, n).transpose();
        kernel_->tangent_of_adjoint(value[kQ].slice(h, i * n, n), value[kK].slice(h, i * n, n), A,
                                    adjoint[kA][h * B + i], tangent[kQ].slice(jh, i * n, n),
                                    tangent[kK].slice(jh, i * n, n), dA, dAbar,
                                    dPbar[kQ].middleRows(i * n, n), dPbar[kK].middleRows(i * n, n));
      }
      // dW_Qbar = dX^T Qbar + X^T dQbar,  dXbar = dQbar W_Q^T + Qbar dW_Q^T, and so on
      for (const std::size_t b : kProjections) {
        if (dwbar.has(b)) {
          dwbar(b, j, h).noalias() += x[0].transpose() * dPbar[b];
          if (!dx.empty()) dwbar(b, j, h).noalias() += dx[j].transpose() * adjoint[b][h];
        }
        if (dxbar) {
          (*dxbar)[j].noalias() += dPbar[b] * w(b, 0, h).transpose();
          if (dw.has(b)) (*dxbar)[j].noalias() += adjoint[b][h] * dw(b, j, h).transpose();
        }
      }
    }
  }
}

template class Attention<double>;
template class Attention<long double>;

}  // namespace basin
