// EinsumDense: a dense product along any axes. The shapes of its weights follow from the equation, the input's shape
// and the config's output shape.
#include <algorithm>

#include "lower/keras/layer.h"
#include "lower/registry.h"

namespace midstream::keras {
namespace {

// "...ab,bc->...ac": the letters of each term, and where the ellipsis is.
struct Equation {
  std::string input, weight, output;
  bool elided_left = false;
};

Equation parse(const Layer& l, const std::string& text) {
  const size_t comma = text.find(','), arrow = text.find("->");
  if (comma == std::string::npos || arrow == std::string::npos || comma > arrow)
    l.b.fail(ErrorKind::Mismatch, "config entry 'equation' is '" + text + "', one like 'ab,bc->ac' wanted.");
  auto letters = [](std::string term) {
    term.erase(std::remove_if(term.begin(), term.end(), [](char c) { return c == '.' || c == ' '; }), term.end());
    return term;
  };
  return {letters(text.substr(0, comma)), letters(text.substr(comma + 1, arrow - comma - 1)),
          letters(text.substr(arrow + 2)), text.starts_with("...")};
}

class Sizes {
 public:
  Sizes(const Layer& l, const Equation& e, const Dims& input) : l_(l), e_(e), input_(input) {
    for (const json& size : l.config.at("output_shape").is_array() ? l.config.at("output_shape")
                                                                   : json::array({l.config.at("output_shape")}))
      output_.push_back(size.is_number_integer() ? size.get<int64_t>() : kUnknown);
  }

  int64_t of(char letter) const {
    int64_t size = kUnknown;
    if (size_t i = e_.input.find(letter); i != std::string::npos)
      size = at(input_, i, e_.input.size());
    else if (size_t o = e_.output.find(letter); o != std::string::npos)
      size = e_.elided_left ? at(output_, o, e_.output.size()) : o == 0 ? kUnknown : output_.at(o - 1);
    if (size == kUnknown)
      l_.b.fail(ErrorKind::Mismatch, "nothing says how large axis '" + std::string(1, letter) + "' of its equation '" +
                                         l_.text("equation") + "' is.");
    return size;
  }

 private:
  // Letters count from the end where the ellipsis comes first.
  int64_t at(const Dims& dims, size_t position, size_t letters) const {
    const size_t index = e_.elided_left ? dims.size() - letters + position : position;
    return index < dims.size() ? dims[index] : kUnknown;
  }
  const Layer& l_;
  const Equation& e_;
  const Dims input_;  // a copy: the graph moves its types when values are added
  Dims output_;
};

Tensors einsum_dense(Layer& l, const Call& call) {
  l.expect_config({"equation", "output_shape", "bias_axes", "activation"});
  Builder& b = l.b;
  Value x = call.one().value;
  const std::string equation = l.text("equation"), bias_axes = l.text("bias_axes");
  const Equation e = parse(l, equation);
  const Sizes sizes(l, e, b.dims(x));
  Dims kernel;
  for (char letter : e.weight) kernel.push_back(sizes.of(letter));
  Value y = b.call("aten::einsum", {{"equation", equation}, {"tensors", Values{x, l.weight("kernel", kernel)}}});
  if (!bias_axes.empty()) {
    // From the first axis with a bias on; the others have size 1, and so have those that the ellipsis stands for
    // behind.
    size_t first = e.output.size();
    for (char letter : bias_axes) first = std::min(first, e.output.find(letter));
    Dims bias;
    for (char letter : e.output.substr(first))
      bias.push_back(bias_axes.find(letter) == std::string::npos ? 1 : sizes.of(letter));
    if (!e.elided_left && equation.find("...") != std::string::npos)
      bias.insert(bias.end(), static_cast<size_t>(b.rank(y)) - e.output.size(), 1);
    y = b.add(y, l.weight("bias", bias));
  }
  return {{l.activation(y), {}}};
}

}  // namespace

void register_einsum_dense(Registry& r) { r.layer("EinsumDense", einsum_dense); }

}  // namespace midstream::keras
