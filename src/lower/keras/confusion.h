// Counting true and false positives and negatives at thresholds, for metrics made of these counts.
#pragma once

#include <array>

#include "lower/keras/metrics.h"

namespace midstream::keras {

enum class Count : uint8_t { TruePositives, FalsePositives, TrueNegatives, FalseNegatives };
const char* state_name(Count count);  // "true_positives"

struct ConfusionOptions {
  std::vector<double> thresholds;
  int64_t top_k = 0;                  // 0: all predictions
  int64_t class_id = -1;              // -1: all classes
  bool multi_label = false;           // counts per label: [thresholds, labels]
  std::vector<double> label_weights;  // not multi_label
};

// The four counts over this batch, [thresholds] or [thresholds, labels]; only those asked for are set.
using Counts = std::array<Value, 4>;
Counts confusion_counts(Builder& b, const Rules& rules, const ConfusionOptions& options,
                        const std::vector<Count>& wanted, Value y_true, Value y_pred, Value sample_weight);

}  // namespace midstream::keras
