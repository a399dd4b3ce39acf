// Python definitions for what PyTorch has no spelling for; each is printed once, in files that use it.
#include <map>

#include "emit/print_table.h"

namespace midstream::emit {
namespace {

constexpr std::string_view kListSet = R"(def list_set(items: list, index: int, item: Tensor) -> list:
    """The list with one element replaced."""
    return [*items[:index], item, *items[index + 1 :]])";

constexpr std::string_view kBatchNorm = R"(class BatchNorm@(nn.BatchNorm@):
    """nn.BatchNorm@ that keeps the biased variance in running_var, as Keras does (PyTorch: the unbiased one)."""

    def forward(self, x: Tensor) -> Tensor:
        if not self.training:
            return super().forward(x)
        mean, var = torch.zeros_like(self.running_mean), torch.zeros_like(self.running_var)
        y = F.batch_norm(x, mean, var, self.weight, self.bias, training=True, momentum=1.0, eps=self.eps)
        n = x.numel() // x.shape[1]
        with torch.no_grad():
            self.running_mean.lerp_(mean, self.momentum)
            self.running_var.lerp_(var * ((n - 1) / n), self.momentum)
        return y)";

// Keras 2's plain rule: n / (n - 1 - epsilon) of the biased variance.
constexpr std::string_view kSampleBatchNorm = R"(class SampleBatchNorm@(nn.BatchNorm@):
    """nn.BatchNorm@ with the variance that Keras 2 keeps: the biased one times n / (n - 1 - eps)."""

    def forward(self, x: Tensor) -> Tensor:
        if not self.training:
            return super().forward(x)
        mean, var = torch.zeros_like(self.running_mean), torch.zeros_like(self.running_var)
        y = F.batch_norm(x, mean, var, self.weight, self.bias, training=True, momentum=1.0, eps=self.eps)
        n = x.numel() // x.shape[1]
        with torch.no_grad():
            self.running_mean.lerp_(mean, self.momentum)
            self.running_var.lerp_(var * ((n - 1) / (n - 1 - self.eps)), self.momentum)
        return y)";

constexpr std::string_view kFrozenBatchNorm = R"(class FrozenBatchNorm@(nn.BatchNorm@):
    """Stays in inference mode: TensorFlow does not update the statistics of a frozen BatchNormalization."""

    def train(self, mode: bool = True) -> "FrozenBatchNorm@":
        return super().train(False))";

constexpr std::string_view kUnscaled = R"(class Unscaled@NAME(@BASE):
    """Without the factor: only the bias is learned (Keras' scale=False)."""

    def __init__(self, num_features: int, eps: float = 1e-05, momentum: float = 0.1) -> None:
        super().__init__(num_features, eps, momentum)
        self.register_parameter("weight", None))";

constexpr std::string_view kUncentered = R"(class Uncentered@NAME(@BASE):
    """Without the bias: only the factor is learned (Keras' center=False)."""

    def __init__(self, num_features: int, eps: float = 1e-05, momentum: float = 0.1) -> None:
        super().__init__(num_features, eps, momentum)
        self.register_parameter("bias", None))";

constexpr std::string_view kChannelDropout = R"(class ChannelDropout(nn.Dropout):
    """Drops whole channels of a channels-last tensor."""

    def forward(self, x: Tensor) -> Tensor:
        keep = x.new_ones(x.shape[0], *[1] * (x.dim() - 2), x.shape[-1])
        return x * F.dropout(keep, self.p, self.training))";

constexpr std::string_view kDropout = R"(def dropout(x: Tensor, p: float, shape: tuple[int, ...]) -> Tensor:
    """Dropout with one decision for all elements along an axis where `shape` is 1."""
    return x * F.dropout(x.new_ones(shape), p))";

// TensorFlow's FusedBatchNorm in training, outside of a layer: graphs use it for layer normalization, too.
constexpr std::string_view kBatchNormFunction = R"(def batch_norm(
    x: Tensor,
    momentum: float,
    eps: float,
    correction: float,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    running_mean: Tensor | None = None,
    running_var: Tensor | None = None,
) -> tuple[Tensor, Tensor, Tensor]:
    """x normalized over all axes but its channels (axis 1), and the statistics: the new running ones (old * momentum +
    batch * (1 - momentum)) or the batch's. The variance counts n - correction elements."""
    like = next((t for t in (weight, bias, running_mean) if t is not None), x).detach()
    mean, var = like.new_zeros(x.shape[1]), like.new_zeros(x.shape[1])
    y = F.batch_norm(x, mean, var, weight, bias, training=True, momentum=1.0, eps=eps)
    n = x.numel() // max(x.shape[1], 1)
    with torch.no_grad():
        var = var * ((n - 1) / (n - correction)) if n > 1 else torch.zeros_like(var)
        if running_mean is not None:
            mean = running_mean * momentum + mean * (1 - momentum)
        if running_var is not None:
            var = running_var * momentum + var * (1 - momentum)
    return y, mean, var)";

constexpr std::string_view kStrings = R"(def strings(text: Tensor) -> list[bytes]:
    """The strings of a tensor of bytes, uint8[..., width], each filled up with zeros."""
    return [row.tobytes().rstrip(b"\0") for row in text.cpu().reshape(-1, text.shape[-1]).numpy()])";

constexpr std::string_view kTextIndex = R"(def text_index(text: Tensor, vocabulary: Tensor) -> Tensor:
    """The row of each string in the vocabulary, -1 where it is not there."""
    rows = {word: i for i, word in enumerate(strings(vocabulary))}
    found = [rows.get(word, -1) for word in strings(text)]
    return torch.tensor(found, dtype=torch.int64, device=text.device).reshape(text.shape[:-1]))";

constexpr std::string_view kTextWords =
    R"(def text_words(text: Tensor, standardize: str, split: str, ngrams: list[int], length: int | None = None) -> Tensor:
    """The words of each string, in rows filled up with empty strings to the longest row or to `length`."""
    lines, shape = strings(text), list(text.shape[:-1])
    if standardize.startswith("lower"):
        lines = [line.lower() for line in lines]
    if standardize.endswith("strip_punctuation"):
        marks = bytes(c for c in range(33, 127) if not chr(c).isalnum())
        lines = [line.translate(None, marks) for line in lines]
    if split == "whitespace":
        rows = [line.split() for line in lines]
    elif split == "character":
        rows = [[c.encode() for c in line.decode("utf-8", "replace")] for line in lines]
    else:
        n = shape.pop()
        rows = [lines[i : i + n] for i in range(0, len(lines), n)]
    if ngrams:
        rows = [[b" ".join(row[i : i + w]) for w in ngrams for i in range(len(row) - w + 1)] for row in rows]
    n = length if length is not None else max(map(len, rows), default=0)
    words = [word for row in rows for word in (row + [b""] * n)[:n]]
    width = max(map(len, words), default=0) or 1
    out = [list(word.ljust(width, b"\0")) for word in words]
    return torch.tensor(out, dtype=torch.uint8, device=text.device).reshape(*shape, n, width))";

std::string replaced(std::string_view text, const std::string& word, const std::string& with) {
  std::string out(text);
  for (size_t at = out.find(word); at != std::string::npos; at = out.find(word, at + with.size()))
    out.replace(at, word.size(), with);
  return out;
}

// Each BatchNorm, and its forms without factor or bias.
void add_batch_norms(std::vector<HelperText>& out, const std::string& rank) {
  const std::vector<std::pair<std::string, std::string_view>> bases{{"BatchNorm", kBatchNorm},
                                                                    {"SampleBatchNorm", kSampleBatchNorm},
                                                                    {"FrozenBatchNorm", kFrozenBatchNorm},
                                                                    {"TorchBatchNorm", {}}};
  for (const auto& [stem, text] : bases) {
    const std::string name = stem + rank, base = text.empty() ? "nn.BatchNorm" + rank : name;
    if (!text.empty()) out.push_back({name, replaced(text, "@", rank), {}});
    for (const auto& [prefix, form] :
         {std::pair<std::string, std::string_view>{"Unscaled", kUnscaled}, {"Uncentered", kUncentered}})
      out.push_back({prefix + name, replaced(replaced(form, "@NAME", name), "@BASE", base), {name}});
  }
}

std::vector<HelperText> own_helpers() {
  std::vector<HelperText> out{
      {"list_set", std::string(kListSet), {}},
      {"ChannelDropout", std::string(kChannelDropout), {}},
      {"batch_norm", std::string(kBatchNormFunction), {}},
      {"dropout", std::string(kDropout), {}},
      {"strings", std::string(kStrings), {}},
      {"text_index", std::string(kTextIndex), {"strings"}},
      {"text_words", std::string(kTextWords), {"strings"}},
  };
  for (const std::string rank : {"1d", "2d", "3d"}) add_batch_norms(out, rank);
  return out;
}

}  // namespace

std::vector<OpRow> own_rows() {
  return {
      {"midstream::batch_norm",
       {"batch_norm({input}, {momentum}, {eps}, {correction}{, weight}{, bias}{, running_mean}{, running_var})"},
       kAtom,
       "batch_norm"},
      {"midstream::stateless_dropout", {"dropout({x}, {rate}, {noise_shape}{-seed})"}, kAtom, "dropout"},
      {"midstream::stateless_random_normal", {"torch.randn({size}, dtype={dtype}, device={device}{-seed})"}},
      {"midstream::stateless_random_uniform", {"torch.rand({size}, dtype={dtype}, device={device}{-seed})"}},
      {"aten::randn", {"torch.randn({size}{, dtype}, device={device})"}},
      {"aten::rand", {"torch.rand({size}{, dtype}, device={device})"}},
      {"aten::dropout", {"F.dropout({input}, {p}{, training=train})"}},
      {"aten::feature_dropout", {"torch.feature_dropout({input}, {p}, {train})"}},
      {"midstream::text_index", {"text_index({text}, {vocabulary})"}, kAtom, "text_index"},
      {"midstream::text_words",
       {"text_words({text}, {standardize}, {split}, {ngrams}{, length})"},
       kAtom,
       "text_words"},
      {"midstream::scalar_pow", {"{self} ** {exponent}"}, kPower},
      {"midstream::scalar_cos", {"torch.cos({self})"}},
      {"midstream::scalar_log", {"torch.log({self})"}},
  };
}

const HelperText* find_helper(const std::string& name) {
  static const auto* helpers = [] {
    auto* out = new std::map<std::string, HelperText>;
    for (const auto& list : {own_helpers(), recurrent_helpers(), image_helpers()})
      for (const HelperText& helper : list) out->emplace(helper.name, helper);
    return out;
  }();
  const auto it = helpers->find(name);
  return it == helpers->end() ? nullptr : &it->second;
}

}  // namespace midstream::emit
