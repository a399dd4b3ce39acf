// See keras1.h. The names are those of Keras 1.2; keras/legacy/interfaces.py of Keras 2.0 lists the renamings.
#include "frontend/keras/keras1.h"

#include <map>
#include <set>

namespace midstream::keras {

using nlohmann::json;

namespace {

const std::map<std::string, std::string>& renamed_entries() {
  static const std::map<std::string, std::string> names{{"nb_filter", "filters"},
                                                        {"border_mode", "padding"},
                                                        {"bias", "use_bias"},
                                                        {"init", "kernel_initializer"},
                                                        {"inner_init", "recurrent_initializer"},
                                                        {"W_regularizer", "kernel_regularizer"},
                                                        {"b_regularizer", "bias_regularizer"},
                                                        {"U_regularizer", "recurrent_regularizer"},
                                                        {"W_constraint", "kernel_constraint"},
                                                        {"b_constraint", "bias_constraint"},
                                                        {"inner_activation", "recurrent_activation"},
                                                        {"dropout_W", "dropout"},
                                                        {"dropout_U", "recurrent_dropout"},
                                                        {"pool_length", "pool_size"},
                                                        {"filter_length", "kernel_size"},
                                                        {"subsample_length", "strides"},
                                                        {"subsample", "strides"},
                                                        {"stride", "strides"},
                                                        {"atrous_rate", "dilation_rate"},
                                                        {"gamma_init", "gamma_initializer"},
                                                        {"beta_init", "beta_initializer"},
                                                        {"sigma", "stddev"},
                                                        {"length", "size"}};
  return names;
}

// Its output_dim and input_dim are what they are today, so that renamed_entries is not for it.
json embedding_config(const json& config) {
  static const std::map<std::string, std::string> names{{"init", "embeddings_initializer"},
                                                        {"W_regularizer", "embeddings_regularizer"},
                                                        {"W_constraint", "embeddings_constraint"}};
  json out = json::object();
  for (const auto& [key, value] : config.items()) {
    auto it = names.find(key);
    out[it == names.end() ? key : it->second] = value;
  }
  return out;
}

bool is_keras1(const json& config) {
  for (const char* key : {"border_mode", "nb_filter", "W_regularizer", "subsample", "inner_activation", "dim_ordering",
                          "pool_length", "W_constraint", "p", "output_dim", "gamma_init", "beta_init", "bias", "sigma"})
    if (config.contains(key)) return true;
  return false;
}

}  // namespace

std::string keras1_class(const std::string& class_name) {
  static const std::map<std::string, std::string> names{{"Convolution1D", "Conv1D"},
                                                        {"Convolution2D", "Conv2D"},
                                                        {"Convolution3D", "Conv3D"},
                                                        {"Deconvolution2D", "Conv2DTranspose"},
                                                        {"Deconvolution3D", "Conv3DTranspose"},
                                                        {"Convolution2DTranspose", "Conv2DTranspose"},
                                                        {"Convolution3DTranspose", "Conv3DTranspose"},
                                                        {"SeparableConvolution1D", "SeparableConv1D"},
                                                        {"SeparableConvolution2D", "SeparableConv2D"},
                                                        {"AtrousConvolution1D", "Conv1D"},
                                                        {"AtrousConvolution2D", "Conv2D"},
                                                        {"TimeDistributedDense", "Dense"}};
  auto it = names.find(class_name);
  return it == names.end() ? class_name : it->second;
}

std::string merge_class(const json& config) {
  static const std::map<std::string, std::string> modes{{"sum", "Add"},     {"mul", "Multiply"},
                                                        {"ave", "Average"}, {"concat", "Concatenate"},
                                                        {"max", "Maximum"}, {"dot", "Dot"}};
  const json mode = config.is_object() ? config.value("mode", json()) : json();
  // A mode of another type is a function, which the file has as bytes of Python's.
  if (!mode.is_string() || config.value("mode_type", json("raw")) != "raw") return "Merge";
  auto it = modes.find(mode.get<std::string>());
  return it == modes.end() ? "Merge" : it->second;
}

// Keras 1's Merge has the entries of all its modes.
static json merge_config(const std::string& class_name, const json& config) {
  json out = json::object();
  for (const char* entry : {"name", "trainable", "dtype"})
    if (config.contains(entry)) out[entry] = config.at(entry);
  if (class_name == "Concatenate") out["axis"] = config.at("concat_axis");
  if (class_name == "Dot") out["axes"] = config.value("dot_axes", json(-1));
  // Models that a Sequential begins with.
  if (config.contains("layers") && !config.at("layers").empty()) out["layers"] = config.at("layers");
  return out;
}

json keras1_config(const std::string& class_name, const json& config) {
  if (config.contains("mode") && config.contains("concat_axis") && class_name != "Merge")
    return merge_config(class_name, config);
  if (class_name == "Embedding") return embedding_config(config);
  const bool has_mode = class_name == "BatchNormalization" && config.contains("mode");
  if (!is_keras1(config) && !has_mode) return config;
  json out = json::object();
  for (const auto& [key, value] : config.items()) {
    if (key == "dim_ordering") {
      if (value != "default") out["data_format"] = value == "th" ? "channels_first" : "channels_last";
    } else if (key == "p" && class_name.find("Dropout") != std::string::npos) {
      out["rate"] = value;
    } else if (key == "output_dim") {
      out["units"] = value;
    } else if (key == "nb_row" || key == "nb_col" || key == "kernel_dim1" || key == "kernel_dim2" ||
               key == "kernel_dim3" || key == "forget_bias_init" ||
               (key == "mode" && class_name == "BatchNormalization" && value == 0)) {
      continue;
    } else if (key == "length" && class_name != "UpSampling1D") {
      out[key] = value;
    } else {
      auto it = renamed_entries().find(key);
      out[it == renamed_entries().end() ? key : it->second] = value;
    }
  }
  if (config.contains("nb_row")) out["kernel_size"] = {config.at("nb_row"), config.at("nb_col")};
  if (config.contains("kernel_dim1"))
    out["kernel_size"] = {config.at("kernel_dim1"), config.at("kernel_dim2"), config.at("kernel_dim3")};
  return out;
}

}  // namespace midstream::keras
