// The arguments of a call of MultiHeadAttention, and the one mask that Keras makes of all the masks it may have.
#pragma once

#include "lower/keras/layer.h"
#include "lower/math/attention.h"

namespace midstream::keras {

struct AttentionCall {
  Value query, value, key;
  math::Attention how;  // its mask as Keras has it, [batch, query, key]; scale not set
  bool return_scores = false;
  Value output_mask;
};
AttentionCall attention_call(Layer& l, const Call& call);

// A boolean argument of the call, false if absent.
bool call_flag(const Call& call, const std::string& name);

}  // namespace midstream::keras
