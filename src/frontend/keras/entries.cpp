// Each class with what its get_config writes, in Keras 3, tf_keras and, after canonicalization, the older versions.
#include "frontend/keras/entries.h"

#include <algorithm>
#include <map>
#include <vector>

namespace midstream::keras {
namespace {

using Entries = std::vector<std::string>;

// What all classes of a kind have.
const Entries kLoss{"name", "reduction"}, kMetric{"name", "dtype"}, kSchedule{"name"}, kRule{"name"};
const Entries kOptimizer{"name",
                         "learning_rate",
                         "weight_decay",
                         "clipnorm",
                         "clipvalue",
                         "global_clipnorm",
                         "use_ema",
                         "ema_momentum",
                         "ema_overwrite_frequency",
                         "decay",
                         "rules",
                         "merged_gradients",
                         "gradient_accumulation_steps",
                         "loss_scale_factor"};

struct Known {
  const Entries* common;
  Entries own;
};

// A name may stand for a loss and for a metric (MeanSquaredError): both lists count then.
const std::multimap<std::string, Known>& table() {
  static const std::multimap<std::string, Known> known = [] {
    std::multimap<std::string, Known> out;
    const auto add = [&](const Entries& common, const Entries& own, std::initializer_list<const char*> classes) {
      for (const char* c : classes) out.emplace(c, Known{&common, own});
    };
    add(kLoss, {},
        {"CTC", "CategoricalHinge", "Hinge", "KLDivergence", "LogCosh", "MeanAbsoluteError",
         "MeanAbsolutePercentageError", "MeanSquaredError", "MeanSquaredLogarithmicError", "Poisson", "SquaredHinge"});
    add(kLoss, {"from_logits", "label_smoothing", "axis"}, {"BinaryCrossentropy", "CategoricalCrossentropy"});
    add(kLoss, {"from_logits", "label_smoothing", "axis", "alpha", "gamma", "apply_class_balancing"},
        {"BinaryFocalCrossentropy"});
    add(kLoss, {"from_logits", "label_smoothing", "axis", "alpha", "gamma"}, {"CategoricalFocalCrossentropy"});
    add(kLoss, {"from_logits", "ignore_class", "axis"}, {"SparseCategoricalCrossentropy"});
    add(kLoss, {"q"}, {"CategoricalGeneralizedCrossEntropy"});
    add(kLoss, {"gamma", "margin", "remove_diagonal"}, {"Circle"});
    add(kLoss, {"axis"}, {"CosineSimilarity", "Dice"});
    add(kLoss, {"delta"}, {"Huber"});
    add(kLoss, {"alpha", "beta", "axis"}, {"Tversky"});

    add(kMetric, {},
        {"Accuracy", "CategoricalAccuracy", "CategoricalHinge", "Hinge", "KLDivergence", "LogCoshError", "Mean",
         "MeanAbsoluteError", "MeanAbsolutePercentageError", "MeanSquaredError", "MeanSquaredLogarithmicError",
         "Poisson", "RootMeanSquaredError", "SparseCategoricalAccuracy", "SquaredHinge", "Sum"});
    add(kMetric, {"threshold"}, {"BinaryAccuracy"});
    add(kMetric, {"from_logits", "label_smoothing", "axis"}, {"BinaryCrossentropy", "CategoricalCrossentropy"});
    add(kMetric, {"from_logits", "ignore_class", "axis"}, {"SparseCategoricalCrossentropy"});
    add(kMetric, {"axis"}, {"CosineSimilarity", "ConcordanceCorrelation", "PearsonCorrelation"});
    add(kMetric, {"k"}, {"TopKCategoricalAccuracy"});
    add(kMetric, {"k", "from_sorted_ids"}, {"SparseTopKCategoricalAccuracy"});
    add(kMetric, {"thresholds"}, {"FalseNegatives", "FalsePositives", "TrueNegatives", "TruePositives"});
    add(kMetric, {"thresholds", "top_k", "class_id"}, {"Precision", "Recall"});
    add(kMetric, {"num_thresholds", "class_id", "recall"}, {"PrecisionAtRecall"});
    add(kMetric, {"num_thresholds", "class_id", "precision"}, {"RecallAtPrecision"});
    add(kMetric, {"num_thresholds", "class_id", "specificity"}, {"SensitivityAtSpecificity"});
    add(kMetric, {"num_thresholds", "class_id", "sensitivity"}, {"SpecificityAtSensitivity"});
    add(kMetric,
        {"num_thresholds", "curve", "summation_method", "multi_label", "num_labels", "label_weights", "from_logits",
         "thresholds"},
        {"AUC"});
    add(kMetric, {"average", "threshold"}, {"F1Score"});
    add(kMetric, {"average", "threshold", "beta"}, {"FBetaScore"});
    add(kMetric, {"normalizer"}, {"MeanRelativeError"});
    add(kMetric, {"class_aggregation", "num_regressors"}, {"R2Score"});
    add(kMetric, {"target_class_ids", "threshold"}, {"BinaryIoU"});
    for (const char* c : {"IoU", "MeanIoU", "OneHotIoU", "OneHotMeanIoU"})
      add(kMetric, {"num_classes", "axis", "ignore_class", "sparse_y_pred", "sparse_y_true", "target_class_ids"}, {c});

    add(kOptimizer, {"rho", "epsilon"}, {"Adadelta"});
    add(kOptimizer, {"initial_accumulator_value", "epsilon"}, {"Adagrad"});
    add(kOptimizer, {"beta_1", "beta_2", "epsilon", "amsgrad"}, {"Adam", "AdamW"});
    add(kOptimizer, {"beta_1", "beta_2", "epsilon"}, {"Adamax", "Nadam", "Lamb"});
    add(kOptimizer, {"beta_1", "beta_2", "epsilon", "warmup_steps"}, {"ScheduleFreeAdamW"});
    add(kOptimizer, {"beta_2_decay", "clip_threshold", "epsilon_1", "epsilon_2", "relative_step"}, {"Adafactor"});
    add(kOptimizer,
        {"adam_beta_1", "adam_beta_2", "adam_lr_ratio", "adam_weight_decay", "epsilon", "exclude_embeddings",
         "exclude_layers", "momentum", "muon_a", "muon_b", "muon_c", "nesterov", "ns_steps", "rms_rate"},
        {"Muon"});
    add(kOptimizer,
        {"beta", "initial_accumulator_value", "l1_regularization_strength", "l2_regularization_strength",
         "l2_shrinkage_regularization_strength", "learning_rate_power"},
        {"Ftrl"});
    add(kOptimizer, {"beta_1", "beta_2"}, {"Lion"});
    add(kOptimizer, {"rho", "epsilon", "momentum", "centered"}, {"RMSprop"});
    add(kOptimizer, {"momentum", "nesterov"}, {"SGD"});
    // Keras up to 3.10 writes the entries of every optimizer, all as they are by default.
    add(kOptimizer, {"inner_optimizer", "dynamic", "initial_scale", "dynamic_growth_steps"}, {"LossScaleOptimizer"});

    add(kSchedule, {"initial_learning_rate", "decay_steps", "alpha", "warmup_steps", "warmup_target"}, {"CosineDecay"});
    add(kSchedule, {"initial_learning_rate", "first_decay_steps", "alpha", "t_mul", "m_mul"}, {"CosineDecayRestarts"});
    add(kSchedule, {"initial_learning_rate", "decay_steps", "decay_rate", "staircase"},
        {"ExponentialDecay", "InverseTimeDecay"});
    add(kSchedule, {"boundaries", "values"}, {"PiecewiseConstantDecay"});
    add(kSchedule, {"initial_learning_rate", "decay_steps", "end_learning_rate", "power", "cycle"},
        {"PolynomialDecay"});

    // Regularizers and constraints, Keras 1's names beside today's.
    add(kRule, {"l1"}, {"L1"});
    add(kRule, {"l2"}, {"L2"});
    add(kRule, {"l1", "l2"}, {"L1L2", "WeightRegularizer", "ActivityRegularizer", "L1L2Regularizer"});
    add(kRule, {"factor", "mode"}, {"OrthogonalRegularizer"});
    add(kRule, {"max_value", "m", "axis"}, {"MaxNorm"});
    add(kRule, {"min_value", "low", "max_value", "high", "rate", "axis"}, {"MinMaxNorm"});
    add(kRule, {}, {"NonNeg", "RadialConstraint"});
    add(kRule, {"axis"}, {"UnitNorm"});
    return out;
  }();
  return known;
}

}  // namespace

std::string name_with_unknown_entries(const std::string& class_name, const json& config) {
  const auto [first, last] = table().equal_range(class_name);
  if (first == last || !config.is_object()) return class_name;
  std::string unknown;
  for (const auto& [key, value] : config.items()) {
    if (value.is_null()) continue;
    const std::string& entry = key;
    const auto lists = [&](const auto& known) {
      const auto in = [&](const Entries& names) { return std::find(names.begin(), names.end(), entry) != names.end(); };
      return in(*known.second.common) || in(known.second.own);
    };
    if (!std::any_of(first, last, lists)) unknown += (unknown.empty() ? "" : ", ") + entry + "=" + value.dump();
  }
  return unknown.empty() ? class_name : class_name + "(" + unknown + ")";
}

}  // namespace midstream::keras
