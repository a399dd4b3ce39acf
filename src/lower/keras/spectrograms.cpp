// STFTSpectrogram, whose Fourier transform is a convolution with weights, and MelSpectrogram.
#include "lower/keras/spectrograms.h"

#include <cmath>

#include "lower/keras/host.h"
#include "lower/keras/layout.h"
#include "lower/math/elementwise.h"
#include "lower/registry.h"

namespace midstream::keras {
namespace {

constexpr double kEpsilon = 1e-7;  // keras.config.epsilon()

// --- STFTSpectrogram

struct Stft {
  int64_t frame, step, frequencies;
  math::Layout layout;
  math::Padding padding;
};

// The signals of all channels [n * channels, 1, time] with one kernel: [n, channels, frequencies, frames].
Value transformed(Layer& l, Value x_nct, const Stft& s, const char* kernel) {
  Builder& b = l.b;
  const Int n = b.size(x_nct, 0), channels = b.size(x_nct, 1), time = b.size(x_nct, 2);
  Value w = l.weight(kernel, {s.frame, 1, s.frequencies});
  const math::ConvSpec spec{.strides = {s.step}, .dilations = {1}, .padding = s.padding, .explicit_padding = {}};
  Value y = math::conv(b, b.reshape(x_nct, {n * channels, Int(1), time}), w, {}, spec);
  return b.reshape(y, {n, channels, Int(s.frequencies), b.size(y, 2)});
}

Value arranged(Layer& l, Value y_ncft, const Stft& s) {
  Builder& b = l.b;
  const bool last = s.layout == math::Layout::ChannelsLast;
  if (l.flag("expand_dims"))
    return b.permute(y_ncft, last ? std::vector<int64_t>{0, 3, 2, 1} : std::vector<int64_t>{0, 1, 3, 2});
  const Ints d = b.sizes(y_ncft);
  Value flat = b.reshape(y_ncft, {d[0], d[1] * d[2], d[3]});
  return last ? b.permute(flat, {0, 2, 1}) : flat;
}

Tensors stft_spectrogram(Layer& l, const Call& call) {
  l.expect_config({"mode", "frame_length", "frame_step", "fft_length", "window", "periodic", "scaling", "padding",
                   "data_format", "expand_dims"});
  Builder& b = l.b;
  expect_rank(l, call.one().value, 3);
  Stft s{.frame = l.integer("frame_length", 256), .step = 0, .frequencies = 0, .layout = layout_of(l),
         .padding = padding_of(l)};
  s.step = l.has("frame_step") ? l.integer("frame_step") : s.frame / 2;
  int64_t fft = 1;
  while (fft < s.frame) fft *= 2;
  s.frequencies = (l.has("fft_length") ? l.integer("fft_length") : fft) / 2 + 1;
  const std::string mode = l.text("mode", "log");
  Value x_nct = math::to_channels_first(b, call.one().value, s.layout), real, imaginary;
  if (mode != "imag") real = transformed(l, x_nct, s, "real_kernel");
  if (mode != "real") imaginary = transformed(l, x_nct, s, "imag_kernel");
  auto result = [&](Value y) { return Tensors{{arranged(l, y, s), {}}}; };
  if (mode == "real") return result(real);
  if (mode == "imag") return result(imaginary);
  if (mode == "angle") return result(b.call("aten::atan2", {{"self", imaginary}, {"other", real}}));
  if (mode == "stft") return result(b.concat({real, imaginary}, 2));
  Value power = b.add(b.square(real), b.square(imaginary));
  if (mode == "psd") {
    Value inner = b.slice(power, 2, 1, b.size(power, 2) - 1);
    return result(b.add(power, b.pad(inner, {0, 0, 1, 1})));
  }
  Value linear = arranged(l, b.sqrt(math::maximum(b, power, kEpsilon)), s);
  if (mode == "magnitude") return {{linear, {}}};
  if (mode != "log") b.fail(ErrorKind::Mismatch, "config entry 'mode' is '" + mode + "', which this layer does not have.");
  return {{b.log(math::maximum(b, linear, kEpsilon)), {}}};
}

// --- MelSpectrogram

constexpr float kBreak = 700, kQuality = 1127;

float mel(float hertz) { return kQuality * std::log(1.0f + hertz / kBreak); }

std::vector<float> spread(float from, float to, int64_t n) {
  std::vector<float> out;
  const float step = n > 1 ? (to - from) / static_cast<float>(n - 1) : 0;
  for (int64_t i = 0; i < n; ++i) out.push_back(from + step * static_cast<float>(i));
  if (n > 1) out.back() = to;
  return out;
}

// Triangles that are evenly spread on the mel scale, [frequencies, bins]. float32, as in Keras.
Array mel_matrix(const Layer& l, int64_t frequencies) {
  const int64_t bins = l.integer("num_mel_bins", 128);
  const auto rate = static_cast<float>(l.integer("sampling_rate", 16000));
  const double highest = l.has("max_freq") ? l.number("max_freq") : static_cast<double>(l.integer("sampling_rate", 16000) / 2);
  const std::vector<float> hertz = spread(0, rate / 2, frequencies);
  const std::vector<float> edges =
      spread(mel(static_cast<float>(l.number("min_freq", 20))), mel(static_cast<float>(highest)), bins + 2);
  std::vector<float> out(static_cast<size_t>(frequencies * bins), 0);
  for (int64_t f = 1; f < frequencies; ++f)
    for (int64_t i = 0; i < bins; ++i) {
      const auto at = static_cast<size_t>(i);
      const float here = mel(hertz[static_cast<size_t>(f)]);
      const float up = (here - edges[at]) / (edges[at + 1] - edges[at]);
      const float down = (edges[at + 2] - here) / (edges[at + 2] - edges[at + 1]);
      out[static_cast<size_t>(f * bins + i)] = std::max(0.0f, std::min(up, down));
    }
  return Array::of<float>(DType::Float32, {frequencies, bins}, std::move(out));
}

Value window_of(const Layer& l, int64_t length, int64_t n, DType dtype) {
  std::vector<double> out(static_cast<size_t>(n), 1);
  if (l.has("window")) out = tensorflow_window(l, l.text("window"), length, n);
  return l.b.cast(l.b.constant(Array::of<double>(DType::Float64, {n}, std::move(out))), dtype);
}

// The magnitudes [..., frequencies, frames] of a signal [..., time].
Value magnitudes(Layer& l, Value x, int64_t fft, int64_t length) {
  Builder& b = l.b;
  const Int middle(fft / 2);
  Value padded = b.call("aten::reflection_pad1d", {{"self", x}, {"padding", Ints{middle, middle}}});
  Value parts = b.call("aten::stft", {{"self", padded},
                                      {"n_fft", fft},
                                      {"hop_length", l.integer("sequence_stride", 512)},
                                      {"win_length", fft},
                                      {"window", window_of(l, length, fft, b.dtype(x))},
                                      {"normalized", false},
                                      {"onesided", true},
                                      {"return_complex", true}});
  parts = b.unary("aten::view_as_real", parts);
  return b.sqrt(b.add(b.square(b.select(parts, -1, 0)), b.square(b.select(parts, -1, 1))));
}

Value decibels(Layer& l, Value power) {
  Builder& b = l.b;
  const double least = l.number("min_power", 1e-10), ten = std::log(10.0);
  auto level = [&](Value v) { return b.mul(b.div(b.log(v), ten), 10.0); };
  Value out = level(math::maximum(b, power, least));
  const double reference = 10 * std::log10(std::max(std::abs(l.number("ref_power", 1)), least));
  if (reference != 0) out = b.sub(out, reference);
  return math::maximum(b, out, b.sub(b.amax(out, {}), l.number("top_db", 80)));
}

Tensors mel_spectrogram(Layer& l, const Call& call) {
  l.expect_config({"fft_length", "sequence_stride", "sequence_length", "window", "sampling_rate", "num_mel_bins",
                   "min_freq", "max_freq", "power_to_db", "top_db", "mag_exp", "min_power", "ref_power"});
  Builder& b = l.b;
  const DType dtype = l.compute_dtype() == DType::Float64 ? DType::Float64 : DType::Float32;
  Value x = b.cast(call.one().value, dtype);
  expect_rank(l, x, 2);
  const int64_t fft = l.integer("fft_length", 2048);
  const int64_t length = l.has("sequence_length") ? l.integer("sequence_length") : fft;
  Value magnitude = magnitudes(l, x, fft, length);
  Value power = b.call("aten::pow.Tensor_Scalar", {{"self", magnitude}, {"exponent", l.number("mag_exp", 2)}});
  Value matrix = b.cast(b.constant(mel_matrix(l, fft / 2 + 1)), dtype);
  Value y = b.matmul(b.permute(matrix, {1, 0}), power);
  if (l.flag("power_to_db", true)) y = decibels(l, y);
  return {{b.cast(y, l.compute_dtype()), {}}};
}

}  // namespace

std::vector<double> tensorflow_window(const Layer& l, const std::string& name, int64_t length, int64_t n) {
  if (name != "hann" && name != "hamming")
    l.b.fail(ErrorKind::Unsupported, "the window '" + name + "' has no lowering, 'hann' and 'hamming' have.");
  std::vector<double> out(static_cast<size_t>(n), 0);
  const double a = name == "hann" ? 0.5 : 0.54, c = 1 - a, period = static_cast<double>(length - length % 2);
  for (int64_t i = 0; i < length; ++i)
    out[static_cast<size_t>((n - length) / 2 + i)] =
        length == 1 ? 1 : a - c * std::cos(2 * M_PI * static_cast<double>(i) / period);
  return out;
}

void register_spectrograms(Registry& r) {
  r.layer("MelSpectrogram", mel_spectrogram);
  r.layer("STFTSpectrogram", stft_spectrogram);
}

}  // namespace midstream::keras
