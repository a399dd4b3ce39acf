// SAME pads more at the end than at the start, which aten's padding cannot say; but pooling needs no explicit pad:
//   stride > 1   padding = what comes before, and ceil_mode, which lets the last window run over the end
//   stride 1     an even window lacks one pixel at the end: pad that much on both sides and drop the first window
// Neither copies the input, and both hold for input sizes that are only known at run time.
#include "lower/math/pool.h"

#include <limits>

namespace midstream::math {
namespace {

struct Padded {
  Value x;
  Ints padding;
  bool ceil_mode = false;
  std::vector<size_t> drop_first;  // spatial axes
};

Padded same(Builder& b, Value x_ncs, const PoolSpec& spec) {
  Padded p{.x = x_ncs, .padding = {}};
  for (size_t i = 0; i < spec.window.size(); ++i) {
    int64_t k = spec.window[i], s = spec.strides[i];
    PadPair pads = same_padding(b.size(x_ncs, static_cast<int64_t>(i) + 2), k, s, 1);
    bool equal =
        pads.before.is_constant() && pads.after.is_constant() && pads.before.constant() == pads.after.constant();
    if (s == 1 && !equal) {
      p.padding.push_back(pads.after);
      p.drop_first.push_back(i);
    } else {
      p.padding.push_back(pads.before);
      p.ceil_mode = p.ceil_mode || !equal;
    }
  }
  return p;
}

Padded explicitly(Builder& b, Value x_ncs, const PoolSpec& spec) {
  Ints last_first;
  for (auto p = spec.explicit_padding.rbegin(); p != spec.explicit_padding.rend(); ++p)
    last_first.insert(last_first.end(), {Int(p->first), Int(p->second)});
  Value x = b.pad(x_ncs, last_first, -std::numeric_limits<double>::infinity());
  return {.x = x, .padding = Ints(spec.window.size(), Int(0))};
}

Value pool(Builder& b, const std::string& stem, Value x_ncs, const PoolSpec& spec) {
  size_t n = spec.window.size();
  Padded p{.x = x_ncs, .padding = Ints(n, Int(0))};
  if (spec.padding == Padding::Same) p = same(b, x_ncs, spec);
  if (spec.padding == Padding::Explicit) p = explicitly(b, x_ncs, spec);
  Args args{{"self", p.x}, {"kernel_size", spec.window}, {"stride", spec.strides}, {"padding", p.padding}};
  if (p.ceil_mode) args.push_back({"ceil_mode", true});
  bool padded = p.ceil_mode;
  for (const Int& pad : p.padding) padded = padded || !pad.is_constant() || pad.constant() != 0;
  if (stem == "aten::avg_pool" && padded) args.push_back({"count_include_pad", false});
  Value y = b.call(stem + std::to_string(n) + "d", std::move(args));
  for (size_t axis : p.drop_first) {
    int64_t dim = static_cast<int64_t>(axis) + 2;
    y = b.slice(y, dim, 1, b.size(y, dim));
  }
  return y;
}

}  // namespace

Value max_pool(Builder& b, Value x_ncs, const PoolSpec& spec) { return pool(b, "aten::max_pool", x_ncs, spec); }
Value average_pool(Builder& b, Value x_ncs, const PoolSpec& spec) { return pool(b, "aten::avg_pool", x_ncs, spec); }

}  // namespace midstream::math
