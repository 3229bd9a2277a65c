#include "support/plain_attention.h"

#include <array>

#include "basin/linalg/errors.h"
#include "basin/network/gaussian_kernel.h"
#include "basin/network/softmax_kernel.h"

namespace basin::test {
namespace {

// What the rules save under the numbers of the parameter blocks (AttentionBlock), for k vectors, H heads (or
// G, of keys and values) and B samples:
//   saved[kQ], [kK], [kV]   Q, K, V         batch j H + h,         B n x d
//   saved[kO]               R = A V         batch j H + h,         B n x d
//   saved[kA]               A               batch (j H + h) B + i, n x n
// `value` saves these themselves, `tangent` their tangents, `adjoint` their adjoints: of Q and K before they
// are turned.
constexpr std::size_t kA = 4, kSaved = 5;
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
PlainAttention<S>::PlainAttention(Shape input, Index heads, Index head_dim, Index outputs,
                                  std::shared_ptr<const AttentionKernel<S>> kernel,
                                  const AttentionOptions& options)
    : Layer<S>(input, {input.tokens, outputs}),
      heads_(heads),
      head_dim_(head_dim),
      kernel_(std::move(kernel)),
      options_(options),
      rotary_(options.rotary, input.tokens) {
  if (input.tokens < 1 || input.width < 1 || heads < 1 || head_dim < 1 || outputs < 1)
    throw InputError(
        "attention: tokens n, embedding dimension D, heads H, head dimension d and outputs D_out must all be "
        "at least 1");
  check_options(options, heads, head_dim);
  std::size_t next = 4;
  for (const AttentionBlock b : {kQ, kK, kV, kO})
    if (options.has_bias("qkvo"[b])) bias_[b] = next++;
}

template <class S>
Index PlainAttention<S>::count(std::size_t b) const {
  return (b == kK || b == kV) && options_.kv_heads != 0 ? options_.kv_heads : heads_;
}

template <class S>
bool PlainAttention<S>::turns(std::size_t b) const {
  return b != kV && rotary_.any();
}

template <class S>
std::vector<ParameterBlock> PlainAttention<S>::blocks() const {
  return attention_blocks({.tokens = this->input().tokens,
                           .embedding = this->input().width,
                           .heads = heads_,
                           .head_dim = head_dim_,
                           .outputs = this->output().width,
                           .options = options_});
}

template <class S>
Matrix<S> PlainAttention<S>::sees(const Saved<S>& value, Index i) const {
  const Index n = this->input().tokens;
  const auto mask = value.context.mask;
  if (mask.empty() && !options_.causal) return {};
  Matrix<S> sees = Matrix<S>::Ones(n, n);
  for (Index k = 0; k < n; ++k)
    for (Index l = 0; l < n; ++l)
      if ((options_.causal && l > k) || (!mask.empty() && !mask[static_cast<std::size_t>(i * n + l)]))
        sees(k, l) = 0;
  return sees;
}

template <class S>
void PlainAttention<S>::value(BlockView<const S> w, BatchView<const S> x, Saved<S>& value,
                              Batch<S>& y) const {
  const Index n = this->input().tokens, B = x.rows() / n, H = heads_;
  value.input = x;
  value.values.resize(kSaved);
  for (const AttentionBlock b : {kQ, kK, kV, kO}) value[b].resize(count(b), B * n, head_dim_);
  value[kA].resize(H * B, n, n);
  y.resize_zero(1, B * n, this->output().width);

  // Q = X W_Q + 1 b_Q,  K = X W_K + 1 b_K,  V = X W_V + 1 b_V,  then Q and K are turned
  for (const std::size_t b : kProjections)
    for (Index g = 0; g < count(b); ++g) {
      value[b][g].noalias() = x[0] * w(b, 0, g);
      if (bias(b)) value[b][g].rowwise() += w(bias(b), 0, 0).row(g);
      if (turns(b)) rotary_.turn(tile(value[b][g]));
    }
  for (Index h = 0; h < H; ++h) {
    // A = A(Q, K),  R = A V
    for (Index i = 0; i < B; ++i) {
      auto A = value[kA][h * B + i];
      kernel_->value(value[kQ].slice(h, i * n, n), value[kK].slice(of(kK, h), i * n, n), sees(value, i), A);
      value[kO].slice(h, i * n, n).noalias() = A * value[kV].slice(of(kV, h), i * n, n);
    }
    // F = sum_h R W_O + 1 b_O
    y[0].noalias() += value[kO][h] * w(kO, 0, h);
  }
  if (bias(kO)) y[0].rowwise() += w(bias(kO), 0, 0).row(0);
}

template <class S>
void PlainAttention<S>::tangent(BlockView<const S> w, const Saved<S>& value, BatchView<const S> dx,
                                BlockView<const S> dw, Saved<S>& tangent, Batch<S>& dy) const {
  const BatchView<const S> x = value.input;
  const Index n = this->input().tokens, B = x.rows() / n, H = heads_, k = dw.count();
  tangent.input = dx;
  tangent.values.resize(kSaved);
  for (const std::size_t b : kProjections)
    resize(tangent, b, dw.has(b) || has_bias(dw, b) || !dx.empty(), k * count(b), B * n, head_dim_);
  const bool dA_moves = !tangent[kQ].empty() || !tangent[kK].empty();
  const bool dR_moves = dA_moves || !tangent[kV].empty();
  resize(tangent, kA, dA_moves, k * H * B, n, n);
  resize(tangent, kO, dR_moves, k * H, B * n, head_dim_);
  dy.resize_zero(k, B * n, this->output().width);

  for (Index j = 0; j < k; ++j) {
    // dQ = X dW_Q + dX W_Q + 1 db_Q, turned, and so on
    for (const std::size_t b : kProjections)
      for (Index g = 0; g < count(b) && !tangent[b].empty(); ++g) {
        auto dP = tangent[b][j * count(b) + g];
        dP.setZero();
        if (dw.has(b)) dP.noalias() += x[0] * dw(b, j, g);
        if (!dx.empty()) dP.noalias() += dx[j] * w(b, 0, g);
        if (has_bias(dw, b)) dP.rowwise() += dw(bias(b), j, 0).row(g);
        if (turns(b)) rotary_.turn(tile(dP));
      }
    for (Index h = 0; h < H; ++h) {
      const Index jh = j * H + h, g = of(kK, h), jg = j * count(kK) + g;
      // dA = DA [dQ, dK],  dR = dA V + A dV
      for (Index i = 0; dR_moves && i < B; ++i) {
        auto dR = tangent[kO].slice(jh, i * n, n);
        dR.setZero();
        if (dA_moves) {
          auto dA = tangent[kA][jh * B + i];
          kernel_->tangent(value[kQ].slice(h, i * n, n), value[kK].slice(g, i * n, n), value[kA][h * B + i],
                           tangent[kQ].slice(jh, i * n, n), tangent[kK].slice(jg, i * n, n), dA);
          dR.noalias() += dA * value[kV].slice(g, i * n, n);
        }
        if (!tangent[kV].empty()) dR.noalias() += value[kA][h * B + i] * tangent[kV].slice(jg, i * n, n);
      }
      // dF = sum_h dR W_O + R dW_O + 1 db_O
      if (dR_moves) dy[j].noalias() += tangent[kO][jh] * w(kO, 0, h);
      if (dw.has(kO)) dy[j].noalias() += value[kO][h] * dw(kO, j, h);
    }
    if (has_bias(dw, kO)) dy[j].rowwise() += dw(bias(kO), j, 0).row(0);
  }
}

template <class S>
void PlainAttention<S>::adjoint(BlockView<const S> w, const Saved<S>& value, BatchView<const S> ybar,
                                Saved<S>& adjoint, BlockView<S> wbar, Batch<S>* xbar) const {
  const BatchView<const S> x = value.input;
  const Index n = this->input().tokens, B = x.rows() / n, H = heads_, k = ybar.count();
  const bool want_QK = wbar.has(kQ) || wbar.has(kK) || has_bias(wbar, kQ) || has_bias(wbar, kK) || xbar;
  adjoint.input = ybar;
  adjoint.values.resize(kSaved);
  for (const AttentionBlock b : {kQ, kK, kV, kO}) adjoint[b].resize_zero(k * count(b), B * n, head_dim_);
  resize(adjoint, kA, want_QK, k * H * B, n, n);
  if (xbar) xbar->resize_zero(k, B * n, x.cols());
  Matrix<S> Kbar(n, head_dim_);

  for (Index j = 0; j < k; ++j) {
    if (has_bias(wbar, kO)) wbar(bias(kO), j, 0).row(0) += ybar[j].colwise().sum();
    for (Index h = 0; h < H; ++h) {
      const Index jh = j * H + h, g = of(kK, h), jg = j * count(kK) + g;
      // W_Obar = R^T Fbar,  Rbar = Fbar W_O^T
      if (wbar.has(kO)) wbar(kO, j, h).noalias() += value[kO][h].transpose() * ybar[j];
      adjoint[kO][jh].noalias() = ybar[j] * w(kO, 0, h).transpose();
      // Vbar = sum A^T Rbar,  Abar = Rbar V^T,  (Qbar, Kbar) = sum DA^T Abar, over the heads that share V and
      // K
      for (Index i = 0; i < B; ++i) {
        const auto A = value[kA][h * B + i];
        const auto Rbar = adjoint[kO].slice(jh, i * n, n);
        adjoint[kV].slice(jg, i * n, n).noalias() += A.transpose() * Rbar;
        if (!want_QK) continue;
        auto Abar = adjoint[kA][jh * B + i];
        Abar.noalias() = Rbar * value[kV].slice(g, i * n, n).transpose();
        kernel_->adjoint(value[kQ].slice(h, i * n, n), value[kK].slice(g, i * n, n), A, Abar,
                         adjoint[kQ].slice(jh, i * n, n), Kbar);
        adjoint[kK].slice(jg, i * n, n) += Kbar;
      }
    }
    // turned back;  W_Qbar = X^T Qbar,  b_Qbar = 1^T Qbar,  Xbar = sum Qbar W_Q^T, and so on
    for (const std::size_t b : kProjections)
      for (Index g = 0; g < count(b); ++g) {
        auto Pbar = adjoint[b][j * count(b) + g];
        if (turns(b)) rotary_.turn_back(tile(Pbar));
        if (wbar.has(b)) wbar(b, j, g).noalias() += x[0].transpose() * Pbar;
        if (has_bias(wbar, b)) wbar(bias(b), j, 0).row(g) += Pbar.colwise().sum();
        if (xbar) (*xbar)[j].noalias() += Pbar * w(b, 0, g).transpose();
      }
  }
}

template <class S>
void PlainAttention<S>::tangent_of_adjoint(BlockView<const S> w, const Saved<S>& value,
                                           const Saved<S>& adjoint, Saved<S>& tangent, BlockView<const S> dw,
                                           BatchView<const S> dybar, BlockView<S> dwbar,
                                           Batch<S>* dxbar) const {
  const BatchView<const S> x = value.input, ybar = adjoint.input, dx = tangent.input;
  const Index n = this->input().tokens, B = x.rows() / n, H = heads_, k = dybar.count();
  const bool want_QK = dwbar.has(kQ) || dwbar.has(kK) || has_bias(dwbar, kQ) || has_bias(dwbar, kK) || dxbar;
  if (dxbar) dxbar->resize_zero(k, B * n, x.cols());
  std::array<Batch<S>, 3> dPbar;  // dQbar, dKbar, dVbar of all heads
  Matrix<S> dRbar(B * n, head_dim_), dAbar(n, n), dKbar(n, head_dim_);

  for (Index j = 0; j < k; ++j) {
    if (has_bias(dwbar, kO)) dwbar(bias(kO), j, 0).row(0) += dybar[j].colwise().sum();
    for (const std::size_t b : kProjections) dPbar[b].resize_zero(count(b), B * n, head_dim_);
    for (Index h = 0; h < H; ++h) {
      const Index jh = j * H + h, g = of(kK, h), jg = j * count(kK) + g;
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
        // dVbar = sum dA^T Rbar + A^T dRbar
        auto dVbar = dPbar[kV].slice(g, i * n, n);
        dVbar.noalias() += A.transpose() * dRbar_i;
        if (dA.size() > 0) dVbar.noalias() += dA.transpose() * Rbar;
        if (!want_QK) continue;
        // dAbar = dRbar V^T + Rbar dV^T,  (dQbar, dKbar) = the tangent of DA^T Abar
        dAbar.noalias() = dRbar_i * value[kV].slice(g, i * n, n).transpose();
        if (!tangent[kV].empty()) dAbar.noalias() += Rbar * tangent[kV].slice(jg, i * n, n).transpose();
        kernel_->tangent_of_adjoint(value[kQ].slice(h, i * n, n), value[kK].slice(g, i * n, n), A,
                                    adjoint[kA][h * B + i], tangent[kQ].slice(jh, i * n, n),
                                    tangent[kK].slice(jg, i * n, n), dA, dAbar, dPbar[kQ].slice(h, i * n, n),
                                    dKbar);
        dPbar[kK].slice(g, i * n, n) += dKbar;
      }
    }
    // turned back;  dW_Qbar = dX^T Qbar + X^T dQbar,  db_Qbar = 1^T dQbar,  dXbar = dQbar W_Q^T + Qbar
    // dW_Q^T, and so on
    for (const std::size_t b : kProjections)
      for (Index g = 0; g < count(b); ++g) {
        auto dP = dPbar[b][g];
        if (turns(b)) rotary_.turn_back(tile(dP));
        if (dwbar.has(b)) {
          dwbar(b, j, g).noalias() += x[0].transpose() * dP;
          if (!dx.empty()) dwbar(b, j, g).noalias() += dx[j].transpose() * adjoint[b][g];
        }
        if (has_bias(dwbar, b)) dwbar(bias(b), j, 0).row(g) += dP.colwise().sum();
        if (dxbar) {
          (*dxbar)[j].noalias() += dP * w(b, 0, g).transpose();
          if (dw.has(b)) (*dxbar)[j].noalias() += adjoint[b][g] * dw(b, j, g).transpose();
        }
      }
  }
}

template <class S>
std::unique_ptr<const Layer<S>> make_plain_attention(const AttentionSpec& spec) {
  check_sizes(spec);
  std::shared_ptr<const AttentionKernel<S>> kernel;
  if (spec.kernel == KernelKind::softmax)
    kernel = std::make_shared<SoftmaxKernel<S>>(spec.head_dim);
  else
    kernel = std::make_shared<GaussianKernel<S>>(static_cast<S>(spec.sigma()));
  return std::make_unique<PlainAttention<S>>(Shape{spec.tokens, spec.embedding}, spec.heads, spec.head_dim,
                                             spec.outputs, kernel, spec.options);
}

std::shared_ptr<const Model<double>> make_plain_attention_model(const AttentionSpec& spec,
                                                                const std::vector<std::string>& trainable) {
  return std::make_shared<const Model<double>>(single_attention(spec), make_plain_attention<double>(spec),
                                               std::make_unique<SquaredLoss<double>>(), trainable);
}

template class PlainAttention<double>;
template class PlainAttention<long double>;
template std::unique_ptr<const Layer<double>> make_plain_attention(const AttentionSpec&);
template std::unique_ptr<const Layer<long double>> make_plain_attention(const AttentionSpec&);

}  // namespace basin::test
