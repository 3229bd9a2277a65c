#include "basin/curvature/network_symmetries.h"

#include <algorithm>
#include <array>
#include <cmath>

#include "basin/curvature/added_tables.h"
#include "basin/curvature/network_generators.h"
#include "basin/curvature/tangent_projector.h"
#include "basin/curvature/tangent_system.h"
#include "basin/curvature/visibility.h"
#include "basin/linalg/errors.h"
#include "basin/network/layer_types.h"

namespace basin {
namespace {

/// Groups of unknowns, in the order in which families are counted.
enum Group { kUnseen, kTables, kKeys, kScores, kValues, kHidden, kNorms, kStream, kGroups };
constexpr std::array<const char*, kGroups> kNames = {
    "not seen",     "shift between tables", "key bias",       "query-key gauge", "value-output gauge",
    "hidden units", "norm and its readers", "residual stream"};

/// The equations of one network at one point.
class Equations {
 public:
  explicit Equations(const Visibility& visibility)
      : seen_(visibility), point_(visibility.point()), graph_(visibility.graph()) {
    system_.unknown(1, point_.theta_size(), kUnseen);
    groups_of_edges();
    for (std::size_t e = 0; e < graph_.edges.size(); ++e) {
      const Index D = graph_.edges[e].shape.width;
      changes_.push_back(e == 0 ? UnknownMatrix{-1, D + 1, D} : system_.unknown(D + 1, D, groups_[e]));
    }
    for (AddedTables& tables : added_tables(seen_, [](const WeightSlice&) { return true; })) {
      passed_.push_back(system_.unknown(tables.kernel.cols(), tables.tables.front().cols, kTables));
      added_tables_.push_back(std::move(tables));
    }
    for (const GraphStep& step : graph_.steps) write(step);
    const Index D = edge(graph_.output).shape.width, first = system_.equations(D + 1, D);
    system_.add(first, identity(D + 1), change(graph_.output), identity(D));
    free(first, graph_.output, D);
  }

  const TangentSystem& system() const { return system_; }

 private:
  const GraphEdge& edge(Index e) const { return seen_.edge(e); }
  const UnknownMatrix& change(Index e) const { return changes_[static_cast<std::size_t>(e)]; }
  const Dense& unseen(Index e) const { return seen_.unseen(e); }
  const Dense& annihilating(Index e) const { return seen_.annihilating(e); }
  const ParameterLayout::Entry* find(const GraphStep& step, const std::string& name) const {
    return seen_.find(step, name);
  }
  Dense value(const ParameterLayout::Entry* e, Index rows, Index cols, Index h = 0, double absent = 0) const {
    return seen_.value(e, rows, cols, h, absent);
  }
  static UnknownMatrix moved(const ParameterLayout::Entry* e, Index rows, Index cols, Index h = 0,
                             bool transposed = false) {
    if (e == nullptr || !e->trainable()) return {-1, rows, cols};
    return {e->theta_offset + h * rows * cols, rows, cols, transposed};
  }

  /// Adds to equations for (width + 1) x cols, or `rows` of them, what is free: columns N on the left,
  /// directions U on the right.
  void free(Index first, const Dense& N, const Dense& U, Index rows, Index cols) {
    if (N.cols() > 0) system_.add(first, N, system_.unknown(N.cols(), cols, kUnseen), identity(cols));
    if (U.cols() > 0)
      system_.add(first, identity(rows), system_.unknown(rows, U.cols(), kUnseen), U.transpose());
  }
  void free(Index first, Index e, Index cols) {
    free(first, annihilating(e), unseen(e), edge(e).shape.width + 1, cols);
  }

  /// Which family the change of each edge belongs to: by the steps around it.
  void groups_of_edges() {
    groups_.assign(graph_.edges.size(), kStream);
    for (const GraphStep& step : graph_.steps) {
      const bool hidden = step.kind == GraphStep::Kind::multiply || step.layer.type == "activation";
      if (hidden)
        for (const Index e : step.in) groups_[static_cast<std::size_t>(e)] = kHidden;
      if (hidden) groups_[static_cast<std::size_t>(step.out)] = kHidden;
      if (step.layer.type.ends_with("norm")) groups_[static_cast<std::size_t>(step.out)] = kNorms;
    }
  }

  void write(const GraphStep& step) {
    if (step.kind == GraphStep::Kind::add) return write_add(step);
    if (step.kind == GraphStep::Kind::multiply) return write_multiply(step);
    const std::string& type = step.layer.type;
    if (type == "linear") return write_linear(step);
    if (type == "layer-norm" || type == "rms-norm") return write_norm(step);
    if (type == "activation") return write_activation(step);
    if (type == "attention") return Attention(*this, step).write();
    if (type == "embedding") return write_embedding(step);
    if (type == "positions") return write_positions(step);
    if (type == "class-token") return write_class_token(step);
    if (type == "pool") return write_same(step, false);
    if (type == "mask-rows") return write_same(step, true);
    write_rigid(step);
  }

  /// The map [x, 1] -> [x W + b, 1] as a matrix.
  static Dense affine(const Dense& W, const Dense& b) {
    Dense T = zero(W.rows() + 1, W.cols() + 1);
    T.topLeftCorner(W.rows(), W.cols()) = W;
    T.bottomLeftCorner(1, W.cols()) = b;
    T(W.rows(), W.cols()) = 1;
    return T;
  }
  static Dense row_of(Index size, Index which) {  // e_which as a column
    Dense e = zero(size, 1);
    e(which, 0) = 1;
    return e;
  }
  /// The first rows of so many.
  static Dense upper(Index rows, Index of) { return Dense(identity(rows).topRows(of)).transpose(); }

  /// in W + [dW; db] - [W 0; b 1] out, in: the change of x, out: that of x W + b.
  void add_affine(Index first, const UnknownMatrix& in, const Dense& W, const UnknownMatrix& dW,
                  const Dense& b, const UnknownMatrix& db, const UnknownMatrix& out) {
    const Index D = W.rows(), O = W.cols();
    system_.add(first, identity(D + 1), in, W);
    system_.add(first, upper(D + 1, D), dW, identity(O));
    system_.add(first, row_of(D + 1, D), db, identity(O));
    system_.add(first, -affine(W, b), out, identity(O));
  }

  void write_linear(const GraphStep& step) {
    const Index in = step.in.front(), D = edge(in).shape.width, O = edge(step.out).shape.width;
    const bool tied = Visibility::is_tied(step);
    const ParameterLayout::Entry *W = find(step, "W"), *b = find(step, "b");
    const Index first = system_.equations(D + 1, O);
    add_affine(first, change(in), seen_.linear_weights(step), moved(W, D, O, 0, tied), value(b, 1, O),
               moved(b, 1, O), change(step.out));
    free(first, annihilating(in), unseen(step.out), D + 1, O);
    if (!behind_relu(step.out)) return;
    // a number before ReLU matters where it is positive alone
    const std::vector<Mask> active = active_rows(step.out);
    for (Index j = 0; j < O; ++j) {
      const Dense N = annihilators(edge(in).x, active[static_cast<std::size_t>(j)]);
      if (N.cols() > annihilating(in).cols())
        system_.add(first, N, system_.unknown(N.cols(), 1, kUnseen), identity(O).row(j));
    }
  }

  /// Whether nothing but a ReLU takes the edge.
  bool behind_relu(Index e) const {
    bool relu = false;
    for (const GraphStep& step : graph_.steps)
      for (const Index in : step.in)
        if (in == e) {
          if (!is_relu(step)) return false;
          relu = true;
        }
    return relu;
  }

  void write_norm(const GraphStep& step) {
    const Index in = step.in.front(), D = edge(in).shape.width;
    const bool centred = step.layer.type == "layer-norm";
    const double epsilon = option<double>(step.layer, "epsilon");
    const Dense Pi =
        centred ? Dense(identity(D) - Dense::Constant(D, D, 1 / static_cast<double>(D))) : identity(D);
    // the change of x as it counts: G = in + N Z
    const Dense& N = annihilating(in);
    const UnknownMatrix Z = system_.unknown(N.cols(), D, kUnseen);
    const auto add = [&](Index first, const Dense& L, const Dense& R) {
      system_.add(first, L, change(in), R);
      if (N.cols() > 0) system_.add(first, L * N, Z, R);
    };
    // Pi A Pi is skew, but for a scale where epsilon is 0
    const UnknownMatrix scale =
        epsilon == 0 ? system_.unknown(1, 1, groups_[static_cast<std::size_t>(in)]) : UnknownMatrix{-1, 1, 1};
    const Index skew = system_.equations(D, D);
    const Dense top = upper(D + 1, D).transpose();
    add(skew, Pi * top, Pi);
    for (Index i = 0; i < D; ++i)
      for (Index j = 0; j < D; ++j) {  // the transpose: entry (i, j) of (Pi A Pi)^T
        const auto transpose = [&](const Dense& L, const UnknownMatrix& X) {
          if (X.first < 0) return;
          for (Index a = 0; a < X.rows; ++a)
            for (Index b = 0; b < D; ++b)
              if (L(j, a) * Pi(b, i) != 0) system_.add(skew + i * D + j, L(j, a) * Pi(b, i), X, a, b);
        };
        transpose(Pi * top, change(in));
        if (N.cols() > 0) transpose(Pi * top * N, Z);
        if (Pi(i, j) != 0) system_.add(skew + i * D + j, -2 * Pi(i, j), scale, 0, 0);
      }
    // nothing that the mean would add, and no shift
    if (centred) add(system_.equations(1, D), Dense::Constant(1, D, 1) * top, Pi);
    add(system_.equations(1, D), row_of(D + 1, D).transpose(), Pi);

    const ParameterLayout::Entry *gain = find(step, "g"), *shift = find(step, "beta");
    const Dense g = value(gain, 1, D, 0, 1), beta = value(shift, 1, D);
    const Index first = system_.equations(D + 1, D);
    const Dense G = g.row(0).asDiagonal();
    add(first, Dense(upper(D + 1, D) * Pi * top), Dense(Pi * G));
    for (Index i = 0; i < D; ++i)
      for (Index j = 0; j < D; ++j)
        if (Pi(i, j) * g(0, j) != 0) system_.add(first + i * D + j, -Pi(i, j) * g(0, j), scale, 0, 0);
    const UnknownMatrix dg = moved(gain, 1, D);
    for (Index i = 0; i < D; ++i) system_.add(first + i * D + i, 1, dg, 0, i);
    system_.add(first, row_of(D + 1, D), moved(shift, 1, D), identity(D));
    system_.add(first, -affine(G, beta), change(step.out), identity(D));
    free(first, annihilators(normalised(edge(in).x, centred, epsilon), edge(in).needed), unseen(step.out),
         D + 1, D);
  }

  static Matrix<double> normalised(Matrix<double> x, bool centred, double epsilon) {
    for (Index row = 0; row < x.rows(); ++row) {
      if (centred) x.row(row).array() -= x.row(row).mean();
      x.row(row) /= std::sqrt(x.row(row).squaredNorm() / static_cast<double>(x.cols()) + epsilon);
    }
    return x;
  }

  /// One entry of the change of an elementwise step, on both of its sides: that of number `to` by number
  /// `from`, or, from = the width, by a constant.
  struct Entry {
    Index from, to;
    UnknownMatrix value;  ///< 1 x 1
  };
  std::vector<Entry> scales(Index width) {
    std::vector<Entry> all;
    for (Index i = 0; i < width; ++i) all.push_back({i, i, system_.unknown(1, 1, kHidden)});
    return all;
  }
  /// The change of the input of something elementwise is these entries alone.
  void write_entries(Index in, const std::vector<Entry>& entries, const Dense& U) {
    const Index D = edge(in).shape.width, first = system_.equations(D + 1, D);
    system_.add(first, identity(D + 1), change(in), identity(D));
    for (const Entry& e : entries) system_.add(first + e.from * D + e.to, -1, e.value, 0, 0);
    free(first, annihilating(in), U, D + 1, D);
  }
  void write_output_entries(Index out, const std::vector<Entry>& entries) {
    const Index D = edge(out).shape.width, first = system_.equations(D + 1, D);
    system_.add(first, identity(D + 1), change(out), identity(D));
    for (const Entry& e : entries) system_.add(first + e.from * D + e.to, -1, e.value, 0, 0);
    free(first, out, D);
  }

  /// On which of the rows that are needed each number is positive.
  std::vector<Mask> active_rows(Index e) const {
    const Matrix<double>& x = edge(e).x;
    std::vector<Mask> active(static_cast<std::size_t>(x.cols()), Mask(edge(e).needed.size(), 0));
    for (Index row = 0; row < x.rows(); ++row)
      for (Index i = 0; i < x.cols(); ++i)
        if (edge(e).needed[static_cast<std::size_t>(row)] != 0 && x(row, i) > 0)
          active[static_cast<std::size_t>(i)][static_cast<std::size_t>(row)] = 1;
    return active;
  }

  /// ReLU is linear where all of a number's rows lie on one side, and so are several that are active on the
  /// same rows together.
  std::vector<Entry> entries_of_relu(Index in) {
    const Index D = edge(in).shape.width;
    const std::vector<Mask> active = active_rows(in);
    std::vector<Entry> all;
    for (Index i = 0; i < D; ++i)
      for (Index j = 0; j < D; ++j)
        if (active[static_cast<std::size_t>(i)] == active[static_cast<std::size_t>(j)])
          all.push_back({i, j, system_.unknown(1, 1, kHidden)});
    for (Index j = 0; j < D; ++j)
      if (active[static_cast<std::size_t>(j)] == edge(in).needed)
        all.push_back({D, j, system_.unknown(1, 1, kHidden)});
    return all;
  }

  void write_activation(const GraphStep& step) {
    const Index in = step.in.front(), D = edge(in).shape.width;
    const std::vector<Entry> entries = is_relu(step) ? entries_of_relu(in) : std::vector<Entry>();
    write_entries(in, entries, coordinates(D, coordinates_in(unseen(step.out))));
    write_output_entries(step.out, entries);
  }
  static bool is_relu(const GraphStep& step) {
    return step.layer.type == "activation" && option<std::string>(step.layer, "function") == "relu";
  }

  void write_multiply(const GraphStep& step) {
    const Index D = edge(step.out).shape.width;
    std::vector<Entry> all;
    for (const Index in : step.in) {
      const std::vector<Entry> entries = scales(D);
      write_entries(in, entries, coordinates(D, coordinates_in(unseen(step.out))));
      all.insert(all.end(), entries.begin(), entries.end());
    }
    write_output_entries(step.out, all);
  }

  /// y = x_1 + x_2 + ...: the same A for all that their rows span together.
  void write_add(const GraphStep& step) {
    const Index D = edge(step.out).shape.width, B = static_cast<Index>(step.in.size());
    const Index first = system_.equations(B * D + 1, D);
    Matrix<double> x(edge(step.out).x.rows(), B * D);
    for (Index b = 0; b < B; ++b) {
      const Index in = step.in[static_cast<std::size_t>(b)];
      Dense place = zero(B * D + 1, D + 1);
      place.middleRows(b * D, D).leftCols(D).setIdentity();
      place(B * D, D) = 1;
      system_.add(first, place, change(in), identity(D));
      place(B * D, D) = b == 0 ? 1 : 0;
      system_.add(first, -place, change(step.out), identity(D));
      x.middleCols(b * D, D) = edge(in).x;
    }
    free(first, annihilators(x, edge(step.out).needed), unseen(step.out), B * D + 1, D);
  }

  /// Adds what row k of a table passes on to others: sums of both stay as they are.
  void add_passed(Index first, const Dense& to, const ParameterLayout::Entry* table, Index k) {
    for (std::size_t i = 0; i < added_tables_.size(); ++i) {
      const AddedTables& all = added_tables_[i];
      for (std::size_t t = 0; t < all.tables.size(); ++t)
        if (all.tables[t].entry == table)
          system_.add(first, to * all.kernel.row(all.first[t] + k), passed_[i], identity(passed_[i].cols));
    }
  }

  /// Rows of tables that are added: one-hot rows of `ids`, `sizes` of each table, beside x.
  void write_tables(const GraphStep& step, bool has_input,
                    const std::vector<const ParameterLayout::Entry*>& tables,
                    const std::vector<Dense>& values, const std::vector<std::vector<Index>>& ids) {
    const Index D = edge(step.out).shape.width, in_width = has_input ? D : 0;
    const Mask& needed = edge(step.out).needed;
    const auto rows = static_cast<Index>(needed.size());
    // the rows that are used, of each table one after the other
    std::vector<std::vector<Index>> place(tables.size());
    Index width = in_width;
    for (std::size_t t = 0; t < tables.size(); ++t) {
      place[t].assign(static_cast<std::size_t>(values[t].rows()), -1);
      for (Index row = 0; row < rows; ++row)
        if (needed[static_cast<std::size_t>(row)] != 0)
          if (Index& p = place[t][static_cast<std::size_t>(ids[t][static_cast<std::size_t>(row)])]; p < 0)
            p = width++;
    }
    Matrix<double> x = Matrix<double>::Zero(rows, width);
    if (has_input) x.leftCols(D) = edge(step.in.front()).x;
    const Index first = system_.equations(width, D);
    if (has_input) {
      Dense top = zero(width, D + 1);
      top.topLeftCorner(D, D).setIdentity();
      system_.add(first, top, change(step.in.front()), identity(D));
      system_.add(first, -top, change(step.out), identity(D));
    }
    for (std::size_t t = 0; t < tables.size(); ++t) {
      const UnknownMatrix dT = moved(tables[t], values[t].rows(), D);
      for (Index k = 0; k < values[t].rows(); ++k) {
        const Index p = place[t][static_cast<std::size_t>(k)];
        if (p < 0) continue;
        const Dense to = row_of(width, p);
        system_.add(first, to * row_of(values[t].rows(), k).transpose(), dT, identity(D));
        Dense from(1, D + 1);
        from << values[t].row(k), t == 0 ? 1.0 : 0.0;
        system_.add(first, -to * from, change(step.out), identity(D));
        add_passed(first, to, tables[t], k);
        if (has_input) {
          const Dense& U = seen_.unseen_alone(step.out, k);
          if (U.cols() > 0) system_.add(first, to, system_.unknown(1, U.cols(), kUnseen), U.transpose());
          Dense shift = zero(1, D + 1);
          shift(0, D) = 1;
          system_.add(first, to * shift, change(step.in.front()), identity(D));
        }
      }
      for (Index row = 0; row < rows; ++row)
        if (needed[static_cast<std::size_t>(row)] != 0)
          x(row, place[t][static_cast<std::size_t>(ids[t][static_cast<std::size_t>(row)])]) = 1;
    }
    free(first, annihilators(x, needed, false), unseen(step.out), width, D);
  }

  void write_embedding(const GraphStep& step) {
    const Index D = edge(step.out).shape.width;
    const Data<double>& data = *point_.data;
    const auto table = [&](const char* name, const char* size, const std::vector<std::int32_t>& ids,
                           auto& tables, auto& values, auto& all) {
      const ParameterLayout::Entry* e = find(step, name);
      if (e == nullptr) return;
      tables.push_back(e);
      values.push_back(value(e, option<Index>(step.layer, size), D));
      all.emplace_back(ids.begin(), ids.end());
    };
    std::vector<const ParameterLayout::Entry*> tables;
    std::vector<Dense> values;
    std::vector<std::vector<Index>> ids;
    table("E", "vocabulary", data.ids, tables, values, ids);
    table("Types", "types", data.types, tables, values, ids);
    write_tables(step, false, tables, values, ids);
  }

  void write_positions(const GraphStep& step) {
    const Index in = step.in.front(), D = edge(in).shape.width, n = edge(in).shape.tokens;
    const ParameterLayout::Entry* e = find(step, "Pos");
    std::vector<Index> ids;
    for (std::size_t row = 0; row < edge(in).needed.size(); ++row) ids.push_back(static_cast<Index>(row) % n);
    const Dense values = e != nullptr ? value(e, e->block.rows(), D)
                                      : Dense(edge(step.out).x.topRows(n) - edge(in).x.topRows(n));
    write_tables(step, true, {e}, {values}, {ids});
  }

  void write_class_token(const GraphStep& step) {
    const Index in = step.in.front(), D = edge(in).shape.width, first = system_.equations(D + 1, D);
    system_.add(first, identity(D + 1), change(in), identity(D));
    system_.add(first, -identity(D + 1), change(step.out), identity(D));
    free(first, annihilating(in), unseen(step.out), D + 1, D);
    const ParameterLayout::Entry* token = find(step, "token");
    Dense from(1, D + 1);
    from << value(token, 1, D), 1.0;
    const Index own = system_.equations(1, D);
    system_.add(own, identity(1), moved(token, 1, D), identity(D));
    system_.add(own, -from, change(step.out), identity(D));
    add_passed(own, identity(1), token, 0);
    free(own, zero(1, 0), unseen(step.out), 1, D);
  }

  /// The same change on both sides; where rows are made 0 no shift. makes_zero: of single rows.
  void write_same(const GraphStep& step, bool makes_zero) {
    const Index in = step.in.front(), D = edge(in).shape.width, first = system_.equations(D + 1, D);
    system_.add(first, identity(D + 1), change(in), identity(D));
    system_.add(first, -identity(D + 1), change(step.out), identity(D));
    free(first, makes_zero ? annihilating(in) : annihilating(step.out), unseen(step.out), D + 1, D);
    if (!seen_.has_zero_row(step)) return;
    const Index shift = system_.equations(1, D);
    system_.add(shift, row_of(D + 1, D).transpose(), change(step.out), identity(D));
    free(shift, zero(1, 0), unseen(step.out), 1, D);
  }

  /// Nothing may change in front of it or behind, and its own blocks do not move.
  void write_rigid(const GraphStep& step) {
    const Index in = step.in.front();
    for (const Index e : {in, step.out}) {
      const Index D = edge(e).shape.width, first = system_.equations(D + 1, D);
      system_.add(first, identity(D + 1), change(e), identity(D));
      free(first, annihilating(e), e == in ? zero(D, 0) : unseen(e), D + 1, D);
    }
    for (const ParameterBlock& block : own_blocks(step.layer, edge(in).shape)) {
      const ParameterLayout::Entry& e = point_.parameters().find(full_name(step, block));
      if (e.trainable())
        system_.add(system_.equations(1, block.size()), identity(1), moved(&e, 1, block.size()),
                    identity(block.size()));
    }
  }
  /// Scores and values of the heads: what queries, keys and values may change by.
  struct Attention {
    Attention(Equations& all, const GraphStep& of)
        : equations(all), step(of), see(all.seen_.attention(of)), spec(see.spec), in(see.in) {}
    void write() {
      TangentSystem& system = equations.system_;
      const Index D = spec.embedding, d = spec.head_dim, H = spec.heads, O = spec.outputs;
      std::vector<UnknownMatrix> change[3];
      for (std::size_t which = 0; which < 3; ++which)
        for (std::size_t h = 0; h < see.weights[which].size(); ++h) {
          const UnknownMatrix G = system.unknown(d + 1, d, which == 2 ? kValues : kScores);
          if (which == 1) system.regroup_last_row(G, kKeys);
          change[which].push_back(G);
          const Index first = system.equations(D + 1, d);
          const auto place = static_cast<Index>(h);
          equations.add_affine(first, equations.change(in), see.weights[which][h],
                               moved(see.block[which], D, d, place), see.shifts[which][h],
                               moved(see.block[4 + which], 1, d, place), G);
          equations.free(first, equations.annihilating(in), see.unseen[which][h], D + 1, d);
        }
      const Index first = system.equations(H * d + 1, O);
      Dense N = zero(H * d + 1, 0);
      for (Index h = 0; h < H; ++h) {
        const auto k = static_cast<std::size_t>(h), g = static_cast<std::size_t>(see.group_of(h));
        UnknownMatrix scale;  // of what the head gives
        if (!see.one_token()) scale = write_scores(change[0][k], change[1][g], k, g);
        const Dense W = equations.value(see.block[3], d, O, h);
        // the values' change as it counts: G + N_v Z
        const Dense& Nv = see.annihilating[2][g];
        const UnknownMatrix Z = system.unknown(Nv.cols(), d, kUnseen);
        Dense place = zero(H * d + 1, d + 1);
        place.middleRows(h * d, d).leftCols(d).setIdentity();
        if (see.sum_to_one()) {
          place(H * d, d) = 1;
        } else {
          const Index shift = system.equations(1, d);
          system.add(shift, row_of(d + 1, d).transpose(), change[2][g], identity(d));
          if (Nv.cols() > 0) system.add(shift, Nv.bottomRows(1), Z, identity(d));
          equations.free(shift, zero(1, 0), see.unseen[2][g], 1, d);
        }
        system.add(first, place, change[2][g], W);
        if (Nv.cols() > 0) system.add(first, place * Nv, Z, W);
        for (Index i = 0; i < d; ++i)
          for (Index j = 0; j < O; ++j)
            if (W(i, j) != 0) system.add(first + (h * d + i) * O + j, W(i, j), scale, 0, 0);
        const Dense slice = place.leftCols(d);
        system.add(first, slice, moved(see.block[3], d, O, h), identity(O));
        system.add(first, -slice * W, top_of(equations.change(step.out), O), identity(O));
        const Dense seen = see.sum_to_one() ? Nv : with_zero_row(without_constant(Nv));
        if (seen.cols() == 0) continue;
        Dense more(N.rows(), N.cols() + seen.cols());
        Dense here = zero(H * d + 1, d + 1);
        here.middleRows(h * d, d).leftCols(d).setIdentity();
        here(H * d, d) = 1;
        more.leftCols(N.cols()) = N;
        more.rightCols(seen.cols()) = here * seen;
        N = more;
      }
      const Dense last = row_of(H * d + 1, H * d), b = equations.value(see.block[7], 1, O);
      system.add(first, last, moved(see.block[7], 1, O), identity(O));
      Dense from(1, O + 1);
      from << b, 1.0;
      system.add(first, -last * from, equations.change(step.out), identity(O));
      equations.free(first, N, equations.unseen(step.out), H * d + 1, O);
    }
    static UnknownMatrix top_of(UnknownMatrix G, Index rows) {
      G.rows = rows;  // the rest is the last row, behind it
      return G;
    }
    static Dense with_zero_row(const Dense& u) { return stacked(u, zero(1, u.cols())); }

    /// Scores stay what they are, but for what is the same for all keys; of a Gaussian kernel |q - k|^2 may
    /// change by a constant, which scales what the head gives: that scale.
    UnknownMatrix write_scores(const UnknownMatrix& q, const UnknownMatrix& k, std::size_t head,
                               std::size_t g) {
      TangentSystem& system = equations.system_;
      const Index d = spec.head_dim;
      const Dense &Nq = see.annihilating[0][head], &Nk = see.annihilating[1][g];
      if (see.softmax()) {
        for (const Dense& R : see.turns) {
          // [q 1] [A_q R + R A_k^T, R c_k; c_q R, .] [k 1]^T: what is not constant over keys
          const Index first = system.equations(d + 1, d);
          system.add(first, identity(d + 1), q, R);
          for (Index i = 0; i < d; ++i)
            for (Index j = 0; j < d; ++j)
              for (Index a = 0; a < d; ++a)
                if (R(i, a) != 0) system.add(first + i * d + j, R(i, a), k, j, a);
          // on the left what annihilates queries, on the right what keys annihilate to a constant
          equations.free(first, Nq, see.rotary() ? without_constant(Nk) : span_or_none(Nk.topRows(d)), d + 1,
                         d);
        }
        if (see.rotary()) {  // and R c_k, which is constant over keys without turns alone
          const UnknownMatrix same = system.unknown(d, 1, kUnseen);
          for (const Dense& R : see.turns) {
            const Index first = system.equations(d, 1);
            for (Index i = 0; i < d; ++i) {
              for (Index a = 0; a < d; ++a)
                if (R(i, a) != 0) system.add(first + i, R(i, a), k, d, a);
              system.add(first + i, -1, same, i, 0);
            }
            const Dense u = without_constant(Nq);
            if (u.cols() > 0) system.add(first, u, system.unknown(u.cols(), 1, kUnseen), identity(1));
          }
        }
        return {};
      }
      // w = [q k 1]: |q - k R^T|^2 changes by the quadratic form 2 sym(L B^T), L = [1; -R^T; 0],
      // B = [A_q; -A_k R^T; c_q - c_k R^T]: a constant, for each turn
      const Index n = 2 * d + 1;
      const UnknownMatrix scale = system.unknown(1, 1, kValues);
      const double sigma = spec.sigma();
      Dense of_q = zero(n, Nq.cols()), of_k = zero(n, Nk.cols());
      if (Nq.cols() > 0) of_q.topRows(d) = Nq.topRows(d), of_q.bottomRows(1) = Nq.bottomRows(1);
      if (Nk.cols() > 0) of_k.middleRows(d, d) = Nk.topRows(d), of_k.bottomRows(1) = Nk.bottomRows(1);
      for (const Dense& R : see.turns) {
        const Index first = system.equations(n, n);
        const auto put = [&](const UnknownMatrix& X, Index row, Index col, Index at_row, Index at_col,
                             double factor) {
          system.add(first + at_row * n + at_col, factor, X, row, col);
          system.add(first + at_col * n + at_row, factor, X, row, col);
        };
        Dense L = zero(n, d);
        L.topRows(d).setIdentity();
        L.middleRows(d, d) = -R.transpose();
        const Dense LR = L * R;
        for (Index r = 0; r <= d; ++r)
          for (Index a = 0; a < d; ++a)
            for (Index i = 0; i < 2 * d; ++i) {
              if (L(i, a) != 0) put(q, r, a, i, r < d ? r : 2 * d, L(i, a));
              if (LR(i, a) != 0) put(k, r, a, i, r < d ? d + r : 2 * d, -LR(i, a));
            }
        const auto free_form = [&](const Dense& u) {  // u (x) anything, made symmetric
          if (u.cols() == 0) return;
          const UnknownMatrix Z = system.unknown(u.cols(), n, kUnseen);
          for (Index m = 0; m < u.cols(); ++m)
            for (Index i = 0; i < n; ++i)
              for (Index j = 0; j < n; ++j)
                if (u(i, m) != 0) put(Z, m, j, i, j, u(i, m));
        };
        free_form(of_q);
        free_form(of_k);
        // by a constant, -2 sigma^2 scale: the weights all by the factor 1 + scale
        system.add(first + n * n - 1, 2 * sigma * sigma, scale, 0, 0);
      }
      return scale;
    }

    Equations& equations;
    const GraphStep& step;
    const AttentionVisibility& see;
    const AttentionSpec& spec;
    Index in;
  };

  const Visibility& seen_;
  const ModelPoint<double>& point_;
  const NetworkGraph& graph_;
  TangentSystem system_;
  std::vector<UnknownMatrix> changes_;
  std::vector<AddedTables> added_tables_;
  std::vector<UnknownMatrix> passed_;  // between the tables of each: kernel times this
  std::vector<int> groups_;
};
/// Directions in theta of the solutions in which the unknowns of later groups are 0.
Dense directions_up_to(const TangentSystem& system, const Dense& solutions, int group, Index P) {
  std::vector<Index> later;
  for (Index u = P; u < system.size(); ++u)
    if (system.group(u) > group) later.push_back(u);
  if (later.empty() || solutions.cols() == 0) return solutions.topRows(P);
  const Dense kept = null_basis(solutions(later, Eigen::all), 1);
  return solutions.topRows(P) * kept;
}

/// Adds a family of what is new in these directions, beyond the orthonormal columns of `basis`, which grows.
void add_family(const std::string& name, const Dense& directions, Index P, Dense& basis,
                std::vector<Symmetries::Named>& families) {
  if (directions.cols() == 0) return;
  constexpr double kZero = 1e-8;  // of unit vectors of solutions
  Dense rest = directions;
  for (int pass = 0; pass < 2; ++pass) rest -= basis * (basis.transpose() * rest).eval();
  Dense added = range_basis(rest, kZero);
  const Index rank = added.cols();
  if (rank == 0) return;
  added -= basis * (basis.transpose() * added).eval();
  families.push_back(
      {name, std::make_unique<DenseFamily>(std::vector<BlockSlice>{{{0, P, 1}, 0, false}}, added)});
  Dense grown(P, basis.cols() + rank);
  grown.leftCols(basis.cols()) = basis;
  grown.rightCols(rank) = added;
  basis = std::move(grown);
}

/// Whether some unit of ReLU is positive in every row that is needed: a linear unit.
bool has_always_active(const NetworkGraph& graph) {
  for (const GraphStep& step : graph.steps) {
    if (step.layer.type != "activation" || option<std::string>(step.layer, "function") != "relu") continue;
    const GraphEdge& in = graph.edges[static_cast<std::size_t>(step.in.front())];
    for (Index i = 0; i < in.x.cols(); ++i) {
      bool all = true;
      for (Index row = 0; row < in.x.rows() && all; ++row)
        all = in.needed[static_cast<std::size_t>(row)] == 0 || in.x(row, i) > 0;
      if (all) return true;
    }
  }
  return false;
}

/// How many unknowns the equations have, multipliers not counted.
Index symmetry_unknowns(const ModelPoint<double>& point) {
  const NetworkGraph graph = network_steps(point.model->architecture());
  double count = static_cast<double>(point.theta_size());
  for (const GraphEdge& e : graph.edges)
    count += static_cast<double>(e.shape.width) * static_cast<double>(e.shape.width + 1);
  for (const GraphStep& step : graph.steps)
    if (step.layer.type == "attention") {
      const AttentionSpec spec =
          attention_spec(step.layer, graph.edges[static_cast<std::size_t>(step.in.front())].shape);
      count += static_cast<double>((spec.heads + 2 * spec.kv_heads()) * spec.head_dim) *
               static_cast<double>(spec.head_dim + 1);
    }
  return static_cast<Index>(std::min(count, 1e15));
}

}  // namespace

std::optional<Symmetries> network_symmetries(const ModelPoint<double>& point, Index most_unknowns) {
  if (symmetry_unknowns(point) > most_unknowns) return std::nullopt;
  const std::optional<NetworkGraph> moderate = moderate_network_graph(point);
  if (!moderate) return std::nullopt;
  const NetworkGraph& graph = *moderate;
  const Index P = point.theta_size(), C = point.model->network().output().width;
  std::vector<Symmetries::Named> families;
  Dense basis(P, 0);
  Visibility seen(point, graph, zero(C, 0));
  {
    const Equations exact(seen);
    const Dense solutions = exact.system().solutions();
    for (int group = 0; group < kGroups; ++group)
      add_family(kNames[static_cast<std::size_t>(group)],
                 directions_up_to(exact.system(), solutions, group, P), P, basis, families);
  }
  if (point.model->loss().facts().centred) {
    seen.look_from(Dense::Constant(C, 1, 1 / std::sqrt(static_cast<double>(C))));
    const Equations centred(seen);
    add_family("class shift", centred.system().solutions().topRows(P), P, basis, families);
  }
  return Symmetries(
      P, std::move(families),
      has_always_active(graph) ? "what units of ReLU that are active in every row may add" : "");
}

std::optional<Symmetries> known_symmetries(const ModelPoint<double>& point) {
  const std::optional<NetworkGraph> moderate = moderate_network_graph(point);
  if (!moderate) return std::nullopt;
  const NetworkGraph& graph = *moderate;
  const Index C = point.model->network().output().width;
  Visibility seen(point, graph, zero(C, 0));
  std::vector<SeenMap> maps = seen_maps(seen);
  if (point.model->loss().facts().centred) {
    seen.look_from(Dense::Constant(C, 1, 1 / std::sqrt(static_cast<double>(C))));
    std::vector<SeenMap> all = seen_maps(seen);
    for (SeenMap& map : all) {
      map.class_shifts = map.dimension();
      for (const SeenMap& exact : maps)
        if (exact.W.offset == map.W.offset && exact.b.offset == map.b.offset &&
            exact.W.entry == map.W.entry && exact.b.entry == map.b.entry)
          map.class_shifts -= exact.dimension();
    }
    maps = std::move(all);
  }
  std::string left_out = "those that are none of the known families";
  std::vector<TangentGenerator> generators = network_generators(seen, false, &left_out);
  if (has_always_active(graph)) left_out += ", as units of ReLU that are active in every row may have";
  std::vector<Symmetries::Named> families;
  try {
    families.push_back({"", std::make_unique<TangentFamily>(point, std::move(maps), std::move(generators))});
  } catch (const WorkError&) {  // too close to each other
    return std::nullopt;
  }
  return Symmetries(point.theta_size(), std::move(families), left_out, true);
}

}  // namespace basin
