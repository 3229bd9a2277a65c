#include "model/tiled_attention.h"

#include <array>

#include "linalg/errors.h"
#include "linalg/simd.h"

namespace basin {
namespace {

// The parameter blocks, and what the rules save under the same numbers, for k vectors and B samples:
//   saved[kQ], [kK]   Q, K = X W     batch j H + h, B n x d, rows row_step(d) apart
//   saved[kV]         V = X W_V      batch j H + h, B n x e
// `value` saves these themselves, `tangent` their tangents, `adjoint` their adjoints if xbar is wanted. For
// each sample and head, one below the other, `value` and `tangent` add:
//   saved[kQt]        Q^T            batch j, d rows of row_step(n) numbers
//   saved[kNorms]     norms          batch j, a row for queries and one for keys (kernels that have them)
// and `value`, when it pays:
//   saved[kX]         X with its rows row_step(D) apart
constexpr std::size_t kQ = 0, kK = 1, kV = 2, kQt = 3, kNorms = 4, kX = 5, kSaved = 6;
constexpr std::array<std::size_t, 3> kProjections = {kQ, kK, kV};

// Numbers in one array of the tiles of all heads. With the four such arrays of a Hessian product and the keys
// and values beside them, a visit stays within a second-level cache of 2 MB.
constexpr Index kTileNumbers = 34000;

/// Working memory of a thread, kept from call to call: nothing is allocated in the long run.
template <class S>
struct Scratch {
  Batch<S> a, c, zbar, da;    // per head: weights, c and zbar of TileKernel, tangents of weights
  Batch<S> dabar;             // of one head: adjoints of weights, then of scores
  Batch<S> dy, fbar, dfbar;   // rows of outputs and their adjoints, in whole packs
  Batch<S> fbar_t, dfbar_t;   // the transposes of the last two
  Saved<S> bar;               // adjoints of Q, K and V
  Batch<S> transposed;        // of weights
};

template <class S>
Scratch<S>& scratch() {
  thread_local Scratch<S> memory;
  return memory;
}

/// A tile: `rows` tokens of a sample from `first`, as queries against all of its tokens.
struct Place {
  Index sample, first, rows;
};

/// Where the numbers of a tile and a head stand.
template <class S>
struct Layout {
  Index n, H, d, e, outputs;
  Heads combine;

  Index width(std::size_t b) const { return b == kV ? e : d; }
  void resize(Saved<S>& saved, std::size_t b, Index count, Index rows) const {
    saved[b].resize(count * H, rows, row_step<S>(width(b)));
  }
  /// saved[b] of vector j and head h, a projection: all samples. Empty if it is zero.
  template <class SavedType>
  auto projection(SavedType& saved, std::size_t b, Index j, Index h) const {
    return tile(saved[b][j * H + h]).middle_cols(0, width(b));
  }
  /// The columns of a parameter block that belong to head h.
  template <class T>
  Tile<T> columns(Tile<T> W, std::size_t b, Index h) const {
    return W.middle_cols(h * width(b), width(b));
  }

  Index output_width() const { return combine == Heads::summed ? e : H * e; }
  /// All tiles of a sample about equal, in whole packs where there is more than one.
  Index tile_rows() const {
    const Index tiles = (H * n * n + kTileNumbers - 1) / kTileNumbers;
    return std::min(n, padded<S>((n + tiles - 1) / tiles));
  }
  template <class Body>
  void for_tiles(Index samples, const Body& body) const {
    const Index rows = tile_rows();
    for (Index i = 0; i < samples; ++i)
      for (Index t = 0; t < n; t += rows) body(Place{i, t, std::min(rows, n - t)});
  }
  Index first_row(const Place& p) const { return p.sample * n + p.first; }

  /// The same for one sample.
  template <class SavedType>
  auto head(SavedType& saved, std::size_t b, Index j, Index sample, Index h) const {
    if (b == kQ || b == kK || b == kV) return projection(saved, b, j, h).middle_rows(sample * n, n);
    const Index rows = b == kQt ? d : 2;
    return tile(saved[b][j]).middle_rows((sample * H + h) * rows, rows).middle_cols(0, padded<S>(n));
  }
  Scores<S> scores(const Saved<S>& saved, Index j, const Place& p, Index h) const {
    const Tile<const S> norms = head(saved, kNorms, j, p.sample, h);
    return {head(saved, kQ, j, p.sample, h).middle_rows(p.first, p.rows),
            head(saved, kQt, j, p.sample, h).middle_cols(p.first, padded<S>(p.rows)),
            head(saved, kK, j, p.sample, h), norms.empty() ? nullptr : norms.row(0) + p.first,
            norms.empty() ? nullptr : norms.row(1)};
  }

  /// Arrays of the size of a tile, transposed: a row for each key.
  Tile<S> weights(Batch<S>& arrays, const Place& p, Index h) const {
    return tile(arrays[h]).middle_cols(0, padded<S>(p.rows));
  }
  void resize_tiles(Batch<S>& arrays, Index count) const { arrays.resize(count, n, padded<S>(tile_rows())); }
  Tile<S> output_rows(Batch<S>& memory, const Place& p) const {
    memory.resize(1, tile_rows(), output_width());
    return tile(memory[0]).middle_rows(0, p.rows);
  }
  template <class T>
  Tile<T> output_columns(Tile<T> rows, Index h) const {
    return rows.middle_cols(combine == Heads::summed ? 0 : h * e, e);
  }
  /// Copies rows of outputs into whole packs, zero beyond the outputs.
  Tile<const S> read_outputs(BatchView<const S> y, Index j, const Place& p, Batch<S>& memory) const {
    const Tile<S> to = output_rows(memory, p);
    const auto from = y.slice(j, first_row(p), p.rows);
    for (Index t = 0; t < p.rows; ++t) {
      std::copy_n(from.row(t).data(), outputs, to.row(t));
      std::fill(to.row(t) + outputs, to.row(t) + to.cols, S(0));
    }
    return to;
  }
  /// Their transpose, zero beyond the rows of the tile.
  Tile<const S> transposed_outputs(Tile<const S> rows, Batch<S>& memory) const {
    memory.resize(1, rows.cols, padded<S>(tile_rows()));
    const Tile<S> to = tile(memory[0]).middle_cols(0, padded<S>(rows.rows));
    transpose(rows, to);
    return to;
  }
  /// The rows of such a transpose that belong to head h.
  Tile<const S> output_columns_transposed(Tile<const S> columns, Index h) const {
    return columns.middle_rows(combine == Heads::summed ? 0 : h * e, e);
  }
  void write_outputs(Tile<const S> from, Batch<S>& y, Index j, const Place& p) const {
    auto to = y.slice(j, first_row(p), p.rows);
    for (Index t = 0; t < p.rows; ++t) std::copy_n(from.row(t), outputs, to.row(t).data());
  }
};

}  // namespace

/// One call of a rule: the layout, the kernel and the point.
template <class S>
struct TiledAttention<S>::Pass {
  const Layout<S> at;
  const TileKernel<S>& kernel;
  Scratch<S>& memory = scratch<S>();

  // ---- between inputs and queries, keys, values: products over all tokens of the chunk --------------------

  /// Q, K, V = X W
  void project(BlockView<const S> w, BatchView<const S> x, Saved<S>& value) const {
    const Index samples = x.rows() / at.n, D = x.cols();
    value.input = x;
    value.values.resize(kSaved);
    for (const std::size_t b : kProjections) {
      at.resize(value, b, 1, x.rows());
      for (Index h = 0; h < at.H; ++h)
        sum_of_products<S>({{tile(x[0]), at.columns(tile(w(b, 0, 0)), b, h)}}, at.projection(value, b, 0, h));
    }
    prepare(samples, value, nullptr);
    if (row_step<S>(D) != D) {
      value[kX].resize(1, x.rows(), row_step<S>(D));
      value[kX][0].leftCols(D) = x[0];
    }
  }

  /// dQ = X dW_Q + dX W_Q, and so on
  void project_tangent(BlockView<const S> w, const Saved<S>& value, BatchView<const S> dx,
                       BlockView<const S> dw, Saved<S>& tangent) const {
    const BatchView<const S> x = value.input;
    tangent.input = dx;
    tangent.values.resize(kSaved);
    for (const std::size_t b : kProjections) {
      tangent[b].clear();
      if (dx.empty() && !dw.has(b)) continue;
      at.resize(tangent, b, dw.count(), x.rows());
      for (Index j = 0; j < dw.count(); ++j)
        for (Index h = 0; h < at.H; ++h)
          sum_of_products<S>(
              {{tile(x[0]), dw.has(b) ? at.columns(tile(dw(b, j, 0)), b, h) : Tile<const S>{}},
               {dx.empty() ? Tile<const S>{} : tile(dx[j]), at.columns(tile(w(b, 0, 0)), b, h)}},
              at.projection(tangent, b, j, h));
    }
    prepare(x.rows() / at.n, tangent, &value);
  }

  /// What follows the projections: the kernel's own preparation, and the transpose. `point`: for tangents.
  void prepare(Index samples, Saved<S>& saved, const Saved<S>* point) const {
    const Index count = std::max(saved[kQ].count(), saved[kK].count()) / at.H;
    saved[kNorms].clear();
    if (kernel.has_norms() && count > 0) {
      saved[kNorms].resize_zero(count, samples * at.H * 2, row_step<S>(at.n));
      for (Index j = 0; j < count; ++j)
        for (Index i = 0; i < samples; ++i)
          for (Index h = 0; h < at.H; ++h) {
            const Tile<S> q = at.head(saved, kQ, j, i, h), k = at.head(saved, kK, j, i, h);
            const Tile<S> norms = at.head(saved, kNorms, j, i, h);
            if (point)
              kernel.prepare_tangent(at.head(*point, kQ, 0, i, h), at.head(*point, kK, 0, i, h), q, k,
                                     norms.row(0), norms.row(1));
            else
              kernel.prepare(q, k, norms.row(0), norms.row(1));
          }
    }
    const Index transposed = saved[kQ].count() / at.H;
    saved[kQt].resize(transposed, samples * at.H * at.d, row_step<S>(at.n));
    for (Index j = 0; j < transposed; ++j)
      for (Index i = 0; i < samples; ++i)
        for (Index h = 0; h < at.H; ++h)
          transpose<S>(at.head(saved, kQ, j, i, h), at.head(saved, kQt, j, i, h));
  }

  /// Makes room for the adjoints of those projections that are wanted.
  void resize_adjoints(Index count, Index rows, bool want_QK, bool want_V, Saved<S>& bar) const {
    bar.values.resize(kSaved);
    for (const std::size_t b : kProjections) {
      bar[b].clear();
      if (b == kV ? want_V : want_QK) at.resize(bar, b, count, rows);
    }
  }

  /// Wbar += X^T Qbar,  Xbar = sum Qbar W^T; with the tangents, the product rule on both:
  /// dWbar += X^T dQbar + dX^T Qbar,  dXbar = sum dQbar W^T + Qbar dW^T
  void project_adjoint(BlockView<const S> w, const Saved<S>& value, const Saved<S>& bar, BlockView<S> wbar,
                       Batch<S>* xbar, BatchView<const S> dx = {}, const BlockView<const S>* dw = nullptr,
                       const Saved<S>* point_bar = nullptr) const {
    const BatchView<const S> x = value.input;
    const Tile<const S> X = tile((value[kX].empty() ? x : value[kX].view())[0]).middle_cols(0, x.cols());
    if (xbar) xbar->resize_zero(wbar.count(), x.rows(), x.cols());
    for (Index j = 0; j < wbar.count(); ++j)
      for (const std::size_t b : kProjections)
        for (Index h = 0; h < at.H && !bar[b].empty(); ++h) {
          const Tile<const S> Pbar = at.projection(bar, b, j, h);
          const Tile<const S> point_Pbar =
              point_bar && !point_bar->values.empty() ? at.projection(*point_bar, b, 0, h) : Tile<const S>{};
          if (wbar.has(b))
            sum_of_products<S>(
                {{X.transpose(), Pbar}, {dx.empty() ? Tile<const S>{} : tile(dx[j]).transpose(), point_Pbar}},
                at.columns(tile(wbar(b, j, 0)), b, h), true);
          if (!xbar) continue;
          add_times_transpose(Pbar, at.columns(tile(w(b, 0, 0)), b, h), tile((*xbar)[j]));
          if (dw && dw->has(b))
            add_times_transpose(point_Pbar, at.columns(tile((*dw)(b, j, 0)), b, h), tile((*xbar)[j]));
        }
  }

  /// out += left W^T
  void add_times_transpose(Tile<const S> left, Tile<const S> W, Tile<S> out) const {
    memory.transposed.resize(1, W.cols, padded<S>(W.rows));
    transpose<S>(W, tile(memory.transposed[0]));
    sum_of_products<S>({{left, tile(memory.transposed[0])}}, out, true);
  }

  // ---- one tile -------------------------------------------------------------------------------------------

  /// A for all heads.
  void weights(const Saved<S>& value, const Place& p) const {
    at.resize_tiles(memory.a, at.H);
    for (Index h = 0; h < at.H; ++h)
      kernel.value(at.scores(value, 0, p, h), at.weights(memory.a, p, h));
  }

  /// F = sum_h A V
  void outputs(const Saved<S>& value, const Place& p, Batch<S>& y) const {
    const Tile<S> rows = at.output_rows(memory.dy, p);
    for (Index h = 0; h < at.H; ++h)
      sum_of_products<S>({{queries(memory.a, p, h).transpose(), at.head(value, kV, 0, p.sample, h)}},
                         at.output_columns(rows, h), at.combine == Heads::summed && h > 0);
    at.write_outputs(rows, y, 0, p);
  }

  /// Vbar = A^T Fbar,  Abar = Fbar V^T,  (Qbar, Kbar) = DA^T Abar; c and zbar are left in memory.
  /// The first tile of a sample sets the adjoints of keys and values, the others add to them.
  void back(const Saved<S>& value, const Place& p, Tile<const S> fbar, Index j, Saved<S>* bar,
            bool want_QK) const {
    at.resize_tiles(memory.c, at.H);
    at.resize_tiles(memory.zbar, at.H);
    const Tile<const S> fbar_t = at.transposed_outputs(fbar, memory.fbar_t);
    for (Index h = 0; h < at.H; ++h) {
      if (bar && !(*bar)[kV].empty())
        sum_of_products<S>({{queries(memory.a, p, h), at.output_columns(fbar, h)}},
                           at.head(*bar, kV, j, p.sample, h), p.first > 0);
      if (!want_QK) continue;
      const Tile<S> c = at.weights(memory.c, p, h), zbar = at.weights(memory.zbar, p, h);
      sum_of_products<S>({{at.head(value, kV, 0, p.sample, h), at.output_columns_transposed(fbar_t, h)}}, c);
      kernel.adjoint(at.weights(memory.a, p, h), c, zbar);
      if (bar)
        kernel.pull(at.scores(value, 0, p, h), zbar,
                    at.head(*bar, kQ, j, p.sample, h).middle_rows(p.first, p.rows),
                    at.head(*bar, kK, j, p.sample, h), p.first > 0);
    }
  }

  /// dA for all heads; empty if the scores do not move.
  void weights_tangent(const Saved<S>& value, const Saved<S>& tangent, const Place& p, Index j) const {
    at.resize_tiles(memory.da, at.H);
    if (tangent[kQ].empty() && tangent[kK].empty()) return memory.da.clear();
    for (Index h = 0; h < at.H; ++h)
      kernel.tangent(at.scores(value, 0, p, h), at.scores(tangent, j, p, h), at.weights(memory.a, p, h),
                     at.weights(memory.da, p, h));
  }

  /// dF = sum_h dA V + A dV
  void outputs_tangent(const Saved<S>& value, const Saved<S>& tangent, const Place& p, Index j,
                       Batch<S>& dy) const {
    const Tile<S> rows = at.output_rows(memory.dy, p);
    for (Index h = 0; h < at.H; ++h)
      sum_of_products<S>({{queries(memory.da, p, h).transpose(), at.head(value, kV, 0, p.sample, h)},
                          {queries(memory.a, p, h).transpose(), at.head(tangent, kV, j, p.sample, h)}},
                         at.output_columns(rows, h), at.combine == Heads::summed && h > 0);
    at.write_outputs(rows, dy, j, p);
  }

  /// dVbar = dA^T Fbar + A^T dFbar,  dAbar = dFbar V^T + Fbar dV^T,  (dQbar, dKbar) = the tangent of DA^T Abar;
  /// needs what `weights`, `weights_tangent` and `back` leave in memory.
  void back_tangent(const Saved<S>& value, const Saved<S>& tangent, const Place& p, Tile<const S> fbar,
                    Tile<const S> dfbar, Index j, Saved<S>& dbar) const {
    at.resize_tiles(memory.dabar, 1);
    const Tile<const S> fbar_t = tile(memory.fbar_t[0]);
    const Tile<const S> dfbar_t = at.transposed_outputs(dfbar, memory.dfbar_t);
    for (Index h = 0; h < at.H; ++h) {
      if (!dbar[kV].empty())
        sum_of_products<S>({{queries(memory.da, p, h), at.output_columns(fbar, h)},
                            {queries(memory.a, p, h), at.output_columns(dfbar, h)}},
                           at.head(dbar, kV, j, p.sample, h), p.first > 0);
      if (dbar[kQ].empty()) continue;
      const Tile<S> dabar = at.weights(memory.dabar, p, 0);
      sum_of_products<S>(
          {{at.head(value, kV, 0, p.sample, h), at.output_columns_transposed(dfbar_t, h)},
           {at.head(tangent, kV, j, p.sample, h), at.output_columns_transposed(fbar_t, h)}},
          dabar);
      kernel.tangent_of_adjoint(at.weights(memory.a, p, h), at.weights(memory.c, p, h),
                                at.weights(memory.da, p, h), dabar);
      kernel.pull_tangent(at.scores(value, 0, p, h), at.scores(tangent, j, p, h),
                          at.weights(memory.zbar, p, h), dabar,
                          at.head(dbar, kQ, j, p.sample, h).middle_rows(p.first, p.rows),
                          at.head(dbar, kK, j, p.sample, h), p.first > 0);
    }
  }

  // ---- all tiles of a second-order product ----------------------------------------------------------------

  /// The tangent of the adjoint rule. `turn(place, j)` makes dybar ready once dA of a tile is in memory.
  template <class Turn>
  void second_order(BlockView<const S> w, const Saved<S>& value, const Saved<S>& adjoint,
                    const Saved<S>& tangent, BlockView<const S> dw, BatchView<const S> dybar,
                    BlockView<S> dwbar, Batch<S>* dxbar, const Turn& turn) const {
    const Index rows = value.input.rows();
    const bool want_QK = dwbar.has(kQ) || dwbar.has(kK) || dxbar;
    Saved<S>& dbar = memory.bar;
    resize_adjoints(dw.count(), rows, want_QK, dwbar.has(kV) || dxbar, dbar);
    at.for_tiles(rows / at.n, [&](const Place& p) {
      const Tile<const S> fbar = at.read_outputs(adjoint.input, 0, p, memory.fbar);
      weights(value, p);
      back(value, p, fbar, 0, nullptr, want_QK);
      for (Index j = 0; j < dw.count(); ++j) {
        weights_tangent(value, tangent, p, j);
        turn(p, j);
        back_tangent(value, tangent, p, fbar, at.read_outputs(dybar, j, p, memory.dfbar), j, dbar);
      }
    });
    project_adjoint(w, value, dbar, dwbar, dxbar, tangent.input, &dw, &adjoint);
  }

  /// Where the adjoints of Q, K and V go: they are kept only for an input that moves.
  Saved<S>& adjoints(BatchView<const S> ybar, bool keep, Saved<S>& adjoint) const {
    adjoint.input = ybar;
    if (keep) return adjoint;
    adjoint.values.clear();
    return memory.bar;
  }

 private:
  /// The tile of head h without the lanes beyond its queries: n x r. Empty if the array is.
  Tile<const S> queries(Batch<S>& arrays, const Place& p, Index h) const {
    return at.weights(arrays, p, h).middle_cols(0, p.rows);
  }
};

template <class S>
TiledAttention<S>::TiledAttention(Shape input, Index heads, Index head_dim, Index value_dim, Heads combine,
                                  Index outputs, std::unique_ptr<const TileKernel<S>> kernel)
    : Layer<S>(input, {input.tokens, outputs}),
      heads_(heads),
      head_dim_(head_dim),
      value_dim_(value_dim),
      combine_(combine),
      kernel_(std::move(kernel)) {
  if (input.tokens < 1 || input.width < 1 || heads < 1 || head_dim < 1 || outputs < 1)
    throw InputError(
        "attention: tokens n, embedding dimension D, heads H, head dimension d and outputs D_out must all be "
        "at least 1");
  const Index width = combine == Heads::summed ? value_dim : heads * value_dim;
  if (combine == Heads::summed ? outputs > width : outputs != width)
    throw InputError("attention: " + std::to_string(outputs) + " outputs from values of width " +
                     std::to_string(width));
}

template <class S>
std::vector<ParameterBlock> TiledAttention<S>::blocks() const {
  const Index D = this->input().width;
  const Index qk = row_step<S>(heads_ * head_dim_), v = row_step<S>(heads_ * value_dim_);
  return {{"W_Q", {D, qk}}, {"W_K", {D, qk}}, {"W_V", {D, v}}};
}

template <class S>
auto TiledAttention<S>::pass() const -> Pass {
  return {{this->input().tokens, heads_, head_dim_, value_dim_, this->output().width, combine_}, *kernel_};
}

template <class S>
void TiledAttention<S>::value(BlockView<const S> w, BatchView<const S> x, Saved<S>& value, Batch<S>& y) const {
  const Pass pass = this->pass();
  pass.project(w, x, value);
  y.resize(1, x.rows(), this->output().width);
  pass.at.for_tiles(x.rows() / pass.at.n, [&](const Place& p) {
    pass.weights(value, p);
    pass.outputs(value, p, y);
  });
}

template <class S>
void TiledAttention<S>::gradient(BlockView<const S> w, BatchView<const S> x, const RowRule<S>& loss_gradient,
                                 Saved<S>& value, Batch<S>& y, Batch<S>& ybar, Saved<S>& adjoint,
                                 BlockView<S> wbar, Batch<S>* xbar) const {
  const Pass pass = this->pass();
  const bool want_QK = wbar.has(kQ) || wbar.has(kK) || xbar;
  pass.project(w, x, value);
  y.resize(1, x.rows(), this->output().width);
  ybar.resize(1, x.rows(), this->output().width);
  Saved<S>& bar = pass.adjoints(ybar.view(), xbar, adjoint);
  pass.resize_adjoints(1, x.rows(), want_QK, wbar.has(kV) || xbar, bar);
  pass.at.for_tiles(x.rows() / pass.at.n, [&](const Place& p) {
    pass.weights(value, p);
    pass.outputs(value, p, y);
    const Index row = pass.at.first_row(p);
    loss_gradient(0, row, y.slice(0, row, p.rows), ybar.slice(0, row, p.rows));
    pass.back(value, p, pass.at.read_outputs(ybar.view(), 0, p, pass.memory.fbar), 0, &bar, want_QK);
  });
  pass.project_adjoint(w, value, bar, wbar, xbar);
}

template <class S>
void TiledAttention<S>::tangent(BlockView<const S> w, const Saved<S>& value, BatchView<const S> dx,
                                BlockView<const S> dw, Saved<S>& tangent, Batch<S>& dy) const {
  const Pass pass = this->pass();
  const Index rows = value.input.rows();
  pass.project_tangent(w, value, dx, dw, tangent);
  dy.resize(dw.count(), rows, this->output().width);
  pass.at.for_tiles(rows / pass.at.n, [&](const Place& p) {
    pass.weights(value, p);
    for (Index j = 0; j < dw.count(); ++j) {
      pass.weights_tangent(value, tangent, p, j);
      pass.outputs_tangent(value, tangent, p, j, dy);
    }
  });
}

template <class S>
void TiledAttention<S>::adjoint(BlockView<const S> w, const Saved<S>& value, BatchView<const S> ybar,
                                Saved<S>& adjoint, BlockView<S> wbar, Batch<S>* xbar) const {
  const Pass pass = this->pass();
  const Index rows = value.input.rows();
  const bool want_QK = wbar.has(kQ) || wbar.has(kK) || xbar;
  Saved<S>& bar = pass.adjoints(ybar, xbar, adjoint);
  pass.resize_adjoints(ybar.count(), rows, want_QK, wbar.has(kV) || xbar, bar);
  pass.at.for_tiles(rows / pass.at.n, [&](const Place& p) {
    pass.weights(value, p);
    for (Index j = 0; j < ybar.count(); ++j)
      pass.back(value, p, pass.at.read_outputs(ybar, j, p, pass.memory.fbar), j, &bar, want_QK);
  });
  pass.project_adjoint(w, value, bar, wbar, xbar);
}

template <class S>
void TiledAttention<S>::tangent_of_adjoint(BlockView<const S> w, const Saved<S>& value,
                                           const Saved<S>& adjoint, const Saved<S>& tangent,
                                           BlockView<const S> dw, BatchView<const S> dybar,
                                           BlockView<S> dwbar, Batch<S>* dxbar) const {
  pass().second_order(w, value, adjoint, tangent, dw, dybar, dwbar, dxbar, [](const Place&, Index) {});
}

template <class S>
void TiledAttention<S>::hessian(BlockView<const S> w, const Saved<S>& value, const Saved<S>& adjoint,
                                BatchView<const S> dx, BlockView<const S> dw,
                                const RowRule<S>& loss_curvature, Saved<S>& tangent, Batch<S>& dy,
                                Batch<S>& dybar, BlockView<S> dwbar, Batch<S>* dxbar) const {
  const Pass pass = this->pass();
  pass.project_tangent(w, value, dx, dw, tangent);
  dy.resize(dw.count(), value.input.rows(), this->output().width);
  dybar.resize(dw.count(), value.input.rows(), this->output().width);
  pass.second_order(w, value, adjoint, tangent, dw, dybar.view(), dwbar, dxbar, [&](const Place& p, Index j) {
    pass.outputs_tangent(value, tangent, p, j, dy);
    const Index row = pass.at.first_row(p);
    loss_curvature(j, row, dy.slice(j, row, p.rows), dybar.slice(j, row, p.rows));
  });
}

template class TiledAttention<double>;
template class TiledAttention<float>;

}  // namespace basin
