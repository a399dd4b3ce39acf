// keras.ops of complex numbers and Fourier transforms. A complex tensor is a pair (real, imaginary) for the
// transforms. view_as_complex and polar, which make one tensor of it, fail in Keras on TensorFlow.
#include <fmt/format.h>

#include "lower/keras/operation_args.h"
#include "lower/keras/operations.h"
#include "lower/keras/spectrograms.h"
#include "lower/math/layout.h"
#include "lower/registry.h"

namespace midstream::keras {
namespace {

bool is_complex(DType dtype) { return dtype == DType::Complex64 || dtype == DType::Complex128; }

struct Parts {
  Value real, imaginary;
};

Parts parts_of(Builder& b, Value x) {
  if (!is_complex(b.dtype(x))) return {x, b.zeros_like(x)};
  Value both = b.unary("aten::view_as_real", x);
  return {b.select(both, -1, 0), b.select(both, -1, 1)};
}

Value complex(Builder& b, const Parts& p) {
  return b.call("aten::complex", {{"real", p.real}, {"imag", p.imaginary}});
}

Tensors pair(const Parts& p) { return {{p.real, {}}, {p.imaginary, {}}}; }

Tensors real(Layer& l, const Call& call) { return one(parts_of(l.b, operand(l, call, 0, "x")).real); }
Tensors imaginary(Layer& l, const Call& call) { return one(parts_of(l.b, operand(l, call, 0, "x")).imaginary); }

Tensors conjugate(Layer& l, const Call& call) {
  const Value x = operand(l, call, 0, "x");
  if (!is_complex(l.b.dtype(x))) return one(x);
  const Parts p = parts_of(l.b, x);
  return one(complex(l.b, {p.real, l.b.neg(p.imaginary)}));
}

Tensors is_real(Layer& l, const Call& call) {
  return one(l.b.compare("eq", parts_of(l.b, operand(l, call, 0, "x")).imaginary, 0.0));
}

// Of a real tensor, 0 or pi, there is no gradient.
Tensors angle(Layer& l, const Call& call) {
  Builder& b = l.b;
  Value x = operand(l, call, 0, "x");
  if (!is_complex(b.dtype(x))) x = b.unary("aten::detach", as_float(b, x));
  const Parts p = parts_of(b, x);
  return one(b.call("aten::atan2", {{"self", p.imaginary}, {"other", p.real}}));
}

Tensors view_as_real(Layer& l, const Call& call) {
  const Parts p = parts_of(l.b, operand(l, call, 0, "x"));
  return one(l.b.stack({p.real, p.imaginary}, -1));
}

// --- transforms

Parts given(Layer& l, const Call& call) {
  if (call.inputs.size() != 2) l.b.fail(ErrorKind::Mismatch, "a pair of tensors is wanted, real and imaginary parts.");
  return {call.inputs[0].value, call.inputs[1].value};
}

Value transformed(Builder& b, const char* op, const Parts& p) { return b.call(op, {{"self", complex(b, p)}}); }

Tensors fft(Layer& l, const Call& call) {
  l.expect_config({});
  return pair(parts_of(l.b, transformed(l.b, "aten::fft_fft", given(l, call))));
}

Tensors fft2(Layer& l, const Call& call) {
  l.expect_config({});
  return pair(parts_of(l.b, transformed(l.b, "aten::fft_fft2", given(l, call))));
}

Tensors ifft2(Layer& l, const Call& call) {
  l.expect_config({});
  return pair(parts_of(l.b, transformed(l.b, "aten::fft_ifft2", given(l, call))));
}

Tensors rfft(Layer& l, const Call& call) {
  l.expect_config({"fft_length"});
  Args args{{"self", operand(l, call, 0, "x")}};
  if (l.has("fft_length")) args.push_back({"n", l.integer("fft_length")});
  return pair(parts_of(l.b, l.b.call("aten::fft_rfft", std::move(args))));
}

Tensors irfft(Layer& l, const Call& call) {
  l.expect_config({"fft_length"});
  Args args{{"self", complex(l.b, given(l, call))}};
  if (l.has("fft_length")) args.push_back({"n", l.integer("fft_length")});
  return one(l.b.call("aten::fft_irfft", std::move(args)));
}

// [..., time] -> [..., frames, length]
Value frames(Builder& b, Value x, int64_t length, int64_t step) {
  return b.call("aten::unfold", {{"self", x}, {"dimension", -1}, {"size", length}, {"step", step}});
}

Tensors extract_sequences(Layer& l, const Call& call) {
  l.expect_config({"sequence_length", "sequence_stride"});
  return one(frames(l.b, operand(l, call, 0, "x"), l.integer("sequence_length"), l.integer("sequence_stride")));
}

struct Stft {
  int64_t length, step, fft;
  std::vector<double> window;  // in the middle of fft zeros; empty: none
};

Stft stft_of(Layer& l) {
  Stft s{l.integer("sequence_length"), l.integer("sequence_stride"), l.integer("fft_length"), {}};
  if (!l.has("window")) return s;
  const json& window = l.config.at("window");
  const auto literal = window.is_string() ? std::nullopt : literal_of(window);
  if (window.is_string()) {
    s.window = tensorflow_window(l, window.get<std::string>(), s.length, s.fft);
  } else if (literal && literal->value.is_array() && static_cast<int64_t>(literal->value.size()) == s.length) {
    s.window.assign(static_cast<size_t>(s.fft), 0);
    for (int64_t i = 0; i < s.length; ++i)
      s.window[static_cast<size_t>((s.fft - s.length) / 2 + i)] = literal->value[static_cast<size_t>(i)].get<double>();
  } else {
    l.b.fail(ErrorKind::Unsupported, fmt::format("a window that is neither a name nor {} numbers has no lowering.", s.length));
  }
  return s;
}

Value as_constant(Builder& b, const std::vector<double>& numbers, DType dtype) {
  return constant_of(b, json(numbers), dtype);
}

Tensors stft(Layer& l, const Call& call) {
  l.expect_config({"sequence_length", "sequence_stride", "fft_length", "window", "center"});
  Builder& b = l.b;
  const Stft s = stft_of(l);
  Value x = operand(l, call, 0, "x");
  const int64_t last = b.rank(x) - 1, middle = s.fft / 2;
  if (l.flag("center", true)) {
    const Int n = b.size(x, last);
    x = b.concat({b.flip(b.slice(x, last, 1, middle + 1), {last}), x,
                  b.flip(b.slice(x, last, n - middle - 1, n - 1), {last})},
                 last);
  }
  Value parts = frames(b, x, s.fft, s.step);
  if (!s.window.empty()) parts = b.mul(parts, as_constant(b, s.window, b.dtype(x)));
  return pair(parts_of(b, b.call("aten::fft_rfft", {{"self", parts}, {"n", s.fft}})));
}

// What the window has to be divided by so that the overlapping squares add up to one (inverse_stft_window_fn).
std::vector<double> inverse_window(const Stft& s) {
  std::vector<double> sums(static_cast<size_t>(s.step), 0), out(s.window);
  for (size_t i = 0; i < s.window.size(); ++i) sums[i % sums.size()] += s.window[i] * s.window[i];
  for (size_t i = 0; i < out.size(); ++i) out[i] /= sums[i % sums.size()];
  return out;
}

// [..., frames, length] -> [..., (frames - 1) step + length]: each frame cut into parts of `step`; the parts with the
// same number lie beside each other.
Value overlap_and_add(Builder& b, Value x, int64_t length, int64_t step) {
  const int64_t parts = (length + step - 1) / step, last = b.rank(x) - 1;
  const Int count = b.size(x, last - 1), whole = count * step;
  x = b.pad(x, {Int(0), Int(parts * step - length)});
  Ints shape = b.sizes(x);
  shape.resize(static_cast<size_t>(last - 1));
  shape.push_back(whole);
  Value sum;
  for (int64_t i = 0; i < parts; ++i) {
    Value part = b.reshape(b.slice(x, last, i * step, (i + 1) * step), shape);
    part = b.pad(part, {Int(i * step), Int((parts - 1 - i) * step)});
    sum = sum ? b.add(sum, part) : part;
  }
  return b.slice(sum, last - 1, 0, whole + (length - step));
}

Tensors istft(Layer& l, const Call& call) {
  l.expect_config({"sequence_length", "sequence_stride", "fft_length", "length", "window", "center"});
  Builder& b = l.b;
  const Stft s = stft_of(l);
  Value x = b.call("aten::fft_irfft", {{"self", complex(b, given(l, call))}, {"n", s.fft}});
  if (!s.window.empty()) x = b.mul(x, as_constant(b, inverse_window(s), b.dtype(x)));
  x = overlap_and_add(b, x, s.fft, s.step);
  const bool centred = l.flag("center", true);
  const int64_t start = centred ? s.fft / 2 : 0, last = b.rank(x) - 1;
  Int end = b.size(x, last);
  if (l.has("length"))
    end = min(end, Int(start + l.integer("length")));
  else if (centred)
    end = end - s.fft / 2;
  return one(b.slice(x, last, start, end));
}

}  // namespace

void register_operations_signal(Registry& r) {
  auto add = [&r](const char* name, LayerFn fn) { register_operation(r, name, std::move(fn)); };
  add("Angle", angle);
  add("Conj", conjugate);
  add("Conjugate", conjugate);
  add("ExtractSequences", extract_sequences);
  add("FFT", fft);
  add("FFT2", fft2);
  add("IFFT2", ifft2);
  add("IRFFT", irfft);
  add("ISTFT", istft);
  add("Imag", imaginary);
  add("Isreal", is_real);
  add("RFFT", rfft);
  add("Real", real);
  add("STFT", stft);
  add("ViewAsReal", view_as_real);
}

}  // namespace midstream::keras
