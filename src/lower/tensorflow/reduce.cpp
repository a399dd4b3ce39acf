// Reductions, scans, and the largest of many.
#include <algorithm>

#include "lower/math/layout.h"
#include "lower/registry.h"
#include "lower/tensorflow/fold.h"

namespace midstream::tensorflow {
namespace {

// The axes, positive and sorted; TensorFlow reduces nothing for an empty list, aten everything.
std::vector<int64_t> axes_of(Op& op, Value x) { return math::axes_of(op.b, x, known_ints(op, 1)); }

using Reduce = std::function<Value(Builder&, Value, const std::vector<int64_t>& axes, bool keep)>;
using Fold = std::function<Int(const Int&, const Int&)>;

OpFn reduction(Fold fold, Reduce reduce) {
  return [fold = std::move(fold), reduce = std::move(reduce)](Op& op) {
    op.expect_attrs({"keep_dims"});
    const bool keep = op.flag("keep_dims");
    if (fold && op.is_host(0) && op.is_constant(1)) {
      HostInts h = op.host(0);
      if (h.rank == 0 || known_ints(op, 1).empty()) return op.output(h);
      if (!h.values.empty()) {
        Int all = h.values[0];
        for (size_t i = 1; i < h.values.size(); ++i) all = fold(all, h.values[i]);
        return op.output(HostInts{{all}, keep ? 1 : 0, h.dtype});
      }
      if (op.node.op == "Prod" || op.node.op == "Sum")
        return op.output(HostInts{{Int(op.node.op == "Prod" ? 1 : 0)}, keep ? 1 : 0, h.dtype});
    }
    Value x = op.input(0);
    std::vector<int64_t> axes = axes_of(op, x);
    op.output(axes.empty() && op.node.op != "EuclideanNorm" ? x : reduce(op.b, x, axes, keep));
  };
}

Value mean(Builder& b, Value x, const std::vector<int64_t>& axes, bool keep) {
  if (!is_integral(b.dtype(x))) return b.mean(x, axes, keep);
  Int n = 1;  // of integers: divided as C divides
  for (int64_t a : axes) n = n * b.size(x, a);
  Value count = b.cast(b.tensor_of(n), b.dtype(x));
  return b.call("aten::div.Tensor_mode",
                {{"self", b.sum(x, axes, keep)}, {"other", count}, {"rounding_mode", "trunc"}});
}

Value prod(Builder& b, Value x, const std::vector<int64_t>& axes, bool keep) {
  for (auto a = axes.rbegin(); a != axes.rend(); ++a)
    x = b.call("aten::prod.dim_int", {{"self", x}, {"dim", *a}, {"keepdim", keep}, {"dtype", b.dtype(x)}});
  return x;
}

Reduce extreme(const char* name) {
  return [name](Builder& b, Value x, const std::vector<int64_t>& axes, bool keep) {
    return b.call(name, {{"self", x}, {"dim", Dims(axes)}, {"keepdim", keep}});
  };
}

Value euclidean_norm(Builder& b, Value x, const std::vector<int64_t>& axes, bool keep) {
  Value squares = b.square(x);
  return b.sqrt(axes.empty() ? squares : b.sum(squares, axes, keep));
}

void l2_loss(Op& op) {
  op.expect_attrs({});
  op.output(op.b.div(op.b.sum(op.b.square(op.input(0)), {}), 2.0));
}

OpFn arg_extreme(const char* name) {
  return [name](Op& op) {
    op.expect_attrs({});
    Value x = op.input(0);
    Value at = op.b.call(name, {{"self", x}, {"dim", known_int(op, 1)}});
    op.output(op.b.cast(at, op.has("output_type") ? op.dtype("output_type") : DType::Int64));
  };
}

// Of equal elements the one with the lower index comes first: a stable sort, which aten::topk is not.
void top_k(Op& op) {
  op.expect_attrs({"sorted", "k"});
  Value x = op.input(0);
  const Int k = op.has("k") ? Int(op.integer("k")) : op.int_value(1);
  Values sorted =
      op.b.call_all("aten::sort.stable", {{"self", x}, {"stable", true}, {"dim", -1}, {"descending", true}});
  const int64_t last = op.b.rank(x) - 1;
  op.output(op.b.slice(sorted.at(0), last, 0, k));
  Value indices = op.b.slice(sorted.at(1), last, 0, k);
  op.output(op.b.cast(indices, op.has("index_type") ? op.dtype("index_type") : DType::Int32));
}

// Whether the target's score is among the k highest; scores that tie with it do not count against it.
void in_top_k(Op& op) {
  op.expect_attrs({"k"});
  Builder& b = op.b;
  Value scores = op.input(0), target = b.unsqueeze(b.cast(op.input(1), DType::Int64), -1);
  Value own = b.call("aten::gather", {{"self", scores}, {"dim", 1}, {"index", target}});
  Value higher = b.sum(b.cast(b.compare("gt", scores, own), DType::Int64), {1});
  const Int k = op.has("k") ? Int(op.integer("k")) : op.int_value(2);
  Value among = b.call("aten::lt.Scalar", {{"self", higher}, {"other", k}});
  Value finite = b.call("aten::isfinite", {{"self", b.squeeze(own, 1)}});
  op.output(b.logical_and(among, finite));
}

// exclusive: element i is the scan of those before it, and `start` where there are none.
OpFn scan(const char* name, double start) {
  return [name, start](Op& op) {
    op.expect_attrs({"exclusive", "reverse"});
    Builder& b = op.b;
    Value x = op.input(0);
    const int64_t axis = math::axis_of(b, x, known_int(op, 1));
    const bool reverse = op.flag("reverse");
    if (reverse) x = b.flip(x, {axis});
    if (op.flag("exclusive")) {
      Ints pads(static_cast<size_t>(2 * (b.rank(x) - axis)), Int(0));
      pads[pads.size() - 2] = 1;
      pads[pads.size() - 1] = -1;
      x = b.pad(x, pads, start);
    }
    Args args{{"self", x}, {"dim", axis}};
    if (!is_floating(b.dtype(x)) && std::string(name) != "aten::logcumsumexp") args.push_back({"dtype", b.dtype(x)});
    Value y = b.call(name, std::move(args));
    op.output(reverse ? b.flip(y, {axis}) : y);
  };
}

}  // namespace

void register_reduce(Registry& r) {
  const Fold add = [](const Int& a, const Int& b) { return a + b; },
             mul = [](const Int& a, const Int& b) { return a * b; };
  const Fold high = [](const Int& a, const Int& b) { return max(a, b); },
             low = [](const Int& a, const Int& b) { return min(a, b); };
  r.tf("Sum", reduction(add, [](Builder& b, Value x, const auto& axes, bool keep) { return b.sum(x, axes, keep); }));
  r.tf("Prod", reduction(mul, prod));
  r.tf("Max", reduction(high, extreme("aten::amax")));
  r.tf("Min", reduction(low, extreme("aten::amin")));
  r.tf("Mean", reduction(nullptr, mean));
  r.tf("All", reduction(nullptr, extreme("aten::all.dims")));
  r.tf("Any", reduction(nullptr, extreme("aten::any.dims")));
  r.tf("EuclideanNorm", reduction(nullptr, euclidean_norm));
  r.tf("L2Loss", l2_loss);
  r.tf("ArgMax", arg_extreme("aten::argmax"));
  r.tf("ArgMin", arg_extreme("aten::argmin"));
  r.tf("TopK", top_k, {"values", "indices"});
  r.tf("TopKV2", top_k, {"values", "indices"});
  r.tf("InTopK", in_top_k);
  r.tf("InTopKV2", in_top_k);
  r.tf("Cumsum", scan("aten::cumsum", 0));
  r.tf("Cumprod", scan("aten::cumprod", 1));
}

}  // namespace midstream::tensorflow
