#include "lower/keras/layout.h"

namespace midstream::keras {

math::Layout layout_of(const Layer& l) {
  const std::string format = l.text("data_format", "channels_last");
  if (format == "channels_last") return math::Layout::ChannelsLast;
  if (format == "channels_first") return math::Layout::ChannelsFirst;
  l.b.fail(ErrorKind::Mismatch,
           "config entry 'data_format' is '" + format + "', 'channels_last' or 'channels_first' wanted.");
}

math::Padding padding_of(const Layer& l) {
  const std::string padding = l.text("padding", "valid");
  if (padding == "valid" || padding == "VALID") return math::Padding::Valid;
  if (padding == "same" || padding == "SAME") return math::Padding::Same;
  if (padding == "causal") return math::Padding::Causal;
  l.b.fail(ErrorKind::Mismatch, "config entry 'padding' is '" + padding + "', 'valid', 'same' or 'causal' wanted.");
}

int64_t channels(const Layer& l, Value x, math::Layout layout) {
  const Dims dims = l.b.dims(x);
  const int64_t n = layout == math::Layout::ChannelsLast ? dims.back() : dims.at(1);
  if (n == kUnknown)
    l.b.fail(ErrorKind::Mismatch,
             "the input's shape " + to_string(dims) + " does not say how many channels there are.");
  return n;
}

void expect_rank(const Layer& l, Value x, int64_t rank) {
  if (l.b.rank(x) != rank)
    l.b.fail(ErrorKind::Mismatch, "its input has shape " + to_string(l.b.dims(x)) + ", one with " +
                                      std::to_string(rank) + " axes is wanted.");
}

}  // namespace midstream::keras
