// Words and identifiers.
#include "emit/names.h"

#include <algorithm>
#include <array>

namespace midstream::emit {

// isalnum asks the locale, and in some of them a byte of a longer character is a letter.
static bool is_ascii_word(char c) { return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z'); }

std::vector<std::string> words(const std::string& name) {
  std::vector<std::string> out(1);
  for (const char c : name) {
    if (is_ascii_word(c))
      out.back() += c;
    else if (!out.back().empty())
      out.emplace_back();
  }
  if (out.back().empty()) out.pop_back();
  return out;
}

std::string joined(const std::vector<std::string>& words, size_t count) {
  std::string out;
  for (size_t i = 0; i < count; ++i) out += (i ? "_" : "") + words[i];
  return out;
}

size_t common_words(const std::vector<std::vector<std::string>>& names) {
  size_t n = 0;
  while (std::all_of(names.begin(), names.end(), [&](const auto& w) { return n < w.size() && w[n] == names[0][n]; }))
    ++n;
  return n;
}

namespace {

bool is_number(const std::string& word) {
  return !word.empty() && std::all_of(word.begin(), word.end(), [](unsigned char c) { return isdigit(c); });
}

std::string letters_only(const std::string& text) {
  std::string out;
  for (const unsigned char c : text)
    if (isalnum(c)) out += static_cast<char>(tolower(c));
  return out;
}

}  // namespace

bool is_automatic(const std::string& name, const std::string& op) {
  if (name.empty()) return true;
  std::vector<std::string> parts = words(name);
  if (parts.size() > 1 && is_number(parts.back())) parts.pop_back();
  return letters_only(joined(parts, parts.size())) == letters_only(op.substr(op.rfind('.') + 1));
}

std::string relative(const std::string& path, const std::string& scope) {
  if (scope.empty()) return path;
  if (path.size() > scope.size() && path.starts_with(scope) && path[scope.size()] == '/')
    return path.substr(scope.size() + 1);
  const std::vector<std::string> all = words(path), outer = words(scope);
  if (all.size() >= outer.size() && std::equal(outer.begin(), outer.end(), all.begin())) {
    const std::vector<std::string> rest(all.begin() + static_cast<ptrdiff_t>(outer.size()), all.end());
    return joined(rest, rest.size());
  }
  return path.substr(path.rfind('/') + 1);
}

std::string identifier(const std::string& name) {
  static const std::set<std::string> kReserved{
      // Python
      "False", "None", "True", "and", "as", "assert", "async", "await", "break", "class", "continue", "def", "del",
      "elif", "else", "except", "finally", "for", "from", "global", "if", "import", "in", "is", "lambda", "nonlocal",
      "not", "or", "pass", "raise", "return", "try", "while", "with", "yield", "max", "min", "int", "bool", "len",
      "list", "self", "torch", "nn", "F", "Tensor",
      // What midstream.load keeps on a module
      "midstream_source", "midstream_text", "midstream_variables",
      // nn.Module: a part with the name of one of its members would not be found under that name
      "T_destination", "get_extra_state", "register_backward_hook", "register_forward_hook",
      "register_forward_pre_hook", "register_full_backward_hook", "register_full_backward_pre_hook",
      "register_load_state_dict_post_hook", "register_load_state_dict_pre_hook", "register_state_dict_post_hook",
      "register_state_dict_pre_hook", "set_extra_state", "add_module", "apply", "bfloat16", "buffers",
      "call_super_init", "children", "compile", "cpu", "cuda", "double", "dump_patches", "eval", "extra_repr", "float",
      "forward", "get_buffer", "get_parameter", "get_submodule", "half", "ipu", "load_state_dict", "modules", "mtia",
      "named_buffers", "named_children", "named_modules", "named_parameters", "parameters", "register_buffer",
      "register_module", "register_parameter", "requires_grad_", "set_submodule", "share_memory", "state_dict", "to",
      "to_empty", "train", "training", "type", "xpu", "zero_grad"};
  std::vector<std::string> parts = words(name);
  std::rotate(parts.begin(),
              std::find_if(parts.begin(), parts.end(),
                           [](const auto& w) { return !isdigit(static_cast<unsigned char>(w[0])); }),
              parts.end());
  std::string out = joined(parts, parts.size());
  if (out.empty()) out = "layer";
  if (isdigit(static_cast<unsigned char>(out[0]))) out = "layer_" + out;
  return kReserved.contains(out) ? out + "_" : out;
}

std::string class_name(const std::string& name) {
  std::string out;
  for (std::string word : words(name)) {
    word[0] = static_cast<char>(toupper(static_cast<unsigned char>(word[0])));
    out += word;
  }
  if (out.empty() || isdigit(static_cast<unsigned char>(out[0]))) out = "Model" + out;
  return out == "None" || out == "True" || out == "False" || out == "Tensor" || out == "F" || out == "Path"
             ? out + "Module"
             : out;
}

std::string unique(const std::string& name, std::set<std::string>& taken) {
  std::string out = name;
  for (int i = 2; !taken.insert(out).second; ++i) out = name + "_" + std::to_string(i);
  return out;
}

}  // namespace midstream::emit
