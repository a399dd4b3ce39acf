// tf.nn.ctc_loss for dense labels, as a loop over the steps. aten::ctc_loss is the same where the labels fit into the
// steps; where they do not it is infinite, and TensorFlow's is not: a sequence may end anywhere, at a price.
#include <cmath>

#include "lower/math/activations.h"
#include "lower/math/elementwise.h"
#include "lower/math/losses.h"
#include "lower/math/recurrent.h"

namespace midstream::math {
namespace {

constexpr double kNever = -1e30;  // a logarithm of 0 whose differences are numbers

Value log_sum_exp(Builder& b, Value v, int64_t dim) {
  return b.call("aten::logsumexp", {{"self", v}, {"dim", std::vector<int64_t>{dim}}});
}

}  // namespace

Value ctc(Builder& b, Value labels, Value logits) {
  const DType dtype = b.dtype(logits);
  const double price = std::log(1e-307);
  Value log_p = log_softmax(b, logits, -1);
  const Int n = b.size(logits, 0), time = b.size(logits, 1), count = b.size(labels, 1);
  auto column = [&](double value) { return b.full({n, 1}, value, dtype); };

  // The state after each label, and at the blanks behind it; 0 is before all labels, where nothing is seen.
  Value of_labels = b.call(
      "aten::gather", {{"self", log_p}, {"dim", 2}, {"index", b.expand(b.unsqueeze(labels, 1), {n, time, count})}});
  Value of_blanks = b.expand(b.slice(log_p, 2, 0, 1), {n, time, count + 1});
  Value observed = b.concat({b.full({n, time, 1}, kNever, dtype), of_labels, of_blanks}, 2);
  Value repeated = b.compare("eq", b.slice(labels, 1, 0, count - 1), b.slice(labels, 1, 1, count));
  // From a label to the next one without a blank between: not where the two are the same.
  Value direct = where_number(b, b.logical_not(repeated), b.full({n, count - 1}, 0, dtype), kNever);
  direct = b.concat({column(kNever), column(0), direct}, 1);

  auto step = [&](Value seen, const Values& before) -> Values {
    auto previous = [&](Value v) { return b.concat({b.full({2, n, 1}, kNever, dtype), b.slice(v, 2, 0, count)}, 2); };
    Value at_label = b.stack({before[0], previous(before[1]), b.add(previous(before[0]), direct)}, 0);
    Value at_blank = b.stack({before[1], before[0]}, 0);
    return {b.add(log_sum_exp(b, at_label, 0), b.slice(seen, 1, 0, count + 1)),
            b.add(log_sum_exp(b, at_blank, 0), b.slice(seen, 1, count + 1, count * 2 + 2))};
  };
  // TensorFlow's loss is of paths from the beginning, its gradient of those from anywhere too: both are carried.
  auto begin = [&](double at_first) {
    auto both = [&](const Int& size, double of_loss, double of_gradient) {
      return b.stack({b.full({n, size}, of_loss, dtype), b.full({n, size}, of_gradient, dtype)}, 0);
    };
    return b.concat({both(1, at_first, at_first == 0 ? 0 : price), both(count, kNever, price)}, 2);
  };
  const Recurrence r = loop_over_time(b, observed, {.all_outputs = false}, {begin(0), begin(kNever)}, step);

  Value length = b.sum(b.cast(b.compare("ne", labels, 0.0), DType::Int64), {1}, true);
  Value position = b.sub(b.call("aten::cumsum", {{"self", b.full({n, count + 1}, 1, DType::Int64)}, {"dim", 1}}), 1.0);
  Value last = where_number(b, b.compare("eq", position, length), b.full({n, count + 1}, 0, dtype), price);
  Value all = b.neg(log_sum_exp(b, b.concat({b.add(r.states[0], last), b.add(r.states[1], last)}, 2), 2));
  Value loss = b.select(all, 0, 0), gradient = b.select(all, 0, 1);
  return b.add(b.unary("aten::detach", loss), b.sub(gradient, b.unary("aten::detach", gradient)));
}

}  // namespace midstream::math
