// A transposed convolution scatters every input pixel over its kernel: the full result has (n - 1) s + (k - 1) d + 1
// pixels. TensorFlow's output is a window of it, starting after what the forward convolution's SAME padding put before,
// and filled up with zeros behind. aten crops the same number on both sides and can add some at the end.
#include <algorithm>

#include "lower/math/conv.h"

namespace midstream::math {
namespace {

struct Window {
  Dims padding, output_padding;  // of the call
  Ints pads;                     // F.pad order, negative ones crop; empty: nothing to do
  bool filled = false;           // pixels are added outside of the call: the bias must come after
};

// One axis: the output is [before, before + reach of the window) of the full result; `after` crops (or, negative,
// adds).
void add_axis(Window& w, const Int& extra, int64_t kernel, const ConvSpec& spec, size_t axis) {
  int64_t stride = spec.strides[axis], dilation = spec.dilations[axis];
  int64_t reach = (kernel - 1) * dilation + 1, padding = 0, output_padding = 0;
  Int before = 0, after = Int(reach) - extra;
  if (spec.padding == Padding::Explicit) {
    before = spec.explicit_padding[axis].first;
    after = after - before;
  }
  if (spec.padding == Padding::Same) {
    // The forward convolution's input has (n - 1) s + extra pixels, its output n.
    Int total = max(after, 0);
    before = floor_div(total, 2);
    after = after - before;
  }
  Int rest_before = before, rest_after = after;
  if (before.is_constant() && after.is_constant()) {
    padding =
        std::max<int64_t>(0, after.constant() < 0 ? before.constant() : std::min(before.constant(), after.constant()));
    int64_t missing = padding - after.constant();
    output_padding = missing > 0 && missing < std::max(stride, dilation) ? missing : 0;
    rest_before = before - padding;
    rest_after = after - padding + output_padding;
    w.filled = w.filled || rest_after.constant() < 0;
  } else {
    w.filled = true;
  }
  w.padding.push_back(padding);
  w.output_padding.push_back(output_padding);
  w.pads.insert(w.pads.begin(), {Int(0) - rest_before, Int(0) - rest_after});
}

Window window_of(const ConvSpec& spec, const Ints& extra, const Dims& kernel) {
  Window w;
  for (size_t i = 0; i < kernel.size(); ++i) add_axis(w, extra[i], kernel[i], spec, i);
  bool nothing =
      std::all_of(w.pads.begin(), w.pads.end(), [](const Int& p) { return p.is_constant() && p.constant() == 0; });
  if (nothing) w.pads.clear();
  return w;
}

}  // namespace

Value conv_transpose(Builder& b, Value x_ncs, Value w_soi, Value bias, const ConvSpec& spec, const Ints& extra) {
  int64_t n = b.rank(w_soi) - 2;
  Dims kernel(b.dims(w_soi).begin(), b.dims(w_soi).begin() + n);
  Permute to_iohw{{n + 1, n}};
  for (int64_t i = 0; i < n; ++i) to_iohw.perm.push_back(i);
  Window w = window_of(spec, extra, kernel);

  Args args{{"input", x_ncs}, {"weight", b.stored_as(w_soi, {to_iohw})}};
  if (bias && !w.filled) args.push_back({"bias", bias});
  args.insert(args.end(), {{"stride", spec.strides},
                           {"padding", w.padding},
                           {"output_padding", w.output_padding},
                           {"dilation", spec.dilations}});
  std::string op = "aten::conv_transpose" + std::to_string(n) + "d" + (n == 1 ? "" : ".input");
  Value y_ncs = b.call(op, std::move(args));
  if (!w.pads.empty()) y_ncs = b.pad(y_ncs, w.pads);
  return bias && w.filled ? bias_add(b, y_ncs, bias, Layout::ChannelsFirst) : y_ncs;
}

}  // namespace midstream::math
