// Names of the source as names of Python.
#pragma once

#include <string>
#include <vector>

#include "emit/code.h"

namespace midstream::emit {

// "conv2_block1_1_conv" -> {"conv2", "block1", "1", "conv"}; slashes separate too.
std::vector<std::string> words(const std::string& name);
std::string joined(const std::vector<std::string>& words, size_t count);
// How many words all of them begin with.
size_t common_words(const std::vector<std::vector<std::string>>& names);
// Is this the name that Keras gives a layer of class `op` by itself ("conv2d_7")?
bool is_automatic(const std::string& name, const std::string& op);
// The path inside of the scope `scope`.
std::string relative(const std::string& path, const std::string& scope);

// A name of an attribute or variable: "1_conv" -> "conv_1"; never a keyword or a name that nn.Module uses.
std::string identifier(const std::string& name);
// "conv_block" -> "ConvBlock".
std::string class_name(const std::string& name);
// `name`, or `name`_2, _3, ... where it is taken; adds it to `taken`.
std::string unique(const std::string& name, std::set<std::string>& taken);

// Names of classes, attributes and parameters; after params().
void name_everything(Program& program, const std::string& model_name);
// What becomes arguments of the classes: literals that differ between a class's instances.
void find_params(Program& program);

}  // namespace midstream::emit
